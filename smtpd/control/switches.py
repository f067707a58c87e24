"""What an administrator turns on and off: pauses, verbosity, traces."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from smtpd.messages.client_control import (
    ClientDone,
    ClientPause,
    ClientResume,
    ClientSetTrace,
    ClientSetVerbose,
    ClientShowStatus,
    StatusRow,
)
from smtpd.messages.control_pony import PauseSmtp, ResumeSmtp
from smtpd.messages.control_process import OTHERS, SetTrace, SetVerbose
from smtpd.messages.control_scheduler import PauseDelivery, ResumeDelivery
from smtpd.messages.links import PONY, SCHEDULER
from smtpd.mproc.dispatch import handles
from smtpd.mproc.log import SUBSYSTEMS
from smtpd.mproc.peer import Peer

from .clients import Clients

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

PAUSABLE = ("mda", "mta", "smtp")


class Switches:
    """The part of control that knows what is paused."""

    def __init__(
        self, process: "Process", clients: Clients, untraced: Callable[[str], None] | None = None
    ) -> None:
        """`untraced`: called with the subsystem when a trace was ended."""
        self._process = process
        self._clients = clients
        self._untraced = untraced
        self.paused: set[str] = set()

    def tell_again(self, name: str) -> None:
        """A new scheduler or pony does not know what is paused."""
        for what in sorted(self.paused):
            if name == (PONY if what == "smtp" else SCHEDULER):
                self._tell_pause(what)

    @handles(ClientShowStatus)
    def client_show_status(self, client: Peer, reqid: int, message: ClientShowStatus) -> ClientDone:
        """show status."""
        client.send(StatusRow(reqid, *(what not in self.paused for what in PAUSABLE)))
        return ClientDone(reqid, "", 1)

    @handles(ClientPause)
    def client_pause(self, client: Peer, reqid: int, message: ClientPause) -> ClientDone:
        """pause mda|mta|smtp. What is under way goes on."""
        what = message.what
        error = ""
        if what not in PAUSABLE:
            error = f"{what}: can not be paused"
        elif what in self.paused:
            error = f"{what} is already paused"
        else:
            self.paused.add(what)
            self._tell_pause(what)
            self._process.log.info(f"{what} paused")
        return self._done(client, reqid, f"pause {what}", error)

    @handles(ClientResume)
    def client_resume(self, client: Peer, reqid: int, message: ClientResume) -> ClientDone:
        """resume mda|mta|smtp."""
        what = message.what
        error = ""
        if what not in PAUSABLE:
            error = f"{what}: can not be resumed"
        elif what not in self.paused:
            error = f"{what} is not paused"
        else:
            self.paused.remove(what)
            if what == "smtp":
                self._process.peer(PONY).send(ResumeSmtp())
            else:
                self._process.peer(SCHEDULER).send(ResumeDelivery(what))
            self._process.log.info(f"{what} resumed")
        return self._done(client, reqid, f"resume {what}", error)

    @handles(ClientSetVerbose)
    def client_set_verbose(self, client: Peer, reqid: int, message: ClientSetVerbose) -> ClientDone:
        """log brief, log verbose."""
        level = min(message.level, 1)
        self._process.log.verbose = level > 0
        for name in OTHERS:
            self._process.peer(name).send(SetVerbose(level))
        return self._done(client, reqid, "log verbose" if level else "log brief", "")

    @handles(ClientSetTrace)
    def client_set_trace(self, client: Peer, reqid: int, message: ClientSetTrace) -> ClientDone:
        """trace, untrace."""
        subsystem = message.subsystem
        if subsystem not in (*SUBSYSTEMS, "transfer", "all"):
            error = f"no such subsystem: {subsystem}; there are {', '.join(SUBSYSTEMS)} and all"
            return self._done(client, reqid, "trace of an unknown subsystem", error)
        for name in OTHERS:
            self._process.peer(name).send(SetTrace(subsystem, message.on))
        self._process.log.set_trace(subsystem, message.on)
        self._process.trace_changed()
        if not message.on and self._untraced is not None:
            self._untraced(subsystem)
        return self._done(client, reqid, f"{'trace' if message.on else 'untrace'} {subsystem}", "")

    def _tell_pause(self, what: str) -> None:
        if what == "smtp":
            self._process.peer(PONY).send(PauseSmtp())
        else:
            self._process.peer(SCHEDULER).send(PauseDelivery(what))

    def _done(self, client: Peer, reqid: int, action: str, error: str) -> ClientDone:
        self._clients.log_action(client, action, error)
        return ClientDone(reqid, error, 0 if error else 1)
