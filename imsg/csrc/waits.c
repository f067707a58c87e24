/*
 * How long frames waited in a socket: the twin of waits.py. Two recorders are read, the sender's and the receiver's, while
 * their owners write; nothing that stands in them is trusted.
 */

#include <string.h>

#include "imsg.h"

#define CHANNELS	64u
#define NAME		32u

struct side {
	const unsigned char *memory;
	uint64_t	 capacity, at, next;
	uint64_t	 channels;	/* bit i: channel i is the one asked for */
	uint32_t	 flags;
};

/* 0 if the memory is no recorder's. `name` has NAME bytes. */
static int
open_side(struct side *side, const unsigned char *memory, size_t length, const unsigned char *name, uint32_t flags)
{
	uint32_t i;

	if (length < IMSG_ENTRIES_AT || imsg_u32(memory, 0) != IMSG_MAGIC || imsg_u32(memory, 1) != IMSG_LAYOUT)
		return 0;
	side->memory = memory;
	side->flags = flags;
	side->capacity = imsg_u32(memory, 2);
	if (side->capacity == 0 || side->capacity > (length - IMSG_ENTRIES_AT) / IMSG_ENTRY)
		return 0;
	side->channels = 0;
	for (i = 0; i < CHANNELS; i++)
		if (memcmp(memory + 64 + i * NAME, name, NAME) == 0)
			side->channels |= (uint64_t)1 << i;
	memcpy(&side->next, memory + IMSG_NEXT_AT, sizeof(side->next));
	side->at = side->next > side->capacity ? side->next - side->capacity : 0;
	return 1;
}

/* The next whole entry of the channel and direction; 0 at the end. */
static int
next_entry(struct side *side, struct imsg_entry *entry)
{
	while (side->at < side->next) {
		memcpy(entry, side->memory + IMSG_ENTRIES_AT + (side->at % side->capacity) * IMSG_ENTRY,
		    sizeof(*entry));
		side->at++;
		if (entry->sequence == side->at && (entry->flags & IMSG_OUT) == side->flags &&
		    entry->channel < CHANNELS && (side->channels >> entry->channel & 1) != 0)
			return 1;
	}
	return 0;
}

/*
 * The frames that the receiver got since entry *since: their types, and the ns each waited, at most `most` of them; *since
 * moves on, *missed counts those whose sending is not recorded any more. -1 if one of the two is no recorder.
 */
int
imsg_waits(const unsigned char *sender, size_t sender_length, const unsigned char *sender_channel,
    const unsigned char *receiver, size_t receiver_length, const unsigned char *receiver_channel, uint64_t *since,
    uint32_t *types, uint64_t *waits, int most, uint64_t *missed)
{
	struct side out, in;
	struct imsg_entry sent, got;
	int have, found = 0;

	if (!open_side(&in, receiver, receiver_length, receiver_channel, 0) ||
	    !open_side(&out, sender, sender_length, sender_channel, IMSG_OUT))
		return -1;
	if (*since > in.at && *since <= in.next)
		in.at = *since;
	have = next_entry(&out, &sent);
	while (found < most && next_entry(&in, &got)) {
		/* both are in the order of the running number, which wraps */
		while (have && ((got.peerid - sent.peerid) & IMSG_PEERID_MASK) - 1 < IMSG_PEERID_MASK / 2)
			have = next_entry(&out, &sent);
		if (have && sent.peerid == got.peerid && sent.pid == got.pid && sent.type == got.type &&
		    got.time >= sent.time) {
			types[found] = got.type;
			waits[found++] = got.time - sent.time;
		} else
			++*missed;
	}
	*since = in.at;
	return found;
}
