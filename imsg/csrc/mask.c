/*
 * A payload without its secrets; the twin of masking.py. What is masked keeps its type and shape, so that it can still be
 * decoded. (https://github.com/msgpack/msgpack/blob/master/spec.md)
 */

#include <string.h>

#include "imsg.h"

static uint32_t
big_endian(const unsigned char *p, unsigned int bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | *p++;
	return value;
}

/* The end of the object at p (of an array: of its head), NULL if there is none; inner: how many it holds, or -1. */
static const unsigned char *
object(const unsigned char *p, const unsigned char *end, int64_t *inner)
{
	unsigned int first, wide;
	size_t skip = 0;

	*inner = -1;
	if (p == end)
		return NULL;
	first = *p++;
	if (first <= 0x7f || first >= 0xe0 || first == 0xc0 || first == 0xc2 || first == 0xc3)
		return p;
	if (first >= 0x90 && first <= 0x9f) {
		*inner = first & 0x0f;
		return p;
	}
	if (first >= 0xa0 && first <= 0xbf)
		skip = first & 0x1f;
	else if (first >= 0xcc && first <= 0xcf)
		skip = (size_t)1 << (first - 0xcc);
	else if (first >= 0xd0 && first <= 0xd3)
		skip = (size_t)1 << (first - 0xd0);
	else if ((first >= 0xc4 && first <= 0xc6) || (first >= 0xd9 && first <= 0xdb)) {
		wide = 1u << (first <= 0xc6 ? first - 0xc4 : first - 0xd9);
		if ((size_t)(end - p) < wide)
			return NULL;
		skip = big_endian(p, wide);
		p += wide;
	} else if (first == 0xdc || first == 0xdd) {
		wide = first == 0xdc ? 2 : 4;
		if ((size_t)(end - p) < wide)
			return NULL;
		*inner = big_endian(p, wide);
		return p + wide;
	} else
		return NULL;
	return (size_t)(end - p) < skip ? NULL : p + skip;
}

/* What stands for an object that is no array. */
static size_t
stand_in(unsigned int first, const char **text)
{
	if (first == 0xc0)
		*text = "\xc0";
	else if (first == 0xc2 || first == 0xc3)
		*text = "\xc2";
	else if ((first >= 0xa0 && first <= 0xbf) || (first >= 0xd9 && first <= 0xdb))
		*text = "\xa3***";
	else if (first >= 0xc4 && first <= 0xc6)
		*text = "\xc4\x03***";
	else {
		*text = "\0";
		return 1;
	}
	return strlen(*text);
}

/*
 * Copy one object, and all that is in it, hidden or not. Returns the end of what was read, NULL if it is not whole or there
 * is no room.
 */
static const unsigned char *
copy(const unsigned char *p, const unsigned char *end, int hidden, unsigned char **to, const unsigned char *room)
{
	const unsigned char *after;
	const char *text;
	uint64_t wanted = 1;
	int64_t inner;
	size_t length;

	while (wanted > 0) {
		if (wanted > (uint64_t)(end - p))
			return NULL;
		wanted--;
		if ((after = object(p, end, &inner)) == NULL)
			return NULL;
		if (inner > 0)
			wanted += (uint64_t)inner;
		if (hidden && inner < 0)
			length = stand_in(*p, &text);
		else {
			text = (const char *)p;
			length = (size_t)(after - p);
		}
		if ((size_t)(room - *to) < length)
			return NULL;
		memcpy(*to, text, length);
		*to += length;
		p = after;
	}
	return p;
}

/* The length of the payload with its secret fields masked, written to `to`; -1 if it is not one array or gets too long. */
int
imsg_mask(const unsigned char *payload, size_t length, uint64_t secret, unsigned char *to, size_t size)
{
	const unsigned char *p, *end = payload + length, *room = to + size;
	unsigned char *begin = to;
	int64_t fields, i;

	p = object(payload, end, &fields);
	if (p == NULL || fields < 0 || (size_t)(p - payload) > size)
		return -1;
	memcpy(to, payload, (size_t)(p - payload));
	to += p - payload;
	for (i = 0; i < fields; i++)
		if ((p = copy(p, end, i < 64 && (secret >> i & 1) != 0, &to, room)) == NULL)
			return -1;
	return p == end ? (int)(to - begin) : -1;
}
