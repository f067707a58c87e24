"""The waiting half of fs.py: what runs in threads because it waits for the disk. Functions without state.

Every function here returns a Failure for any OSError. Order is everything: nothing gets a name under queue/
before its content is on disk, and nothing is reported as done before its name is.
"""

import contextlib
import errno
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .backend import CORRUPT, ERROR, EXISTS, GONE, Failure
from .durable import fsync, fsync_all

_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_KINDS = {
    errno.ENOENT: GONE,
    errno.EEXIST: EXISTS,
    errno.ENOTEMPTY: EXISTS,
    errno.ELOOP: CORRUPT,  # a symbolic link
    errno.EISDIR: CORRUPT,
    errno.ENOTDIR: CORRUPT,
}


class Commit(NamedTuple):
    """A message to be committed. `content`: a descriptor of its content; `envelopes`: (file name, text)."""

    name: str
    content: int
    envelopes: Sequence[tuple[str, bytes]]


def failure(error: OSError, what: str) -> Failure:
    """An OSError as a value; `what` was being done."""
    return Failure(_KINDS.get(error.errno or 0, ERROR), f"{what}: {os.strerror(error.errno or 0)}")


def write_file(name: str, data: bytes, folder: int) -> int:
    """A new file with `data` in it; its descriptor. Raises OSError, and then the file is not left."""
    fd = os.open(name, _WRITE, 0o600, dir_fd=folder)
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


def sync_folder(name: str, folder: int) -> None:
    """Make the names in a folder durable."""
    fd = os.open(name, _DIRECTORY, dir_fd=folder)
    try:
        fsync(fd)
    finally:
        os.close(fd)


def commit(
    commits: Sequence[Commit], incoming: int, bucket: Callable[[str], int], undo: Callable[[str], None]
) -> list[Failure | None]:
    """Make messages durable and give them their name under queue/; one result each.

    `incoming`: descriptor of incoming/; `bucket`: gives that of queue/XX for a message's name, makes it if
    need be; `undo`: takes back a message that is queued already. The steps of all messages are taken
    together, so that they share what the disk does for one of them.
    """
    results: list[Failure | None] = [None] * len(commits)
    opened: list[list[int]] = [[one.content] for one in commits]
    try:
        for index, one in enumerate(commits):
            try:
                for name, text in one.envelopes:
                    opened[index].append(write_file(f"{one.name}/{name}", text, incoming))
            except OSError as error:
                results[index] = failure(error, "write envelope")
        for index, one in enumerate(commits):
            try:
                if results[index] is None:
                    opened[index].append(os.open(one.name, _DIRECTORY, dir_fd=incoming))
            except OSError as error:
                results[index] = failure(error, "fsync")
        synced = [(index, fd) for index, fds in enumerate(opened) if results[index] is None for fd in fds]
        errors = fsync_all([fd for _index, fd in synced])
        for (index, _fd), wrong in zip(synced, errors, strict=True):
            if wrong is not None and results[index] is None:
                results[index] = failure(wrong, "fsync")
    finally:
        for fds in opened:
            for fd in fds:
                os.close(fd)
    buckets: dict[int, list[int]] = {}
    for index, one in enumerate(commits):
        try:
            if results[index] is None:
                queue = bucket(one.name)
                os.rename(one.name, one.name, src_dir_fd=incoming, dst_dir_fd=queue)
                buckets.setdefault(queue, []).append(index)
        except OSError as error:
            results[index] = failure(error, "rename into the queue")
    for indexes, wrong in zip(buckets.values(), fsync_all(list(buckets)), strict=True):
        if wrong is not None:
            for index in indexes:
                results[index] = failure(wrong, "fsync of the queue")
                undo(commits[index].name)
    return results


def replace(name: str, data: bytes, incoming: int, path: str, queue: int, durable: bool) -> Failure | None:
    """Give `path` (MSGID/EVPID under descriptor `queue`) the content `data`, by way of incoming/`name`.

    `durable`: the name is on disk as well when this returns; otherwise a crash may bring the old content
    back.
    """
    try:
        fd = write_file(name, data, incoming)
    except OSError as error:
        return failure(error, "write envelope")
    try:
        try:
            fsync(fd)
        finally:
            os.close(fd)
        os.rename(name, path, src_dir_fd=incoming, dst_dir_fd=queue)
    except OSError as error:
        with contextlib.suppress(OSError):  # incoming/ is emptied at the next start
            os.unlink(name, dir_fd=incoming)
        return failure(error, "write envelope")
    if durable:
        try:
            sync_folder(path.partition("/")[0], queue)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(path, dir_fd=queue)
            return failure(error, "fsync of the message")
    return None
