"""A mailbox in one file (mbox), as its user writes to it: whole mails at its end, or nothing.

Follows mail.local(8) and mail.mboxfile(8). What is begun and fails is cut off again; a delivery is done when
it is on disk.

In a folder that others write to (/var/mail), nothing is followed and only the user's own plain file is
written to: another user could have put a link there. A file that the user named (`strict` false) may be what
the user likes.
"""

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from smtpd.mail.status import TEMPFAIL
from smtpd.protocol.mbox import Quoting

from .mailbox_lock import LockFile, as_group, lock_now
from .maildir import CHUNK, DeliveryError, sync_folder

LOCK_SECONDS = 30.0
"""How long to wait for whoever has the mailbox."""

_PAUSE = 0.05
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class OpenMailbox:
    """A mailbox that is locked."""

    def __init__(self, fd: int, lock: LockFile | None) -> None:
        self._fd = fd
        self._lock = lock
        self._start = os.fstat(fd).st_size if lock is not None else 0

    def append(self, source: int, from_line: bytes, headers: bytes) -> None:
        """A mail: its line, header lines of its own, the content of `source`. OSError: nothing is there."""
        size = os.fstat(self._fd).st_size if self._lock is not None else 0
        try:
            if self._lock is not None:
                self._lock.note(self._fd, size)
            quoting = Quoting()
            offset, data = 0, from_line + quoting.encode(headers)
            while chunk := os.pread(source, CHUNK, offset):
                offset += len(chunk)
                data += quoting.encode(chunk)
                self._write(data)
                data = b""
            self._write(data + quoting.finish())
        except OSError:
            self._cut(size)
            raise

    def sync(self) -> None:
        """What was appended is on disk. OSError: it is gone again."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            if self._lock is None and error.errno in (errno.EINVAL, errno.EROFS):
                return  # a device
            self._cut(self._start)
            raise

    def close(self) -> None:
        """Let others have it."""
        if self._lock is not None:
            self._lock.release()
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def _cut(self, size: int) -> None:
        if self._lock is None:
            return
        try:
            os.ftruncate(self._fd, size)
            os.fsync(self._fd)
        except OSError:
            pass  # the disk does not even do that; the lock's journal is gone with us


@contextmanager
def opened(
    path: str, lock_gid: int = -1, *, strict: bool = True, seconds: float = LOCK_SECONDS
) -> Iterator[OpenMailbox]:
    """The mailbox, made if it is not there, for us alone. DeliveryError, OSError."""
    mailbox = _open(path, lock_gid, strict, time.monotonic() + seconds)
    try:
        yield mailbox
    finally:
        mailbox.close()


def _open(path: str, lock_gid: int, strict: bool, deadline: float) -> OpenMailbox:
    if strict:
        _check_folder(os.path.dirname(path))
    while True:
        fd = _open_file(path, lock_gid, strict)
        try:
            mailbox = _locked(fd, path, lock_gid, strict) if fd != -1 else None
        except BaseException:
            os.close(fd)
            raise
        if mailbox is not None:
            return mailbox
        if fd != -1:
            os.close(fd)
        if time.monotonic() >= deadline:
            raise DeliveryError(TEMPFAIL, "mbox: the mailbox is locked")
        time.sleep(_PAUSE)


def _locked(fd: int, path: str, lock_gid: int, strict: bool) -> OpenMailbox | None:
    """The mailbox if nobody else has it now."""
    if not _check_file(fd, strict):
        return OpenMailbox(fd, None)
    lock = LockFile(path, lock_gid, strict)
    if lock_now(fd) and lock.take(fd):
        if _is_at(fd, path, strict):
            return OpenMailbox(fd, lock)
        lock.release()
    return None


def _open_file(path: str, lock_gid: int, strict: bool) -> int:
    """A descriptor; -1: look again."""
    flags = _FLAGS | os.O_NOFOLLOW if strict else _FLAGS
    try:
        return os.open(path, flags)
    except FileNotFoundError:
        pass
    except OSError as error:
        if strict and error.errno == errno.ELOOP:
            raise DeliveryError(TEMPFAIL, "mbox: the mailbox is a link") from None
        raise
    try:
        with as_group(lock_gid):
            fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if not strict and os.path.islink(path):
            raise DeliveryError(TEMPFAIL, "mbox: the link leads nowhere") from None
        return -1
    try:
        sync_folder(os.path.dirname(path) or ".")
    except PermissionError:
        pass  # a folder that the user may write to but not read
    return fd


def _check_folder(folder: str) -> None:
    mode = os.stat(folder).st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise DeliveryError(TEMPFAIL, "mbox: everybody may write to the mailboxes' folder")


def _check_file(fd: int, strict: bool) -> bool:
    """Whether it is a file to lock and cut; DeliveryError when it is nothing to write to."""
    status = os.fstat(fd)
    plain = stat.S_ISREG(status.st_mode)
    if strict:
        if not plain or status.st_nlink > 1:
            raise DeliveryError(TEMPFAIL, "mbox: linked or special file")
        if status.st_uid != os.geteuid():
            raise DeliveryError(TEMPFAIL, "mbox: the mailbox belongs to somebody else")
    elif not plain and not stat.S_ISCHR(status.st_mode):
        raise DeliveryError(TEMPFAIL, "mbox: not a file")
    return plain


def _is_at(fd: int, path: str, strict: bool) -> bool:
    """Whether the file that is locked is still the one that readers find."""
    try:
        found, ours = os.stat(path, follow_symlinks=not strict), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
