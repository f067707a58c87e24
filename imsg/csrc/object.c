/*
 * Whether a payload is exactly one msgpack object of the types that a declared message can hold: nil, bool,
 * integers, str, bin and arrays of these. Then many payloads can be unpacked as one array without a malformed
 * one shifting the bounds of the next. "No" is no verdict: the payload is then unpacked by itself, and refused
 * there with its name. (https://github.com/msgpack/msgpack/blob/master/spec.md)
 */

#include "imsg.h"

static uint32_t
big_endian(const unsigned char *p, unsigned int bytes)
{
	uint32_t value = 0;

	while (bytes-- > 0)
		value = value << 8 | *p++;
	return value;
}

int
imsg_one_object(const unsigned char *p, size_t length)
{
	const unsigned char *end = p + length;
	uint64_t wanted = 1;	/* objects still to come; every one needs a byte, so it stays under length */
	unsigned int first, wide;
	size_t skip;

	while (wanted > 0) {
		if (wanted > (uint64_t)(end - p))
			return 0;
		wanted--;
		first = *p++;
		skip = 0;
		if (first <= 0x7f || first >= 0xe0 || first == 0xc0 || first == 0xc2 || first == 0xc3)
			continue;			/* small integers, nil, false, true */
		if (first >= 0x90 && first <= 0x9f) {
			wanted += first & 0x0f;		/* array of up to 15 */
			continue;
		}
		if (first >= 0xa0 && first <= 0xbf)
			skip = first & 0x1f;		/* str of up to 31 bytes */
		else if (first >= 0xcc && first <= 0xcf)
			skip = (size_t)1 << (first - 0xcc);	/* uint 8 to 64 */
		else if (first >= 0xd0 && first <= 0xd3)
			skip = (size_t)1 << (first - 0xd0);	/* int 8 to 64 */
		else if ((first >= 0xc4 && first <= 0xc6) || (first >= 0xd9 && first <= 0xdb)) {
			wide = 1u << (first <= 0xc6 ? first - 0xc4 : first - 0xd9);	/* bin, str */
			if ((size_t)(end - p) < wide)
				return 0;
			skip = big_endian(p, wide);
			p += wide;
		} else if (first == 0xdc || first == 0xdd) {
			wide = first == 0xdc ? 2 : 4;	/* array 16, array 32 */
			if ((size_t)(end - p) < wide)
				return 0;
			wanted += big_endian(p, wide);
			p += wide;
			continue;
		} else
			return 0;			/* map, float, ext, or never used */
		if ((size_t)(end - p) < skip)
			return 0;
		p += skip;
	}
	return p == end;
}
