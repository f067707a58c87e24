/*
 * Frames in: one recvmsg, then every complete frame of the buffer at once.
 *
 * The complete frames stay in the buffer until the next call. Every descriptor is at any time in one of two
 * places, the queue or a frame's slot, so that closing both leaks none.
 */

#define _GNU_SOURCE
#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "imsg.h"

struct header {
	uint32_t	type;
	uint32_t	length;
	uint32_t	peerid;
	uint32_t	pid;
};

_Static_assert(sizeof(struct header) == IMSG_HEADER, "a header has 16 bytes");

struct imsg_reader *
imsg_reader_new(void)
{
	return calloc(1, sizeof(struct imsg_reader));
}

void
imsg_reader_free(struct imsg_reader *reader)
{
	if (reader != NULL)
		imsg_reader_close(reader);
	free(reader);
}

/* Close what no one has taken, and forget it. */
static void
close_carried(struct imsg_reader *reader)
{
	uint32_t i;

	for (i = 0; i < reader->count && reader->carried > 0; i++)
		if (reader->descriptors[i] >= 0) {
			close(reader->descriptors[i]);
			reader->descriptors[i] = -1;
			reader->carried--;
		}
	reader->carried = 0;
}

void
imsg_reader_close(struct imsg_reader *reader)
{
	while (reader->queued > 0)
		close(reader->queue[--reader->queued]);
	close_carried(reader);
}

/* Drop the frames of the last call, and move the unfinished one to the front. */
static void
begin(struct imsg_reader *reader)
{
	close_carried(reader);
	if (reader->stamps[0] != 0) {
		imsg_reader_settle(reader);
		memset(reader->stamps, 0, (reader->count + 1) * sizeof(reader->stamps[0]));
	}
	reader->settled = 0;
	if (reader->start > 0) {
		reader->have -= reader->start;
		memmove(reader->buffer, reader->buffer + reader->start, reader->have);
		reader->start = 0;
	}
	reader->count = 0;
	reader->joined_length = 0;
}

/* Queue descriptors; those that find no room are closed and reported. */
static int
enqueue(struct imsg_reader *reader, const unsigned char *from, size_t count)
{
	size_t i;
	int descriptor, result = 0;

	for (i = 0; i < count; i++) {
		memcpy(&descriptor, from + i * sizeof(descriptor), sizeof(descriptor));
		if (reader->queued < IMSG_MAX_DESCRIPTORS)
			reader->queue[reader->queued++] = descriptor;
		else {
			close(descriptor);
			result = IMSG_TOO_MANY_DESCRIPTORS;
		}
	}
	return result;
}

static int
dequeue(struct imsg_reader *reader)
{
	int descriptor = reader->queue[0];

	reader->queued--;
	memmove(reader->queue, reader->queue + 1, reader->queued * sizeof(reader->queue[0]));
	return descriptor;
}

/*
 * Find the complete frames in buffer[0 .. have). A descriptor arrives at the latest with the first byte of its
 * frame, so after the last header at hand at most one queued descriptor can have its frame still to come.
 */
static int
find_frames(struct imsg_reader *reader)
{
	struct header header;
	uint32_t at = 0, left, length, claims = 0, count = 0;
	int error = 0, marked;

	while ((left = reader->have - at) >= IMSG_HEADER) {
		memcpy(&header, reader->buffer + at, sizeof(header));
		length = header.length & ~IMSG_DESCRIPTOR_BIT;
		marked = length != header.length;
		if (length < IMSG_HEADER)
			error = IMSG_TOO_SHORT;
		else if (length > IMSG_MAX_FRAME)
			error = IMSG_TOO_LONG;
		else if (marked && reader->queued == 0)
			error = IMSG_MISSING_DESCRIPTOR;
		if (error != 0)
			break;
		if (left < length) {
			claims = (uint32_t)marked;
			break;
		}
		reader->descriptors[count] = marked ? dequeue(reader) : -1;
		reader->carried += (uint32_t)marked;
		reader->types[count] = header.type;
		reader->lengths[count] = length;
		reader->peerids[count] = header.peerid;
		reader->pids[count] = header.pid;
		count++;
		at += length;
	}
	if (left > 0 && left < IMSG_HEADER)
		claims = 1;	/* the first bytes of a header: it may announce one */
	reader->start = at;
	reader->count = count;
	if (error == 0 && reader->queued > claims)
		error = IMSG_STRAY_DESCRIPTOR;
	return error;
}

