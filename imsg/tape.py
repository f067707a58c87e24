"""The recorder's tape: whole messages, masked, while somebody looks. layout.py says how it lies in memory.

The owner of the memory writes and never waits; a reader may be in another process, sees every record or
knows how many it has missed, and takes what stands there for hostile. What is put on the tape is decided by
the rule of its kind, and secret fields are masked before (masking.py): what lies here is fit to be seen.
"""

import struct
from typing import Any, NamedTuple

from imsg import layout
from imsg.layout import HANDLED, OUT, RECORD, WITHHELD
from imsg.masking import Unmaskable, mask

MAX_PAYLOAD = 16384 - 16
_POSITION = struct.Struct("=Q")
_DURATION = struct.Struct("=Q")
_PADDING = b"\0" * 8


class TapeRecord(NamedTuple):
    """One record. time: CLOCK_MONOTONIC ns; sequence: of this tape, from 1 on; channel: the other end's name;
    length: of the frame; payload: None if it is not on this tape; (pid, peerid) names the message."""

    time: int
    sequence: int
    flags: int
    channel: str
    type: int
    length: int
    peerid: int
    pid: int
    payload: bytes | None

    @property
    def out(self) -> bool:
        """Sent by the tape's owner, not received."""
        return bool(self.flags & OUT)

    @property
    def handled(self) -> int | None:
        """How long a handler ran in ns, if this is no frame but such a mark."""
        if not self.flags & HANDLED or self.payload is None or len(self.payload) != _DURATION.size:
            return None
        duration: int = _DURATION.unpack(self.payload)[0]
        return duration


class TapeWriter:
    """Puts records on the tape of a recorder's memory; the twin of csrc/tape.c."""

    def __init__(self, memory: memoryview, at: int, size: int) -> None:
        self._memory = memory
        self._at = at
        self._size = size

    def frame(
        self,
        rule: int,
        flags: int,
        time: int,
        channel: int,
        header: tuple[int, int, int, int],
        payload: bytes,
    ) -> None:
        """A frame as its kind's rule says. header: type, length, peerid, pid."""
        if not rule & (layout.TAPED_OUT if flags & OUT else layout.TAPED_IN):
            payload = b""
            flags |= WITHHELD
        elif secret := rule & ((1 << layout.SECRET_FIELDS) - 1):
            try:
                payload = mask(payload, secret, MAX_PAYLOAD)
            except Unmaskable:
                payload = b""
                flags |= WITHHELD
        self._append(flags, time, channel, header, payload)

    def handled(self, time: int, channel: int, header: tuple[int, int, int, int], duration: int) -> None:
        """A handler began at `time` (CLOCK_MONOTONIC ns) and ran so many ns."""
        self._append(HANDLED, time, channel, header, _DURATION.pack(duration))

    def _append(
        self, flags: int, time: int, channel: int, header: tuple[int, int, int, int], payload: bytes
    ) -> None:
        if not self._size:
            return
        memory = self._memory
        written, tail, records = layout.POSITIONS.unpack_from(memory, layout.POSITIONS_AT)
        size = (RECORD.size + len(payload) + 7) & ~7
        if written % 8 or not 0 <= written - tail <= self._size:
            written = tail = 0  # somebody else wrote here: begin again
        while written + size - tail > self._size:
            tail = self._after(tail, written)
        _POSITION.pack_into(memory, layout.TAIL_AT, tail)
        records = (records + 1) & 0xFFFFFFFFFFFFFFFF
        number, length, peerid, pid = header
        data = RECORD.pack(size, flags, time, records, channel, number, length, peerid, pid, len(payload))
        data += payload
        data += _PADDING[: size - len(data)]
        start = written % self._size
        first = min(size, self._size - start)
        memory[self._at + start : self._at + start + first] = data[:first]
        memory[self._at : self._at + size - first] = data[first:]
        layout.POSITIONS.pack_into(memory, layout.POSITIONS_AT, written + size, tail, records)

    def _after(self, tail: int, written: int) -> int:
        """Where the record after the oldest one begins."""
        (size,) = struct.unpack_from("=I", self._memory, self._at + tail % self._size)
        if size < RECORD.size or size % 8 or size > written - tail:
            return written
        return tail + int(size)

    def forget(self) -> None:
        """No record is there any more; readers see that some are lost."""
        written, _tail, records = layout.POSITIONS.unpack_from(self._memory, layout.POSITIONS_AT)
        layout.POSITIONS.pack_into(self._memory, layout.POSITIONS_AT, written, written, records)


