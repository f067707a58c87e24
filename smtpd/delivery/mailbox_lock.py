"""Who may write to a mailbox: fcntl(2) on the file, then `MAILBOX.lock` beside it (Debian policy 11.6).

The lock file is a journal too: it says where the mail that is being written begins, so that what a killed
writer left of it is taken away again by the next. Nobody waits with one of the two locks in hand.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

STALE_SECONDS = 300.0
"""A lock file this old belongs to nobody any more (liblockfile)."""

_NO_LOCK_FILE = (errno.EACCES, errno.EPERM, errno.EROFS)
_MARK = "smtpd"
_MOST = 256
_SCAN = 1 << 16


class LockFile:
    """`MAILBOX.lock`.

    `gid`: the group that may write to the folder, -1 for our own; it is ours only while the file is made or
    removed. With `needed` false a folder that we may not write to is no reason not to deliver.
    """

    def __init__(self, path: str, gid: int, needed: bool) -> None:
        self._path = f"{path}.lock"
        self._gid = gid
        self._needed = needed
        self._fd = -1

    def take(self, mailbox: int) -> bool:
        """Make it, behind one that a dead writer left; `mailbox`: locked by fcntl(2). OSError."""
        for _ in range(2):
            try:
                with as_group(self._gid):
                    self._make(mailbox)
            except FileExistsError:
                if not self._remove_stale(mailbox):
                    return False
            except OSError as error:
                if self._needed or error.errno not in _NO_LOCK_FILE:
                    raise
                return True
            else:
                return True
        return False

    def _make(self, mailbox: int) -> None:
        """With what it says, at once: a lock without would hold for long when its maker is killed."""
        new = f"{self._path}.new"
        try:
            os.unlink(new)
        except FileNotFoundError:
            pass
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(new, flags, 0o644)
        try:
            self.note(mailbox, os.fstat(mailbox).st_size)
            os.link(new, self._path)
        except OSError:
            os.close(self._fd)
            self._fd = -1
            raise
        finally:
            os.unlink(new)

    def note(self, mailbox: int, size: int) -> None:
        """A mail is going to be written behind `size` octets. OSError."""
        if self._fd != -1:
            status = os.fstat(mailbox)
            host = socket.gethostname().split()[0]
            text = f"{os.getpid()} {_MARK} {host} {status.st_dev} {status.st_ino} {size:020d}\n"
            os.pwrite(self._fd, text.encode(), 0)

    def release(self) -> None:
        """Remove it, unless it is not ours any more."""
        if self._fd == -1:
            return
        try:
            with as_group(self._gid):
                if _same(os.lstat(self._path), os.fstat(self._fd)):
                    os.unlink(self._path)
        except OSError:
            pass  # whoever removed it holds the mailbox now
        finally:
            os.close(self._fd)
            self._fd = -1

    def _remove_stale(self, mailbox: int) -> bool:
        """Is it gone, or could it be taken away?"""
        try:
            with as_group(self._gid):
                fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        try:
            status = os.fstat(fd)
            if status.st_uid == os.geteuid() and self._ours(os.read(fd, _MOST), mailbox):
                pass
            elif time.time() - status.st_mtime < STALE_SECONDS:
                return False
            with as_group(self._gid):
                if _same(os.lstat(self._path), status):
                    os.unlink(self._path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        finally:
            os.close(fd)
        return True

    def _ours(self, text: bytes, mailbox: int) -> bool:
        """Left by an agent on this very file: it would hold the fcntl lock, which we have, if it were alive.

        What it had begun to write is taken away. OSError.
        """
        words = text.decode("ascii", "replace").split()
        if len(words) != 6 or words[1] != _MARK or words[2] != socket.gethostname():
            return False
        status = os.fstat(mailbox)
        if words[3:5] != [str(status.st_dev), str(status.st_ino)] or not words[5].isascii():
            return False
        if not words[5].isdecimal():
            return False
        size = int(words[5])
        if size < status.st_size and _one_mail(mailbox, size):
            os.ftruncate(mailbox, size)
            os.fsync(mailbox)
        return True


@contextmanager
def as_group(gid: int) -> Iterator[None]:
    """With this group's rights for a moment; -1: our own."""
    if gid == -1:
        yield
        return
    os.setegid(gid)
    try:
        yield
    finally:
        os.setegid(os.getgid())


def lock_now(fd: int) -> bool:
    """The fcntl(2) lock, if nobody has it. OSError."""
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            return False
        raise
    return True


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _one_mail(fd: int, start: int) -> bool:
    """Whether what lies behind `start` is one mail, or the beginning of one, and nothing else."""
    before = b""
    while data := os.pread(fd, _SCAN, start):
        if not before and not data.startswith(b"From "[: len(data)]):
            return False
        if b"\nFrom " in before + data:
            return False
        before = data[-5:]
        start += len(data)
    return True
