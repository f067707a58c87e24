"""Many fsyncs at once, by Linux's native asynchronous I/O: io_submit(2) with IOCB_CMD_FSYNC.

One after the other, each fsync waits for the device to empty its cache. Asked for together they share that
wait, and need neither threads nor their switches. The kernel calls the same vfs_fsync for either.

Not every kernel, container or architecture has it: `Context()` then raises OSError, and whoever asked does
without. glibc has no functions for these calls (libaio has), so they are made by number.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Sequence

MOST = 256
"""Descriptors in one call."""

_NUMBERS = {"x86_64": (206, 207, 208, 209), "aarch64": (0, 1, 4, 2)}
"""io_setup, io_destroy, io_getevents, io_submit."""

_FSYNC = 2  # IOCB_CMD_FSYNC, linux/aio_abi.h
_RESFD = 1  # IOCB_FLAG_RESFD
_REQUEST = struct.Struct("=QIIHhIQQqQII")
"""struct iocb: our number for it, key, flags, command, priority, descriptor, four that fsync does not use,
_RESFD or 0, the eventfd."""
_EVENT = struct.Struct("=QQqq")
"""struct io_event: our number, address of the iocb, result, second result."""

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long


class Context:
    """An io_setup(2) context, for one set of descriptors at a time. OSError."""

    def __init__(self) -> None:
        numbers = _NUMBERS.get(os.uname().machine)
        if numbers is None or sys.byteorder != "little" or ctypes.sizeof(ctypes.c_void_p) != 8:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        setup, self._destroy, self._get, self._submit = (ctypes.c_long(number) for number in numbers)
        self._context = ctypes.c_ulong(0)
        if _syscall(setup, ctypes.c_ulong(MOST), ctypes.byref(self._context)) < 0:
            raise _error()
        self._requests = ctypes.create_string_buffer(_REQUEST.size * MOST)
        first = ctypes.addressof(self._requests)
        self._pointers = (ctypes.c_uint64 * MOST)(*[first + _REQUEST.size * n for n in range(MOST)])
        self._events = ctypes.create_string_buffer(_EVENT.size * MOST)

    def submit(self, fds: Sequence[int], event: int = -1) -> int:
        """Ask for the fsync of each of up to MOST descriptors; how many were taken, from the first on.

        The others are the caller's to sync: one is no descriptor, or there is no room. `event`: an
        eventfd(2) that is written to whenever one has ended.
        """
        told, event = (_RESFD, event) if event >= 0 else (0, 0)
        for number, fd in enumerate(fds):
            _REQUEST.pack_into(
                self._requests, number * _REQUEST.size, number, 0, 0, _FSYNC, 0, fd, 0, 0, 0, 0, told, event
            )
        return max(0, int(_syscall(self._submit, self._context, ctypes.c_long(len(fds)), self._pointers)))

    def ended(self, least: int, most: int) -> list[tuple[int, int]]:
        """Those that have ended: place among those submitted, and error number, 0 for done.

        Waits until there are `least`. OSError: nobody says how they ended.
        """
        while True:
            counts = (ctypes.c_long(least), ctypes.c_long(min(most, MOST)))
            got = _syscall(self._get, self._context, *counts, self._events, None)
            if got >= 0:
                break
            error = _error()
            if error.errno != errno.EINTR:
                raise error
        events = _EVENT.iter_unpack(self._events.raw[: got * _EVENT.size])
        return [(number, -result if result < 0 else 0) for number, _request, result, _more in events]

    def fsync(self, fds: Sequence[int]) -> list[int]:
        """Submit, and wait for all: the error number of each, 0 for done, -1 for not taken. OSError as above,
        which counts as a failure of all.
        """
        results = [-1] * len(fds)
        left = self.submit(fds)
        while left:
            for number, error in self.ended(left, left):
                results[number] = error
                left -= 1
        return results

    def close(self) -> None:
        """Give it back, when all that it took has ended."""
        _syscall(self._destroy, self._context)


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
