"""The control socket from smtpctl's side: a request, its rows, its end. Blocking, one request at a time."""

import contextlib
import os
import select
import socket
import sys
from collections.abc import Generator
from typing import Any

from imsg import Catalogue, Channel, ChannelClosed, FrameError, MessageError
from smtpd.messages import client_control
from smtpd.messages.client_control import ClientDone, ClientOpenSession, ServerHello, SessionRow
from smtpd.messages.client_digest import DIGEST

from .failure import Failed

HELLO_SECONDS = 10.0

_NOT_THERE = (FileNotFoundError, ConnectionRefusedError, NotADirectoryError)


class ControlError(Failed):
    """A request could not be made or was not done; the text says why."""


class NotRunning(ControlError):
    """Nobody listens at the socket."""


class NoPermission(ControlError):
    """The socket cannot be opened by this user."""

    status = os.EX_NOPERM


class Incompatible(ControlError):
    """At the other end is another version, or no smtpd at all."""

    status = os.EX_PROTOCOL


class Refused(ControlError):
    """The daemon did not do it. `number`: how many rows or envelopes there were until then."""

    status = 1

    def __init__(self, reason: str, number: int) -> None:
        super().__init__(reason)
        self.number = number


class Client:
    """A connection to the daemon. Close it, or use it in a `with` statement."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Connect and shake hands. NotRunning, NoPermission, Incompatible."""
        self.path = os.fspath(path)
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(self.path)
        except _NOT_THERE as error:
            end.close()
            raise NotRunning(f"smtpd doesn't seem to be running ({path}: {error.strerror})") from None
        except PermissionError:
            end.close()
            raise NoPermission(f"{path}: permission denied") from None
        except OSError as error:
            end.close()
            raise NotRunning(f"{path}: {error.strerror or error}") from None
        self._catalogue = Catalogue((client_control,))
        self._channel = Channel(end, self._catalogue)
        self._received: list[tuple[Any, int | None]] = []
        try:
            hello = self._next(HELLO_SECONDS)[0]
        except ControlError:
            self.close()
            raise
        if not isinstance(hello, ServerHello) or hello.digest != DIGEST:
            version = hello.version if isinstance(hello, ServerHello) else "?"
            self.close()
            raise Incompatible(f"incompatible smtpctl and smtpd: that one is version {version}")
        self.version = hello.version

    def rows(self, request: Any) -> Generator[Any, None, int]:
        """Send a request, yield its rows; returns the number its end says. ControlError."""
        rows = self.rows_with_descriptors(request)
        while True:
            try:
                row, fd = next(rows)
            except StopIteration as end:
                return int(end.value)
            if fd is not None:
                os.close(fd)
            yield row

    def rows_with_descriptors(self, request: Any) -> Generator[tuple[Any, int | None], None, int]:
        """As `rows`, each with the descriptor that came along, which the caller owns."""
        peerid = self._send(request)
        while True:
            reply, fd = self._next(None)
            if reply[0] != peerid:
                if fd is not None:
                    os.close(fd)
                raise Incompatible("the daemon answers what was not asked")
            if isinstance(reply, ClientDone):
                _reqid, error, number = reply
                if error:
                    raise Refused(error, number)
                return number
            yield reply, fd

    def ask(self, request: Any) -> int:
        """A request without rows; the number its end says. ControlError."""
        rows = self.rows(request)
        while True:
            try:
                next(rows)
            except StopIteration as end:
                return int(end.value)

    def begin(self, request: Any) -> None:
        """Send a request whose rows are taken with `poll`."""
        self._send(request)

    def poll(self, seconds: float) -> tuple[Any, int | None] | None:
        """The next message and its descriptor, the end of the request included; None if none came within so
        many seconds. ControlError."""
        if not self._received and select.select([self._channel], [], [], seconds)[0]:
            self._read()
        return self._received.pop() if self._received else None

    def open_session(self) -> socket.socket:
        """An SMTP session with the daemon in the caller's name; the daemon speaks first. ControlError."""
        with contextlib.ExitStack() as opened:
            sessions: list[socket.socket] = []
            for row, fd in self.rows_with_descriptors(ClientOpenSession()):
                if fd is not None:
                    sessions.append(opened.enter_context(socket.socket(fileno=fd)))
                if not isinstance(row, SessionRow):
                    raise Incompatible("the daemon answers what was not asked")
            if len(sessions) != 1:
                raise Incompatible("the daemon has opened a session and not said where")
            opened.pop_all()
        return sessions[0]

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
        for _message, fd in self._received:
            if fd is not None:
                os.close(fd)
        self._received.clear()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, request: Any) -> int:
        """The id under which it goes."""
        if type(request) not in self._catalogue.by_class:
            # Its rows are declared beside it.
            self._catalogue.add((sys.modules[type(request).__module__],))
        peerid = self._channel.put(request)
        with contextlib.suppress(ChannelClosed, OSError):  # why it went away is said by what it sent before
            while not self._channel.flush():
                select.select([], [self._channel], [])
        return peerid

    def _next(self, seconds: float | None) -> tuple[Any, int | None]:
        """The next message, and the descriptor that came along."""
        while not self._received:
            if not select.select([self._channel], [], [], seconds)[0]:
                raise NotRunning(f"{self.path}: no answer within {seconds:.0f} s")
            self._read()
        return self._received.pop()

    def _read(self) -> None:
        """Read once."""
        try:
            received = self._channel.receive()
        except ChannelClosed:
            raise NotRunning("smtpd has closed the connection") from None
        except (FrameError, MessageError) as error:
            raise Incompatible(f"{self.path}: not an smtpd of this version ({error})") from None
        except OSError as error:
            raise NotRunning(f"{self.path}: {error.strerror}") from None
        self._received = [(message, fd) for _number, message, _peerid, fd in reversed(received)]
