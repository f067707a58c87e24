"""fsync, and how long it takes for whoever wants to know. Every fsync of the spool goes through here."""

import os
import time
from collections.abc import Callable

measured: Callable[[int], None] | None = None
"""Called with the ns that each fsync took, in the thread that waited, if not None."""


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
