"""How long frames waited in a socket, out of the recorders at its two ends; csrc/waits.c does the same.

A frame has no time in it, so nothing but the two recorders together knows: the sender's when the frame was
given to the system, the receiver's when it was read from there. Both clocks are the machine's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from imsg import layout
from imsg.core import NATIVE, Meter
from imsg.frame import PEERID_MASK
from imsg.meter import WAITED
from imsg.recorder import Recorder, RecorderEntry

type _Find = Callable[[Any, bytes, Any, bytes, int, int], tuple[int, list[tuple[int, int]], int]]

_find_natively: _Find | None
_measure_natively: Callable[..., tuple[int, int, int]] | None
try:
    from imsg.native import find_waits as _find_natively
    from imsg.native import measure_waits as _measure_natively
except ImportError:
    _find_natively = _measure_natively = None

MOST = 4096
"""Of one call."""


class Waited(NamedTuple):
    """`since`: where to go on; `waits`: (type, ns) of each frame; `missed`: whose sending was overwritten."""

    since: int
    waits: list[tuple[int, int]]
    missed: int


def find_waits(
    sender: Any, sender_channel: str, receiver: Any, receiver_channel: str, since: int, most: int = MOST
) -> Waited:
    """The frames that `receiver` got from `sender` after its recorder's entry `since`.

    sender, receiver: the memory of their recorders; sender_channel, receiver_channel: what each calls the
    channel to the other. Nothing if one of the two is no recorder's memory.
    """
    if _find_natively is not None:
        names = _name(sender_channel), _name(receiver_channel)
        return Waited(*_find_natively(sender, names[0], receiver, names[1], since, most))
    got = [e for e in Recorder.read(receiver) if e.channel == receiver_channel and e.direction == "in"]
    out = [e for e in Recorder.read(sender) if e.channel == sender_channel and e.direction == "out"]
    return _pair(out, got, since, most)


def measure_waits(
    meter: Meter,
    sender: Any,
    sender_channel: str,
    receiver: Any,
    receiver_channel: str,
    since: int,
    into: str,
    most: int = MOST,
) -> tuple[int, int, int]:
    """As `find_waits`, into a meter as waits of channel `into`: where to go on, how many, how many missed."""
    channel = meter.channel(into)
    if _measure_natively is not None and NATIVE:
        names = _name(sender_channel), _name(receiver_channel)
        return _measure_natively(meter, channel, sender, names[0], receiver, names[1], since, most)
    found = find_waits(sender, sender_channel, receiver, receiver_channel, since, most)
    for number, waited in found.waits:
        meter.add(WAITED, channel, number, waited)
    return found.since, len(found.waits), found.missed


def _name(channel: str) -> bytes:
    return channel.encode("utf-8", "surrogateescape")[: layout.NAME_SIZE].ljust(layout.NAME_SIZE, b"\0")


def _pair(out: list[RecorderEntry], got: list[RecorderEntry], since: int, most: int) -> Waited:
    waits: list[tuple[int, int]] = []
    missed = 0
    last = since if not got or since <= got[-1].sequence else 0
    sent = iter(out)
    one = next(sent, None)
    for entry in got:
        if entry.sequence <= last:
            continue
        if len(waits) == most:
            break
        last = entry.sequence
        # both are in the order of the running number, which wraps
        while one is not None and 0 < ((entry.peerid - one.peerid) & PEERID_MASK) <= PEERID_MASK // 2:
            one = next(sent, None)
        if (
            one is not None
            and (one.peerid, one.pid, one.type) == (entry.peerid, entry.pid, entry.type)
            and entry.time >= one.time
        ):
            waits.append((entry.type, entry.time - one.time))
        else:
            missed += 1
    return Waited(last, waits, missed)
