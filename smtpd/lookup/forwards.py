"""~/.forward and :include: files (forward(5), aliases(5)).

A .forward is opened by parent, which checks its owner and mode; an included file is read with lookup's own
rights.
"""

import os
import stat
from typing import TYPE_CHECKING

from smtpd.messages.parent_lookup import OpenForward
from smtpd.mproc.log import Log
from smtpd.protocol.aliases import AliasError, Recipient, parse_line

from .expansion import ForwardRefused, UserInfo
from .rules import TableTempfail

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

FORWARD_MAX = 4096
"""Bytes of a .forward; a larger one is a temporary failure, as a half-written one would be."""

FORWARD_RECIPIENTS_MAX = 100
INCLUDE_MAX = 1 << 20


class ForwardFiles:
    """Asks parent for .forward files."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def read(self, user: UserInfo, msgid: int = 0) -> list[Recipient] | None:
        """See expansion.Forwards."""
        parent = self._process.peer("parent")
        reply, fd = await parent.call(OpenForward(user.username, user.uid, user.directory, msgid))
        if fd is None:
            if reply is not None and reply.status == "none":
                return None
            if reply is not None and reply.status == "permfail":
                raise ForwardRefused(user.username)
            raise TableTempfail(f".forward of {user.username}")
        try:
            data = os.read(fd, FORWARD_MAX + 1)  # of a regular file: all that there is
        except OSError as error:
            raise TableTempfail(f".forward of {user.username}: {error.strerror}") from None
        finally:
            os.close(fd)
        if len(data) >= FORWARD_MAX:
            self._process.log.info(f"info: .forward of {user.username} is larger than {FORWARD_MAX} bytes")
            raise TableTempfail(f".forward of {user.username}")
        try:
            found = parse_recipients(data)
        except AliasError as error:
            self._process.log.info(f"info: .forward of {user.username}: {error}")
            raise TableTempfail(f".forward of {user.username}") from None
        if len(found) > FORWARD_RECIPIENTS_MAX:
            self._process.log.info(f"info: .forward of {user.username} names too many recipients")
            raise TableTempfail(f".forward of {user.username}")
        return found


class IncludeFiles:
    """Reads included files."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def read(self, path: str) -> list[Recipient]:
        """See expansion.Includes."""
        try:
            data = _read_regular(path)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            self._log.warn(f"include file {path}: {error}")
            return []
        found: list[Recipient] = []
        for line in _lines(data):
            try:
                found += parse_line(line)
            except AliasError as error:  # one bad line does not cost a list its other members
                self._log.warn(f"include file {path}: {error}")
        return found


def _read_regular(path: str) -> bytes:
    """The content of a file; OSError for what would be waited for (a pipe, a terminal) or is too large."""
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("no regular file")
        data = file.read(INCLUDE_MAX + 1)
    if len(data) > INCLUDE_MAX:
        raise OSError(f"larger than {INCLUDE_MAX} bytes")
    return data


def parse_recipients(data: bytes) -> list[Recipient]:
    """The recipients of a file. AliasError."""
    return [recipient for line in _lines(data) for recipient in parse_line(line)]


def _lines(data: bytes) -> list[str]:
    """The lines of a file without "#" comments; a backslash at the end of one joins it with the next."""
    text = data.decode("utf-8", "surrogateescape").replace("\\\n", "")
    return [line.partition("#")[0].strip() for line in text.split("\n")]
