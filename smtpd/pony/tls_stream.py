"""TLS over a stream of bytes, without any I/O: what the other side sent goes in, what it is to get comes out.

For either side of a connection (RFC 8446, RFC 5246), under OpenSSL's state machine.  Names, keys and what is
asked of the other side's certificate are the context's.  This module must not know of sockets or SMTP.
"""

import hashlib
import ssl

READ_SIZE = 65536


class TlsError(Exception):
    """The handshake or the stream is broken; the text says why, in one line and without a secret."""


class TlsStream:
    """One TLS connection. `started`: the handshake is done. `ended`: the other side has said that it writes
    no more.

    Whatever is called, take_output() afterwards; also after a TlsError: there may be an alert to send.
    """

    __slots__ = ("_incoming", "_object", "_outgoing", "ended", "started")

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool = False, server_name: str | None = None
    ) -> None:
        """`server_name`: of a client, the host it means to speak to: told to it (SNI, unless it is an
        address), and looked for in its certificate if the context wants that. TlsError for what is no name.
        """
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.started = False
        self.ended = False
        try:
            name = server_name.removesuffix(".") if server_name else None
            self._object = context.wrap_bio(self._incoming, self._outgoing, server_side, name)
        except ValueError as error:  # UnicodeError is one
            raise TlsError(f"not a host name: {error}") from None

    def begin(self) -> None:
        """Have a client's first message in the output."""
        self._handshake()

    def receive(self, data: bytes) -> bytes:
        """Bytes from the other side; what they hold for the one above, b"" while there is nothing yet.

        TlsError: the connection is of no use any more.
        """
        self._incoming.write(data)
        if not self.started and not self._handshake():
            return b""
        read: list[bytes] = []
        try:
            while chunk := self._object.read(READ_SIZE):
                read.append(chunk)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise TlsError(reason(error)) from None
        return read[0] if len(read) == 1 else b"".join(read)

    def write(self, data: bytes) -> None:
        """Protect data of the one above; it goes out in order. TlsError."""
        view = memoryview(data)
        try:
            while view:
                view = view[self._object.write(view) :]
        except ssl.SSLError as error:
            raise TlsError(reason(error)) from None

    def close(self) -> None:
        """Say that we write no more."""
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # it waits for the other side's word, which is not waited for here; or is broken anyway

    def take_output(self) -> bytes:
        """What is to be written to the other side now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def _handshake(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise TlsError(reason(error)) from None
        self.started = True
        return True

    # what was agreed on

    def __str__(self) -> str:
        """Version, cipher and bits, as OpenSMTPD's log has them: `TLSv1.3:TLS_AES_256_GCM_SHA384:256`."""
        cipher = self._object.cipher()
        return f"{self._object.version()}:{cipher[0]}:{cipher[2]}" if cipher is not None else "none"

    @property
    def fingerprint(self) -> str:
        """Of the other side's certificate, `SHA256:` and 64 hex digits; "" if it has shown none."""
        certificate = self._object.getpeercert(True)
        return f"SHA256:{hashlib.sha256(certificate).hexdigest()}" if certificate else ""


def reason(error: ssl.SSLError) -> str:
    """What went wrong, in OpenSSL's words, without its numbers and file names."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLEOFError):
        return "connection closed during the handshake"
    return (error.reason or str(error)).replace("_", " ").lower()
