"""Frames on a stream socket through the C core: the same two classes as frame.py, over csrc/.

Lengths are checked before a call, results are copied out, and no cffi object leaves this module; `joined`
lends the channel a view of the reader's buffer until the next call. Importing it fails if there is no core.
"""

import os
import socket
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from imsg import frame, layout
from imsg._core import ffi, lib
from imsg.frame import MAX_FEED, ChannelClosed, FrameError, close_all
from imsg.histogram import Histogram
from imsg.meter import KINDS, WAITED, Names, Row
from imsg.recorder import Recorder

__all__ = ["FrameReader", "FrameWriter", "Meter", "find_waits", "measure_waits"]

if getattr(lib, "IMSG_LAYOUT", None) != layout.VERSION or not hasattr(lib, "IMSG_METER_ROW"):
    raise ImportError("the C core was built from older sources: run tools/setup")

_END = -1
_ERRORS = {
    -2: frame.TOO_SHORT,
    -3: frame.TOO_LONG,
    -4: frame.MISSING_DESCRIPTOR,
    -5: frame.STRAY_DESCRIPTOR,
    -6: frame.TOO_MANY_DESCRIPTORS,
    -7: frame.TRUNCATED_CONTROL,
    -8: frame.TRUNCATED,
}


def _record(ring: Any, recorder: Recorder | None, channel: int) -> Any:
    """Let the core record into the recorder's memory; what has to stay alive as long as the core may."""
    if recorder is None:
        return None
    memory = ffi.from_buffer("unsigned char[]", recorder.memory, require_writable=True)
    ring.memory = memory
    ring.capacity = recorder.capacity
    ring.tape = recorder.tape_size
    ring.channel = channel
    return memory


def find_waits(
    sender: Any, sender_channel: bytes, receiver: Any, receiver_channel: bytes, since: int, most: int
) -> tuple[int, list[tuple[int, int]], int]:
    """See waits.find_waits; the names have layout.NAME_SIZE bytes."""
    position, found, types, waits, missed = _waits(
        sender, sender_channel, receiver, receiver_channel, since, most
    )
    numbers = memoryview(ffi.buffer(types)).cast("I")[:found].tolist()
    times = memoryview(ffi.buffer(waits)).cast("Q")[:found].tolist()
    return position, list(zip(numbers, times, strict=True)), missed


def measure_waits(
    meter: "Meter",
    channel: int,
    sender: Any,
    sender_channel: bytes,
    receiver: Any,
    receiver_channel: bytes,
    since: int,
    most: int,
) -> tuple[int, int, int]:
    """See waits.measure_waits."""
    position, found, types, waits, missed = _waits(
        sender, sender_channel, receiver, receiver_channel, since, most
    )
    lib.imsg_meter_add_all(meter.core, WAITED, channel, types, waits, found)
    return position, found, missed


def _waits(
    sender: Any, sender_channel: bytes, receiver: Any, receiver_channel: bytes, since: int, most: int
) -> tuple[int, int, Any, Any, int]:
    if len(sender_channel) != layout.NAME_SIZE or len(receiver_channel) != layout.NAME_SIZE:
        raise ValueError("a channel's name in a recorder has 32 bytes")
    out, got = ffi.from_buffer(sender), ffi.from_buffer(receiver)
    position, missed = ffi.new("uint64_t *", since), ffi.new("uint64_t *", 0)
    types, waits = ffi.new("uint32_t[]", most), ffi.new("uint64_t[]", most)
    found: int = lib.imsg_waits(
        out, len(out), sender_channel, got, len(got), receiver_channel, position, types, waits, most, missed
    )
    # -1: one of the two is no recorder
    return int(position[0]), max(found, 0), types, waits, int(missed[0])


def _measure(ring: Any, meter: "Meter | None", channel: int, serial: int) -> None:
    """Let the core feed a meter, or none; the caller keeps the meter alive."""
    ring.metered = channel
    ring.serial = serial
    ring.meter = ffi.NULL if meter is None else meter.core


