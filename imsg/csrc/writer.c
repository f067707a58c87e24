/*
 * Frames out: a batch of payloads becomes frames in one growing buffer, and as few sendmsg as possible take it.
 *
 * A sendmsg that carries a descriptor begins at the first byte of that descriptor's frame and ends before the
 * next frame that has one, as libimsg's do. The caller bounds the buffer.
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

#define KEEP	(256u * 1024u)	/* a buffer that grew beyond this is given back when it is empty */

struct imsg_writer *
imsg_writer_new(void)
{
	return calloc(1, sizeof(struct imsg_writer));
}

void
imsg_writer_free(struct imsg_writer *writer)
{
	if (writer != NULL)
		imsg_writer_close(writer);
	free(writer);
}

void
imsg_writer_close(struct imsg_writer *writer)
{
	while (writer->first_mark < writer->last_mark)
		close(writer->marks[writer->first_mark++].descriptor);
	free(writer->marks);
	free(writer->buffer);
	writer->marks = NULL;
	writer->buffer = NULL;
	writer->first_mark = writer->last_mark = writer->marks_size = 0;
	writer->start = writer->end = writer->size = 0;
}

static int
make_room(struct imsg_writer *writer, size_t bytes, size_t marks)
{
	unsigned char *buffer;
	struct imsg_mark *moved;
	size_t size;

	if (writer->start > 0 && writer->size - writer->end < bytes) {
		memmove(writer->buffer, writer->buffer + writer->start, writer->end - writer->start);
		writer->end -= writer->start;
		writer->start = 0;
	}
	if (writer->size - writer->end < bytes) {
		size = writer->end + bytes;
		size += size / 2;
		if ((buffer = realloc(writer->buffer, size)) == NULL)
			return -1;
		writer->buffer = buffer;
		writer->size = size;
	}
	if (writer->first_mark > 0 && marks > 0) {
		memmove(writer->marks, writer->marks + writer->first_mark,
		    (writer->last_mark - writer->first_mark) * sizeof(writer->marks[0]));
		writer->last_mark -= writer->first_mark;
		writer->first_mark = 0;
	}
	if (writer->marks_size - writer->last_mark < marks) {
		size = writer->last_mark + marks + 16;
		if ((moved = realloc(writer->marks, size * sizeof(writer->marks[0]))) == NULL)
			return -1;
		writer->marks = moved;
		writer->marks_size = size;
	}
	return 0;
}

/*
 * Append count frames: their types and then the lengths of their payloads (u32 each), the payloads one after the
 * other, the first peerid; then the descriptors: sorted indexes of their frames, and themselves. 0, or -1 with nothing added if
 * the numbers do not fit each other or memory is short; the caller then still owns the descriptors.
 */
int
imsg_writer_add(struct imsg_writer *writer, uint32_t count, const unsigned char *numbers, const unsigned char *payloads,
    size_t payloads_length, uint32_t peerid, uint32_t pid, uint32_t carried, const uint32_t *indexes,
    const int *descriptors)
{
	const unsigned char *types = numbers, *lengths = numbers + (size_t)count * sizeof(uint32_t);
	struct imsg_batch batch;
	unsigned char *to;
	uint32_t i, length, header[4], next = 0;
	size_t total = 0;

	for (i = 0; i < count; i++) {
		length = imsg_u32(lengths, i);
		if (length > IMSG_MAX_PAYLOAD)
			return -1;
		total += length;
	}
	if (total != payloads_length)
		return -1;
	for (i = 0; i < carried; i++)
		if (indexes[i] >= count || (i > 0 && indexes[i] <= indexes[i - 1]))
			return -1;
	if (make_room(writer, total + (size_t)count * IMSG_HEADER, carried) == -1)
		return -1;
	memset(&batch, 0, sizeof(batch));
	batch.count = count;
	batch.flags = IMSG_OUT;
	batch.types = types;
	batch.lengths = lengths;
	batch.peerid = peerid;
	batch.pid = pid;
	batch.add = IMSG_HEADER;
	batch.payloads = payloads;
	imsg_ring_write(&writer->ring, &batch, NULL, indexes, carried);
	to = writer->buffer + writer->end;
	for (i = 0; i < count; i++) {
		length = imsg_u32(lengths, i);
		header[0] = imsg_u32(types, i);
		header[1] = length + IMSG_HEADER;
		header[2] = peerid;
		header[3] = pid;
		if (next < carried && indexes[next] == i) {
			header[1] |= IMSG_DESCRIPTOR_BIT;
			writer->marks[writer->last_mark].at =
			    writer->sent + (uint64_t)(to - writer->buffer) - writer->start;
			writer->marks[writer->last_mark++].descriptor = descriptors[next++];
		}
		memcpy(to, header, IMSG_HEADER);
		memcpy(to + IMSG_HEADER, payloads, length);
		to += IMSG_HEADER + length;
		payloads += length;
		peerid = imsg_next_peerid(peerid);
	}
	writer->end = (size_t)(to - writer->buffer);
	return 0;
}

static ssize_t
send_some(int fd, unsigned char *data, size_t length, int descriptor)
{
	union {
		struct cmsghdr	align;
		unsigned char	space[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr message;
	struct cmsghdr *part;
	struct iovec iov;
	ssize_t sent;

	iov.iov_base = data;
	iov.iov_len = length;
	memset(&message, 0, sizeof(message));
	message.msg_iov = &iov;
	message.msg_iovlen = 1;
	if (descriptor >= 0) {
		memset(&control, 0, sizeof(control));
		message.msg_control = control.space;
		message.msg_controllen = sizeof(control.space);
		part = CMSG_FIRSTHDR(&message);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(part), &descriptor, sizeof(descriptor));
	}
	do
		sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent == -1 && errno == EINTR);
	return sent;
}

/* 1 if everything went out, 0 if the socket takes no more for now, IMSG_SYSTEM - errno. */
int
imsg_writer_send(struct imsg_writer *writer, int fd)
{
	struct imsg_mark *mark;
	size_t length;
	ssize_t sent;
	int descriptor;

	while (writer->start < writer->end) {
		length = writer->end - writer->start;
		descriptor = -1;
		mark = writer->marks + writer->first_mark;
		if (writer->first_mark < writer->last_mark && mark->at == writer->sent) {
			descriptor = mark->descriptor;
			mark++;
		}
		if (mark < writer->marks + writer->last_mark)
			length = (size_t)(mark->at - writer->sent);
		sent = send_some(fd, writer->buffer + writer->start, length, descriptor);
		if (sent == -1) {
			/* too many descriptors in flight, or no memory: again when the peer has read some */
			if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS)
				return 0;
			return IMSG_SYSTEM - errno;
		}
		if (descriptor >= 0) {
			close(descriptor);
			writer->first_mark++;
		}
		writer->start += (size_t)sent;
		writer->sent += (uint64_t)sent;
	}
	writer->start = writer->end = 0;
	if (writer->size > KEEP) {
		free(writer->buffer);
		writer->buffer = NULL;
		writer->size = 0;
	}
	return 1;
}
