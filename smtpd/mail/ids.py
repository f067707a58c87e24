"""Message and envelope ids: 32 and 64 bits, printed as 8 and 16 hex digits.

An evpid is its message's msgid in the upper half and a number of its own in the lower one. A msgid is never
0, nor is the lower half of a stored envelope; an evpid with a lower half of 0 means "not numbered yet".
Random numbers come from the caller: nothing here reads the world.
"""

from typing import Annotated

MSGID_MAX = 0xFFFFFFFF
EVPID_MAX = 0xFFFFFFFFFFFFFFFF

# Integers with their bounds and the format to show them in, for whoever sends or stores them.
type Msgid = Annotated[int, range(2**32), "08x"]
type Evpid = Annotated[int, range(2**64), "016x"]
type Byte = Annotated[int, range(2**8)]
type Count = Annotated[int, range(2**16)]
type Seconds = Annotated[int, range(2**63)]

_HEX = frozenset("0123456789abcdefABCDEF")


def msgid_of(evpid: int) -> int:
    """The message an envelope belongs to."""
    return evpid >> 32


def make_evpid(msgid: int, low: int) -> int:
    """The evpid of message `msgid` with lower half `low` (0 to 2^32-1)."""
    return msgid << 32 | low


def format_msgid(msgid: int) -> str:
    """Eight lower-case hex digits."""
    return f"{msgid:08x}"


def format_evpid(evpid: int) -> str:
    """Sixteen lower-case hex digits."""
    return f"{evpid:016x}"


def parse_msgid(text: str) -> int:
    """A msgid from hex digits, in 1..2^32-1; ValueError otherwise."""
    return _parse(text, MSGID_MAX, "message id")


def parse_evpid(text: str) -> int:
    """An evpid from hex digits, in 1..2^64-1; ValueError otherwise."""
    return _parse(text, EVPID_MAX, "envelope id")


def _parse(text: str, most: int, what: str) -> int:
    # int(text, 16) would also take signs, underscores, blanks and non-ASCII digits
    if text and len(text) <= 64 and _HEX.issuperset(text):
        number = int(text, 16)
        if 0 < number <= most:
            return number
    raise ValueError(f"not a {what}: {text[:40]!r}")
