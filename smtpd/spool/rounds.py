"""fsync in rounds: what is asked for during a round goes into the next one, all of it at once.

So the disk is never asked for less than has come together while it was busy, however many sessions there
are. Between two rounds the journal of the file system is at rest; what would have to wait for it otherwise,
as unlink does, is done there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from .syncs import Syncs

MOST = 256
"""Descriptors in a round, after which no more are opened for it."""

BETWEEN_LEAST = 32
"""Calls between two rounds in any case, if there are so many; then as long as the last round took: those who
wait for the next one do not wait for long, and yet nothing piles up where the disk is slow."""

type Open = Callable[[], Sequence[int]]
type ThenSynced = Callable[[OSError | None], None]


class Rounds:
    """The rounds of one spool, one at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._syncs = Syncs(loop)
        self._asked: deque[tuple[Open, ThenSynced]] = deque()
        self._along: deque[tuple[Open, ThenSynced]] = deque()
        self._between: deque[Callable[[], None]] = deque()
        self._busy = False
        self._due = False
        self._took = 0.0
        """Seconds, the last round."""
        self._ended: asyncio.Future[None] | None = None

    def sync(self, opened: Open, then: ThenSynced) -> None:
        """Have descriptors on disk: those that `opened` gives when their round begins.

        They stay open until `then` is called, with the first error. One that several ask for is synced once.
        """
        self._asked.append((opened, then))
        if not self._busy:
            self._plan()

    def along(self, opened: Open, then: ThenSynced) -> None:
        """The same with the next round that there is, for what is not worth one: it may never be."""
        self._along.append((opened, then))

    def between(self, call: Callable[[], None]) -> None:
        """Call it when no round is under way: now, or later, in the order of asking."""
        if self._busy or self._between:
            self._between.append(call)
        else:
            call()

    async def settle(self) -> None:
        """Wait until all that was asked for is done, and what that asked for in turn."""
        while self._asked or self._between or self._busy:
            self._ended = self._loop.create_future()
            await self._ended

    async def close(self) -> None:
        """The same; nothing can be asked for any more."""
        await self.settle()
        await self._syncs.close()

    def _plan(self) -> None:
        if not self._due:  # what this turn of the loop asks for goes together
            self._due = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._due = False
        asked: list[tuple[Sequence[int], ThenSynced]] = []
        fds: dict[int, None] = {}
        for waiting in (self._asked, self._along):
            while waiting and len(fds) < MOST:
                opened, then = waiting.popleft()
                some = opened()
                asked.append((some, then))
                fds.update(dict.fromkeys(some))

        began = time.monotonic()

        def synced(results: list[OSError | None]) -> None:
            self._took = time.monotonic() - began
            errors = {fd: error for fd, error in zip(fds, results, strict=True) if error is not None}
            self._told(asked, errors)

        self._busy = True
        if fds:
            self._syncs.run(list(fds), synced)
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
        until = time.monotonic() + self._took
        done = 0
        while self._between and (done < BETWEEN_LEAST or time.monotonic() < until):
            self._between.popleft()()
            done += 1
        if self._asked:
            self._busy = False
            self._plan()
        elif self._between:
            # Nobody waits for a round, but the loop has more to do than this.
            self._loop.call_soon(self._pause)
        else:
            self._busy = False
            if self._ended is not None and not self._ended.done():
                self._ended.set_result(None)
