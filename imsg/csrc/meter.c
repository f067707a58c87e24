/*
 * What is measured while somebody profiles: how long handlers ran and replies took, in log-linear histograms. The twin of
 * meter.py and histogram.py. A frame costs it a few dozen ns, and no call of its own: it hangs on the recorder's hook.
 */

#include <stdlib.h>
#include <string.h>

#include "imsg.h"

#define BUCKETS		976u	/* histogram.py: index_of of the greatest u64, and one */
#define HISTOGRAMS	1024u	/* 8 KiB each, made when they are needed */
#define SENT		8192u	/* requests whose reply is waited for; a newer one takes an older one's place */

struct imsg_histogram {
	uint64_t	count, total, most;
	uint64_t	buckets[BUCKETS];
};

struct imsg_sent {
	uint64_t	time;		/* 0: free */
	uint32_t	serial;		/* of the channel, for names are shared */
	uint32_t	peerid;
	uint32_t	type;
};

struct imsg_meter *
imsg_meter_new(const unsigned char *roles)
{
	struct imsg_meter *meter;

	if ((meter = calloc(1, sizeof(*meter))) == NULL)
		return NULL;
	memcpy(meter->roles, roles, sizeof(meter->roles));
	meter->histograms = calloc(HISTOGRAMS, sizeof(meter->histograms[0]));
	meter->keys = calloc(HISTOGRAMS, sizeof(meter->keys[0]));
	meter->where = calloc((size_t)IMSG_WHATS * IMSG_CHANNELS * IMSG_KINDS, sizeof(meter->where[0]));
	meter->sent = calloc(SENT, sizeof(meter->sent[0]));
	if (meter->histograms != NULL && meter->keys != NULL && meter->where != NULL && meter->sent != NULL)
		return meter;
	imsg_meter_free(meter);
	return NULL;
}

/* Forget the histograms; who waits for a reply still does. */
void
imsg_meter_clear(struct imsg_meter *meter)
{
	uint32_t i;

	for (i = 0; i < meter->used; i++) {
		meter->where[meter->keys[i]] = 0;
		free(meter->histograms[i]);
		meter->histograms[i] = NULL;
	}
	meter->used = 0;
	meter->left_out = 0;
}

void
imsg_meter_free(struct imsg_meter *meter)
{
	if (meter == NULL)
		return;
	imsg_meter_clear(meter);
	free(meter->histograms);
	free(meter->keys);
	free(meter->where);
	free(meter->sent);
	free(meter);
}

static struct imsg_histogram *
find(struct imsg_meter *meter, uint32_t what, uint32_t channel, uint32_t type)
{
	uint32_t key;

	if (type >= IMSG_KINDS)
		type = 0;
	key = (what * IMSG_CHANNELS + channel) * IMSG_KINDS + type;
	if (meter->where[key] != 0)
		return meter->histograms[meter->where[key] - 1];
	if (meter->used == HISTOGRAMS ||
	    (meter->histograms[meter->used] = calloc(1, sizeof(struct imsg_histogram))) == NULL) {
		meter->left_out++;
		return NULL;
	}
	meter->keys[meter->used] = key;
	meter->where[key] = (uint16_t)++meter->used;
	return meter->histograms[meter->used - 1];
}

void
imsg_meter_add(struct imsg_meter *meter, uint32_t what, uint32_t channel, uint32_t type, uint64_t value)
{
	struct imsg_histogram *histogram;
	uint32_t shift;

	if (what >= IMSG_WHATS || channel >= IMSG_CHANNELS || (histogram = find(meter, what, channel, type)) == NULL)
		return;
	histogram->count++;
	histogram->total += value;
	if (value > histogram->most)
		histogram->most = value;
	if (value >= 32) {
		shift = 59 - (uint32_t)__builtin_clzll(value);
		value = ((uint64_t)shift << 4) + (value >> shift);
	}
	histogram->buckets[value]++;
}

void
imsg_meter_add_all(struct imsg_meter *meter, uint32_t what, uint32_t channel, const uint32_t *types,
    const uint64_t *values, int count)
{
	int i;

	for (i = 0; i < count; i++)
		imsg_meter_add(meter, what, channel, types[i], values[i]);
}

