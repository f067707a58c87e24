"""TLS between a transport of the loop and a protocol above it: a connection that is there goes on under TLS.

It is the transport's protocol from then on, and the transport of the one above.  What was read in the clear
before is the business of whoever decides to begin (RFC 3207 5); nothing of it gets in here.  Must not know of
SMTP.
"""

import asyncio
from typing import Any, Protocol

from .tls_stream import TlsError, TlsStream

BACKLOG_MAX = 1 << 20
"""Bytes that the other side may leave unread, before what it makes us answer is taken for an attack."""


class TlsUser(Protocol):
    """The protocol above: an asyncio.Protocol that learns of the handshake's end as well."""

    def tls_started(self, stream: TlsStream) -> None:
        """The handshake is done: data may be written, and will come."""

    def tls_failed(self, reason: str) -> None:
        """There was no end to the handshake but this: the connection is closed."""

    def data_received(self, data: bytes) -> None:
        """As asyncio.Protocol's, as are the others."""

    def connection_lost(self, error: Exception | None) -> None: ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...


class TlsTransport(asyncio.Protocol):
    """`above` hears of the end once, by tls_failed or connection_lost, and of nothing after it."""

    def __init__(self, transport: asyncio.Transport, stream: TlsStream, above: TlsUser) -> None:
        self._transport = transport
        self._stream = stream
        self._above: TlsUser | None = above

    def start(self) -> None:
        """Take the transport over; a client sends its first message. tls_failed() may come at once."""
        self._transport.set_protocol(self)
        try:
            self._stream.begin()
        except TlsError as error:
            self._fail(error)
        self._flush()

    # for the one above

    def write(self, data: bytes) -> None:
        """As a transport's."""
        if self._above is None:
            return
        try:
            self._stream.write(data)
        except TlsError as error:
            self._fail(error)
        self._flush()

    def close(self) -> None:
        """Write out what is left, say that it was all, close."""
        if self._stream.started:
            self._stream.close()
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def detach(self) -> None:
        """Close at once, and tell nobody."""
        self._above = None
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport says."""
        return self._transport.get_extra_info(name, default)

    # from the transport below

    def data_received(self, data: bytes) -> None:
        """What TLS made of the above's data, or of a handshake."""
        stream = self._stream
        above = self._above
        if above is None:
            return
        fresh = not stream.started
        try:
            data = stream.receive(data)
        except TlsError as error:
            self._flush()  # the alert
            self._fail(error)
            return
        answered = self._flush()
        if fresh and stream.started:
            above.tls_started(stream)
        if data and self._above is not None:
            above.data_received(data)
        if stream.ended and self._above is not None:
            self.close()
        elif answered and self._transport.get_write_buffer_size() > BACKLOG_MAX:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        above, self._above = self._above, None
        if above is None:
            return
        if self._stream.started:
            above.connection_lost(error)
        else:
            reason = getattr(error, "strerror", None) or "connection closed during the handshake"
            above.tls_failed(reason)

    def pause_writing(self) -> None:
        """The other side reads slowly."""
        if self._above is not None:
            self._above.pause_writing()

    def resume_writing(self) -> None:
        """It has read on."""
        if self._above is not None:
            self._above.resume_writing()

    def _flush(self) -> bool:
        """Send what TLS has for the other side: was there anything?"""
        data = self._stream.take_output()
        if data and not self._transport.is_closing():
            self._transport.write(data)
        return bool(data)

    def _fail(self, error: TlsError) -> None:
        above, self._above = self._above, None
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # who does not read need not hear why
        else:
            self._transport.close()
        if above is None:
            return
        if self._stream.started:
            above.connection_lost(error)
        else:
            above.tls_failed(str(error))
