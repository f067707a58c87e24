"""How long whoever watches waits between two looks, and why it has missed what it has missed.

Whoever watches everything on a busy machine rests: the daemon has better use for a processor, and nobody
reads that fast anyway. What goes by meanwhile was left out on purpose; whoever is held up by something else,
a slow terminal for one, was too slow. It is counted apart: only one of the two is a fault to look for.
"""

import time
from collections.abc import Callable

from .processors import Processors
from .watching import LOOK_SECONDS

REST = 12.0
"""Seconds of rest for each of work."""

REST_MOST = 0.3

IDLE = 0.5
"""The part of the processors' time from which on a machine is not busy."""


class Pace:
    """One watcher's. `rests`: whether it takes any."""

    def __init__(
        self,
        *,
        rests: bool,
        processors: Processors | None = None,
        work: Callable[[], float] = time.thread_time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`work` and `clock`: seconds of work so far, and seconds."""
        self._rests = rests
        self._processors = processors or Processors()
        self._work = work
        self._clock = clock
        self._worked = work()
        self._looked = clock()
        self._lost = 0
        self.seconds = LOOK_SECONDS
        """To wait before the next look."""
        self.left_out = 0
        """How many were missed in rests."""

    def looked(self, lost: int) -> str:
        """A look was taken; `lost`: how many were missed so far. What to say of those that are new, or ""."""
        now = self._clock()
        waited, self._looked = now - self._looked, now
        new, self._lost = lost - self._lost, lost
        if new <= 0:
            return ""
        if self.seconds <= LOOK_SECONDS or waited > 2 * self.seconds:
            return f"{new} not seen here: this end is too slow"
        first = not self.left_out
        self.left_out += new
        said = f"{new} left out here: this machine is busy"
        # Once: it is the same for all that follow.
        return f"{said}; with a filter (--kind, --between, --mail ...) nothing is left out" if first else said

    def shown(self) -> None:
        """What was seen is shown: the next wait is in proportion to the work since the last time."""
        now = self._work()
        worked, self._worked = now - self._worked, now
        if self._rests:
            busy = self._processors.idle() < IDLE
            self.seconds = min(max(REST * worked, LOOK_SECONDS), REST_MOST) if busy else LOOK_SECONDS
