"""Deliveries to an LMTP server (RFC 2033), as mail.lmtp(8) makes them: one connection, mail after mail.

Blocking, with a bound on every wait. The order of commands is the client core's
(smtpd/protocol/smtp/client.py). A refusal by the server is what it says, temporary or for good; everything
else is temporary.
"""

import encodings.idna  # noqa: F401  (what looking a host up loads, before the user switch)
import os
import socket
from collections import deque
from typing import NamedTuple, cast

from smtpd.mail.status import OK, TEMPFAIL
from smtpd.protocol.smtp.client import Client
from smtpd.protocol.smtp.client_events import Closed, Event, Mail, Rcpt, RcptDone, SendContent, Settings

CONNECT_SECONDS = 30.0
REPLY_SECONDS = 240.0
"""Longest wait for the server: pony gives the whole delivery 300 s."""

HELO = "localhost"
_PORT = 25
_CHUNK = 65536
_LOST = "connection lost"

type Outcome = tuple[str, str]


class Job(NamedTuple):
    """One mail: `sender` and `recipient` without brackets, header lines to go before the content of `fd`."""

    sender: str
    recipient: str
    headers: bytes
    fd: int


def deliver(destination: str, jobs: list[Job]) -> list[Outcome]:
    """Hand the mails over; status and error for each, in order. Raises nothing."""
    try:
        with connect(destination) as server:
            session = _Session(server, jobs)
            return session.run()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return [(TEMPFAIL, f"lmtp: {reason}")] * len(jobs)


def connect(destination: str) -> socket.socket:
    """A connection to a socket's path, or to HOST or [ADDRESS] with or without :PORT. OSError; ValueError."""
    if destination.startswith("/"):
        server = socket.socket(socket.AF_UNIX)
        try:
            server.settimeout(CONNECT_SECONDS)
            server.connect(destination)
        except BaseException:
            server.close()
            raise
        return server
    host, port = parse_destination(destination)
    server = socket.create_connection((host, port), CONNECT_SECONDS)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def parse_destination(text: str) -> tuple[str, int]:
    """Host and port; ValueError."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if host[:5].lower() == "ipv6:":
            host = host[5:]
        if not bracket or rest and not rest.startswith(":"):
            raise ValueError("invalid address syntax")
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
    if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"invalid port: {port[:20]}")
    if not host:
        raise ValueError("no host")
    return host, int(port or _PORT)


class _Session:
    def __init__(self, server: socket.socket, jobs: list[Job]) -> None:
        self._server = server
        self._client = Client(Settings(HELO, lmtp=True, ahead=False))
        self._waiting = deque(enumerate(jobs))
        self._outcomes: list[Outcome] = [(TEMPFAIL, f"lmtp: {_LOST}")] * len(jobs)
        self._closed = False

    def run(self) -> list[Outcome]:
        client = self._client
        try:
            while not self._closed:
                if client.idle:
                    self._handle(self._next())
                self._write()
                if not self._closed and not client.idle:
                    self._server.settimeout(min(client.timeout, REPLY_SECONDS))
                    data = self._server.recv(_CHUNK)
                    self._handle(client.receive(data) if data else client.receive_eof())
        except TimeoutError:
            self._handle(client.lost("the server says nothing"))
        except OSError as error:
            self._handle(client.lost(error.strerror or str(error)))
        return self._outcomes

    def _next(self) -> list[Event]:
        if not self._waiting:
            return self._client.quit()
        number, job = self._waiting.popleft()
        size, eightbit = os.fstat(job.fd).st_size + len(job.headers), not job.headers.isascii()
        eightbit = eightbit or not os.pread(job.fd, _CHUNK, 0).isascii()
        mail = Mail(job.sender, (Rcpt(job.recipient),), size, eightbit, tag=(number, job))
        return self._client.send(mail)

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case SendContent(mail):
                    self._handle(self._content(cast(tuple[int, Job], mail.tag)[1]))
                case RcptDone():
                    number = cast(tuple[int, Job], event.mail.tag)[0]
                    who = "LMTP server error" if event.command else "lmtp"
                    error = f"{who}: {event.status}"
                    self._outcomes[number] = (event.result, "" if event.result == OK else error)
                case Closed(reason):
                    self._closed = True
                    for number, _ in self._waiting:
                        self._outcomes[number] = (TEMPFAIL, f"lmtp: {reason}")
                    self._waiting.clear()

    def _content(self, job: Job) -> list[Event]:
        """All of it, as fast as the server takes it."""
        events = self._client.content(job.headers, False)
        offset = 0
        while chunk := os.pread(job.fd, _CHUNK, offset):
            offset += len(chunk)
            events += self._client.content(chunk, False)
            self._write()
        return events + self._client.content(b"", True)

    def _write(self) -> None:
        if data := self._client.take_output():
            self._server.settimeout(REPLY_SECONDS)
            self._server.sendall(data)
