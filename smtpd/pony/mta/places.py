"""Places: how many connections a limit allows at once, who stands in line for one, who may give one up.

OpenSMTPD looks at a reached limit again every five seconds and keeps idle connections meanwhile. Here the
place that becomes free goes to the connector that waits longest, and the sessions that are idle longest are
ended while anybody waits. Connectors with different limits for the same thing stand in different lines.
"""

import asyncio
from typing import Protocol

SERVE_AT_ONCE = 50
"""So many connectors are looked at before the loop does something else."""


class Waiter(Protocol):
    """A connector. connect() takes a place, or leaves the line, or both; with places free, never neither."""

    def connect(self, again: bool = False) -> None:
        """It is its turn."""


class Idler(Protocol):
    """A session without work."""

    def give_way(self) -> None:
        """End."""


class Places:
    """`nconn`: connections. `idle`: sessions that wait for work and may be ended, longest idle first;
    `leaving`: those that are ending. Lines are as long as there are connectors: one of each relay and source.
    """

    __slots__ = ("__weakref__", "_lines", "_loop", "_planned", "idle", "leaving", "nconn")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[int, dict[Waiter, None]] = {}
        self._planned = False
        self.idle: dict[Idler, None] = {}
        self.leaving: set[Idler] = set()
        self.nconn = 0

    @property
    def taken(self) -> int:
        """Connections that count."""
        return self.nconn

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(map(len, self._lines.values()))

    def is_free(self, waiter: Waiter, limit: int) -> bool:
        """Is there a place for this one? Not while others have waited longer for it."""
        if self.taken >= limit:
            return False
        line = self._lines.get(limit)
        return not line or next(iter(line)) is waiter

    def stand(self, waiter: Waiter, limit: int) -> None:
        """Stand in line; who does already keeps its place there."""
        self._lines.setdefault(limit, {}).setdefault(waiter)
        self.changed()

    def leave(self, waiter: Waiter, limit: int) -> None:
        """Out of the line."""
        line = self._lines.get(limit)
        if line is not None:
            line.pop(waiter, None)
            if not line:
                del self._lines[limit]
            self.changed()

    def changed(self) -> None:
        """Places, idle sessions or lines are others now: see to it soon, once for all that happens now."""
        if self._lines and not self._planned:
            self._planned = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        self._planned = False
        for _ in range(SERVE_AT_ONCE):
            limit = next((limit for limit in self._lines if self.taken < limit), None)
            if limit is None:
                break
            line = self._lines[limit] = self._lines.pop(limit)  # the other lines before this one again
            next(iter(line)).connect(again=True)
        else:
            self.changed()
        for _ in range(min(self.waiting - len(self.leaving), len(self.idle))):
            next(iter(self.idle)).give_way()
