"""Files and folders of the spool, and what may be wrong with them. Functions without state."""

import contextlib
import errno
import os
import stat

from .backend import CORRUPT, ERROR, EXISTS, GONE, Failure
from .durable import fsync

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OVER = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    errno.ENOENT: GONE,
    errno.EEXIST: EXISTS,
    errno.ENOTEMPTY: EXISTS,
    errno.ELOOP: CORRUPT,  # a symbolic link
    errno.EISDIR: CORRUPT,
    errno.ENOTDIR: CORRUPT,
}


def failure(error: OSError, what: str) -> Failure:
    """An OSError as a value; `what` was being done."""
    return Failure(_KINDS.get(error.errno or 0, ERROR), f"{what}: {os.strerror(error.errno or 0)}")


def write_file(name: str, data: bytes, folder: int) -> int:
    """A new file with `data` in it; its descriptor. Raises OSError, and then the file is not left."""
    return _fill(os.open(name, _WRITE, 0o600, dir_fd=folder), name, data, folder)


def write_over(old: str, name: str, data: bytes, folder: int) -> int:
    """The same in place of a file of ours that is of no use any more, if it is still there.

    It keeps its inode and its blocks: to free some and find others takes longer than all the rest, most of
    all where the file system discards what is freed.
    """
    try:
        found = os.stat(old, dir_fd=folder, follow_symlinks=False)
        as_written = found.st_mode == stat.S_IFREG | 0o600 and found.st_uid == os.geteuid()
        if not as_written or found.st_nlink != 1:  # somebody put it there, or keeps it under another name
            os.unlink(old, dir_fd=folder)
            return write_file(name, data, folder)
        os.rename(old, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        return write_file(name, data, folder)
    fd = _fill(os.open(name, _OVER, dir_fd=folder), name, data, folder)
    if found.st_size > len(data):
        try:
            os.ftruncate(fd, len(data))
        except OSError:
            os.close(fd)
            raise
    return fd


def _fill(fd: int, name: str, data: bytes, folder: int) -> int:
    try:
        written = os.write(fd, data)
        while written < len(data):  # a full disk first writes short, then fails
            written += os.write(fd, data[written:])
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=folder)
        raise
    return fd


def open_folder(name: str, folder: int) -> int:
    """The descriptor of a folder, which is no symbolic link. OSError."""
    return os.open(name, _DIRECTORY, dir_fd=folder)


def sync_folder(name: str, folder: int) -> None:
    """Make the names in a folder durable. OSError."""
    fd = open_folder(name, folder)
    try:
        fsync(fd)
    finally:
        os.close(fd)
