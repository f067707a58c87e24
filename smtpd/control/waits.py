"""How long messages wait in the sockets between processes, while `profile imsg` is on.

control reads it from the recorders of all processes, which are always on: no process does anything for it.
It looks some times a second; what was overwritten between two looks is counted as missed, so the times are a
sample under load.
"""

import mmap
import struct
from asyncio import TimerHandle
from typing import TYPE_CHECKING

from imsg.layout import NEXT_AT
from imsg.waits import find_waits, measure_waits
from smtpd.messages.control_observation import ProfileRow
from smtpd.messages.links import linked

from .watchers import Memory, Watchers

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

LOOK_SECONDS = 0.4
MOST_OF_A_LINK = 1024
"""Messages of one direction of a link measured at one look."""


class Waits:
    """Measures into control's profile: what "socket", peer the receiver, name the kind."""

    def __init__(self, process: "Process", watchers: Watchers) -> None:
        self._process = process
        self._watchers = watchers
        self._mapped: dict[tuple[str, int], tuple[Memory, mmap.mmap]] = {}
        self._since: dict[tuple[tuple[str, int], tuple[str, int]], int] = {}
        self._seen: dict[tuple[str, int], int] = {}  # receiver -> how far its recorder was when all was read
        self._timer: TimerHandle | None = None
        self.missed = 0

    def measure(self, on: bool) -> None:
        """Begin with what comes from now on, or end."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not on:
            self._unmap()
            return
        self.missed = 0
        self._since.clear()
        self._seen.clear()
        self._look(first=True)

    def rows(self) -> list[ProfileRow]:
        """How many messages could not be measured, for who reads the profile."""
        return [ProfileRow("imsg", "missed", "", "socket", self.missed, 0, 0, [])] if self.missed else []

    def _look(self, first: bool = False) -> None:
        self._map()
        for receiver, (_, got) in self._mapped.items():
            (written,) = struct.unpack_from("=Q", got, NEXT_AT)
            if self._seen.get(receiver) == written:
                continue
            self._seen[receiver] = written
            for sender, (_, sent) in self._mapped.items():
                if linked(sender[0], receiver[0]) and sender != receiver:
                    self._between(sender, sent, receiver, got, first)
        self._timer = self._process.loop.call_later(LOOK_SECONDS, self._look)

    def _between(
        self, sender: tuple[str, int], sent: mmap.mmap, receiver: tuple[str, int], got: mmap.mmap, first: bool
    ) -> None:
        link = sender, receiver
        since = self._since.get(link, 0)
        most = 1 << 16 if first else MOST_OF_A_LINK
        arguments = sent, receiver[0], got, sender[0], since
        if first:  # what is from before is none of ours
            self._since[link], waits, _ = find_waits(*arguments, most)
            found = len(waits)
        else:
            meter = self._process.handling.meter
            self._since[link], found, missed = measure_waits(meter, *arguments, receiver[0], most)
            self.missed += missed
        if found == most:
            self._seen.pop(receiver, None)  # there may be more

    def _map(self) -> None:
        """Map what is new among the memories."""
        for key, memory in self._watchers.memories.items():
            if key not in self._mapped or self._mapped[key][0] != memory:
                mapped = mmap.mmap(memory.fd, memory.size, prot=mmap.PROT_READ)
                self._mapped[key] = memory, mapped
                self._seen.pop(key, None)
                for link in [link for link in self._since if key in link]:
                    del self._since[link]

    def _unmap(self) -> None:
        for _, mapped in self._mapped.values():
            mapped.close()
        self._mapped.clear()
