"""Handing a message to the running daemon: an SMTP session of the caller's, asked for at the control socket.

The dialogue is that of smtpd/protocol/smtp/client.py. Nothing here decides what is in the message.
"""

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from smtpd.mail.status import OK, TEMPFAIL
from smtpd.protocol.smtp.client import Client as SmtpClient
from smtpd.protocol.smtp.client_events import (
    Closed,
    Event,
    Mail,
    MailDone,
    Rcpt,
    RcptDone,
    Ready,
    SendContent,
    Settings,
)

from .client import Client, ControlError, NotRunning, Refused
from .output import printable
from .places import Places

ANSWER_SECONDS = 600.0
"""How long the daemon may take for a reply (RFC 5321 4.5.3.2.6)."""

BUSY = "too many sessions"
"""How the daemon's refusal begins when it is worth another try."""

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between the tries."""

PIECE = 65536


class SubmissionError(Exception):
    """The message could not be handed over; the text says why. `status`: exit status (sysexits.h)."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class Verdict(NamedTuple):
    """What the daemon said to a recipient. `later`: it may take the message another time.

    `command`: the one whose reply decided, "" if none did.
    """

    address: str
    ok: bool
    later: bool
    status: str
    command: str = ""


def connect(places: Places) -> socket.socket:
    """A session with the daemon. NotRunning; SubmissionError when it is there and does not want one."""
    for pause in (*PAUSES, None):
        try:
            with Client(places.socket) as client:
                session = client.open_session()
        except NotRunning:
            raise
        except Refused as error:
            reason = str(error)
        except ControlError as error:
            raise SubmissionError(str(error), error.status) from None
        else:
            session.settimeout(ANSWER_SECONDS)
            return session
        if pause is None or not reason.startswith(BUSY):
            break
        time.sleep(pause)
    raise SubmissionError(f"smtpd takes no message now: {reason}", os.EX_TEMPFAIL)


class Dialogue:
    """One message over one connection. `verbose`: show the dialogue on standard output; `whole`: when one
    recipient is refused no other gets the message either.
    """

    def __init__(self, connection: socket.socket, *, verbose: bool = False, whole: bool = False) -> None:
        self._connection = connection
        self._verbose = verbose
        self._whole = whole
        self._client = SmtpClient(Settings(helo="localhost"))
        self._verdicts: list[Verdict] = []
        self._in_content = False

    def submit(self, mail: Mail, content: Iterator[bytes]) -> list[Verdict]:
        """What became of each recipient, in the order of `mail`."""
        self._turn(self._read(), mail, content)
        while not self._client.closed:
            self._turn(self._read(), mail, content)
        return sorted(self._verdicts, key=lambda verdict: _place(mail.rcpts, verdict.address))

    def _read(self) -> Sequence[Event]:
        """What the daemon says next."""
        try:
            data = self._connection.recv(PIECE)
        except TimeoutError:
            return self._client.timed_out()
        except OSError as error:
            return self._client.lost(error.strerror or str(error))
        self._show("<<<", data)
        return self._client.receive(data) if data else self._client.receive_eof()

    def _turn(self, events: Sequence[Event], mail: Mail, content: Iterator[bytes]) -> None:
        waiting = list(events)
        while waiting:
            event = waiting.pop(0)
            match event:
                case Ready():
                    waiting += self._client.send(mail)
                case SendContent() if self._whole and self._verdicts:
                    waiting += self._client.lost("another recipient was refused")
                case SendContent():
                    waiting += self._send_content(content)
                case RcptDone():
                    address = mail.rcpts[event.rcpt].address
                    result = event.result
                    self._verdicts.append(
                        Verdict(address, result == OK, result == TEMPFAIL, event.status, event.command)
                    )
                case MailDone():
                    if self._client.idle:
                        waiting += self._client.quit()
                case Closed(reason, _):
                    self._undecided(mail, reason)
        self._write()

    def _send_content(self, content: Iterator[bytes]) -> list[Event]:
        self._write()
        self._in_content = True
        events: list[Event] = []
        for piece in _pieces(content):
            events += self._client.content(piece, last=False)
            self._write()
        events += self._client.content(b"", last=True)
        self._write()
        self._in_content = False
        return events

    def _undecided(self, mail: Mail, reason: str) -> None:
        """The connection ended: who was not judged until then may be tried again."""
        judged = {verdict.address for verdict in self._verdicts}
        for rcpt in mail.rcpts:
            if rcpt.address not in judged:
                self._verdicts.append(Verdict(rcpt.address, False, True, reason))

    def _write(self) -> None:
        data = self._client.take_output()
        if not data:
            return
        if not self._in_content:
            self._show(">>>", data)
        try:
            self._connection.sendall(data)
        except OSError as error:
            self._client.lost(error.strerror or str(error))

    def _show(self, arrow: str, data: bytes) -> None:
        if self._verbose:
            with contextlib.suppress(OSError):  # a mail does not depend on who looks on
                for line in data.decode("utf-8", "surrogateescape").splitlines():
                    print(arrow, printable(line))


def _pieces(content: Iterator[bytes]) -> Iterator[bytes]:
    """The same octets in fewer pieces."""
    waiting: list[bytes] = []
    size = 0
    for each in content:
        waiting.append(each)
        size += len(each)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _place(rcpts: Sequence[Rcpt], address: str) -> int:
    return next(i for i, rcpt in enumerate(rcpts) if rcpt.address == address)
