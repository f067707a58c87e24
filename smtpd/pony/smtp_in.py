"""SMTP coming in, all of it: the listeners, the sessions and what they share (counters, deadlines, limits,
the date).

A part of the pony process. One session is in smtp_in_session.py; here is what opens, counts, bounds and
ends them. Nothing is known here of SMTP's commands.
"""

import asyncio
import os
import socket
import time
from functools import partial

from smtpd.config.model import Config
from smtpd.messages.control_pony import PauseSmtp, ResumeSmtp
from smtpd.messages.parent_pony import CloseListenSocket, ListenSocket
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.mproc.process import Process
from smtpd.protocol.rfc5322 import date_text
from smtpd.protocol.smtp.session_io import ServerSettings

from .descriptors import shares
from .listener import Listener, settings_of
from .smtp_in_session import SmtpInSession, TurnedAway

SWEEP_INTERVAL = 5.0
"""Seconds between two looks at the deadlines of all sessions: no timer of their own need be set at each
command.
"""

NAMES_KEPT = 1024
"""Clients whose names are remembered, for those that connect again and again."""

NAME_KEPT = 30.0
"""Seconds that a name is remembered; lookup knows how long it is really valid."""


class SmtpIn:
    """All sessions of this process. `max_sessions`: from which on clients are turned away with a 421."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.loop = process.loop
        self.log = process.log
        self.stat = process.stat
        self.sessions: set[SmtpInSession] = set()
        self.listeners: list[Listener] = []
        self._by_address: dict[str, Listener] = {}
        self.max_sessions = shares(process.config.mda.max_session).clients
        self.stopping = False
        self._accepting = False
        self._paused = False
        self._sweeping: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._full = False
        self._settings: dict[Listener, tuple[int, ServerSettings]] = {}
        self._names: dict[str, tuple[float, str]] = {}
        self._date_second = 0
        self._date = ""

    # the course

    def begin(self) -> None:
        """All processes are ready: accept."""
        self._accepting = True
        self._accept()

    async def stop(self) -> None:
        """Accept no more, tell every client, wait for the messages that are on their way. The caller
        bounds the time; cancelled, what is left is cut off.
        """
        self.stopping = True
        self._accepting = False
        for listener in self.listeners:
            listener.close()
        self.listeners.clear()
        self._emptied = asyncio.Event()
        for session in list(self.sessions):
            session.shut_down()
        try:
            if self.sessions:
                await self._emptied.wait()
        finally:
            for session in list(self.sessions):
                session.abort()
            await asyncio.sleep(0.01)  # what was written goes out in the loop's next turns
            if self._sweeping is not None:
                self._sweeping.cancel()

    # messages

    @handles(ListenSocket)
    def listen_socket(self, peer: Peer, message: ListenSocket, fd: int | None) -> None:
        """A socket to accept on; one that comes while all are at work begins at once."""
        if fd is None:
            return
        if self.stopping:
            os.close(fd)
            return
        sock = socket.socket(fileno=fd)
        listener = Listener(message.listener, sock, self.process.spawn_task)
        self.listeners.append(listener)
        self._by_address[message.address] = listener
        self.log.debug(f"smtp: listen on {message.address}")
        self._accept()

    @handles(CloseListenSocket)
    def close_listen_socket(self, peer: Peer, message: CloseListenSocket) -> None:
        """An address that is gone; what came in over it goes on."""
        listener = self._by_address.pop(message.address, None)
        if listener is not None and listener in self.listeners:
            self.listeners.remove(listener)
            self._settings.pop(listener, None)
            listener.close()
            self.log.debug(f"smtp: close {message.address}")

    @handles(PauseSmtp)
    def pause_smtp(self, peer: Peer, message: PauseSmtp) -> None:
        """smtpctl pause smtp."""
        self._paused = True
        for listener in self.listeners:
            listener.pause()

    @handles(ResumeSmtp)
    def resume_smtp(self, peer: Peer, message: ResumeSmtp) -> None:
        """smtpctl resume smtp."""
        self._paused = False
        self._accept()

    def _accept(self) -> None:
        if self._accepting and not self._paused:
            for listener in self.listeners:
                listener.accept(partial(self._session, listener))

    @property
    def paused(self) -> bool:
        """Whether smtpctl has paused SMTP."""
        return self._paused

    @property
    def full(self) -> bool:
        """Whether there is no room for another session, or no time."""
        return len(self.sessions) >= self.max_sessions or self.stopping

    def _session(self, listener: Listener) -> asyncio.Protocol:
        """What a connection is given. A session keeps the configuration that is in force when it begins."""
        if self.full:
            self.stat.add("smtp.turned-away")
            if not self._full:
                self._full = True
                self.log.warn("smtp: too many sessions, clients are turned away")
            return TurnedAway()
        config: Config = self.process.config
        known = self._settings.get(listener)
        if known is None or known[0] != config.generation:
            settings = settings_of(config, config.listeners[listener.number], listener.socket)
            known = self._settings[listener] = config.generation, settings
        return SmtpInSession(self, listener.number, known[1], known[0])

    # for the sessions

    def add(self, session: SmtpInSession, family: str) -> None:
        """Take a session in. `family`: "inet4", "inet6" or "local"."""
        self.sessions.add(session)
        self.stat.add("smtp.session")
        self.stat.add(f"smtp.session.{family}")
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(SWEEP_INTERVAL, self._sweep)

    def remove(self, session: SmtpInSession) -> None:
        """The session is over."""
        self.sessions.remove(session)
        self.stat.sub("smtp.session")
        self._full = False
        if self._emptied is not None and not self.sessions:
            self._emptied.set()

    def _sweep(self) -> None:
        now = self.loop.time()
        for session in list(self.sessions):
            session.check(now)
        self._sweeping = self.loop.call_later(SWEEP_INTERVAL, self._sweep) if self.sessions else None

    @property
    def queue(self) -> Peer:
        """Messages are kept there."""
        return self.process.peer("queue")

    @property
    def lookup(self) -> Peer:
        """Names and recipients are looked up there."""
        return self.process.peer("lookup")

    def name_of(self, ip: str) -> str | None:
        """The name of a client that was here a moment ago."""
        known = self._names.get(ip)
        return known[1] if known is not None and known[0] > self.loop.time() else None

    def remember_name(self, ip: str, name: str) -> None:
        """The name of a client, as lookup found it."""
        if len(self._names) >= NAMES_KEPT:
            self._names.clear()
        self._names[ip] = (self.loop.time() + NAME_KEPT, name)

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time())

    def date(self) -> str:
        """Now, as in a header."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second = second
            local = time.localtime(second)
            self._date = date_text(local[:7], local.tm_gmtoff, local.tm_zone)
        return self._date
