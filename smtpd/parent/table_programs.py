"""The part of parent that starts the programs of tables for lookup (smtpd-tables(7)).

What is run is said by parent's own configuration; lookup names a table of it. A program runs with lookup's
rights, and lookup alone talks to it. Parent has one program a table: the one before ends when a new one is
asked for.
"""

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from smtpd.messages.links import LOOKUP
from smtpd.messages.parent_lookup import OpenTableProc, TableProcOpened
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.mproc.spawn import describe_status
from smtpd.tables.proc import program

if TYPE_CHECKING:
    from .process import Process

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""All of the environment that a program gets."""

_KILL_SECONDS = 5.0


class _Running(NamedTuple):
    table: str
    process: subprocess.Popen[bytes]
    pidfd: int


class TablePrograms:
    """Programs that run, by process id."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._running: dict[int, _Running] = {}

    @handles(OpenTableProc)
    def open_table_proc(self, peer: Peer, reqid: int, message: OpenTableProc) -> TableProcOpened | None:
        """A socket to a new program, or why there is none."""
        table = self._process.config.tables.get(message.table)
        if table is None or table.backend != "proc":
            return TableProcOpened(reqid, f"{message.table} is no table of a program")
        for pid, running in self._running.items():
            if running.table == table.name:
                self._end(pid)
        try:
            path, argv = program(table.name, table.config, os.path.exists)
            fd = self._start(table.name, path, argv)
        except (OSError, ValueError) as error:  # ValueError: a NUL in a name
            return TableProcOpened(reqid, getattr(error, "strerror", None) or str(error))
        peer.send(TableProcOpened(reqid, ""), fd)
        return None

    def _start(self, table: str, path: str, argv: list[str]) -> int:
        """Run it, a socket for its standard input and output; the other end."""
        identity = self._process.places.identity_of(LOOKUP)
        user, group = (identity.uid, identity.gid) if identity.uid >= 0 else (None, None)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            process = subprocess.Popen(
                argv,
                executable=path,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                env={"PATH": PATH},
                cwd="/",
                user=user,
                group=group,
                extra_groups=None if group is None else [group],
                umask=0o077,
                start_new_session=True,
            )
            pidfd = os.pidfd_open(process.pid)
            self._running[process.pid] = _Running(table, process, pidfd)
            self._process.loop.add_reader(pidfd, self._ended, process.pid)
            self._process.log.debug(f"table {table}: {path} started, pid {process.pid}")
            return ours.detach()

    def close(self) -> None:
        """The daemon stops, and lookup has gone: a program ends when its input does, or with this."""
        for running in self._running.values():
            self._process.loop.remove_reader(running.pidfd)
            self._signal(running, signal.SIGTERM)
            os.close(running.pidfd)
        self._running.clear()

    def _end(self, pid: int) -> None:
        self._signal(self._running[pid], signal.SIGTERM)
        self._process.loop.call_later(_KILL_SECONDS, self._kill, pid, self._running[pid])

    def _kill(self, pid: int, running: _Running) -> None:
        if self._running.get(pid) is running:
            self._signal(running, signal.SIGKILL)

    def _signal(self, running: _Running, number: signal.Signals) -> None:
        """To all of its process group."""
        try:
            os.killpg(running.process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass

    def _ended(self, pid: int) -> None:
        running = self._running.pop(pid)
        self._process.loop.remove_reader(running.pidfd)
        os.close(running.pidfd)
        status = running.process.wait()
        self._process.log.info(f"table {running.table}: its program {describe_status(status)}")