class Meter(Names):
    """See meter.Meter."""

    def __init__(self, requests: Iterable[int], replies: Iterable[int]) -> None:
        super().__init__()
        roles = bytearray(KINDS)
        for numbers, role in ((requests, 1), (replies, 2)):
            for number in numbers:
                if number < KINDS:
                    roles[number] |= role
        core = lib.imsg_meter_new(bytes(roles))
        if not core:
            raise MemoryError
        self.core = ffi.gc(core, lib.imsg_meter_free)
        self._row = ffi.new("uint64_t[]", lib.IMSG_METER_ROW)

    @property
    def measuring(self) -> bool:
        """False: requests are remembered, and nothing is measured but by `add`."""
        return not self.core.idle

    @measuring.setter
    def measuring(self, on: bool) -> None:
        self.core.idle = not on

    @property
    def left_out(self) -> int:
        """How many values were not measured: there are too many things."""
        left_out: int = self.core.left_out
        return left_out

    def add(self, what: int, channel: int, number: int, value: int) -> None:
        """One more value."""
        lib.imsg_meter_add(self.core, what, channel, number, value)

    def rows(self) -> list[Row]:
        """All that was measured."""
        names = self.names()
        found: list[Row] = []
        while lib.imsg_meter_row(self.core, len(found), self._row):
            what, channel, number, count, total, most, *buckets = ffi.unpack(self._row, lib.IMSG_METER_ROW)
            filled = ((index, amount) for index, amount in enumerate(buckets) if amount)
            found.append((what, names[channel], number, Histogram(count, total, most, filled)))
        return found

    def clear(self) -> None:
        """Begin from nothing."""
        lib.imsg_meter_clear(self.core)

    def sent(self, serial: int, peerid: int) -> int:
        """When a request that is not answered was sent; 0: not known."""
        sent: int = lib.imsg_meter_sent(self.core, serial, peerid)
        return sent


class FrameReader:
    """Splits what arrives into frames; see frame.FrameReader."""

    def __init__(
        self, sock: socket.socket | None = None, recorder: Recorder | None = None, channel: int = 0
    ) -> None:
        core = lib.imsg_reader_new()
        if not core:
            raise MemoryError
        self._core = ffi.gc(core, lib.imsg_reader_free)
        self._sock = sock
        self._fd = -1 if sock is None else sock.fileno()
        self._memory = _record(self._core.ring, recorder, channel)
        self._failed: str | None = None
        self._count = 0
        self._types = memoryview(ffi.buffer(self._core.types)).cast("I")
        self._lengths = memoryview(ffi.buffer(self._core.lengths)).cast("I")
        self._peerids = memoryview(ffi.buffer(self._core.peerids)).cast("I")
        self._pids = memoryview(ffi.buffer(self._core.pids)).cast("I")
        self._descriptors = memoryview(ffi.buffer(self._core.descriptors)).cast("i")
        self._buffer = memoryview(ffi.buffer(self._core.buffer))
        self._joined = memoryview(ffi.buffer(self._core.joined))
        self.stamps = memoryview(ffi.buffer(self._core.stamps)).cast("Q")
        self._meter: Meter | None = None

    def measure(self, meter: Meter | None, channel: int, serial: int) -> None:
        """Feed a meter from now on, or none."""
        self.settle()
        _measure(self._core.ring, meter, channel, serial)
        self._meter = meter

    def settle(self) -> None:
        """Measure the handlers whose end stands in `stamps`."""
        lib.imsg_reader_settle(self._core)

    def receive(self) -> int:
        """One recvmsg, then as `feed`; 0 also when nothing was there."""
        if self._failed is not None:
            raise frame.failure(self._failed)
        count: int = lib.imsg_reader_receive(self._core, self._fd)
        self._count = count
        if count < 0:
            self._fail(count)
        return count

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> int:
        """Take bytes (at most MAX_FEED) and the descriptors that came with them."""
        if self._failed is not None:
            close_all(descriptors)
            raise frame.failure(self._failed)
        if len(data) > MAX_FEED:
            close_all(descriptors)
            raise ValueError("fed more than MAX_FEED bytes")
        count: int = lib.imsg_reader_feed(self._core, data, len(data), list(descriptors), len(descriptors))
        self._count = count
        if count < 0:
            self._fail(count)
        return count

    def _fail(self, code: int) -> NoReturn:
        self._count = self._core.count
        if code in _ERRORS:
            self._failed = _ERRORS[code]
            raise FrameError(self._failed)
        self._failed = frame.CLOSED
        if code == _END:
            raise ChannelClosed(frame.CLOSED)
        number = lib.IMSG_SYSTEM - code
        if number in frame.PEER_GONE:
            raise ChannelClosed(frame.GONE)
        raise OSError(number, os.strerror(number))

    def end(self) -> NoReturn:
        """The stream ended: ChannelClosed if that was between two frames, FrameError if inside one."""
        inside = bool(self._core.have > self._core.start)
        self.close()
        if inside:
            self._failed = frame.TRUNCATED
            raise FrameError(frame.TRUNCATED)
        raise ChannelClosed(frame.CLOSED)

    def close(self) -> None:
        """Close every descriptor that was not taken. What was read so far can still be asked for."""
        lib.imsg_reader_close(self._core)
        if self._failed is None:
            self._failed = frame.CLOSED

    def types(self) -> list[int]:
        return self._types[: self._count].tolist()

    def lengths(self) -> list[int]:
        """Whole frames, in bytes, without the descriptor bit."""
        return self._lengths[: self._count].tolist()

    def peerids(self) -> list[int]:
        return self._peerids[: self._count].tolist()

    def pids(self) -> list[int]:
        return self._pids[: self._count].tolist()

    def payloads(self) -> list[bytes]:
        data = bytes(self._buffer[: self._core.start])
        found = []
        at = 0
        for length in self.lengths():
            found.append(data[at + frame.HEADER_SIZE : at + length])
            at += length
        return found

    def descriptors(self) -> list[int] | None:
        """One per frame, -1 for none; None if no frame has one. The caller owns them from here on."""
        if not self._core.carried:
            return None
        self._core.carried = 0
        return self._descriptors[: self._count].tolist()

    def joined(self) -> memoryview | None:
        """The payloads as one msgpack array, if each is surely one object; valid until the next call."""
        length = self._core.joined_length
        return self._joined[:length] if length else None


