/*
 * A peer in C for the tests: frames with the 16-byte header, descriptors as libimsg treats them. It stands in
 * for a program that links libimsg.
 *
 *	peer FD echo	send every frame back as it came, its descriptor with it, under its own pid
 *	peer FD count	read all, then send one frame of type 1: u32 frames, u32 descriptors, u64 payload bytes
 *
 * Reading: one recvmsg takes at most one descriptor, and it belongs to the first frame whose header becomes whole
 * in that read and has the bit; otherwise it is closed. Writing: many frames go in one sendmsg, but one that has
 * a descriptor begins a sendmsg. End of stream: exit 0. Anything wrong: exit 1 with a word on stderr.
 */

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER		16
#define MAX_FRAME	16384
#define BIT		0x80000000u
#define MANY		256

struct frame {
	uint32_t	 header[4];
	unsigned char	 payload[MAX_FRAME - HEADER];
	int		 fd;
};

static unsigned char buffer[65536];
static size_t have;
static struct frame frames[MANY];
static size_t count;
static int claimed = -1;	/* the descriptor of the frame that lies unfinished in the buffer */
static int is_claimed;		/* whether that frame's header was seen already */

static void
fail(const char *what)
{
	perror(what);
	exit(1);
}

static void
write_frames(int sock)
{
	struct iovec iov[MANY];
	union {
		struct cmsghdr	hdr;
		char		buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg;
	struct cmsghdr *cmsg;
	size_t i, first = 0, total;
	ssize_t n;

	while (first < count) {
		memset(&msg, 0, sizeof(msg));
		total = 0;
		for (i = first; i < count && (i == first || frames[i].fd == -1); i++) {
			frames[i].header[1] = (frames[i].header[1] & ~BIT) | (frames[i].fd != -1 ? BIT : 0);
			frames[i].header[3] = (uint32_t)getpid();
			iov[i - first].iov_base = &frames[i];
			iov[i - first].iov_len = frames[i].header[1] & ~BIT;
			total += iov[i - first].iov_len;
		}
		msg.msg_iov = iov;
		msg.msg_iovlen = i - first;
		if (frames[first].fd != -1) {
			memset(&control, 0, sizeof(control));
			msg.msg_control = control.buf;
			msg.msg_controllen = sizeof(control.buf);
			cmsg = CMSG_FIRSTHDR(&msg);
			cmsg->cmsg_len = CMSG_LEN(sizeof(int));
			cmsg->cmsg_level = SOL_SOCKET;
			cmsg->cmsg_type = SCM_RIGHTS;
			memcpy(CMSG_DATA(cmsg), &frames[first].fd, sizeof(int));
		}
		if ((n = sendmsg(sock, &msg, MSG_NOSIGNAL)) == -1)
			fail("sendmsg");
		if (frames[first].fd != -1)
			close(frames[first].fd);
		while ((size_t)n < total) {	/* the rest of a partial write goes without the descriptor */
			size_t skip = (size_t)n;
			for (i = first; skip >= (frames[i].header[1] & ~BIT); i++)
				skip -= frames[i].header[1] & ~BIT;
			ssize_t m = send(sock, (char *)&frames[i] + skip,
			    (frames[i].header[1] & ~BIT) - skip, MSG_NOSIGNAL);
			if (m == -1)
				fail("send");
			n += m;
		}
		for (i = first + 1; i < count && frames[i].fd == -1; i++)
			;
		first = i;
	}
	count = 0;
}

/* Take what is whole out of the buffer; 0 when nothing is left to take. */
static int
take_frame(int *fd)
{
	uint32_t header[4], length;

	if (have < HEADER)
		return 0;
	memcpy(header, buffer, sizeof(header));
	length = header[1] & ~BIT;
	if (length < HEADER || length > MAX_FRAME) {
		fprintf(stderr, "length %u\n", length);
		exit(1);
	}
	if (!is_claimed) {
		is_claimed = 1;
		if (header[1] & BIT) {
			claimed = *fd;
			*fd = -1;
			if (claimed == -1) {
				fprintf(stderr, "no descriptor\n");
				exit(1);
			}
		}
	}
	if (have < length)
		return 0;
	memcpy(&frames[count], buffer, length);
	frames[count++].fd = claimed;
	claimed = -1;
	is_claimed = 0;
	have -= length;
	memmove(buffer, buffer + length, have);
	return 1;
}

int
main(int argc, char *argv[])
{
	union {
		struct cmsghdr	hdr;
		char		buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct msghdr msg;
	struct cmsghdr *cmsg;
	struct iovec iov;
	uint32_t seen = 0, descriptors = 0;
	uint64_t bytes = 0;
	ssize_t n;
	size_t i;
	int sock, fd, echo;

	if (argc != 3)
		return 2;
	sock = atoi(argv[1]);
	echo = strcmp(argv[2], "echo") == 0;
	for (;;) {
		memset(&msg, 0, sizeof(msg));
		iov.iov_base = buffer + have;
		iov.iov_len = sizeof(buffer) - have;
		msg.msg_iov = &iov;
		msg.msg_iovlen = 1;
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		if ((n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC)) == -1)
			fail("recvmsg");
		if (n == 0)
			break;
		have += (size_t)n;
		fd = -1;
		for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL; cmsg = CMSG_NXTHDR(&msg, cmsg))
			if (cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS)
				memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
		for (;;) {
			int more = take_frame(&fd);

			if (count == MANY || (!more && count > 0)) {
				for (i = 0; i < count; i++) {
					seen++;
					descriptors += frames[i].fd != -1;
					bytes += (frames[i].header[1] & ~BIT) - HEADER;
					if (!echo && frames[i].fd != -1)
						close(frames[i].fd);
				}
				if (echo)
					write_frames(sock);
				count = 0;
			}
			if (!more)
				break;
		}
		if (fd != -1) {
			fprintf(stderr, "a descriptor too many\n");
			return 1;
		}
	}
	if (have > 0) {
		fprintf(stderr, "truncated\n");
		return 1;
	}
	if (!echo) {
		frames[0].header[0] = 1;
		frames[0].header[1] = HEADER + 16;
		frames[0].header[2] = 1;
		frames[0].fd = -1;
		memcpy(frames[0].payload, &seen, 4);
		memcpy(frames[0].payload + 4, &descriptors, 4);
		memcpy(frames[0].payload + 8, &bytes, 8);
		count = 1;
		write_frames(sock);
	}
	return 0;
}
