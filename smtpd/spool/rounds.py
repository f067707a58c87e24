"""fsync in rounds: what is asked for during a round goes into the next one, all of it at once.

So the disk is never asked for less than has come together while it was busy, however many sessions there
are. Between two rounds the journal of the file system is at rest; what would have to wait for it otherwise,
as unlink does, is done there. The waiting itself is done by one thread, a hand-over each way a round.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from .durable import fsync_all
from .workers import Workers

MOST = 256
"""Descriptors in a round, after which no more are opened for it."""

BETWEEN_MOST = 32
"""Calls between two rounds, so that those who wait for the next do not wait for long."""

type Open = Callable[[], Sequence[int]]
type ThenSynced = Callable[[OSError | None], None]


class Rounds:
    """The rounds of one spool, one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._workers = Workers(loop, 1, "sync")
        self._asked: deque[tuple[Open, ThenSynced]] = deque()
        self._between: deque[Callable[[], None]] = deque()
        self._busy = False
        self._due = False
        self._ended: asyncio.Future[None] | None = None

    def sync(self, opened: Open, then: ThenSynced) -> None:
        """Have descriptors on disk: those that `opened` gives when their round begins.

        They stay open until `then` is called, with the first error. One that several ask for is synced once.
        """
        self._asked.append((opened, then))
        if not self._busy:
            self._plan()

    def between(self, call: Callable[[], None]) -> None:
        """Call it when no round is under way: now, or later, in the order of asking."""
        if self._busy:
            self._between.append(call)
        else:
            call()

    async def settle(self) -> None:
        """Wait until all that was asked for is done, and what that asked for in turn."""
        while self._asked or self._between or self._busy:
            self._ended = self._loop.create_future()
            await self._ended

    async def close(self) -> None:
        """The same, then end the thread."""
        await self.settle()
        await self._workers.close()

    def _plan(self) -> None:
        if not self._due:  # what this turn of the loop asks for goes together
            self._due = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._due = False
        asked: list[tuple[Sequence[int], ThenSynced]] = []
        fds: dict[int, None] = {}
        while self._asked and len(fds) < MOST:
            opened, then = self._asked.popleft()
            some = opened()
            asked.append((some, then))
            fds.update(dict.fromkeys(some))

        def synced(results: list[OSError | None]) -> None:
            errors = {fd: error for fd, error in zip(fds, results, strict=True) if error is not None}
            self._told(asked, errors)

        self._busy = True
        if fds:
            self._workers.run(fsync_all, list(fds), then=synced)
        else:
            self._told(asked, {})

    def _told(self, asked: list[tuple[Sequence[int], ThenSynced]], errors: dict[int, OSError]) -> None:
        for fds, then in asked:
            then(next((errors[fd] for fd in fds if fd in errors), None) if errors else None)
        if self._between:
            self._loop.call_soon(self._pause)  # what was just said goes out first
        else:
            self._pause()

    def _pause(self) -> None:
        for _ in range(min(BETWEEN_MOST, len(self._between))):
            self._between.popleft()()
        if self._asked:
            self._busy = False
            self._plan()
        elif self._between:
            self._loop.call_soon(
                self._pause
            )  # nobody waits for a round, but the loop has more to do than this
        else:
            self._busy = False
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)
