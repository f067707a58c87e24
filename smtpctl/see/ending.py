"""The end of watching by ^C or SIGTERM, as that of `timeout 10 smtpctl capture`: in order, but not for ever.

The first one asks for it: what lies on the tapes by then is still shown, for some seconds. Whoever is stuck
in its output after these, because nobody reads it, is got out of it. A second ^C does so at once.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any

from .seen import Seen

SECONDS = 3.0
"""For showing what was seen until then; the rest is counted."""

STUCK_SECONDS = 2.0
"""After so many more, whoever has not ended does not get rid of its output."""

TWICE_SECONDS = 0.2
"""A second signal within these is the first: timeout(1) sends it to its child and to its group."""


class Enough(KeyboardInterrupt):
    """Out of whatever is under way. `stuck`: nobody takes the output; else the user has said so again."""

    def __init__(self, *, stuck: bool) -> None:
        super().__init__()
        self.stuck = stuck


class Ending:
    """While this is open the signals ask for an end; Enough is raised where that takes too long."""

    def __init__(self, give_up: Callable[[bool], None]) -> None:
        """`give_up`: is called before Enough is raised, so that no output holds up the end any more; true
        when it was called before, and that was not enough.
        """
        self._give_up = give_up
        self._gave_up = False
        self._at = 0.0
        self._deadline = math.inf
        self._before: dict[int, Any] = {}
        self.asked = False
        """Take one last look, and end."""
        self.left = 0
        """How many sightings were looked at and not taken: for want of time, if the end was asked for."""

    def each(self, seen: Sequence[Seen]) -> Iterator[Seen]:
        """The sightings of a look, as long as there is time."""
        self.left += len(seen)
        for one in seen:
            if self.asked and time.monotonic() >= self._deadline:
                return
            yield one
            self.left -= 1

    def _told(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGALRM:
            signal.setitimer(signal.ITIMER_REAL, STUCK_SECONDS)
            self._enough(stuck=True)
        elif not self.asked:
            self.asked = True
            self._at = now
            self._deadline = now + SECONDS
            signal.setitimer(signal.ITIMER_REAL, SECONDS + STUCK_SECONDS)
        elif number == signal.SIGINT and now - self._at >= TWICE_SECONDS:
            self._enough(stuck=False)

    def _enough(self, *, stuck: bool) -> None:
        again, self._gave_up = self._gave_up, True
        self._give_up(again)
        raise Enough(stuck=stuck)

    def __enter__(self) -> "Ending":
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            before = signal.getsignal(number)
            if number == signal.SIGINT and before == signal.SIG_IGN:
                continue  # as in the background of a shell: it is not meant for us
            self._before[number] = before
            signal.signal(number, self._told)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, before in self._before.items():
            signal.signal(number, signal.SIG_DFL if before is None else before)
