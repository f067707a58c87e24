"""The flight recorder: the headers of the last few thousand frames of a process, in and out, always on.

The ring lies in memory that may be shared: a parent that handed a child a mapped memfd can read, after the
child's death, what it last sent and received. Only the owner writes; a reader takes everything in the memory
for hostile or torn and never raises on it. Payloads are never in it, so neither are secrets.

Layout, native byte order (also written by csrc/ring.c): a head of 64 bytes {magic u32, version u32,
capacity u32, pid u32, next u64, 40 unused}, 64 channel names of 32 bytes (utf-8, zero-padded), then
`capacity` entries of 40 bytes {time u64, sequence u64, channel u32, type u32, length u32, peerid u32,
pid u32, flags u32}. `next` counts every frame ever recorded; the i-th lies at i modulo capacity and holds
sequence i+1.
"""

import os
import struct
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

MAGIC = 0x474D5349  # "ISMG" as bytes in memory on a little-endian machine
VERSION = 1
HEAD = struct.Struct("=IIIIQ")
HEAD_SIZE = 64
NAMES = 64
NAME_SIZE = 32
ENTRY = struct.Struct("=QQIIIIII")
ENTRIES_AT = HEAD_SIZE + NAMES * NAME_SIZE
NEXT = struct.Struct("=Q")
NEXT_AT = 16
DEFAULT_ENTRIES = 4096
MAX_ENTRIES = 1 << 20

OUT = 1  # flags of an entry
DESCRIPTOR = 2


class RecorderEntry(NamedTuple):
    """One recorded header. time: CLOCK_MONOTONIC ns; direction "in" or "out"; length: whole frame, in bytes;
    (pid, peerid) names the message."""

    time: int
    sequence: int
    channel: str
    direction: str
    type: int
    length: int
    peerid: int
    pid: int
    descriptor: bool


class Recorder:
    """A ring of frame headers in `memory` (writable, at least `Recorder.size(1)` bytes), or in its own.

    ValueError if the memory is too small or read-only. Everything in the memory before is overwritten.
    """

    def __init__(self, memory: Any = None, *, entries: int = DEFAULT_ENTRIES) -> None:
        view = memoryview(bytearray(self.size(entries)) if memory is None else memory).cast("B")
        capacity = min((len(view) - ENTRIES_AT) // ENTRY.size, MAX_ENTRIES)
        if view.readonly or capacity < 1:
            raise ValueError("the recorder's memory is read-only or too small")
        self.memory = view
        self.capacity = capacity
        self._channels: dict[str, int] = {}
        view[: self.size(capacity)] = bytes(self.size(capacity))
        HEAD.pack_into(view, 0, MAGIC, VERSION, capacity, os.getpid(), 0)
        self.channel("?")

    @staticmethod
    def size(entries: int = DEFAULT_ENTRIES) -> int:
        """Bytes of memory for so many entries."""
        return ENTRIES_AT + entries * ENTRY.size

    def channel(self, name: str) -> int:
        """The number under which a channel's frames are recorded; 0 (named "?") once the names are full."""
        number = self._channels.get(name)
        if number is None:
            number = len(self._channels)
            if number >= NAMES:
                return 0
            self._channels[name] = number
            text = name.encode("utf-8", "surrogateescape")[:NAME_SIZE]
            start = HEAD_SIZE + number * NAME_SIZE
            self.memory[start : start + len(text)] = text
        return number

    def write(
        self,
        flags: int,
        channel: int,
        types: Sequence[int],
        lengths: Sequence[int],
        peerids: Sequence[int],
        pids: Sequence[int],
        descriptors: Sequence[bool],
    ) -> None:
        """Record one batch of frames (what csrc/ring.c does inside its scan and pack)."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        (sequence,) = NEXT.unpack_from(self.memory, NEXT_AT)
        batch = zip(types, lengths, peerids, pids, descriptors, strict=True)
        for number, length, peerid, pid, carries in batch:
            at = ENTRIES_AT + (sequence % self.capacity) * ENTRY.size
            sequence = (sequence + 1) & 0xFFFFFFFFFFFFFFFF
            marks = flags | (DESCRIPTOR if carries else 0)
            ENTRY.pack_into(self.memory, at, now, sequence, channel, number, length, peerid, pid, marks)
        NEXT.pack_into(self.memory, NEXT_AT, sequence)

    def entries(self) -> list[RecorderEntry]:
        """What the ring holds, oldest first."""
        return self.read(self.memory)

    @staticmethod
    def read(memory: Any) -> list[RecorderEntry]:
        """The entries in a ring's memory, oldest first; [] if it is no ring. Never raises on its content."""
        data = bytes(memory)
        if len(data) < ENTRIES_AT + ENTRY.size:
            return []
        magic, version, capacity, _, after = HEAD.unpack_from(data, 0)
        room = min((len(data) - ENTRIES_AT) // ENTRY.size, MAX_ENTRIES)
        if magic != MAGIC or version != VERSION or not 1 <= capacity <= room:
            return []
        found = []
        for sequence in range(max(0, after - capacity), after):
            fields = ENTRY.unpack_from(data, ENTRIES_AT + (sequence % capacity) * ENTRY.size)
            if fields[1] != sequence + 1:
                continue  # torn: being overwritten when the memory was copied, or never written
            when, serial, channel, number, length, peerid, pid, flags = fields
            found.append(
                RecorderEntry(
                    when,
                    serial,
                    _channel_name(data, channel),
                    "out" if flags & OUT else "in",
                    number,
                    length,
                    peerid,
                    pid,
                    bool(flags & DESCRIPTOR),
                )
            )
        return found


def _channel_name(data: bytes, number: int) -> str:
    if number >= NAMES:
        return "?"
    start = HEAD_SIZE + number * NAME_SIZE
    text = data[start : start + NAME_SIZE].split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text) or "?"
