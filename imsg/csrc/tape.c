/*
 * The recorder's tape: whole messages in a ring of bytes, while somebody looks; the twin of tape.py. The memory may
 * be read meanwhile by another process: the tail moves before a record is overwritten, and the end after one is whole.
 */

#include <string.h>

#include "imsg.h"

#define MOST	(IMSG_RECORD + IMSG_MAX_FRAME)

struct record {
	uint32_t	size;
	uint32_t	flags;
	uint64_t	time;
	uint64_t	sequence;
	uint32_t	channel;
	uint32_t	type;
	uint32_t	length;
	uint32_t	peerid;
	uint32_t	pid;
	uint32_t	payload;
};

_Static_assert(sizeof(struct record) == IMSG_RECORD, "a record has 48 bytes");

static uint64_t
load(const unsigned char *memory, size_t at)
{
	uint64_t value;

	memcpy(&value, memory + at, sizeof(value));
	return value;
}

/* Where the record after the oldest one begins. */
static uint64_t
after(const struct imsg_ring *ring, const unsigned char *tape, uint64_t tail, uint64_t written)
{
	uint32_t size = imsg_u32(tape + tail % ring->tape, 0);

	if (size < IMSG_RECORD || size % 8 != 0 || size > written - tail)
		return written;
	return tail + size;
}

static void
put(unsigned char *tape, uint32_t size, uint64_t at, const void *data, size_t length)
{
	size_t start = (size_t)(at % size), first = size - start;

	if (first > length)
		first = length;
	memcpy(tape + start, data, first);
	memcpy(tape, (const unsigned char *)data + first, length - first);
}

void
imsg_tape_write(const struct imsg_ring *ring, uint64_t rule, const struct imsg_header *header,
    const unsigned char *payload, size_t length)
{
	unsigned char masked[IMSG_MAX_PAYLOAD], *memory = ring->memory, *tape;
	struct record record;
	uint64_t written, tail, records;
	int kept;
	static const unsigned char padding[8];

	record.flags = header->flags;
	if ((rule & (header->flags & IMSG_OUT ? IMSG_TAPED_OUT : IMSG_TAPED_IN)) == 0) {
		record.flags |= IMSG_WITHHELD;
		length = 0;
	} else if ((rule & IMSG_SECRET) != 0) {
		kept = imsg_mask(payload, length, rule & IMSG_SECRET, masked, sizeof(masked));
		if (kept < 0)
			record.flags |= IMSG_WITHHELD;
		payload = masked;
		length = kept < 0 ? 0 : (size_t)kept;
	}
	record.size = (uint32_t)((IMSG_RECORD + length + 7) & ~(size_t)7);
	if (record.size > MOST || record.size > ring->tape)
		return;
	tape = memory + IMSG_ENTRIES_AT + (size_t)ring->capacity * IMSG_ENTRY;
	written = load(memory, IMSG_WRITTEN_AT);
	tail = load(memory, IMSG_TAIL_AT);
	records = load(memory, IMSG_RECORDS_AT) + 1;
	if (written % 8 != 0 || tail > written || written - tail > ring->tape)
		written = tail = 0;	/* somebody else wrote here: begin again */
	while (written + record.size - tail > ring->tape)
		tail = after(ring, tape, tail, written);
	record.time = header->time;
	record.sequence = records;
	record.channel = header->channel;
	record.type = header->type;
	record.length = header->length;
	record.peerid = header->peerid;
	record.pid = header->pid;
	record.payload = (uint32_t)length;
	memcpy(memory + IMSG_TAIL_AT, &tail, sizeof(tail));
	__atomic_thread_fence(__ATOMIC_RELEASE);
	put(tape, ring->tape, written, &record, sizeof(record));
	put(tape, ring->tape, written + sizeof(record), payload, length);
	put(tape, ring->tape, written + sizeof(record) + length, padding, record.size - sizeof(record) - length);
	written += record.size;
	__atomic_thread_fence(__ATOMIC_RELEASE);
	memcpy(memory + IMSG_WRITTEN_AT, &written, sizeof(written));
	memcpy(memory + IMSG_RECORDS_AT, &records, sizeof(records));
}
