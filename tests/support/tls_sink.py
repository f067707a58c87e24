"""An SMTP server for tests that speaks TLS and lets clients log in, kindly or not."""

import base64
import socket
import socketserver
import ssl
from collections.abc import Callable

from sink import Sink


class TlsSink(Sink):
    """With `tls` it offers STARTTLS, or with `smtps` speaks TLS from the first byte. Under TLS, AUTH with
    `methods` lets in `users` (name -> password).

    `inject`: written in the clear behind the reply to STARTTLS, in the same segment. `hang`: the handshake
    never ends. `secured`: the certificates of those who came under TLS, `faults`: of handshakes, `logins`:
    that were tried. `commands`: all command lines, "TLS" where a handshake was done.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None,
        answers: dict[str, str | Callable[[str], str]] | None = None,
        port: int = 0,
        *,
        smtps: bool = False,
        users: dict[str, str] | None = None,
        methods: str = "PLAIN LOGIN",
        inject: bytes = b"",
        hang: bool = False,
        listener: socket.socket | None = None,
    ) -> None:
        self.tls = tls
        self.smtps = smtps
        self.users = users or {}
        self.methods = methods
        self.inject = inject
        self.hang = hang
        self.logins: list[tuple[str, str]] = []
        self.secured: list[object] = []
        self.faults: list[str] = []
        self.commands: list[str] = []
        self.raw = b""  # what came in place of a handshake
        super().__init__(answers, port, listener=listener)

    def _serve(self, session: socketserver.StreamRequestHandler) -> None:
        try:
            super()._serve(session)
        finally:
            session.connection.close()  # the one under TLS, of which the server knows nothing

    def _answer(self, verb: str, line: str, usual: str) -> str:
        if verb not in ("CONNECT", "."):
            self.commands.append(line)
        return super()._answer(verb, line, usual)

    def _begin(self, session: socketserver.StreamRequestHandler) -> bool:
        return not self.smtps or self._secure(session)

    def _extensions(self, session: socketserver.StreamRequestHandler) -> list[str]:
        secure = isinstance(session.connection, ssl.SSLSocket)
        words = ["STARTTLS"] if self.tls is not None and not secure else []
        return [*words, f"AUTH {self.methods}"] if self.users and secure else words

    def _other(self, session: socketserver.StreamRequestHandler, verb: str, line: str) -> bool:
        if verb == "STARTTLS" and self.tls is not None:
            reply = self._answer(verb, line, "220 2.0.0 Go on")
            session.wfile.write(reply.encode() + b"\r\n" + self.inject)
            return not reply.startswith("2") or self._secure(session)
        if verb == "AUTH" and self.users:
            reply = self._answer(verb, line, "") or self._log_in(session, line)
            session.wfile.write(reply.encode() + b"\r\n")
            return True
        return super()._other(session, verb, line)

    def _secure(self, session: socketserver.StreamRequestHandler) -> bool:
        """Go on under TLS; False when there is none."""
        assert self.tls is not None
        if self.hang:
            while data := session.connection.recv(4096):
                self.raw += data
            return False
        try:
            secured = self.tls.wrap_socket(session.connection, server_side=True)
        except OSError as error:  # SSLError is one
            self.faults.append(str(error))
            return False
        self.secured.append(secured.getpeercert())
        self.commands.append("TLS")
        session.connection = session.request = secured
        session.rfile = secured.makefile("rb", -1)
        session.wfile = secured.makefile("wb", 0)
        return True

    def _log_in(self, session: socketserver.StreamRequestHandler, line: str) -> str:
        _, method, *initial = line.split(" ")

        def ask(prompt: str) -> str:
            session.wfile.write(b"334 " + base64.b64encode(prompt.encode()) + b"\r\n")
            return session.rfile.readline().decode().strip()

        if method == "PLAIN":
            given = initial[0] if initial else ask("")
            _, user, password = base64.b64decode(given).decode().split("\0")
        else:
            user = base64.b64decode(ask("Username:")).decode()
            given = ask("Password:")
            password = base64.b64decode(given).decode()
        self.logins.append((user, password))
        if self.users.get(user) == password:
            return "235 2.7.0 Welcome"
        # as unkind as a server can be: it repeats what it was told
        return f"535 5.7.8 No: {line} {given} {password}"
