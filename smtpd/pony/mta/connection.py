"""The connection of a session: made from a source address, in the clear at first or for ever, or under TLS.

What is said on it is the session's business (session.py); it is told what comes in and what became of the
connection.  A session that tries again without TLS has another connection.
"""

import asyncio
import errno
import os
import socket
import ssl
from typing import Protocol, cast

from smtpd.pony.tls_stream import TlsError, TlsStream
from smtpd.pony.tls_transport import TlsTransport

from .routing import Route, bracketed

CONNECT_SECONDS = 60.0
"""How long a connection may take to come about."""

HIGH_WATER = 262144
"""Bytes in the transport's buffer above which no more content is read."""


class ConnectionUser(Protocol):
    """The session."""

    def connected(self) -> None:
        """The other host accepted."""

    def received(self, data: bytes) -> None:
        """Bytes of the other host."""

    def writable(self) -> None:
        """It has read on: `paused` is over."""

    def tls_started(self, stream: TlsStream) -> None:
        """The handshake is done."""

    def tls_failed(self, reason: str) -> None:
        """The handshake came to nothing; the connection is closed."""

    def lost(self, error: Exception | None) -> None:
        """It is over, by either side."""


class Connection(asyncio.Protocol):
    """`source`: our end, as log lines have it, "-" if unknown. `paused`: the other host reads slowly."""

    def __init__(self, loop: asyncio.AbstractEventLoop, user: ConnectionUser) -> None:
        self._loop = loop
        self._user: ConnectionUser | None = user
        self._transport: asyncio.Transport | TlsTransport | None = None
        self.paused = False
        self.source = "-"

    @property
    def made(self) -> bool:
        """Was there ever a connection?"""
        return self._transport is not None

    async def open(self, route: Route, port: int) -> None:
        """Connect. OSError, TimeoutError."""
        sock = _socket(route)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await _reach(self._loop, sock, (route.dst.address, port))
            await self._loop.create_connection(lambda: self, sock=sock)
        except BaseException:
            sock.close()
            raise

    def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Go on under TLS, as the client; the user hears how it went, and nothing else meanwhile."""
        transport = cast(asyncio.Transport, self._transport)
        try:
            stream = TlsStream(context, server_name=server_name)
        except TlsError as error:
            transport.abort()
            self.tls_failed(str(error))
            return
        tls = TlsTransport(transport, stream, self)
        self._transport = tls
        tls.start()

    def write(self, data: bytes) -> None:
        """Bytes to the other host."""
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Once all is written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Now."""
        if self._transport is not None:
            self._transport.abort()

    def drop(self) -> None:
        """Now, and nothing is to be heard of it any more."""
        self._user = None
        self.abort()

    # from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other host accepted."""
        if self._user is None:
            transport.close()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        name = transport.get_extra_info("sockname")
        self.source = bracketed(name[0]) if name else "-"
        self._user.connected()

    def data_received(self, data: bytes) -> None:
        """Replies."""
        if self._user is not None:
            self._user.received(data)

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        user, self._user = self._user, None
        if user is not None:
            user.lost(error)

    def pause_writing(self) -> None:
        """The other host reads slowly."""
        self.paused = True

    def resume_writing(self) -> None:
        """It has read on."""
        self.paused = False
        if self._user is not None:
            self._user.writable()

    def tls_started(self, stream: TlsStream) -> None:
        """The handshake is done."""
        if self._user is not None:
            self._user.tls_started(stream)

    def tls_failed(self, reason: str) -> None:
        """There is no TLS, and no connection any more."""
        user, self._user = self._user, None
        if user is not None:
            user.tls_failed(reason)


def _socket(route: Route) -> socket.socket:
    family = socket.AF_INET6 if route.dst.family == "inet6" else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if route.src.address:
            sock.bind((route.src.address, 0))
    except OSError:
        sock.close()
        raise
    return sock


async def _reach(loop: asyncio.AbstractEventLoop, sock: socket.socket, address: tuple[str, int]) -> None:
    """Connect; the loop's own way resolves names, in a thread, even where there is none to resolve."""
    error = sock.connect_ex(address)
    if error == errno.EINPROGRESS:
        writable = asyncio.Event()
        loop.add_writer(sock.fileno(), writable.set)
        try:
            await writable.wait()
        finally:
            loop.remove_writer(sock.fileno())
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
