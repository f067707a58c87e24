"""The flight recorder: the headers of the last few thousand frames of a process, and a count by kind.

It is always on, and lies in memory that may be shared: a parent that handed a child a mapped memfd can read,
after the child's death, what it last sent and received; who may map it read-only can watch. Only the owner
writes; a reader takes everything in the memory for hostile or torn and never raises on it. Headers only:
payloads go on the tape (tape.py), while that is turned on, and secrets never. layout.py says what lies where.
"""

import contextlib
import mmap
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from imsg import layout
from imsg.layout import (
    DESCRIPTOR,
    ENTRIES_AT,
    ENTRY,
    HEAD,
    HEAD_SIZE,
    KIND,
    KINDS,
    KINDS_AT,
    MAGIC,
    MAX_ENTRIES,
    NAME_SIZE,
    NAMES,
    NEXT,
    NEXT_AT,
    NOTE_AT,
    NOTE_SIZE,
    OUT,
    VERSION,
)
from imsg.tape import TapeWriter, channel_name

__all__ = ["DEFAULT_ENTRIES", "DEFAULT_TAPE", "OUT", "KindCount", "Recorder", "RecorderEntry"]

DEFAULT_ENTRIES = 4096
DEFAULT_TAPE = 2 * 1024 * 1024


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


class KindCount(NamedTuple):
    """How many frames of a kind, and their bytes, headers included."""

    count_in: int
    bytes_in: int
    count_out: int
    bytes_out: int


