/* The flight recorder: an entry for each frame in a ring, a count for its kind, and its place on the tape if that is on. */

#include <string.h>
#include <time.h>

#include "imsg.h"

#define SEQUENCE_AT	8u

struct kind {
	uint64_t	count_in, bytes_in;
	uint64_t	count_out, bytes_out;
	uint64_t	rule;
};

_Static_assert(sizeof(struct kind) == IMSG_KIND, "a kind has 40 bytes");

/* Count a frame; the rule of its kind. */
static inline uint64_t
count(unsigned char *memory, const struct imsg_entry *entry)
{
	struct kind kind;
	unsigned char *at;

	at = memory + IMSG_KINDS_AT + (size_t)(entry->type < IMSG_KINDS ? entry->type : 0) * IMSG_KIND;
	memcpy(&kind, at, sizeof(kind));
	if (entry->flags & IMSG_OUT) {
		kind.count_out++;
		kind.bytes_out += entry->length;
	} else {
		kind.count_in++;
		kind.bytes_in += entry->length;
	}
	memcpy(at, &kind, IMSG_RULE_AT);
	return kind.rule;
}

/* For the meter, with the same reading of the clock. */
static void
measure(const struct imsg_ring *ring, const struct imsg_batch *batch, uint64_t now)
{
	const unsigned char *payload = batch->payloads;
	uint32_t i, length, peerid = batch->peerid;

	for (i = 0; i < batch->count; i++) {
		payload += batch->gap;
		length = imsg_u32(batch->lengths, i) + batch->add - IMSG_HEADER;
		imsg_meter_frame(ring, batch->flags & IMSG_OUT, now, imsg_u32(batch->types, i),
		    batch->peerids != NULL ? batch->peerids[i] : peerid, payload, length);
		payload += length;
		peerid = imsg_next_peerid(peerid);
	}
}

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
	struct imsg_entry entry;
	struct imsg_header header;
	uint64_t next, rule;
	uint32_t i, slot, taping = 0, index = 0, peerid = batch->peerid;
	const unsigned char *payload = batch->payloads;
	unsigned char *at;
	const uint64_t unfinished = 0;

	if (batch->count == 0 || ((ring->memory == NULL || ring->capacity == 0) && ring->meter == NULL))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (ring->meter != NULL)
		measure(ring, batch, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	if (ring->memory == NULL || ring->capacity == 0)
		return;
	memcpy(&next, ring->memory + IMSG_NEXT_AT, sizeof(next));
	if (ring->tape > 0)
		memcpy(&taping, ring->memory + IMSG_TAPE_ON_AT, sizeof(taping));
	entry.time = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	entry.channel = ring->channel;
	slot = (uint32_t)(next % ring->capacity);
	for (i = 0; i < batch->count; i++) {
		at = ring->memory + IMSG_ENTRIES_AT + (size_t)slot * IMSG_ENTRY;
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
			entry.flags |= IMSG_CARRIES;
		if (index < index_count && indexes[index] == i) {
			entry.flags |= IMSG_CARRIES;
			index++;
		}
		peerid = imsg_next_peerid(peerid);
		memcpy(at + SEQUENCE_AT, &unfinished, sizeof(unfinished));
		__atomic_thread_fence(__ATOMIC_RELEASE);
		memcpy(at, &entry.time, sizeof(entry.time));
		memcpy(at + SEQUENCE_AT + 8, &entry.channel, IMSG_ENTRY - SEQUENCE_AT - 8);
		__atomic_thread_fence(__ATOMIC_RELEASE);
		memcpy(at + SEQUENCE_AT, &entry.sequence, sizeof(entry.sequence));
		rule = count(ring->memory, &entry);
		if (taping == 0)
			continue;
		payload += batch->gap;
		if (rule & IMSG_TAPED) {
			header.time = entry.time;
			header.channel = entry.channel;
			header.type = entry.type;
			header.length = entry.length;
			header.peerid = entry.peerid;
			header.pid = entry.pid;
			header.flags = entry.flags;
			imsg_tape_write(ring, rule, &header, payload, entry.length - IMSG_HEADER);
		}
		payload += entry.length - IMSG_HEADER;
	}
	memcpy(ring->memory + IMSG_NEXT_AT, &next, sizeof(next));
}
