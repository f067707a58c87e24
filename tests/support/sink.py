"""An SMTP server for tests: takes what comes, remembers it whole, and answers as it was told to."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable
from typing import NamedTuple


class Taken(NamedTuple):
    """One message as it arrived. `content` has CRLF line ends and no dot-stuffing."""

    connection: int
    sender: str
    rcpts: tuple[str, ...]
    content: bytes


class Sink:
    """Listens on 127.0.0.1:`port` from the start; `answers` maps a verb ("RCPT", ".") to a reply line.

    `listener`: a listening socket to use instead.

    An answer that is a function gets the command line and returns the reply line, or "" for the usual one.
    LHLO makes it LMTP: "." is then answered for each recipient, with its address in place of the line.
    """

    def __init__(
        self,
        answers: dict[str, str | Callable[[str], str]] | None = None,
        port: int = 0,
        *,
        listener: socket.socket | None = None,
    ) -> None:
        self.answers = answers or {}
        self.taken: list[Taken] = []
        self.connections = 0
        self.greeting_delay = 0.0
        self._changed = threading.Condition()
        sink = self

        class Session(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self) -> None:
                try:
                    sink._serve(self)
                except OSError:
                    return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 100

        self._server = Server(("127.0.0.1", port), Session, bind_and_activate=listener is None)
        if listener is not None:
            self._server.socket.close()
            self._server.socket = listener
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; sessions that are open end with their peer."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, count: int, seconds: float = 20) -> list[Taken]:
        """The messages, once there are `count`; AssertionError after `seconds`."""
        until = time.monotonic() + seconds
        with self._changed:
            while len(self.taken) < count:
                assert self._changed.wait(until - time.monotonic()), f"{len(self.taken)} of {count} arrived"
            return list(self.taken)

    def _answer(self, verb: str, line: str, usual: str) -> str:
        told = self.answers.get(verb, "")
        said = told if isinstance(told, str) else told(line)
        return said or usual

    def _serve(self, session: socketserver.StreamRequestHandler) -> None:
        with self._changed:
            self.connections += 1
            number = self.connections
        time.sleep(self.greeting_delay)

        def say(text: str) -> None:
            session.wfile.write(text.encode() + b"\r\n")

        if not self._begin(session):
            return
        greeting = self._answer("CONNECT", "", "220 sink.test ESMTP")
        say(greeting)
        if not greeting.startswith("2"):
            return
        sender = ""
        rcpts: list[str] = []
        lmtp = False
        while raw := session.rfile.readline():
            line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
            verb = line.split(" ")[0].split(":")[0].upper()
            match verb:
                case "EHLO" | "LHLO":
                    lmtp = verb == "LHLO"
                    words = ["sink.test", "PIPELINING", "8BITMIME", *self._extensions(session)]
                    usual = "".join(f"250-{word}\r\n" for word in words) + "250 ENHANCEDSTATUSCODES"
                    say(self._answer(verb, line, usual))
                case "HELO":
                    say(self._answer(verb, line, "250 sink.test"))
                case "MAIL":
                    reply = self._answer(verb, line, "250 2.1.0 Ok")
                    if reply.startswith("2"):
                        sender, rcpts = line.partition("<")[2].partition(">")[0], []
                    say(reply)
                case "RCPT":
                    reply = self._answer(verb, line, "250 2.1.5 Ok")
                    if reply.startswith("2"):
                        rcpts.append(line.partition("<")[2].partition(">")[0])
                    say(reply)
                case "DATA":
                    reply = self._answer(verb, line, "354 Go on" if rcpts else "503 5.5.1 No recipients")
                    say(reply)
                    if reply.startswith("3"):
                        content = self._content(session)
                        if content is None:
                            return
                        asked = [(rcpt, (rcpt,)) for rcpt in rcpts] if lmtp else [(line, tuple(rcpts))]
                        for about, whom in asked:
                            reply = self._answer(".", about, "250 2.0.0 Ok")
                            if reply.startswith("2"):
                                with self._changed:
                                    self.taken.append(Taken(number, sender, whom, content))
                                    self._changed.notify_all()
                            say(reply)
                case "RSET" | "NOOP":
                    sender, rcpts = "", []
                    say(self._answer(verb, line, "250 2.0.0 Ok"))
                case "QUIT":
                    say(self._answer(verb, line, "221 2.0.0 Bye"))
                    return
                case _:
                    if not self._other(session, verb, line):
                        return

    # for those who know more of it (tls_sink.py)

    def _begin(self, session: socketserver.StreamRequestHandler) -> bool:
        """Before the greeting. False ends the session."""
        return True

    def _extensions(self, session: socketserver.StreamRequestHandler) -> list[str]:
        """What it says to EHLO beside the usual."""
        return []

    def _other(self, session: socketserver.StreamRequestHandler, verb: str, line: str) -> bool:
        """Any other command, answered. False ends the session."""
        session.wfile.write(self._answer(verb, line, "502 5.5.2 What?").encode() + b"\r\n")
        return True

    def _content(self, session: socketserver.StreamRequestHandler) -> bytes | None:
        """All up to the dot; None when the connection ended before it."""
        lines: list[bytes] = []
        while raw := session.rfile.readline():
            if raw == b".\r\n":
                return b"".join(lines)
            lines.append(raw[1:] if raw.startswith(b".") else raw)
        return None
