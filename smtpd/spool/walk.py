"""The start-up half of fs.py: what a spool holds, and clearing what a crash left; in a thread, in slices.

Generators of files, without state of the daemon: `clear` deletes the leftovers of incoming/, temporary/ and
purge/, `scan` reads every queued message. A message that is there in part is set aside or deleted, as the
table in fs.py says. Nothing here stops at an unreadable file.
"""

import os
import stat
import time
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING, NamedTuple

from .backend import CORRUPT as DAMAGE
from .backend import Failure, Stored, ThenFound, Walk
from .layout import MESSAGE
from .writing import failure

if TYPE_CHECKING:  # smtpctl reads spools too, and needs no threads
    from .workers import Workers

_HEX = frozenset("0123456789abcdef")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
ENVELOPE_MAX = 65536
"""Bytes of an envelope's file that are read; a real one has a tenth of that."""


PURGE = "purge"
SET_ASIDE = "set aside"
LEAVE = "leave"


SLICE_MOST = 200
"""Envelopes that the walk at start reads in one go, unless one message has more."""

SLICE_SECONDS = 0.01
"""How long such a go may take before other work has its turn."""


class Damaged(NamedTuple):
    """A message that was found not whole, or not at all. `text`: why, for the log.

    `action`: PURGE, nothing of it is worth keeping; SET_ASIDE, it never can be used; LEAVE, maybe at the
    next start.
    """

    msgid: int
    action: str
    text: str


def is_msgid(name: str) -> bool:
    """Whether a folder's name is that of a message."""
    return len(name) == 8 and _HEX.issuperset(name)


def is_evpid(name: str) -> bool:
    """Whether a file's name is that of an envelope."""
    return len(name) == 16 and _HEX.issuperset(name)


def open_regular(name: str, folder: int, what: str) -> int | Failure:
    """A descriptor of a file for reading; whatever else lies in its place (a folder, a FIFO) is damage."""
    try:
        fd = os.open(name, READ, dir_fd=folder)
    except OSError as error:
        return failure(error, what)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return Failure(DAMAGE, f"{what}: no regular file")
    return fd


def read_envelope(name: str, folder: int) -> bytes | Failure:
    """The text of an envelope's file."""
    fd = open_regular(name, folder, "read envelope")
    if isinstance(fd, Failure):
        return fd
    try:
        return os.read(fd, ENVELOPE_MAX)
    except OSError as error:
        return failure(error, "read envelope")
    finally:
        os.close(fd)


def scan(queue: int, skip: Container[int]) -> Iterator[list[Stored] | Damaged]:
    """All messages under descriptor `queue` but those in `skip`: the envelopes of each, or what is wrong."""
    for bucket in sorted(_names(".", queue)):
        if len(bucket) != 2 or not _HEX.issuperset(bucket):
            continue
        for name in sorted(_names(bucket, queue)):
            if is_msgid(name) and name.startswith(bucket):
                msgid = int(name, 16)
                if msgid and msgid not in skip:
                    found = _message(msgid, f"{bucket}/{name}", queue)
                    if found:
                        yield found


def _message(msgid: int, path: str, queue: int) -> list[Stored] | Damaged:
    try:
        folder = os.open(path, _FOLDER, dir_fd=queue)
    except OSError as error:
        # one that is gone was delivered since its name was read
        return (
            [] if isinstance(error, FileNotFoundError) else Damaged(msgid, LEAVE, failure(error, "open").text)
        )
    try:
        names = os.listdir(folder)
        envelopes = [name for name in names if is_evpid(name) and int(name[:8], 16) == msgid]
        if not envelopes:
            return Damaged(msgid, PURGE, "a message without envelopes")
        if MESSAGE not in names:
            return Damaged(msgid, SET_ASIDE, "envelopes without a message")
        return [Stored(int(name, 16), read_envelope(name, folder)) for name in envelopes]
    except OSError as error:
        return Damaged(msgid, LEAVE, failure(error, "list").text)
    finally:
        os.close(folder)


def clear(folder: int, names: list[str]) -> Iterator[None]:
    """Delete these files and folders, whatever is in them; stops for a moment after each file."""
    for name in names:
        yield from _remove(name, folder, 0)


def _remove(name: str, folder: int, depth: int) -> Iterator[None]:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=folder)
        elif depth < 8:
            inner = os.open(name, _FOLDER, dir_fd=folder)
            try:
                for entry in os.listdir(inner):
                    yield from _remove(entry, inner, depth + 1)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=folder)
    except OSError:
        pass  # it is there again at the next start
    yield


def _names(path: str, folder: int) -> list[str]:
    try:
        fd = os.open(path, _FOLDER, dir_fd=folder)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)
    except OSError:
        return []


class FsWalk(Walk):
    """Reads a slice at a time in a worker's thread; what it found wrong is dealt with in the loop's."""

    def __init__(
        self,
        workers: "Workers",
        items: Iterator[list[Stored] | Damaged | None],
        damaged: Callable[[Damaged], None],
        walked: Callable[[], None],
    ) -> None:
        self._workers = workers
        self._items = items
        self._damaged = damaged
        self._walked = walked

    def next(self, then: ThenFound) -> None:
        self._workers.run(self._slice, then=lambda found: self._found(then, *found))

    def _slice(self) -> tuple[list[Stored], list[Damaged], bool]:
        stored: list[Stored] = []
        damaged: list[Damaged] = []
        end = time.monotonic() + SLICE_SECONDS
        for item in self._items:
            if isinstance(item, list):
                stored += item
            elif item is not None:
                damaged.append(item)
            if len(stored) >= SLICE_MOST or time.monotonic() > end:
                return stored, damaged, False
        return stored, damaged, True

    def _found(self, then: ThenFound, stored: list[Stored], damaged: list[Damaged], ended: bool) -> None:
        for found in damaged:
            self._damaged(found)
        if ended:
            self._items = iter(())
            self._walked()
        if stored:
            then(stored)
        elif ended:
            then(None)
        else:
            self.next(then)