class FrameWriter:
    """Frames on their way out; see frame.FrameWriter."""

    def __init__(
        self, sock: socket.socket | None = None, recorder: Recorder | None = None, channel: int = 0
    ) -> None:
        core = lib.imsg_writer_new()
        if not core:
            raise MemoryError
        self._core = ffi.gc(core, lib.imsg_writer_free)
        self._sock = sock
        self._fd = -1 if sock is None else sock.fileno()
        self._memory = _record(self._core.ring, recorder, channel)
        self._closed = False
        self._meter: Meter | None = None

    def measure(self, meter: Meter | None, channel: int, serial: int) -> None:
        """Feed a meter from now on, or none."""
        _measure(self._core.ring, meter, channel, serial)
        self._meter = meter

    @property
    def pending(self) -> int:
        """Bytes that are not yet sent."""
        pending: int = self._core.end - self._core.start
        return pending

    def add(
        self,
        types: Sequence[int],
        payloads: Sequence[bytes],
        peerid: int,
        pid: int,
        descriptors: Mapping[int, int] | None = None,
    ) -> None:
        """Append frames numbered from peerid on."""
        count = len(types)
        done = -1
        if count == len(payloads) and not self._closed:
            numbers = array("I", types)
            numbers.extend(map(len, payloads))
            joined = b"".join(payloads)
            indexes = at = ffi.NULL
            carried = 0
            if descriptors:
                indexes = sorted(descriptors)
                carried = len(indexes)
                at = [descriptors[index] for index in indexes]
            done = lib.imsg_writer_add(
                self._core, count, numbers.tobytes(), joined, len(joined), peerid, pid, carried, indexes, at
            )
        if done != 0:
            close_all((descriptors or {}).values())
            raise ValueError("frames that cannot be sent")

    def send(self) -> bool:
        """Write until all is gone (True) or the socket takes no more (False)."""
        done: int = lib.imsg_writer_send(self._core, self._fd)
        if done >= 0:
            return done == 1
        number = lib.IMSG_SYSTEM - done
        if number in frame.PEER_GONE:
            raise ChannelClosed(frame.GONE)
        raise OSError(number, os.strerror(number))

    def close(self) -> None:
        """Drop what was not sent and close its descriptors."""
        lib.imsg_writer_close(self._core)
        self._closed = True
