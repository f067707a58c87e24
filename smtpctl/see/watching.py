"""Sightings from a running daemon: the tapes of its processes, lent by control and read in place.

The daemon never waits for this: what is not read in time is overwritten, and counted here as lost. A
message may lie on the receiver's tape a moment before the sender's is looked at, so each look gives back
what is older than its beginning, and keeps the rest for the next.
"""

import heapq
import mmap
import os
import time
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from imsg import Recorder, RecorderEntry
from imsg.layout import TAPE_ON_AT
from imsg.tape import TapeReader
from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_observation import ClientShowRecorders, ClientWatch, RecorderRow
from smtpd.messages.links import PROCESSES

from ..client import Client, Incompatible
from .seen import Seen, from_record

LOOK_SECONDS = 0.02
"""Between two looks. A tape holds 2 MiB, some ten thousand messages."""

_TIME = attrgetter("time")


class Memory(NamedTuple):
    """The recorder of a process, mapped."""

    process: str
    pid: int
    memory: mmap.mmap

    @property
    def entries(self) -> list[RecorderEntry]:
        """The headers it holds."""
        return Recorder.read(self.memory)

    @property
    def taping(self) -> bool:
        """Whether the process puts messages on its tape now."""
        return bool(self.memory[TAPE_ON_AT])


def _map(row: Any, fd: int | None) -> Memory:
    """The memory that came with a row; the descriptor is closed. Incompatible if there is none."""
    if fd is None or not isinstance(row, RecorderRow):
        raise Incompatible("the daemon answers what was not asked")
    try:
        mapped = mmap.mmap(fd, row.size, prot=mmap.PROT_READ)
    except (OSError, ValueError) as error:
        raise Incompatible(f"the recorder of {row.process}: {error}") from None
    finally:
        os.close(fd)
    name = row.process if not row.instance else f"{row.process}{row.instance}"
    return Memory(name, row.pid, mapped)


def recorders(client: Client) -> list[Memory]:
    """The recorders of all processes. ControlError."""
    return [_map(row, fd) for row, fd in client.rows_with_descriptors(ClientShowRecorders())]


def clock_offset() -> int:
    """Unix time minus the recorders' clock, in ns."""
    return time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def on_tape(memories: Iterable[Memory]) -> list[Seen]:
    """All sightings that are on the tapes now, in the order of time."""
    offset = clock_offset()
    streams = []
    for memory in memories:
        records = TapeReader(memory.memory, oldest=True).read()
        streams.append([from_record(record, memory.process, offset) for record in records])
    return list(heapq.merge(*streams, key=_TIME))


class Watching:
    """A watch on a running daemon; its messages are taped for as long as this is open."""

    def __init__(
        self, path: str, kinds: Iterable[int] = (), *, handlers: bool = False, seconds: int = 0
    ) -> None:
        """`kinds`: numbers, none for all. `seconds`: then `over` is true; 0: never by itself.
        ControlError.
        """
        self._client = Client(path)
        self._readers: dict[tuple[str, int], TapeReader] = {}
        self._awaited: dict[str, Memory] = {}
        self._began = False
        self._kept: list[Seen] = []
        self._offset = clock_offset()
        self.over = False
        self.why = ""
        """Why the daemon ended the watch, if it did."""
        self._client.begin(ClientWatch(sorted(kinds), handlers, seconds))

    @property
    def began(self) -> bool:
        """Every process puts its messages on its tape, for this to see: none is missed from now on."""
        if not self._began and self._awaited.keys() >= set(PROCESSES):
            self._began = all(memory.taping for memory in self._awaited.values())
        return self._began

    @property
    def lost(self) -> int:
        """How many sightings were overwritten before they could be read."""
        return sum(reader.lost for reader in self._readers.values())

    def rest(self, seconds: float, most: int) -> int:
        """Wait so long, then leave out what has come since the last look, if it is more than so many
        sightings: how many it was, 0 or more than `most`. They count as lost.
        """
        self._listen(seconds)
        count = sum(reader.waiting for reader in self._readers.values())
        if count <= most or self.over:
            return 0
        lost = self.lost
        for reader in self._readers.values():
            reader.skip()
        return self.lost - lost

    def look(self, seconds: float = LOOK_SECONDS) -> list[Seen]:
        """Wait so long, then the new sightings, in the order of time. ControlError if the daemon is gone."""
        self._listen(seconds)
        began = time.clock_gettime_ns(time.CLOCK_MONOTONIC) + self._offset
        merged = self._merged()
        end = len(merged)
        if not self.over:
            while end and merged[end - 1].time >= began:
                end -= 1
        self._kept = merged[end:]
        return merged[:end]

    def last(self) -> list[Seen]:
        """All that has not been given back so far, without a wait: nobody will look again."""
        merged, self._kept = self._merged(), []
        return merged

    def _merged(self) -> list[Seen]:
        """What was kept, and what is new on the tapes, in the order of time."""
        streams: list[list[Seen]] = [self._kept]
        for (process, _), reader in self._readers.items():
            records = reader.read()
            if records:
                streams.append([from_record(record, process, self._offset) for record in records])
        return list(heapq.merge(*streams, key=_TIME)) if len(streams) > 1 else self._kept

    def _listen(self, seconds: float) -> None:
        """Take what control says within so many seconds: recorders, or the end."""
        if self.over:
            return
        deadline = time.monotonic() + seconds
        while not self.over:
            heard = self._client.poll(max(0.0, deadline - time.monotonic()))
            if heard is None:
                return
            message, fd = heard
            if isinstance(message, ClientDone):
                self.over = True
                self.why = message.error
            else:
                memory = _map(message, fd)
                self._readers[memory.process, memory.pid] = TapeReader(memory.memory)
                self._awaited[memory.process] = memory

    def close(self) -> None:
        """End the watch."""
        self._client.close()

    def __enter__(self) -> "Watching":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
