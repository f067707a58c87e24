"""The spool on disk, in OpenSMTPD's layout: one can take over where the other stopped.

Which files exist in which state of a message, and what a crash there leaves (M: MSGID, E: EVPID, XX: the
first two digits of M). "clears" is what the next start does before it reads that message.

```
state                          files                               a crash there leaves
created, envelopes submitted   none                                nothing
content being received         incoming/M/message                  incoming/M; start clears it
committing, before the rename  incoming/M/{message,E...}, synced   incoming/M; start clears it
committing, after the rename   queue/XX/M/{message,E...},          the line above or the line below, whole in
                               name not yet synced                 both; the sender had no 250
queued (the sender has a 250)  queue/XX/M/{message,E...}, synced   the same; it is delivered
envelope being replaced        the same and incoming/E             the old or the new E; start clears the rest
envelope being added (bounce)  the same and incoming/E,            without or with the new E, and with what it
                               then its name                       is for: one bounce too many at worst
one envelope deleted           queue/XX/M/{message,other E...}     the same, or E is back: delivered once more
last envelope deleted          queue/XX/M/message                  start purges it, or E is back as above
  or, to be used again         purge/M/{message,E}                 start clears purge/, or all of M is back
message being purged           purge/M/message, then purge/M       start clears purge/
M spare for the next message   purge/M, with E or empty            start clears purge/
envelope that cannot be used   corrupt/M/{message,E}               the same; M/message is a second link
message without content        corrupt/M/{E...}                    the same
those being put back           corrupt/M/..., then queue/XX/M/     here or there, E maybe in both
```

Nothing under queue/ is ever there in part: all of M appears by one rename, E by another, and only after
fsync of the content. Content is never written over: a delivery may hold a descriptor of it for long. The
file of a finished message's envelope is, under its new name, after fsync of the queue/XX that it has left.

Whatever waits for the disk does so in a few threads (rounds.py, workers.py), the other system calls are made
in the loop's: they are cheaper than another thread. Folders of finished messages are used again, with the
file of an envelope in them, which saves making and deleting both for every mail.
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from . import walk as walking
from .backend import (
    ERROR,
    EXISTS,
    GONE,
    Backend,
    Failure,
    Stored,
    Then,
    ThenLoad,
    ThenOpen,
    ThenTaken,
    Walk,
)
from .commit import Commit, Commits
from .durable import fsync
from .layout import CORRUPT, INCOMING, MESSAGE, PURGE, QUEUE, TEMPORARY
from .removal import Reuse, Spare, count, purge, remove
from .replace import replace
from .restore import find, restore
from .rounds import Rounds
from .walk import Damaged, FsWalk
from .workers import Workers
from .writing import failure, sync_folder

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

THREADS = 3
"""They read, and write large messages."""

SPARES = 64
"""Folders kept for reuse."""

COUNTED = 8192
"""Messages whose number of envelopes is remembered, so that nobody has to list their folder."""

SAME_BUCKET = 64
"""This many new messages in a row go to one queue/XX: one fsync serves those that commit together."""


class _Incoming(NamedTuple):
    """A message that has a file: our own descriptor of it, and what of its folder can be written over."""

    content: int
    spare: str


class FsBackend(Backend):
    """The spool under `root`, which layout.prepare has made. Raises OSError when it cannot be opened.

    `log`: takes a line for the administrator.
    """

    def __init__(self, root: str, loop: asyncio.AbstractEventLoop, log: Callable[[str], None]) -> None:
        self._log = log
        self._loop = loop
        self._queue = os.open(os.path.join(root, QUEUE), _FOLDER)
        self._incoming = os.open(os.path.join(root, INCOMING), _FOLDER)
        self._purge = os.open(os.path.join(root, PURGE), _FOLDER)
        self._temporary = os.open(os.path.join(root, TEMPORARY), _FOLDER)
        self._corrupt = os.open(os.path.join(root, CORRUPT), _FOLDER)
        self._buckets: dict[str, int] = {}
        self._stale: list[int] = []
        self._leftovers = [
            (folder, os.listdir(folder)) for folder in (self._incoming, self._temporary, self._purge)
        ]
        self._taken = {
            name for folder, names in self._leftovers if folder != self._temporary for name in names
        }
        self._new: set[int] | None = set()
        """Ids given out while the walk is not over: it must not find them."""
        self._top = 0
        self._top_left = 0
        self._spares: list[Spare] = []
        self._cooling = 0
        """More of them, of which the disk does not know yet that their message has left the queue."""
        self._contents: dict[int, _Incoming] = {}
        self._left: dict[int, int] = {}
        """msgid -> how many envelopes it has, for the youngest messages."""
        self._adding: dict[int, int] = {}
        self._busy: dict[int, list[Callable[[], None]]] = {}
        """evpid -> what waits until it is written."""
        self._workers = Workers(loop, THREADS, "spool")
        self._rounds = Rounds(loop)
        self._commits = Commits(self._rounds, self._workers, self._incoming, self._known_bucket, self._bucket)

    # ids

    def new_msgid(self) -> int:
        while True:
            if not self._top_left:
                self._top, self._top_left = random.getrandbits(8), SAME_BUCKET
            self._top_left -= 1
            msgid = self._top << 24 | random.getrandbits(24)
            if msgid and msgid not in self._contents and not self._known(msgid):
                if self._new is not None:
                    self._new.add(msgid)
                return msgid

    def _known(self, msgid: int) -> bool:
        name = f"{msgid:08x}"
        return name in self._taken or os.access(f"{name[:2]}/{name}", os.F_OK, dir_fd=self._queue)

    def new_evpid(self, msgid: int) -> int:
        while True:
            evpid = msgid << 32 | random.getrandbits(32)
            if evpid & 0xFFFFFFFF:
                return evpid

    # coming in

    def open_incoming(self, msgid: int, then: ThenOpen) -> None:
        then(self._open_incoming(msgid))

    def _open_incoming(self, msgid: int) -> int | Failure:
        if msgid in self._contents:
            return Failure(EXISTS, "the message is open already")
        name = f"{msgid:08x}"
        try:
            spare = self._make_folder(name)
        except OSError as error:
            return failure(error, "make message")
        content = -1
        try:
            content = os.open(f"{name}/{MESSAGE}", _WRITE, 0o600, dir_fd=self._incoming)
            # ours, to sync it: what is given away may be closed
            self._contents[msgid] = _Incoming(os.dup(content), spare)
        except OSError as error:
            if content >= 0:
                os.close(content)
            self._discard(name)
            return failure(error, "make message")
        return content

    def _make_folder(self, name: str) -> str:
        """incoming/NAME, of a spare one if there is one; the file in it, or "". Raises OSError."""
        while self._spares:
            folder, envelope = self._spares.pop()
            # One may be gone: somebody tidied up, or its message came back under its old id and went again.
            with contextlib.suppress(FileNotFoundError):
                os.rename(folder, name, src_dir_fd=self._purge, dst_dir_fd=self._incoming)
                return envelope
        os.mkdir(name, 0o700, dir_fd=self._incoming)
        return ""

    def commit(self, msgid: int, envelopes: Sequence[tuple[int, bytes]], then: Then) -> None:
        incoming = self._contents.pop(msgid, None)
        if incoming is None:
            then(Failure(GONE, "the message has no content"))
            return
        name = f"{msgid:08x}"

        def committed(result: Failure | None) -> None:
            if result is None:
                self._remember(msgid, len(envelopes))
            else:
                self._discard(name)
            then(result)

        files = [(f"{evpid:016x}", data) for evpid, data in envelopes]
        self._commits.run(Commit(name, incoming.content, files, incoming.spare), committed)

    def _known_bucket(self, name: str) -> int | None:
        """The descriptor of queue/XX for a message's name; None if it is not open, or nowhere any more."""
        fd = self._buckets.get(name[:2])
        return fd if fd is not None and os.fstat(fd).st_nlink else None

    def _bucket(self, name: str) -> int:
        """The same, made if need be; mostly in a thread. Raises OSError."""
        bucket = name[:2]
        fd = self._buckets.get(bucket)
        if fd is not None:
            if os.fstat(fd).st_nlink:
                return fd
            self._buckets.pop(bucket, None)  # somebody tidied up
            self._stale.append(fd)  # another thread may be using it
        try:
            fd = os.open(bucket, _FOLDER, dir_fd=self._queue)
        except FileNotFoundError:
            with contextlib.suppress(FileExistsError):  # another thread was first
                os.mkdir(bucket, 0o700, dir_fd=self._queue)
            fsync(self._queue)
            fd = os.open(bucket, _FOLDER, dir_fd=self._queue)
        known = self._buckets.setdefault(bucket, fd)
        if known != fd:
            os.close(fd)
        return known

    def _remember(self, msgid: int, left: int) -> None:
        """How many envelopes a message has: deleting the last one then needs no look into its folder."""
        if len(self._left) >= COUNTED:
            del self._left[next(iter(self._left))]
        self._left[msgid] = left

    def rollback(self, msgid: int) -> None:
        incoming = self._contents.pop(msgid, None)
        if incoming is not None:
            os.close(incoming.content)
            self._discard(f"{msgid:08x}")

    def _discard(self, name: str) -> None:
        """Delete incoming/NAME as far as it exists; what stays is cleared at the next start."""
        for _ in walking.clear(self._incoming, [name]):
            pass

    # queued

    def open_message(self, msgid: int, then: ThenOpen) -> None:
        name = f"{msgid:08x}"
        then(walking.open_regular(f"{name[:2]}/{name}/{MESSAGE}", self._queue, "open message"))

    def load(self, evpids: Sequence[int], then: ThenLoad) -> None:
        self._workers.run(self._read, tuple(evpids), then=then)

    def _read(self, evpids: Sequence[int]) -> list[Stored]:
        return [Stored(evpid, walking.read_envelope(_path(evpid), self._queue)) for evpid in evpids]

    def add(self, evpid: int, data: bytes, then: Then) -> None:
        msgid = evpid >> 32
        # From here on the message has one more, so that deleting its others does not delete it.
        self._adding[msgid] = self._adding.get(msgid, 0) + 1

        def added(result: Failure | None) -> None:
            self._adding[msgid] -= 1
            if not self._adding[msgid]:
                del self._adding[msgid]
            if result is None and msgid in self._left:
                self._left[msgid] += 1
            elif result is not None:
                self._purge_if_empty(msgid)
            then(result)

        self._replace(evpid, data, True, added)

    def update(self, evpid: int, data: bytes, then: Then) -> None:
        self._replace(evpid, data, False, then)

    def _replace(self, evpid: int, data: bytes, new: bool, then: Then) -> None:
        if evpid in self._busy:
            self._busy[evpid].append(lambda: self._replace(evpid, data, new, then))
            return
        name = f"{evpid:016x}"
        if os.access(_path(evpid), os.F_OK, dir_fd=self._queue) == new:
            then(Failure(EXISTS, "the envelope exists") if new else Failure(GONE, "the envelope is gone"))
            return
        self._busy[evpid] = []

        def replaced(result: Failure | None) -> None:
            waiting = self._busy.pop(evpid)
            then(result)
            for call in waiting:
                call()

        try:
            queue = self._bucket(name)
        except OSError as error:
            replaced(failure(error, "open the queue"))
            return
        replace(self._rounds, name, data, self._incoming, queue, new, replaced)

    def delete(self, evpid: int, then: Then) -> None:
        self._rounds.between(lambda: self._delete(evpid, then))

    def _delete(self, evpid: int, then: Then) -> None:
        if evpid in self._busy:
            self._busy[evpid].append(lambda: self._delete(evpid, then))
            return
        msgid = evpid >> 32
        left = self._left.pop(msgid, None)
        if left is not None:
            left -= 1
        adding = msgid in self._adding  # then this one is not the last, whatever is counted
        name = f"{evpid:016x}"
        reuse, bucket = Reuse.NOTHING, None
        if len(self._spares) + self._cooling < SPARES:
            bucket = self._known_bucket(name)
            reuse = Reuse.FOLDER if bucket is None else Reuse.ENVELOPE
        removed = remove(name, 1 if adding else left, self._queue, self._purge, reuse)
        if removed.result is None:  # after a failure nobody knows
            left = left if adding else removed.left
            if left is not None and (left or adding):
                self._remember(msgid, left)
        if removed.spare is not None:
            self._keep(removed.spare, bucket)
        if removed.complaint:
            self._log(f"queue-fs: {removed.complaint}")
        then(removed.result)

    def _keep(self, spare: Spare, bucket: int | None) -> None:
        """A spare, of a message that was in this queue/XX."""

        def left(error: OSError | None) -> None:
            self._cooling -= 1
            if error is None:  # else it stays where it is until the next start
                self._spares.append(spare)

        if bucket is not None and spare.envelope:
            self._cooling += 1
            self._rounds.along(lambda: (bucket,), left)
        else:
            self._spares.append(spare)

    def _purge_if_empty(self, msgid: int) -> None:
        """Take a message out of the queue for good, unless it has envelopes."""
        if msgid not in self._adding and not count(f"{msgid:08x}", self._queue)[0]:
            self._left.pop(msgid, None)
            self._purge_message(msgid)

    def _purge_message(self, msgid: int) -> None:
        complaint = purge(f"{msgid:08x}", self._queue, self._purge, reuse=False)
        if complaint:
            self._log(f"queue-fs: {complaint}")

    # what cannot be used

    def set_aside(self, evpid: int, then: Then) -> None:
        if evpid in self._busy:
            self._busy[evpid].append(lambda: self.set_aside(evpid, then))
            return
        name = f"{evpid:016x}"
        message = name[:8]
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(message, 0o700, dir_fd=self._corrupt)
                fsync(self._corrupt)
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(
                    f"{message[:2]}/{message}/{MESSAGE}",
                    f"{message}/{MESSAGE}",
                    src_dir_fd=self._queue,
                    dst_dir_fd=self._corrupt,
                )
            sync_folder(message, self._corrupt)  # before the content can go from the queue
            os.rename(_path(evpid), f"{message}/{name}", src_dir_fd=self._queue, dst_dir_fd=self._corrupt)
            sync_folder(message, self._corrupt)
        except OSError as error:
            then(failure(error, "set envelope aside"))
            return
        self._left.pop(evpid >> 32, None)
        self._purge_if_empty(evpid >> 32)
        then(None)

    def set_aside_message(self, msgid: int, then: Then) -> None:
        name = f"{msgid:08x}"
        self._left.pop(msgid, None)
        for number in range(100):
            target = f"{name}.{number}" if number else name
            try:
                os.rename(f"{name[:2]}/{name}", target, src_dir_fd=self._queue, dst_dir_fd=self._corrupt)
            except OSError as error:
                result = failure(error, "set message aside")
                if result.kind != EXISTS:
                    then(result)
                    return
            else:
                then(None)
                return
        then(Failure(ERROR, "set message aside: there are too many of that name"))

    def find(self, msgid: int, then: ThenTaken) -> None:
        self._left.pop(msgid, None)  # somebody may have put envelopes there
        self._workers.run(find, f"{msgid:08x}", self._queue, then=then)

    def restore(self, msgid: int, then: Then) -> None:
        # From here on nobody thinks that the message has no envelope left.
        self._adding[msgid] = self._adding.get(msgid, 0) + 1

        def restored(result: Failure | None) -> None:
            self._adding[msgid] -= 1
            if not self._adding[msgid]:
                del self._adding[msgid]
            self._left.pop(msgid, None)
            then(result)

        name = f"{msgid:08x}"
        self._workers.run(restore, name, self._queue, self._corrupt, self._bucket, then=restored)

    # start

    def walk(self) -> Walk:
        new = set() if self._new is None else self._new
        return FsWalk(self._workers, self._items(new), self._damaged, self._walked)

    def _items(self, new: set[int]) -> Iterator[list[Stored] | Damaged | None]:
        """In a worker's thread: the leftovers go first, then comes what is queued."""
        for folder, names in self._leftovers:
            yield from walking.clear(folder, names)
        yield from walking.scan(self._queue, new)

    def _damaged(self, found: Damaged) -> None:
        name = f"{found.msgid:08x}"
        if found.action == walking.SET_ASIDE:
            self._log(f"queue-fs: message {name} moved to {CORRUPT}/: {found.text}")
            self.set_aside_message(found.msgid, self._log_failure)
        elif found.action == walking.PURGE:
            self._log(f"queue-fs: message {name} removed: {found.text}")
            self._purge_message(found.msgid)
        else:
            self._log(f"queue-fs: message {name} left alone: {found.text}")

    def _log_failure(self, result: Failure | None) -> None:
        if result is not None:
            self._log(f"queue-fs: {result.text}")

    def _walked(self) -> None:
        self._leftovers.clear()
        self._taken.clear()
        self._new = None

    async def close(self) -> None:
        while self._commits.running:  # each goes through both
            await self._workers.settle()
            await self._rounds.settle()
        await self._rounds.close()
        await self._workers.close()
        if self._queue < 0:
            return
        folders = (self._queue, self._incoming, self._purge, self._temporary, self._corrupt)
        contents = [one.content for one in self._contents.values()]
        for fd in (*contents, *self._buckets.values(), *self._stale, *folders):
            os.close(fd)
        self._contents.clear()
        self._buckets.clear()
        self._stale.clear()
        # whatever is asked for from now on fails with EBADF
        self._queue = self._incoming = self._purge = self._temporary = self._corrupt = -1


def _path(evpid: int) -> str:
    """The file of a queued envelope, below queue/."""
    name = f"{evpid:016x}"
    return f"{name[:2]}/{name[:8]}/{name}"
