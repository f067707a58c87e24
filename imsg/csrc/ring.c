/* The flight recorder's ring: one entry of 40 bytes a frame, in memory laid out as recorder.py says. */

#include <string.h>
#include <time.h>

#include "imsg.h"

#define NEXT_AT		16u
#define ENTRIES_AT	(64u + 64u * 32u)
#define ENTRY		40u
#define SEQUENCE_AT	8u
#define CARRIES		2u

struct entry {
	uint64_t	time;
	uint64_t	sequence;
	uint32_t	channel;
	uint32_t	type;
	uint32_t	length;
	uint32_t	peerid;
	uint32_t	pid;
	uint32_t	flags;
};

_Static_assert(sizeof(struct entry) == ENTRY, "an entry has 40 bytes");

/*
 * Which frames carry a descriptor is said in one of two ways: an array with -1 for none (the reader's), or a
 * sorted list of indexes (the writer's). The memory may lie anywhere and may be read meanwhile by another
 * process, so it is written with memcpy, and an entry's sequence is 0 while the entry is not whole.
 */
void
imsg_ring_write(const struct imsg_ring *ring, const struct imsg_batch *batch, const int *descriptors,
    const uint32_t *indexes, uint32_t index_count)
{
	struct timespec now;
	struct entry entry;
	uint64_t next;
	uint32_t i, slot, index = 0, peerid = batch->peerid;
	unsigned char *at;
	const uint64_t unfinished = 0;

	if (ring->memory == NULL || ring->capacity == 0 || batch->count == 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	memcpy(&next, ring->memory + NEXT_AT, sizeof(next));
	entry.time = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	entry.channel = ring->channel;
	slot = (uint32_t)(next % ring->capacity);
	for (i = 0; i < batch->count; i++) {
		at = ring->memory + ENTRIES_AT + (size_t)slot * ENTRY;
		/* the count may wrap, or be what another process wrote; the slot has to follow it */
		slot = ++next == 0 ? 0 : slot + 1;
		if (slot == ring->capacity)
			slot = 0;
		entry.sequence = next;
		entry.type = imsg_u32(batch->types, i);
		entry.length = imsg_u32(batch->lengths, i) + batch->add;
		entry.peerid = batch->peerids != NULL ? batch->peerids[i] : peerid;
		entry.pid = batch->pids != NULL ? batch->pids[i] : batch->pid;
		entry.flags = batch->flags;
		if (descriptors != NULL && descriptors[i] >= 0)
			entry.flags |= CARRIES;
		if (index < index_count && indexes[index] == i) {
			entry.flags |= CARRIES;
			index++;
		}
		peerid = imsg_next_peerid(peerid);
		memcpy(at + SEQUENCE_AT, &unfinished, sizeof(unfinished));
		__atomic_thread_fence(__ATOMIC_RELEASE);
		memcpy(at, &entry.time, sizeof(entry.time));
		memcpy(at + SEQUENCE_AT + 8, &entry.channel, ENTRY - SEQUENCE_AT - 8);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		memcpy(at + SEQUENCE_AT, &entry.sequence, sizeof(entry.sequence));
	}
	memcpy(ring->memory + NEXT_AT, &next, sizeof(next));
}