/* Write all payloads as one msgpack array, if each is surely one object. */
static void
join(struct imsg_reader *reader)
{
	unsigned char *to = reader->joined;
	const unsigned char *from = reader->buffer;
	uint32_t i, length;

	if (reader->count == 0)
		return;
	*to++ = 0xdc;	/* array 16 */
	*to++ = (unsigned char)(reader->count >> 8);
	*to++ = (unsigned char)reader->count;
	for (i = 0; i < reader->count; i++) {
		length = reader->lengths[i] - IMSG_HEADER;
		if (!imsg_one_object(from + IMSG_HEADER, length))
			return;
		memcpy(to, from + IMSG_HEADER, length);
		to += length;
		from += reader->lengths[i];
	}
	reader->joined_length = (uint32_t)(to - reader->joined);
}

static int
scan(struct imsg_reader *reader)
{
	struct imsg_batch batch;
	int error;

	error = find_frames(reader);
	memset(&batch, 0, sizeof(batch));
	batch.count = reader->count;
	batch.types = (const unsigned char *)reader->types;
	batch.lengths = (const unsigned char *)reader->lengths;
	batch.peerids = reader->peerids;
	batch.pids = reader->pids;
	batch.payloads = reader->buffer;
	batch.gap = IMSG_HEADER;
	imsg_ring_write(&reader->ring, &batch, reader->descriptors, NULL, 0);
	if (error != 0) {
		imsg_reader_close(reader);
		return error;
	}
	join(reader);
	return (int)reader->count;
}

/* The number of complete frames, or what went wrong; then every descriptor is closed. */
int
imsg_reader_feed(struct imsg_reader *reader, const unsigned char *data, size_t length, const int *descriptors,
    size_t descriptor_count)
{
	int error;

	begin(reader);
	error = enqueue(reader, (const unsigned char *)descriptors, descriptor_count);
	if (error == 0 && length > IMSG_BUFFER - reader->have)
		error = IMSG_OVERFED;
	if (error != 0) {
		imsg_reader_close(reader);
		return error;
	}
	memcpy(reader->buffer + reader->have, data, length);
	reader->have += (uint32_t)length;
	return scan(reader);
}

int
imsg_reader_receive(struct imsg_reader *reader, int fd)
{
	union {
		struct cmsghdr	align;
		unsigned char	space[CMSG_SPACE(IMSG_MAX_DESCRIPTORS * sizeof(int))];
	} control;
	struct msghdr message;
	struct cmsghdr *part;
	struct iovec iov;
	ssize_t got;
	int error = 0, wrong;

	begin(reader);
	iov.iov_base = reader->buffer + reader->have;
	iov.iov_len = IMSG_BUFFER - reader->have;
	memset(&message, 0, sizeof(message));
	message.msg_iov = &iov;
	message.msg_iovlen = 1;
	message.msg_control = control.space;
	message.msg_controllen = sizeof(control.space);
	do
		got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (got == -1 && errno == EINTR);
	if (got == -1) {
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return 0;
		error = IMSG_SYSTEM - errno;
		imsg_reader_close(reader);
		return error;
	}
	for (part = CMSG_FIRSTHDR(&message); part != NULL; part = CMSG_NXTHDR(&message, part))
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
			wrong = enqueue(reader, CMSG_DATA(part), (part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
			if (wrong != 0)
				error = wrong;
		}
	if (message.msg_flags & MSG_CTRUNC)
		error = IMSG_TRUNCATED_CONTROL;
	else if (error == 0 && got == 0)
		error = reader->have > 0 ? IMSG_TRUNCATED : IMSG_END;
	if (error != 0) {
		imsg_reader_close(reader);
		return error;
	}
	reader->have += (uint32_t)got;
	return scan(reader);
}
