"""How long whoever watches waits between two looks, and why it has missed what it has missed.

Whoever watches everything on a busy machine rests: the daemon has better use for a processor, and nobody
reads that fast anyway. Where much goes by meanwhile it is left out on purpose; whoever misses something else,
because of a slow terminal for one, was too slow. It is counted apart: only one of the two is a fault to look
for.
"""

import time
from collections.abc import Callable

from .processors import Processors

REST = 12.0
"""Seconds of rest for each of work."""

REST_MOST = 0.3

BACKLOG = 1000
"""More sightings than these in a rest are left out, and a look is taken at what passes then: some of
all that happens, in one piece. A few mails are always seen.
"""

IDLE = 0.5
"""The part of the processors' time from which on a machine is not busy."""

HELD_UP = 1.0
"""Seconds from one look to the end of the next rest, besides it, after which something else held it up."""


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
        self.rest = 0.0
        """Seconds to wait before the next look; 0 for none."""
        self.left_out = 0
        """How many were missed in rests."""

    def rested(self, left_out: int) -> str:
        """So many were left out in a rest. What to say of them, or "": if they came before it, while this end
        was too slow, `looked` says so.
        """
        if not left_out or self._clock() - self._looked > self.rest + HELD_UP:
            return ""
        first = not self.left_out
        self.left_out += left_out
        said = f"{left_out} left out here: this machine is busy"
        # Once: it is the same for all that follow.
        return f"{said}; with a filter (--kind, --between, --mail ...) nothing is left out" if first else said

    def looked(self, lost: int) -> str:
        """A look was taken; `lost`: how many were missed so far, those that were left out among them. What to
        say of those that are new, or "".
        """
        self._looked = self._clock()
        lost -= self.left_out
        new, self._lost = lost - self._lost, lost
        return f"{new} not seen here: this end is too slow" if new > 0 else ""

    def shown(self) -> None:
        """What was seen is shown: the next rest is in proportion to the work since the last time."""
        now = self._work()
        worked, self._worked = now - self._worked, now
        if self._rests:
            busy = self._processors.idle() < IDLE
            self.rest = min(REST * worked, REST_MOST) if busy else 0.0
