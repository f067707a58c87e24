"""A few threads for what has to wait for the disk. Their results reach the loop in one wake-up for many.

A job is a plain function that returns failures as values: an exception in one is a fault of ours, and is
raised again in the loop's thread. Nothing here knows what the jobs do.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

type Job = tuple[Callable[..., Any], tuple[Any, ...], Callable[[Any], None]]
type Result = tuple[Callable[[Any], None], Any, BaseException | None]


class Workers:
    """Runs jobs in at most `most` threads, started when there is work for them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int, name: str) -> None:
        self._loop = loop
        self._most = most
        self._name = name
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._results: deque[Result] = deque()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0
        self._woken = False
        self._idle: asyncio.Future[None] | None = None

    def run[R](self, function: Callable[..., R], *arguments: Any, then: Callable[[R], None]) -> None:
        """Call the function in a thread, then `then` with its result in the loop's thread."""
        self._unfinished += 1
        if len(self._threads) < min(self._most, self._unfinished):
            name = f"{self._name}-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put((function, arguments, then))

    async def settle(self) -> None:
        """Wait until every job is done and its `then` was called."""
        while self._unfinished:
            self._idle = self._loop.create_future()
            await self._idle

    async def close(self) -> None:
        """The same, then end the threads."""
        await self.settle()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, arguments, then = job
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as caught:
                error = caught
            # Append before looking: whoever finds _woken set knows that _deliver has yet to empty the deque.
            self._results.append((then, result, error))
            if not self._woken:
                self._woken = True
                self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._woken = False
        while self._results:
            then, result, error = self._results.popleft()
            self._unfinished -= 1
            if error is not None:
                raise error
            then(result)
        if not self._unfinished and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
