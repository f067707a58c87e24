"""Local submission: SMTP sessions for users of this machine, on socketpairs instead of connections.

control knows who asks (the kernel says) and passes it on; the client gets one end, the session the other.
A client on it counts as authenticated, as with OpenSMTPD's enqueue listener; `listen on socket` has the
options.
"""

import socket
from typing import TYPE_CHECKING

from smtpd.messages.control_pony import OpenSession, SessionOpened
from smtpd.messages.pony_lookup import LOCAL_LISTENER
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.protocol.smtp.session_io import ServerSettings

from .listener import settings_of
from .smtp_in import SmtpIn
from .smtp_in_session import SmtpInSession

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

MOST_OF_A_USER = 50
"""Sessions that a user may have at a time; root has no bound but that of all sessions."""


class LocalSessions:
    """The part of pony that opens them; they live in SmtpIn with all others."""

    def __init__(self, process: "Process", smtp_in: SmtpIn) -> None:
        self._process = process
        self._smtp_in = smtp_in
        self._settings: tuple[int, ServerSettings] | None = None

    @handles(OpenSession)
    async def open_session(self, peer: Peer, reqid: int, message: OpenSession) -> SessionOpened | None:
        """One more, or why not now."""
        refusal = self._refusal(message.uid)
        if refusal:
            return SessionOpened(reqid, refusal)
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            return SessionOpened(reqid, error.strerror or str(error))
        ours.setblocking(False)
        config = self._process.config
        if self._settings is None or self._settings[0] != config.generation:
            self._settings = config.generation, settings_of(config, config.socket_listener, ours)
        generation, settings = self._settings
        session = SmtpInSession(self._smtp_in, LOCAL_LISTENER, settings, generation, uid=message.uid)
        try:
            await self._process.loop.connect_accepted_socket(lambda: session, ours)
        except OSError as error:
            ours.close()
            theirs.close()
            return SessionOpened(reqid, error.strerror or str(error))
        peer.send(SessionOpened(reqid, ""), theirs.detach())
        return None

    def _refusal(self, uid: int) -> str:
        if self._smtp_in.paused:
            return "smtp is paused"
        if self._smtp_in.full:
            return "too many sessions"
        if uid and sum(session.uid == uid for session in self._smtp_in.sessions) >= MOST_OF_A_USER:
            return "too many sessions of this user"
        return ""
