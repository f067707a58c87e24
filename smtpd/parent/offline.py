"""Mail that sendmail left in offline/ while no daemon ran: submitted in its owner's name, then removed.

Whoever is in the group of that folder can put anything into it: only a regular file with one name and the
folder's group is looked at, nothing is followed, and what it holds is read by a process that already runs as
the file's owner (smtpctl/enqueue.py). RUNNING_MOST of them run at a time. OpenSMTPD looks at its start alone;
here what could not be submitted is tried again every AGAIN_SECONDS.
"""

import asyncio
import contextlib
import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from smtpd.mproc.spawn import describe_status, environment
from smtpd.spool.layout import OFFLINE

if TYPE_CHECKING:
    from .process import Process

START_SECONDS = 1.0
AGAIN_SECONDS = 300.0
YOUNG_SECONDS = 5.0
"""OpenSMTPD's sendmail writes a file while it is there already; none younger than this is touched."""

RUNNING_MOST = 2
RUN_SECONDS = 900.0
"""One that takes longer is killed; its file stays."""

EMPTY_SECONDS = 3600.0
"""An empty file (OpenSMTPD's sendmail gave up on it) is removed when it is as old as this."""

SOCKET_VARIABLE = "SMTPD_SOCKET"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Skip(Exception):
    """Not a file to submit; the text, if there is one, says why in the log."""


class _Running(NamedTuple):
    name: str
    inode: int
    process: subprocess.Popen[bytes]
    deadline: asyncio.TimerHandle


class Offline:
    """Goes through the folder, again and again."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._loop = process.loop
        self._folder = -1
        self._names: Iterator[str] | None = None
        self._running: dict[int, _Running] = {}
        self._next: asyncio.TimerHandle | None = None
        self._young = False

    def start(self) -> None:
        """Begin, a moment after all processes are ready."""
        self._next = self._loop.call_later(START_SECONDS, self._scan)

    def close(self) -> None:
        """The daemon ends: what runs now could not submit anything any more."""
        if self._next is not None:
            self._next.cancel()
        for pidfd, running in self._running.items():
            running.deadline.cancel()
            self._loop.remove_reader(pidfd)
            running.process.kill()
            running.process.wait()
            os.close(pidfd)
        self._running.clear()
        self._end_scan()

    def _scan(self) -> None:
        self._young = False
        path = os.path.join(self._process.places.spool, OFFLINE)
        try:
            self._folder = os.open(path, _FOLDER)
            self._names = iter(os.listdir(self._folder))
        except OSError as error:
            self._process.log.warn(f"{path}: {error.strerror}")
        self._go_on()

    def _go_on(self) -> None:
        """Start what may run beside what runs; after the last one, rest."""
        while self._names is not None and len(self._running) < RUNNING_MOST:
            name = next(self._names, None)
            if name is None:
                self._names = None
                break
            try:
                self._submit(name)
            except _Skip as reason:
                if str(reason):
                    self._process.log.warn(f"offline message {name}: {reason}")
            except OSError as error:
                self._process.log.warn(f"offline message {name}: {error.strerror}")
        if self._names is None and not self._running:
            self._end_scan()
            seconds = YOUNG_SECONDS if self._young else AGAIN_SECONDS
            self._next = self._loop.call_later(seconds, self._scan)

    def _end_scan(self) -> None:
        self._names = None
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _submit(self, name: str) -> None:
        """_Skip, OSError."""
        try:
            file = os.open(name, _FILE, dir_fd=self._folder)
        except FileNotFoundError:
            raise _Skip from None
        try:
            found = os.fstat(file)
            self._check(name, found)
            owner = self._owner(found.st_uid)
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "smtpctl.enqueue", *owner],
                stdin=file,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=environment() | {SOCKET_VARIABLE: str(self._process.places.socket)},
            )
        finally:
            os.close(file)
        pidfd = os.pidfd_open(process.pid)
        deadline = self._loop.call_later(RUN_SECONDS, self._overdue, pidfd)
        self._running[pidfd] = _Running(name, found.st_ino, process, deadline)
        self._loop.add_reader(pidfd, self._ended, pidfd)
        self._process.log.debug(f"offline message {name} of uid {found.st_uid}: enqueueing")

    def _check(self, name: str, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise _Skip("no regular file")
        if found.st_nlink != 1:
            raise _Skip("a hard link")
        if found.st_gid != os.fstat(self._folder).st_gid:
            raise _Skip("not of the folder's group")
        age = time.time() - found.st_mtime
        if not found.st_size:
            if age > EMPTY_SECONDS:
                os.unlink(name, dir_fd=self._folder)
            raise _Skip
        if 0 <= age < YOUNG_SECONDS:
            self._young = True
            raise _Skip

    def _owner(self, uid: int) -> tuple[str, str, str]:
        """uid, gid and home, as enqueue wants them."""
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            raise _Skip(f"there is no user with uid {uid}") from None
        if self._process.places.separated:
            return str(uid), str(user.pw_gid), user.pw_dir
        if uid != os.geteuid():
            raise _Skip(f"of uid {uid}, and we run as ourselves alone")
        return "-1", "-1", user.pw_dir

    def _overdue(self, pidfd: int) -> None:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)

    def _ended(self, pidfd: int) -> None:
        running = self._running.pop(pidfd)
        running.deadline.cancel()
        self._loop.remove_reader(pidfd)
        os.close(pidfd)
        status = running.process.wait()
        if status == 0:
            self._process.log.info(f"offline message {running.name}: enqueued")
            with contextlib.suppress(OSError):
                if os.stat(running.name, dir_fd=self._folder, follow_symlinks=False).st_ino == running.inode:
                    os.unlink(running.name, dir_fd=self._folder)
        else:
            self._process.log.warn(
                f"couldn't enqueue offline message {running.name}: smtpctl {describe_status(status)}"
            )
        self._go_on()
