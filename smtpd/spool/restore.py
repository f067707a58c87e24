"""What an administrator does to the files of fs.py by hand: finding what was put into queue/, and putting
back what is in corrupt/. Functions without state, for a worker's thread.

Nothing in the queue is ever written over: an envelope whose name is taken there stays in corrupt/.
"""

import os
from collections.abc import Callable

from .backend import CORRUPT, EXISTS, GONE, Failure
from .durable import fsync
from .layout import MESSAGE
from .walk import is_evpid
from .writing import failure, sync_folder

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def find(message: str, queue: int) -> list[int]:
    """The evpids in the folder of a message, by its name; none where there is no such folder."""
    return sorted(int(name, 16) for name in _names(f"{message[:2]}/{message}", queue) if _of(message, name))


def restore(message: str, queue: int, corrupt: int, bucket: Callable[[str], int]) -> Failure | None:
    """Move all that was set aside of a message back into the queue. It is on disk then.

    `queue`, `corrupt`: descriptors; `bucket` gives that of queue/XX for a message's name. A message may have
    been set aside more than once, as M, M.1, M.2 ...
    """
    try:
        folders = sorted(name for name in os.listdir(corrupt) if _is_aside(name, message))
        if not folders:
            return Failure(GONE, "there is no such message in corrupt/")
        target = bucket(message)
        result: Failure | None = None
        for folder in folders:
            result = _restore(folder, message, target, corrupt) or result
        fsync(target)
        fsync(corrupt)
    except OSError as error:
        return failure(error, "restore message")
    return result


def _restore(folder: str, message: str, target: int, corrupt: int) -> Failure | None:
    """One folder of corrupt/. Raises OSError."""
    names = _names(folder, corrupt)
    envelopes = [name for name in names if _of(message, name)]
    try:
        os.stat(f"{message}/{MESSAGE}", dir_fd=target, follow_symlinks=False)
    except FileNotFoundError:
        if MESSAGE not in names or not envelopes:
            return Failure(CORRUPT, "its content or all its envelopes are missing")
        os.rename(folder, message, src_dir_fd=corrupt, dst_dir_fd=target)
        return None
    for name in envelopes:
        try:
            os.link(f"{folder}/{name}", f"{message}/{name}", src_dir_fd=corrupt, dst_dir_fd=target)
        except FileExistsError:
            return Failure(EXISTS, f"envelope {name} is in the queue already")
        os.unlink(f"{folder}/{name}", dir_fd=corrupt)
    sync_folder(message, target)
    if set(names) <= {MESSAGE, *envelopes} and _same(f"{folder}/{MESSAGE}", corrupt, message, target):
        if MESSAGE in names:
            os.unlink(f"{folder}/{MESSAGE}", dir_fd=corrupt)
        os.rmdir(folder, dir_fd=corrupt)
    return None


def _same(aside: str, corrupt: int, message: str, target: int) -> bool:
    """Whether the content in corrupt/ is a second name of the queued one, or is not there at all."""
    queued = os.stat(f"{message}/{MESSAGE}", dir_fd=target, follow_symlinks=False)
    try:
        found = os.stat(aside, dir_fd=corrupt, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return (found.st_dev, found.st_ino) == (queued.st_dev, queued.st_ino)


def _is_aside(name: str, message: str) -> bool:
    base, _, number = name.partition(".")
    return base == message and (not number or number.isdigit())


def _of(message: str, name: str) -> bool:
    return is_evpid(name) and name.startswith(message) and int(name[8:], 16) != 0


def _names(path: str, folder: int) -> list[str]:
    try:
        fd = os.open(path, _FOLDER, dir_fd=folder)
    except OSError:
        return []
    try:
        return os.listdir(fd)
    finally:
        os.close(fd)
