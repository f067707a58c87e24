"""A message as sendmail(8) gets it on standard input, made into one to submit.

As OpenSMTPD's sendmail: a "From " line, Return-Path and Bcc are dropped, From and Date are added when they
are missing, a message without any header field gets an empty line in front, and one with lines too long for
SMTP is encoded (RFC 2045 6.7) unless it says how it is encoded. Message-ID is the daemon's to add. No I/O but
the files given.
"""

import binascii
from collections.abc import Iterator
from typing import IO

LINE_SPLIT = 990
"""Octets from which on a line is too long to be sent as it is (RFC 5321 4.5.3.1.6)."""

HEADER_MOST = 1 << 20
"""Octets of a header section; what has a longer one is no message."""

_ADDRESSES = (b"to", b"cc", b"bcc")
_ENCODED = (
    (b"mime-version", b"MIME-Version: 1.0"),
    (b"content-type", b"Content-Type: text/plain; charset=unknown-8bit"),
    (b"content-disposition", b"Content-Disposition: inline"),
    (b"content-transfer-encoding", b"Content-Transfer-Encoding: quoted-printable"),
)


_SPECIAL = frozenset('()<>[]:;@\\,."') | {chr(number) for number in range(32)}


class BadMessage(ValueError):
    """The message cannot be sent; the text says why."""


class Composition:
    """One message. `recipients`: of To, Cc and Bcc; `author`: the address of From, or ""; `octets`: its size,
    but for what is added to it.
    """

    def __init__(self, source: IO[bytes], body: IO[bytes]) -> None:
        """Read `source` to its end; `body` is an empty file for the body. BadMessage."""
        self.recipients: list[str] = []
        self.author = ""
        self.eightbit = False
        self.octets = 0
        self._body = body
        self._fields: list[bytes] = []
        self._seen: set[bytes] = set()
        self._long_lines = False
        self._read(source)

    def lines(self, sender: str, fullname: str) -> Iterator[bytes]:
        """The content, in pieces that end in LF. `sender`, `fullname`: for a From that is missing."""
        fields = list(self._fields)
        if b"from" not in self._seen:
            name = f"{_phrase(fullname)} " if fullname else ""
            fields.append(f"From: {name}<{sender}>".encode("utf-8", "surrogateescape"))
        if b"date" not in self._seen:
            from email.utils import formatdate  # here: mail that has a date does not wait for it

            fields.append(f"Date: {formatdate(localtime=True)}".encode())
        encoded = self._long_lines and b"content-transfer-encoding" not in self._seen
        if encoded:
            fields += [line for name, line in _ENCODED if name not in self._seen]
        for field in fields:
            yield field + b"\n"
        yield b"\n"
        self._body.seek(0)
        for line in self._body:
            yield binascii.b2a_qp(line.rstrip(b"\n"), istext=True) + b"\n" if encoded else line

    def _read(self, source: IO[bytes]) -> None:
        size = 0
        begun = False
        for raw in source:
            line = _unix_line(raw)
            size += len(line)
            if size > HEADER_MOST:
                raise BadMessage("the header section is too long")
            if line == b"\n":
                break
            if not begun and line.startswith(b"From "):
                continue  # of an mbox
            if line[:1] in (b" ", b"\t") and self._fields:
                self._fields[-1] += b"\n" + line.rstrip(b"\n")
            elif _is_field(line):
                self._fields.append(line.rstrip(b"\n"))
            else:
                self._write(line)  # no header at all, or it has ended without an empty line
                break
            begun = True
        for raw in source:
            self._write(_unix_line(raw))
        self._fields = [field for field in self._fields if self._keep(field)]
        self.octets += sum(len(field) + 1 for field in self._fields)

    def _write(self, line: bytes) -> None:
        if len(line) >= LINE_SPLIT:
            self._long_lines = True
        if not self.eightbit and not line.isascii():
            self.eightbit = True
        self.octets += len(line)
        self._body.write(line)

    def _keep(self, field: bytes) -> bool:
        """Note what a field says; whether it stays."""
        name, _, value = field.partition(b":")
        name = name.rstrip().lower()
        self._seen.add(name)
        if name == b"from" and not self.author:
            self.author = next(iter(addresses(value)), "")
        if name in _ADDRESSES:
            self.recipients += addresses(value)
        if not field.isascii():
            self.eightbit = True
        if any(len(line) >= LINE_SPLIT for line in field.split(b"\n")):
            raise BadMessage(f"the field {name.decode('ascii', 'replace')} has a line that is too long")
        return name not in (b"bcc", b"return-path")


def _phrase(name: str) -> str:
    """A display name, quoted if it has to be (RFC 5322 3.2.5)."""
    name = " ".join(name.split())
    if _SPECIAL.isdisjoint(name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unix_line(line: bytes) -> bytes:
    """Ended by LF, whatever it was ended by."""
    if line.endswith(b"\r\n"):
        return line[:-2] + b"\n"
    return line if line.endswith(b"\n") else line + b"\n"


def _is_field(line: bytes) -> bool:
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t")
    return bool(colon and name) and all(33 <= byte <= 126 for byte in name)


def addresses(value: bytes) -> list[str]:
    """The addresses in a field's value (RFC 5322 3.4): without names, comments and groups. BadMessage."""
    text = value.decode("utf-8", "surrogateescape")
    found: list[str] = []
    kept: list[str] = []
    comments = 0
    quoted = escaped = complete = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\" and (quoted or comments):
            escaped = True
        elif char == '"' and not comments:
            quoted = not quoted
        elif char == "(" and not quoted:
            comments += 1
        elif char == ")" and comments and not quoted:
            comments -= 1
            continue
        elif not quoted and not comments:
            if char in ",;":
                if kept:
                    found.append("".join(kept))
                kept, complete = [], False
                continue
            if char in "<:":  # what came before was a name
                kept = []
                continue
            if char == ">":
                complete = True
            if char in " \t\n":
                continue
        if not comments and not complete:
            kept.append(char)
    if quoted or comments:
        raise BadMessage(f"syntax error in address: {text.strip()[:80]}")
    if kept:
        found.append("".join(kept))
    return found
