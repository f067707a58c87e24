"""The spool read directly, as the daemon's own user or root may: for `show envelope`, `show message`, and for
`show queue` while no daemon runs. Nothing is ever changed here.

Links are not followed: what lies in a spool is not always what its owner put there.
"""

import gzip
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import EnvelopeError, decode
from smtpd.mail.ids import format_evpid, format_msgid, msgid_of
from smtpd.spool.backend import GONE, Failure
from smtpd.spool.layout import CORRUPT, MESSAGE, QUEUE
from smtpd.spool.walk import ENVELOPE_MAX, Damaged, is_msgid, scan

from .failure import Failed

GZIP_MAGIC = b"\x1f\x8b"
ENCRYPTED = b"\x01"
"""First byte of an object of an encrypted queue (OpenSMTPD's crypto.c)."""

PIECE = 65536

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class OfflineError(Failed):
    """The spool or a file of it cannot be read; the text says why."""

    def __init__(self, text: str, status: int = os.EX_NOINPUT) -> None:
        super().__init__(text)
        self.status = status


def envelopes(spool: Path) -> Iterator[Envelope | str]:
    """All queued envelopes by msgid and evpid; a line of text for each that cannot be read. OfflineError."""
    with _queue(spool) as queue:
        for found in scan(queue, ()):
            if isinstance(found, Damaged):
                yield f"message {format_msgid(found.msgid)}: {found.text}"
                continue
            for evpid, data in sorted(found, key=lambda stored: stored.evpid):
                if isinstance(data, Failure):
                    yield f"envelope {format_evpid(evpid)}: {data.text}"
                    continue
                try:
                    yield decode(evpid, _plain(data))
                except (EnvelopeError, OfflineError) as error:
                    yield f"envelope {format_evpid(evpid)}: {error}"


class Checked(NamedTuple):
    """A queued message. `problem`: of the message itself, or ""; `bad`: envelopes that cannot be used."""

    msgid: int
    problem: str
    envelopes: int
    bad: list[tuple[int, str]]


def check(spool: Path) -> Iterator[Checked]:
    """All queued messages, and what is wrong with them. OfflineError."""
    with _queue(spool) as queue:
        for found in scan(queue, ()):
            if isinstance(found, Damaged):
                if _there(found.msgid, queue):  # else it was delivered while it was looked at
                    yield Checked(found.msgid, found.text, 0, [])
                continue
            bad = [(evpid, text) for evpid, data in sorted(found) if (text := _fault(evpid, data))]
            yield Checked(msgid_of(found[0].evpid), "", len(found), bad)


def _fault(evpid: int, data: bytes | Failure) -> str:
    if isinstance(data, Failure):
        return "" if data.kind == GONE else data.text
    try:
        decode(evpid, _plain(data))
    except (EnvelopeError, OfflineError) as error:
        return str(error)
    return ""


def _there(msgid: int, queue: int) -> bool:
    name = format_msgid(msgid)
    return os.access(f"{name[:2]}/{name}", os.F_OK, dir_fd=queue)


def set_aside(spool: Path) -> list[str]:
    """The names in corrupt/, which begin with a msgid. OfflineError."""
    try:
        names = os.listdir(spool / CORRUPT)
    except OSError as error:
        raise OfflineError(f"{spool / CORRUPT}: {error.strerror}") from None
    return sorted(name for name in names if is_msgid(name.partition(".")[0]))


def envelope_text(spool: Path, evpid: int) -> bytes:
    """The text of an envelope. OfflineError."""
    return b"".join(_content(spool, evpid, format_evpid(evpid), f"envelope {format_evpid(evpid)}"))


def message_content(spool: Path, evpid: int) -> Iterator[bytes]:
    """The content of a message, in pieces. OfflineError."""
    return _content(spool, evpid, MESSAGE, f"message {format_msgid(msgid_of(evpid))}")


def _content(spool: Path, evpid: int, name: str, what: str) -> Iterator[bytes]:
    msgid = format_msgid(msgid_of(evpid))
    with _queue(spool) as queue:
        try:
            fd = os.open(f"{msgid[:2]}/{msgid}/{name}", _READ, dir_fd=queue)
        except FileNotFoundError:
            raise OfflineError(f"{what}: not in the queue") from None
        except OSError as error:
            raise OfflineError(f"{what}: {error.strerror}") from None
    with os.fdopen(fd, "rb") as file:
        start = file.peek(2)[:2]
        if start[:1] == ENCRYPTED:
            raise OfflineError(f"{what} is encrypted")
        try:
            with gzip.open(file) if start == GZIP_MAGIC else file as plain:
                while piece := plain.read(PIECE):
                    yield piece
        except (OSError, EOFError) as error:
            raise OfflineError(f"{what}: {error}") from None


def _plain(data: bytes) -> bytes:
    """An envelope's text out of what its file holds."""
    if data.startswith(ENCRYPTED):
        raise OfflineError("is encrypted")
    if data.startswith(GZIP_MAGIC):
        try:
            with gzip.open(io.BytesIO(data)) as file:
                return file.read(ENVELOPE_MAX)
        except (OSError, EOFError) as error:
            raise OfflineError(str(error)) from None
    return data


class _queue:
    """A descriptor of the folder with the queued messages."""

    def __init__(self, spool: Path) -> None:
        path = spool / QUEUE
        try:
            self._fd = os.open(path, _FOLDER)
        except PermissionError:
            raise OfflineError(f"{path}: permission denied (need root privileges)", os.EX_NOPERM) from None
        except OSError as error:
            raise OfflineError(f"{path}: {error.strerror}") from None

    def __enter__(self) -> int:
        return self._fd

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
