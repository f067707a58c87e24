"""When an envelope is tried: OpenSMTPD's back-off.

All times are Unix seconds, given by the caller: nothing here reads a clock.
"""

from math import isqrt

BACKOFF_TRANSFER = 400
"""Seconds; the step of envelopes for other hosts (mta)."""

BACKOFF_DELIVERY = 10
"""Seconds; the step of envelopes for users of this machine (mda), and of bounces, which go to no host."""

BACKOFF_OVERFLOW = 3
"""Seconds; the step of an envelope for which its hold queue had no room."""


def backoff(ctime: int, base: int, step: int) -> int:
    """When try `step` of an envelope made at `ctime` is due: the delays grow with the square of the step."""
    return ctime + base * step * step


def next_try(ctime: int, base: int, step: int, now: int) -> int:
    """The first time after `now` that `backoff` gives for `step` or a later one.

    The steps that lie in the past (the daemon was down, the envelope was held) are skipped, not made up for.
    """
    elapsed = now - ctime
    if elapsed >= 0:
        step = max(step, isqrt(elapsed // base) + 1)
    return ctime + base * step * step
