"""What the spool's operations cost, for `smtpctl profile queue`: from the call to its answer, and each fsync.

While nobody profiles the spool's methods are its own; while somebody does, measuring ones stand before them.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from smtpd.spool import durable

if TYPE_CHECKING:
    from .process import Process

ANSWERED = (
    "open_incoming",
    "commit",
    "open_message",
    "load",
    "add",
    "update",
    "delete",
    "set_aside",
    "set_aside_message",
)
"""Operations whose last argument is called with the answer."""

CALLED = ("rollback",)
"""Operations that are done when they return."""


class Measuring:
    """Measures into the process's profile: what "operation" and "fsync"."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._synced: deque[int] = deque(maxlen=100_000)  # threads add to it; the loop's thread takes
        process.profiling.hooks["queue"] = self.measure
        process.profiling.collectors.append(self.collect)

    def measure(self, on: bool) -> None:
        """Begin or end."""
        spool = self._process.spool
        for name in (*ANSWERED, *CALLED):
            vars(spool).pop(name, None)
            if on:
                timed = self._answered if name in ANSWERED else self._called
                setattr(spool, name, timed(name, getattr(spool, name)))
        self._synced.clear()
        durable.measured = self._synced.append if on else None

    def collect(self) -> None:
        """Take over what threads have measured."""
        while self._synced:
            self._process.profile.add("queue", "fsync", "", "fsync", self._synced.popleft())

    def _answered(self, name: str, operation: Callable[..., None]) -> Callable[..., None]:
        def timed(*arguments: Any) -> None:
            began = time.perf_counter_ns()
            *given, then = arguments

            def answered(result: Any) -> None:
                self._process.profile.add("queue", "operation", "", name, time.perf_counter_ns() - began)
                then(result)

            operation(*given, answered)

        return timed

    def _called(self, name: str, operation: Callable[..., None]) -> Callable[..., None]:
        def timed(*arguments: Any) -> None:
            began = time.perf_counter_ns()
            operation(*arguments)
            self._process.profile.add("queue", "operation", "", name, time.perf_counter_ns() - began)

        return timed
