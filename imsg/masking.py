"""A payload without its secrets: the twin of csrc/mask.c.

What is masked keeps its type and its shape, so that the result can be decoded as the same kind of message:
a string and bytes become three asterisks, a number 0, true becomes false, an array keeps its length. What
is not surely one msgpack array is not masked but withheld as a whole
(https://github.com/msgpack/msgpack/blob/master/spec.md).
"""

MASK = b"***"
_STR = bytes((0xA0 | len(MASK),)) + MASK
_BIN = bytes((0xC4, len(MASK))) + MASK


class Unmaskable(ValueError):
    """Not an array of the types that a declared message can hold, or too long once masked."""


def mask(payload: bytes, secret: int, most: int) -> bytes:
    """`payload` with its secret fields masked; bit i of `secret` stands for the field with index i.

    Raises Unmaskable, also if the result is longer than `most` bytes.
    """
    masked = bytearray()
    at, fields = _object(payload, 0)
    if fields < 0:
        raise Unmaskable
    masked += payload[:at]
    for index in range(fields):
        hidden = bool(secret >> index & 1) if index < 64 else False
        wanted = 1
        while wanted:
            wanted -= 1
            start = at
            at, inner = _object(payload, start)
            wanted += max(inner, 0)
            masked += _masked(payload, start, at, inner) if hidden else payload[start:at]
    if at != len(payload) or len(masked) > most:
        raise Unmaskable
    return bytes(masked)


def _masked(payload: bytes, start: int, end: int, inner: int) -> bytes:
    """One object, or the head of an array, without what it says."""
    first = payload[start]
    if inner >= 0 or first == 0xC0:
        return payload[start:end]
    if 0xA0 <= first <= 0xBF or 0xD9 <= first <= 0xDB:
        return _STR
    if 0xC4 <= first <= 0xC6:
        return _BIN
    return b"\xc2" if first in (0xC2, 0xC3) else b"\x00"


def _object(payload: bytes, at: int) -> tuple[int, int]:
    """Where the object at `at` ends (for an array: its head), and how many it holds (-1: it is no array)."""
    if at >= len(payload):
        raise Unmaskable
    first = payload[at]
    at += 1
    skip = 0
    if first <= 0x7F or first >= 0xE0 or first in (0xC0, 0xC2, 0xC3):
        return at, -1
    if 0x90 <= first <= 0x9F:
        return at, first & 0x0F
    if 0xA0 <= first <= 0xBF:
        skip = first & 0x1F
    elif 0xCC <= first <= 0xCF:
        skip = 1 << (first - 0xCC)
    elif 0xD0 <= first <= 0xD3:
        skip = 1 << (first - 0xD0)
    elif 0xC4 <= first <= 0xC6 or 0xD9 <= first <= 0xDB:
        wide = 1 << (first - (0xC4 if first <= 0xC6 else 0xD9))
        skip = wide + _number(payload, at, wide)
    elif first in (0xDC, 0xDD):
        wide = 2 if first == 0xDC else 4
        return at + wide, _number(payload, at, wide)
    else:
        raise Unmaskable
    if at + skip > len(payload):
        raise Unmaskable
    return at + skip, -1


def _number(payload: bytes, at: int, wide: int) -> int:
    if at + wide > len(payload):
        raise Unmaskable
    return int.from_bytes(payload[at : at + wide], "big")
