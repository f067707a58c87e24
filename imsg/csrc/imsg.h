/*
 * The C core of imsg: frames as OpenBSD's libimsg has them, in and out, with descriptors, and the recorder's ring.
 * The meaning of every function is that of its twin in frame.py and recorder.py; the tests hold them together.
 * Nothing here calls Python, and nothing here trusts a byte that came from the socket.
 */
#ifndef IMSG_CORE_H
#define IMSG_CORE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IMSG_HEADER		16u
#define IMSG_MAX_FRAME		16384u
#define IMSG_MAX_PAYLOAD	(IMSG_MAX_FRAME - IMSG_HEADER)
#define IMSG_DESCRIPTOR_BIT	0x80000000u
#define IMSG_BUFFER		65536u
#define IMSG_MAX_FRAMES		(IMSG_BUFFER / IMSG_HEADER)
#define IMSG_MAX_DESCRIPTORS	16
#define IMSG_PEERID_MASK	0xffffffu

/* What a call returns instead of a count; everything from IMSG_SYSTEM down is IMSG_SYSTEM - errno. */
enum {
	IMSG_END = -1,
	IMSG_TOO_SHORT = -2,
	IMSG_TOO_LONG = -3,
	IMSG_MISSING_DESCRIPTOR = -4,
	IMSG_STRAY_DESCRIPTOR = -5,
	IMSG_TOO_MANY_DESCRIPTORS = -6,
	IMSG_TRUNCATED_CONTROL = -7,
	IMSG_TRUNCATED = -8,
	IMSG_OVERFED = -9,
	IMSG_SYSTEM = -1000
};

/* The recorder's memory, as layout.py has it. */
#define IMSG_MAGIC		0x474d5349u
#define IMSG_LAYOUT		2u
#define IMSG_NEXT_AT		16u
#define IMSG_TAPE_ON_AT		28u
#define IMSG_WRITTEN_AT		32u
#define IMSG_TAIL_AT		40u
#define IMSG_RECORDS_AT		48u
#define IMSG_KINDS_AT		(64u + 64u * 32u)
#define IMSG_KINDS		4096u
#define IMSG_KIND		40u
#define IMSG_RULE_AT		32u
#define IMSG_ENTRIES_AT		(IMSG_KINDS_AT + IMSG_KINDS * IMSG_KIND + 8192u)
#define IMSG_ENTRY		40u
#define IMSG_RECORD		48u

struct imsg_entry {
	uint64_t	time;
	uint64_t	sequence;
	uint32_t	channel;
	uint32_t	type;
	uint32_t	length;
	uint32_t	peerid;
	uint32_t	pid;
	uint32_t	flags;
};

_Static_assert(sizeof(struct imsg_entry) == IMSG_ENTRY, "an entry has 40 bytes");

#define IMSG_OUT		1u
#define IMSG_CARRIES		2u
#define IMSG_WITHHELD		8u

#define IMSG_TAPED		((uint64_t)1 << 63)
#define IMSG_TAPED_OUT		((uint64_t)1 << 62)
#define IMSG_TAPED_IN		((uint64_t)1 << 61)
#define IMSG_SECRET		(((uint64_t)1 << 48) - 1)

/* The meter: what it measures, and what kinds are to it. */
enum { IMSG_HANDLED, IMSG_REPLIED, IMSG_WAITED, IMSG_WHATS };
#define IMSG_CHANNELS		64u
#define IMSG_REQUEST		1u
#define IMSG_REPLY		2u
#define IMSG_UNMEASURED		((uint64_t)1 << 63)	/* in a stamp: what ended then is measured by others */
#define IMSG_METER_ROW		982u

struct imsg_histogram;
struct imsg_sent;
struct imsg_meter {
	uint32_t	 idle;		/* 1: remember requests, measure nothing */
	uint32_t	 used;
	uint64_t	 left_out;	/* values of things beyond the bound */
	struct imsg_histogram **histograms;
	uint32_t	*keys;
	uint16_t	*where;		/* by key: index of a histogram, and one; few of its pages are touched */
	struct imsg_sent *sent;
	unsigned char	 roles[IMSG_KINDS];
};

struct imsg_ring {
	unsigned char	*memory;	/* NULL records nothing */
	uint32_t	 capacity;	/* entries; not taken from the memory, which others may write */
	uint32_t	 tape;		/* bytes of the tape behind the entries, 0 for none; likewise */
	uint32_t	 channel;
	struct imsg_meter *meter;	/* NULL measures nothing */
	uint32_t	 metered;	/* the meter's number of the channel's name */
	uint32_t	 serial;	/* of the channel among all */
};

