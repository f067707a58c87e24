"""One listening socket: what its sessions are told (`settings`), and whether it accepts.

The socket comes bound and listening from parent. To stop accepting, the loop's end of it is closed and
ours is kept: clients queue up in the kernel meanwhile, as they do with OpenSMTPD. Nothing is known here of
what a session does.
"""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from typing import Any

from smtpd.config.model import Config
from smtpd.config.model import Listener as ListenerConfig
from smtpd.protocol.smtp.session_io import ServerSettings

BACKLOG = 512
"""Connections that the kernel keeps for us."""

SUBMISSION_PORT = 587

type Protocols = Callable[[], asyncio.BaseProtocol]
type Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Listener:
    """`number`: its index in Config.listeners. `make_session`: called for each connection."""

    def __init__(self, number: int, sock: socket.socket, spawn: Spawn) -> None:
        self.number = number
        self.socket = sock
        self._spawn = spawn
        self._wanted = False
        self._starting = False
        self._server: asyncio.Server | None = None

    def accept(self, make_session: Protocols) -> None:
        """Begin to accept, or go on."""
        self._wanted = True
        if self._server is None and not self._starting:
            self._starting = True
            self._spawn(self._accept(make_session))

    async def _accept(self, make_session: Protocols) -> None:
        end = self.socket.dup()
        end.setblocking(False)
        server = await asyncio.get_running_loop().create_server(make_session, sock=end, backlog=BACKLOG)
        self._starting = False
        self._server = server
        if not self._wanted:
            self.pause()

    def pause(self) -> None:
        """Accept no more, until `accept` is called again."""
        self._wanted = False
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """Give the socket up."""
        self.pause()
        self.socket.close()


def settings_of(config: Config, listener: ListenerConfig, sock: socket.socket) -> ServerSettings:
    """What the sessions of `listener` on `sock` are told. `sock`: its address decides whether this is
    submission, for which OpenSMTPD completes headers: the loopback interface, or the port.
    """
    local, submission = True, False
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        host, port = sock.getsockname()[:2]
        local, submission = ip_address(host.partition("%")[0]).is_loopback, port == SUBMISSION_PORT
    return ServerSettings(
        hostname=listener.hostname or config.hostname,
        tag=listener.tag,
        max_message_size=config.smtp.max_message_size,
        max_rcpt=config.smtp.max_rcpt,
        max_mails=config.smtp.max_mails,
        dsn=not listener.no_dsn,
        starttls_required=listener.tls_require,
        auth_required=listener.auth_require,
        mask_source=listener.mask_src,
        complete_headers=local or submission,
        # every recipient once refused and once taken, and room for what else clients say
        max_commands=2 * config.smtp.max_rcpt + 1000,
    )