class Recorder:
    """A ring of frame headers, and a tape, in memory that is given or its own.

    `memory`: writable, at least `Recorder.size(1)` bytes; everything in it is overwritten. The headers take
    of it what `entries` need, and the tape what is left, if that is enough for one. ValueError if the memory
    is too small or read-only.
    """

    def __init__(self, memory: Any = None, *, entries: int = DEFAULT_ENTRIES) -> None:
        view = memoryview(bytearray(self.size(entries)) if memory is None else memory).cast("B")
        capacity = min((len(view) - ENTRIES_AT) // ENTRY.size, entries, MAX_ENTRIES)
        if view.readonly or capacity < 1:
            raise ValueError("the recorder's memory is read-only or too small")
        tape_at = self.size(capacity)
        tape = (len(view) - tape_at) & ~7
        self.memory = view
        self.capacity = capacity
        self.tape_size = tape if layout.MIN_TAPE <= tape < 1 << 31 else 0
        self.tape = TapeWriter(view, tape_at, self.tape_size)
        self._channels: dict[str, int] = {}
        self._ruled: frozenset[int] = frozenset()
        self._clear()
        HEAD.pack_into(view, 0, MAGIC, VERSION, capacity, os.getpid(), 0, self.tape_size, 0, 0, 0, 0)
        self.channel("?")

    def _clear(self) -> None:
        """Zero what is to be used; of shared memory no page is touched before it is needed."""
        if not self._give_back(0):
            self.memory[: self.size(self.capacity)] = bytes(self.size(self.capacity))

    def _give_back(self, start: int) -> bool:
        """Give shared memory back from `start` on, a whole page; it reads as zeros. False: it cannot be."""
        shared = self.memory.obj
        if isinstance(shared, mmap.mmap) and len(shared) == len(self.memory) and hasattr(mmap, "MADV_REMOVE"):
            with contextlib.suppress(OSError, ValueError):  # it is private, or not whole pages
                shared.madvise(mmap.MADV_REMOVE, start, len(shared) - start)
                return True
        return False

    @staticmethod
    def size(entries: int = DEFAULT_ENTRIES, tape: int = 0) -> int:
        """Bytes of memory for so many entries and a tape of so many bytes."""
        return ENTRIES_AT + entries * ENTRY.size + tape

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

    # the tape

    @property
    def taping(self) -> bool:
        """Whether messages go on the tape."""
        return bool(self.memory[layout.TAPE_ON_AT])

    def tape_on(self, rules: Mapping[int, int]) -> None:
        """Put the kinds with these numbers on the tape, each as its rule says (layout.TAPED and the others).

        ValueError for a number that is not in 1..4095.
        """
        if not all(0 < number < KINDS for number in rules):
            raise ValueError("a kind's number is over 4095: it cannot be taped")
        for number in self._ruled | rules.keys():
            at = KINDS_AT + number * KIND.size + layout.RULE_AT
            layout.RULE.pack_into(self.memory, at, rules.get(number, 0))
        self._ruled = frozenset(rules)
        self.memory[layout.TAPE_ON_AT] = 1

    def tape_off(self) -> None:
        """No more on the tape; what is there stays."""
        self.memory[layout.TAPE_ON_AT] = 0

    def tape_wipe(self) -> None:
        """Forget what is on the tape, and give its memory back to the system where that can be done."""
        start = self.size(self.capacity)
        whole = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
        end = whole if self._give_back(whole) else start + self.tape_size
        self.tape.forget()
        self.memory[start : min(end, start + self.tape_size)] = bytes(min(end - start, self.tape_size))

    # headers and counts

    def write(
        self,
        flags: int,
        channel: int,
        types: Sequence[int],
        lengths: Sequence[int],
        peerids: Sequence[int],
        pids: Sequence[int],
        descriptors: Sequence[bool],
        payloads: Sequence[bytes] | None = None,
    ) -> None:
        """Record one batch of frames (what csrc/ring.c does inside its scan and pack)."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        (sequence,) = NEXT.unpack_from(self.memory, NEXT_AT)
        taping = self.tape_size and payloads is not None and self.taping
        for i, number in enumerate(types):
            at = ENTRIES_AT + (sequence % self.capacity) * ENTRY.size
            sequence = (sequence + 1) & 0xFFFFFFFFFFFFFFFF
            marks = flags | (DESCRIPTOR if descriptors[i] else 0)
            length, peerid, pid = lengths[i], peerids[i], pids[i]
            ENTRY.pack_into(self.memory, at, now, sequence, channel, number, length, peerid, pid, marks)
            rule = self._count(number if number < KINDS else 0, flags & OUT, length)
            if taping and payloads is not None and rule & layout.TAPED:
                self.tape.frame(rule, marks, now, channel, (number, length, peerid, pid), payloads[i])
        NEXT.pack_into(self.memory, NEXT_AT, sequence)

    def _count(self, number: int, out: int, length: int) -> int:
        """Count a frame of a kind; the kind's rule."""
        at = KINDS_AT + number * KIND.size
        counts: list[int] = list(KIND.unpack_from(self.memory, at))
        first = 2 if out else 0
        counts[first] = (counts[first] + 1) & 0xFFFFFFFFFFFFFFFF
        counts[first + 1] = (counts[first + 1] + length) & 0xFFFFFFFFFFFFFFFF
        KIND.pack_into(self.memory, at, *counts)
        return counts[4]

    def entries(self) -> list[RecorderEntry]:
        """What the ring holds, oldest first."""
        return self.read(self.memory)

    @staticmethod
    def read(memory: Any) -> list[RecorderEntry]:
        """The entries in a ring's memory, oldest first; [] if it is no ring. Never raises on its content."""
        view = memoryview(memory).cast("B")
        capacity = _capacity(view)
        if not capacity:
            return []
        data = bytes(view[: ENTRIES_AT + capacity * ENTRY.size])
        (after,) = NEXT.unpack_from(data, NEXT_AT)
        names: dict[int, str] = {}
        found = []
        for sequence in range(max(0, after - capacity), after):
            fields = ENTRY.unpack_from(data, ENTRIES_AT + (sequence % capacity) * ENTRY.size)
            if fields[1] != sequence + 1:
                continue  # torn: being overwritten when the memory was copied, or never written
            when, serial, channel, number, length, peerid, pid, flags = fields
            name = names.get(channel)
            if name is None:
                name = names[channel] = channel_name(data, channel)
            direction = "out" if flags & OUT else "in"
            marked = bool(flags & DESCRIPTOR)
            found.append(RecorderEntry(when, serial, name, direction, number, length, peerid, pid, marked))
        return found

    @staticmethod
    def counts(memory: Any) -> dict[int, KindCount]:
        """The frames counted so far, by their kind's number; 0 for numbers over 4095. {} if it is no ring."""
        view = memoryview(memory).cast("B")
        if not _capacity(view):
            return {}
        found = {}
        for number, counts in enumerate(KIND.iter_unpack(view[KINDS_AT:NOTE_AT])):
            if counts[0] or counts[2]:
                found[number] = KindCount(*counts[:4])
        return found

    # last words

    def note(self, text: str) -> None:
        """Leave a text for whoever reads the memory when the owner is dead; its end if it is too long."""
        data = text.encode("utf-8", "surrogateescape").replace(b"\0", b"?")[1 - NOTE_SIZE :]
        self.memory[NOTE_AT : NOTE_AT + len(data) + 1] = data + b"\0"

    @staticmethod
    def read_note(memory: Any) -> str:
        """The text left in a recorder's memory, "" if there is none."""
        view = memoryview(memory).cast("B")
        if not _capacity(view):
            return ""
        return bytes(view[NOTE_AT : NOTE_AT + NOTE_SIZE]).split(b"\0", 1)[0].decode("utf-8", "replace")


def _capacity(view: memoryview) -> int:
    """How many entries the memory has, 0 if it is no ring."""
    if len(view) < ENTRIES_AT + ENTRY.size:
        return 0
    magic, version, capacity, *_ = HEAD.unpack_from(view, 0)
    room = min((len(view) - ENTRIES_AT) // ENTRY.size, MAX_ENTRIES)
    return capacity if magic == MAGIC and version == VERSION and 1 <= capacity <= room else 0
