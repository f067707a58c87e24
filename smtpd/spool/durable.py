"""fsync, of one or of many at once, and how long it takes for whoever wants to know.

Every fsync of the spool goes through here.
"""

import contextlib
import os
import time
from collections.abc import Callable, Sequence

from .aio import MOST, Context

measured: Callable[[int], None] | None = None
"""Called with the ns that each fsync took, in the thread that was told, if not None."""

one_by_one = False
"""Never ask for several at once: so that a test can count them, and stop in between."""

_contexts: list[Context] = []
"""Those that no thread uses now."""


def fsync(fd: int) -> None:
    """Have a file's content, or a folder's names, on disk. OSError."""
    told = measured
    if told is None:
        os.fsync(fd)
        return
    began = time.perf_counter_ns()
    try:
        os.fsync(fd)
    finally:
        told(time.perf_counter_ns() - began)


def fsync_all(fds: Sequence[int]) -> list[OSError | None]:
    """The same for several, in no order, all begun before the first is waited for; what each came to.

    Where the system cannot do that, one after the other.
    """
    if len(fds) < 2 or one_by_one:
        return _in_turn(fds)
    try:
        context = _contexts.pop() if _contexts else Context()
    except (IndexError, OSError):  # another thread took the last one; there are none on this system
        return _in_turn(fds)
    results: list[OSError | None] = []
    for first in range(0, len(fds), MOST):
        part = fds[first : first + MOST]
        try:
            results += _together(context, part)
        except OSError as error:  # what it still does is not known, so it is used no more
            results += [error] * len(part)
            results += _in_turn(fds[first + MOST :])
            return results
    _contexts.append(context)
    return results


def _together(context: Context, fds: Sequence[int]) -> list[OSError | None]:
    told = measured
    began = time.perf_counter_ns()
    numbers = context.fsync(fds)
    took = time.perf_counter_ns() - began
    results: list[OSError | None] = []
    for fd, number in zip(fds, numbers, strict=True):
        if number < 0:  # not taken: a bad descriptor, or there was no room
            results += _in_turn((fd,))
            continue
        results.append(OSError(number, os.strerror(number)) if number else None)
        if told is not None:
            told(took)
    return results


def _in_turn(fds: Sequence[int]) -> list[OSError | None]:
    if len(fds) > 1:
        # Have the disk begin with all of them: the first fsync then waits for most of what the others would.
        for fd in fds:
            with contextlib.suppress(OSError):
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    results: list[OSError | None] = []
    for fd in fds:
        try:
            fsync(fd)
            results.append(None)
        except OSError as error:
            results.append(error)
    return results
