"""Memory handed to children: the configuration in a sealed memfd, and the ring of the flight recorder.

A memfd has no size limit as a frame has, no name that others could open, and, sealed, cannot be changed any
more.
"""

import fcntl
import mmap
import os
from typing import NamedTuple

from imsg import Recorder
from imsg.recorder import DEFAULT_TAPE

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def sealed(name: str, data: bytes) -> int:
    """A descriptor of `data`, which nobody can change."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with os.fdopen(os.dup(fd), "wb") as file:
            file.write(data)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Ring(NamedTuple):
    """Memory for a child's recorder: parent's view of it, and the descriptor for the child."""

    memory: mmap.mmap
    fd: int
    size: int


def readable(fd: int) -> int:
    """Another descriptor of the same memory, open for reading alone. OSError."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def ring(name: str) -> Ring:
    """Shared memory of a recorder's size; it cannot be shrunk under its readers' feet."""
    size = Recorder.size(tape=DEFAULT_TAPE)
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return Ring(mmap.mmap(fd, size), fd, size)
