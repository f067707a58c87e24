"""Places: how many connections a limit allows at once, who stands in line for one, who may give one up.

OpenSMTPD looks at a reached limit again every five seconds and keeps idle connections meanwhile. Here the
place that becomes free goes to the connector that waits longest, and the sessions that are idle longest are
ended while anybody waits. Connectors with different limits for the same thing stand in different lines.

Sources, hosts, routes, domains and relays are such things (routing.py, relay.py). A connector stands in line
at all that could let it on.
"""

import asyncio
from typing import Protocol

SERVE_AT_ONCE = 50
"""So many connectors are looked at before the loop does something else."""

IN_VAIN_SECONDS = 0.1
"""If none of them took a place, something else holds them all up: the next are looked at so much later."""


class Waiter(Protocol):
    """A connector. connect() takes a place, or leaves the line, or both; with places free, never neither."""

    @property
    def wanted(self) -> bool:
        """Is there still work for it?"""

    def connect(self, again: bool = False) -> None:
        """It is its turn."""


class Idler(Protocol):
    """A session without work."""

    def give_way(self) -> None:
        """End."""


class Places:
    """`nconn`: connections. `idlers`: sessions that wait for work and may be ended, longest idle first;
    `leaving`: those that are ending. Lines are as long as there are connectors: one of each relay and source.
    """

    __slots__ = ("__weakref__", "_lines", "_loop", "_planned", "idlers", "leaving", "nconn")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lines: dict[int, dict[Waiter, None]] = {}
        self._planned = False
        self.idlers: dict[Idler, None] = {}
        self.leaving: set[Idler] = set()
        self.nconn = 0

    def taken(self, limit: int) -> int:
        """Connections that count, where so many are allowed."""
        return self.nconn

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return sum(map(len, self._lines.values()))

    def is_free(self, waiter: Waiter, limit: int) -> bool:
        """Is there a place for this one? Not while others have waited longer for it."""
        if self.taken(limit) >= limit:
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
        self._planned = True  # by what is done here nothing else is planned
        before = self.nconn
        delay: float | None = None
        for _ in range(SERVE_AT_ONCE):
            limit = next((limit for limit in self._lines if self.taken(limit) < limit), None)
            if limit is None:
                break
            line = self._lines[limit] = self._lines.pop(limit)  # the other lines before this one again
            next(iter(line)).connect(again=True)
        else:
            delay = 0.0 if self.nconn > before else IN_VAIN_SECONDS
        if self.idlers:
            for _ in range(min(self._in_want(), len(self.idlers))):
                next(iter(self.idlers)).give_way()
        self._planned = delay is not None
        if delay is not None:
            self._loop.call_later(delay, self._serve)

    def _in_want(self) -> int:
        """For how many of those that wait no session is ending yet, as far as there are idle ones; who has
        nothing to do any more is sent out of the line. Fewer connections help nobody who waits though there
        are fewer than the limit (Route.taken).
        """
        found = -len(self.leaving)
        for limit, waiter in [(limit, waiter) for limit, line in self._lines.items() for waiter in line]:
            if found >= len(self.idlers):
                break
            if waiter.wanted:
                found += self.nconn >= limit
            else:
                waiter.connect(again=True)
        return found


class Presence:
    """A session in all the places that it takes one of."""

    __slots__ = ("_places", "_session")

    def __init__(self, session: Idler, *places: Places) -> None:
        self._session = session
        self._places = places

    def idle(self) -> None:
        """It may be ended for others."""
        for places in self._places:
            places.idlers[self._session] = None
            places.changed()

    def busy(self) -> None:
        """It may not."""
        for places in self._places:
            places.idlers.pop(self._session, None)

    def leaving(self) -> None:
        """It ends."""
        for places in self._places:
            places.leaving.add(self._session)

    def left(self) -> None:
        """It has ended."""
        for places in self._places:
            places.leaving.discard(self._session)