/*
 * The i-th histogram: what, channel, type, count, total, most and then its buckets into `row`; 0 if there is none.
 * `row` has IMSG_METER_ROW numbers.
 */
int
imsg_meter_row(const struct imsg_meter *meter, uint32_t i, uint64_t *row)
{
	if (i >= meter->used)
		return 0;
	row[0] = meter->keys[i] / IMSG_KINDS / IMSG_CHANNELS;
	row[1] = meter->keys[i] / IMSG_KINDS % IMSG_CHANNELS;
	row[2] = meter->keys[i] % IMSG_KINDS;
	memcpy(row + 3, meter->histograms[i], sizeof(struct imsg_histogram));
	return 1;
}

_Static_assert(sizeof(struct imsg_histogram) == (IMSG_METER_ROW - 3) * sizeof(uint64_t), "a row holds a histogram");

static struct imsg_sent *
place(struct imsg_meter *meter, uint32_t serial, uint32_t peerid)
{
	return &meter->sent[(serial * 2654435761u + peerid) % SENT];
}

/* When a request was sent that is not answered yet; 0 if that is not known. */
uint64_t
imsg_meter_sent(struct imsg_meter *meter, uint32_t serial, uint32_t peerid)
{
	const struct imsg_sent *sent = place(meter, serial, peerid);

	return sent->serial == serial && sent->peerid == peerid ? sent->time : 0;
}

/* The first field of a message, an array, if that is a whole number of 32 bits: a reply's reqid. */
static int
first_field(const unsigned char *payload, uint32_t length, uint32_t *field)
{
	const unsigned char *end = payload + length;
	uint32_t i, size;

	if (length < 2)
		return 0;
	if ((*payload & 0xf0) == 0x90)
		payload += 1;
	else if (*payload == 0xdc)
		payload += 3;
	else
		return 0;
	if (payload >= end)
		return 0;
	if (*payload < 0x80) {
		*field = *payload;
		return 1;
	}
	if (*payload < 0xcc || *payload > 0xce)
		return 0;
	size = 1u << (*payload++ - 0xcc);
	if ((size_t)(end - payload) < size)
		return 0;
	for (*field = 0, i = 0; i < size; i++)
		*field = *field << 8 | payload[i];
	return 1;
}

/* A frame that went out or came in: remember a request, measure a reply. */
void
imsg_meter_frame(const struct imsg_ring *ring, uint32_t out, uint64_t now, uint32_t type, uint32_t peerid,
    const unsigned char *payload, uint32_t length)
{
	struct imsg_meter *meter = ring->meter;
	struct imsg_sent *sent;
	uint32_t reqid;

	if (type >= IMSG_KINDS || (meter->roles[type] & (out ? IMSG_REQUEST : IMSG_REPLY)) == 0)
		return;
	if (out) {
		sent = place(meter, ring->serial, peerid);
		sent->time = now;
		sent->serial = ring->serial;
		sent->peerid = peerid;
		sent->type = type;
	} else if (first_field(payload, length, &reqid)) {
		sent = place(meter, ring->serial, reqid);
		if (sent->time == 0 || sent->serial != ring->serial || sent->peerid != reqid)
			return;
		if (meter->idle == 0)
			imsg_meter_add(meter, IMSG_REPLIED, ring->metered, sent->type, now - sent->time);
		sent->time = 0;
	}
}

/* Measure the handlers whose end the reader's owner has noted since the last call. */
void
imsg_reader_settle(struct imsg_reader *reader)
{
	uint64_t *stamps = reader->stamps, ended;
	uint32_t i = reader->settled;

	for (; i < reader->count && stamps[i] != 0 && (ended = stamps[i + 1]) != 0; i++) {
		if (reader->ring.meter != NULL && reader->ring.meter->idle == 0 && (ended & IMSG_UNMEASURED) == 0 &&
		    ended >= (stamps[i] & ~IMSG_UNMEASURED))
			imsg_meter_add(reader->ring.meter, IMSG_HANDLED, reader->ring.metered, reader->types[i],
			    ended - (stamps[i] & ~IMSG_UNMEASURED));
	}
	reader->settled = i;
}
