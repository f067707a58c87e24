"""What the spool's operations cost, for `smtpctl profile queue`: from the call to its answer, and each fsync.

While nobody profiles the spool's methods are its own; while somebody does, measuring ones stand before them.
"""

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from smtpd.spool import durable

if TYPE_CHECKING:
    from .process import Process

_now = time.perf_counter_ns

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
        took = self._process.profile.samples("queue", "fsync", "", "fsync")
        while self._synced:
            took.append(self._synced.popleft())

    def _answered(self, name: str, operation: Callable[..., None]) -> Callable[..., None]:
        took = self._process.profile.samples("queue", "operation", "", name).append

        def answered(then: Callable[[Any], None], began: int, result: Any) -> None:
            took(_now() - began)
            then(result)

        def timed(*arguments: Any) -> None:
            operation(*arguments[:-1], partial(answered, arguments[-1], _now()))

        return timed

    def _called(self, name: str, operation: Callable[..., None]) -> Callable[..., None]:
        took = self._process.profile.samples("queue", "operation", "", name).append

        def timed(*arguments: Any) -> None:
            began = _now()
            operation(*arguments)
            took(_now() - began)

        return timed