struct imsg_reader {
	struct imsg_ring ring;
	uint32_t	 start;		/* where the unfinished frame begins in buffer */
	uint32_t	 have;		/* bytes in buffer */
	uint32_t	 count;		/* complete frames; they lie in buffer from 0 to start */
	uint32_t	 carried;	/* how many of them have a descriptor that is not taken yet */
	uint32_t	 joined_length;	/* of joined; 0 if a payload is not surely one object */
	uint32_t	 queued;
	int		 queue[IMSG_MAX_DESCRIPTORS];	/* arrived, not yet handed to a frame */
	uint32_t	 types[IMSG_MAX_FRAMES];
	uint32_t	 lengths[IMSG_MAX_FRAMES];
	uint32_t	 peerids[IMSG_MAX_FRAMES];
	uint32_t	 pids[IMSG_MAX_FRAMES];
	int		 descriptors[IMSG_MAX_FRAMES];	/* only meaningful if carried > 0 */
	uint32_t	 settled;	/* frames whose handlers are measured, or not to be */
	uint64_t	 stamps[IMSG_MAX_FRAMES + 1];	/* when the first handler began, when each ended; 0: not yet */
	unsigned char	 buffer[IMSG_BUFFER];
	unsigned char	 joined[IMSG_BUFFER];	/* payloads are at least 16 bytes a frame shorter than the buffer */
};

struct imsg_mark {
	uint64_t	at;		/* offset of the frame in the stream */
	int		descriptor;
};

struct imsg_writer {
	struct imsg_ring ring;
	uint64_t	 sent;		/* bytes of the stream that are gone */
	size_t		 start, end;	/* what waits in buffer */
	size_t		 size;
	unsigned char	*buffer;
	struct imsg_mark *marks;	/* descriptors that wait, in order */
	size_t		 first_mark, last_mark, marks_size;
};

struct imsg_reader	*imsg_reader_new(void);
void	 imsg_reader_free(struct imsg_reader *);
void	 imsg_reader_close(struct imsg_reader *);
int	 imsg_reader_receive(struct imsg_reader *, int);
int	 imsg_reader_feed(struct imsg_reader *, const unsigned char *, size_t, const int *, size_t);

struct imsg_writer	*imsg_writer_new(void);
void	 imsg_writer_free(struct imsg_writer *);
void	 imsg_writer_close(struct imsg_writer *);
int	 imsg_writer_add(struct imsg_writer *, uint32_t, const unsigned char *, const unsigned char *, size_t,
	    uint32_t, uint32_t, uint32_t, const uint32_t *, const int *);
int	 imsg_writer_send(struct imsg_writer *, int);

struct imsg_meter	*imsg_meter_new(const unsigned char *);
void	 imsg_meter_free(struct imsg_meter *);
void	 imsg_meter_clear(struct imsg_meter *);
void	 imsg_meter_add(struct imsg_meter *, uint32_t, uint32_t, uint32_t, uint64_t);
void	 imsg_meter_add_all(struct imsg_meter *, uint32_t, uint32_t, const uint32_t *, const uint64_t *, int);
int	 imsg_meter_row(const struct imsg_meter *, uint32_t, uint64_t *);
uint64_t imsg_meter_sent(struct imsg_meter *, uint32_t, uint32_t);
void	 imsg_meter_frame(const struct imsg_ring *, uint32_t, uint64_t, uint32_t, uint32_t, const unsigned char *, uint32_t);
void	 imsg_reader_settle(struct imsg_reader *);

int	 imsg_one_object(const unsigned char *, size_t);
int	 imsg_mask(const unsigned char *, size_t, uint64_t, unsigned char *, size_t);
int	 imsg_waits(const unsigned char *, size_t, const unsigned char *, const unsigned char *, size_t,
	    const unsigned char *, uint64_t *, uint32_t *, uint64_t *, int, uint64_t *);

static inline uint32_t
imsg_u32(const unsigned char *array, uint32_t index)
{
	uint32_t value;

	memcpy(&value, array + (size_t)index * sizeof(value), sizeof(value));
	return value;
}

static inline uint32_t
imsg_next_peerid(uint32_t peerid)
{
	uint32_t low = (peerid + 1) & IMSG_PEERID_MASK;

	return (peerid & ~IMSG_PEERID_MASK) | (low != 0 ? low : 1);
}

struct imsg_batch {		/* headers to record: arrays of count, or one value where the pointer is NULL */
	uint32_t	 count;
	uint32_t	 flags;
	const unsigned char *types;	/* u32 each, may lie anywhere */
	const unsigned char *lengths;
	const uint32_t	*peerids;	/* NULL: running from peerid */
	const uint32_t	*pids;		/* NULL: all of pid */
	uint32_t	 peerid;
	uint32_t	 pid;
	uint32_t	 add;		/* added to every length */
	const unsigned char *payloads;	/* one after the other, each behind gap bytes */
	uint32_t	 gap;
};

struct imsg_header {		/* of a record on the tape */
	uint64_t	 time;
	uint32_t	 channel;
	uint32_t	 type;
	uint32_t	 length;
	uint32_t	 peerid;
	uint32_t	 pid;
	uint32_t	 flags;
};
void	 imsg_tape_write(const struct imsg_ring *, uint64_t, const struct imsg_header *, const unsigned char *, size_t);
void	 imsg_ring_write(const struct imsg_ring *, const struct imsg_batch *, const int *, const uint32_t *, uint32_t);

#endif
