"""fsync of many descriptors at once, for whoever has a loop: nobody waits.

Where the system has asynchronous I/O (aio.py) it writes to an eventfd(2) that the loop watches, and no thread
takes part. Elsewhere one thread does it, one descriptor after the other if need be (durable.fsync_all).
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence

from . import durable
from .aio import MOST, Context
from .workers import Workers

type Then = Callable[[list[OSError | None]], None]


class Syncs:
    """Syncs one set of descriptors at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._workers = Workers(loop, 1, "sync")
        self._context: Context | None = None
        self._event = -1
        self._then: Then | None = None
        self._results: list[OSError | None] = []
        self._taken = 0
        self._left = 0
        self._began = 0
        with contextlib.suppress(OSError):  # there is none on this system, or no descriptor left
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._context = Context()
            loop.add_reader(self._event, self._readable)

    def run(self, fds: Sequence[int], then: Then) -> None:
        """Have them on disk, then call `then` with what each came to. Not before the last run has ended."""
        assert self._then is None
        self._then = then
        self._results = [None] * len(fds)
        self._began = time.perf_counter_ns()
        context = None if durable.one_by_one else self._context
        self._taken = 0 if context is None else context.submit(fds[:MOST], self._event)
        self._left = self._taken
        if self._taken < len(fds):
            self._left += 1
            self._workers.run(durable.fsync_all, fds[self._taken :], then=self._rest)

    async def close(self) -> None:
        """Wait for the thread, and give everything back. Nothing runs any more."""
        await self._workers.close()
        self._stop()
        if self._event >= 0:
            os.close(self._event)
            self._event = -1

    def _rest(self, results: list[OSError | None]) -> None:
        self._results[self._taken :] = results
        self._end(1)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._event)
        if self._context is None or self._then is None:
            return
        try:
            ended = self._context.ended(0, MOST)
        except OSError as error:
            # What it still does is not known: all of it counts as failed, and it is used no more.
            self._stop()
            self._results[: self._taken] = [error] * self._taken
            self._end(self._taken)
            return
        took = time.perf_counter_ns() - self._began
        for number, code in ended:
            if code:
                self._results[number] = OSError(code, os.strerror(code))
            if durable.measured is not None:
                durable.measured(took)
        self._end(len(ended))

    def _end(self, count: int) -> None:
        self._left -= count
        if count and not self._left and self._then is not None:
            then, self._then = self._then, None
            then(self._results)

    def _stop(self) -> None:
        if self._context is not None:
            self._loop.remove_reader(self._event)
            self._context.close()
            self._context = None