class TapeReader:
    """Reads a tape, in this or another process, from now on or from its oldest record on."""

    def __init__(self, memory: Any, *, oldest: bool = False) -> None:
        self._memory = memoryview(memory).cast("B")
        self._at, self._size = _place(self._memory)
        self._names: dict[int, str] = {}
        self._last: int | None = None  # the sequence of the record read last
        self.lost = 0
        """How many records were overwritten before they were read, or could not be."""
        written, tail, records = self._positions()
        self._cursor = tail if oldest else written
        if not oldest:
            self._last = records

    def _positions(self) -> tuple[int, int, int]:
        """written, tail, records; three zeros if that cannot be."""
        if not self._size:
            return 0, 0, 0
        written, tail, records = layout.POSITIONS.unpack_from(self._memory, layout.POSITIONS_AT)
        if written % 8 or tail % 8 or not 0 <= written - tail <= self._size:
            return 0, 0, 0
        return written, tail, records

    @property
    def waiting(self) -> int:
        """How many records have come since the last call of read or skip."""
        return 0 if self._last is None else max(0, self._positions()[2] - self._last)

    def skip(self) -> None:
        """Leave out what read would give: it counts as lost."""
        written, _tail, records = self._positions()
        if written:
            if self._last is not None:
                self.lost += max(0, records - self._last)
            self._cursor, self._last = written, records

    def read(self) -> list[TapeRecord]:
        """The records since the last call, oldest first. Never raises on what stands in the memory."""
        written, tail, _ = self._positions()
        start = max(self._cursor, tail)
        if written <= start:
            self._cursor = min(self._cursor, written)
            return []
        data = self._copy(start, written)
        # What the owner began to overwrite meanwhile is torn: tail tells how far it has come.
        _, tail, _ = self._positions()
        torn = max(0, min(tail - start, len(data)))
        self._cursor = written
        found = self._split(data[torn:])
        if found:
            first, last = found[0].sequence, found[-1].sequence
            if self._last is not None:
                self.lost += max(0, first - self._last - 1)
            self.lost += max(0, last - first + 1 - len(found))
            self._last = last
        return found

    def _copy(self, start: int, end: int) -> bytes:
        low = self._at + start % self._size
        high = self._at + self._size
        length = end - start
        if low + length <= high:
            return bytes(self._memory[low : low + length])
        return bytes(self._memory[low:high]) + bytes(self._memory[self._at : self._at + low + length - high])

    def _split(self, data: bytes) -> list[TapeRecord]:
        found = []
        at, end = 0, len(data)
        names = self._names
        while end - at >= RECORD.size:
            size, flags, time, sequence, channel, number, length, peerid, pid, room = RECORD.unpack_from(
                data, at
            )
            if size % 8 or not RECORD.size + room <= size <= end - at:
                break
            name = names.get(channel)
            if name is None:
                name = names[channel] = channel_name(self._memory, channel)
            begin = at + RECORD.size
            payload = None if flags & WITHHELD else data[begin : begin + room]
            found.append(TapeRecord(time, sequence, flags, name, number, length, peerid, pid, payload))
            at += size
        return found


def _place(memory: memoryview) -> tuple[int, int]:
    """Where the tape in a recorder's memory begins, and its size: 0 if there is none."""
    if len(memory) < layout.ENTRIES_AT:
        return 0, 0
    magic, version, capacity, _pid, _next, size, _on, *_ = layout.HEAD.unpack_from(memory, 0)
    at = layout.ENTRIES_AT + capacity * layout.ENTRY.size
    if magic != layout.MAGIC or version != layout.VERSION or size % 8 or at + size > len(memory):
        return 0, 0
    return (at, size) if size >= layout.MIN_TAPE else (0, 0)


def channel_name(memory: Any, number: int) -> str:
    """The name of a channel in a recorder's memory, printable whatever stands there."""
    if number >= layout.NAMES:
        return "?"
    start = layout.NAMES_AT + number * layout.NAME_SIZE
    text = bytes(memory[start : start + layout.NAME_SIZE]).split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text) or "?"
