"""The header section of a message on its way in (RFC 5322 2.1, 2.2), and the form of a date.

What OpenSMTPD does to it, no more: Bcc is dropped, addresses without a domain in To, Cc and From get one,
Received fields are counted, a submitted message without Date or Message-ID gets them. Everything else passes
as it came, octet by octet. Lines end in LF here. No I/O, no clock, and nothing is known of MIME or of the
body.
"""

import re

LOOP = "loop"
MALFORMED = "malformed"

MAX_HOPS = 100
"""Received fields from which on a message goes in circles (RFC 5321 6.3)."""

NAME_MAX = 1023
"""Octets of a field's name."""

ADDRESSES_MAX = 65536
"""Octets of one address field, folded lines together."""

COMPLETED_MAX = 32768
"""Octets of address fields that are looked at closely, in one message: what comes behind them passes as it
is.
"""

# kinds of fields, by what is done to them
_PLAIN, _DROPPED, _ADDRESSES, _TRACE, _DATE, _MESSAGE_ID = range(6)
_KINDS = {
    b"bcc": _DROPPED,
    b"to": _ADDRESSES,
    b"cc": _ADDRESSES,
    b"from": _ADDRESSES,
    b"received": _TRACE,
    b"date": _DATE,
    b"message-id": _MESSAGE_ID,
}
_WHITE = (b" ", b"\t")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|\\.|[ \t\n]+|[^ \t\n"\\(),:;<>@]+|.', re.DOTALL)
_COMMENT_MARK = re.compile(rb"\\.|[()]", re.DOTALL)
_QUOTED = re.compile(rb'"[^"\\]*"')

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class HeaderSection:
    """Passes a message on, changed where that must be.

    `domain`: completes addresses. `missing`: lines for the header's end, by the name (lower case) of the
    field that makes them unnecessary. `problem`: "" or LOOP or MALFORMED; nothing comes out after it. `done`:
    the header is over, the caller may pass the rest by.
    """

    __slots__ = (
        "_field",
        "_hops",
        "_kind",
        "_length",
        "_looked_at",
        "_missing",
        "_partial",
        "done",
        "domain",
        "problem",
    )

    def __init__(self, domain: bytes, missing: dict[bytes, bytes]) -> None:
        self.domain = domain
        self.done = False
        self.problem = ""
        self._missing = missing
        self._partial = b""
        self._kind = -1
        self._field: list[bytes] = []
        self._length = 0
        self._looked_at = 0
        self._hops = 0

    def feed(self, data: bytes) -> bytes:
        """What goes into the file for `data`. A line not whole yet is kept until it is."""
        if self._partial:
            data = self._partial + data
            self._partial = b""
        if data[:1] == b"\n":
            end = 0
        else:
            end = data.find(b"\n\n") + 1
            if not end:
                end = data.rfind(b"\n") + 1
                if not end:
                    self._partial = data
                    return b""
                section, self._partial = data[:end], data[end:]
                return self._lines(section)
        self.done = True
        head = self._lines(data[:end]) + self._end()
        return b"" if self.problem else head + data[end:]

    def finish(self) -> bytes:
        """The message ended within its header: the rest of it."""
        self.done = True
        return b"" if self.problem else self._end()

    def _lines(self, section: bytes) -> bytes:
        """Whole lines of the header."""
        out: list[bytes] = []
        kind = self._kind
        for line in section.split(b"\n")[:-1]:
            if line[:1] in _WHITE:
                if kind == _ADDRESSES:
                    self._field.append(line)
                    self._length += len(line) + 1
                    if self._length > ADDRESSES_MAX:
                        self.problem = MALFORMED
                        return b""
                elif kind < 0:
                    self.problem = MALFORMED
                    return b""
                elif kind != _DROPPED:
                    out.append(line)
                continue
            if kind == _ADDRESSES:
                out.append(self._addresses())
            name, colon, _ = line.partition(b":")
            if not colon or len(name) > NAME_MAX:
                self.problem = MALFORMED
                return b""
            name = name.lower()
            kind = _KINDS.get(name, _PLAIN)
            if kind == _PLAIN:
                out.append(line)
            elif kind == _ADDRESSES:
                self._field.append(line)
                self._length = len(line)
            elif kind != _DROPPED:
                out.append(line)
                if kind == _TRACE:
                    self._hops += 1
                    if self._hops >= MAX_HOPS:
                        self.problem = LOOP
                        return b""
                elif name in self._missing:
                    del self._missing[name]
        self._kind = kind
        if not out:
            return b""
        out.append(b"")
        return b"\n".join(out)

    def _end(self) -> bytes:
        """The lines that close the header."""
        head = self._addresses() + b"\n" if self._kind == _ADDRESSES else b""
        self._kind = _PLAIN
        return head + b"".join(self._missing.values()) if self._missing else head

    def _addresses(self) -> bytes:
        """The address field that has been collected, completed."""
        field = self._field[0] if len(self._field) == 1 else b"\n".join(self._field)
        self._field.clear()
        if field.count(b"@") == 1 and field.count(b",") == 0:
            return field  # one address, and it has a domain
        name, _, value = field.partition(b":")
        if all_have_domains(value):
            return field
        self._looked_at += len(value)
        if self._looked_at > COMPLETED_MAX:
            return field
        return name + b":" + append_domain(value, self.domain)


def all_have_domains(value: bytes) -> bool:
    """A quick look: True only if `append_domain` would change nothing."""
    if b'"' in value:
        value = _QUOTED.sub(b"word", value)
    if b'"' in value or b"(" in value or b"\\" in value:
        return False
    return all(b"@" in mailbox or not mailbox.strip() for mailbox in value.split(b","))


def append_domain(value: bytes, domain: bytes) -> bytes:
    """An address list in which each mailbox without a domain got "@domain"; groups are left alone.

    A mailbox in which quotes, comments or brackets do not close is left alone too.
    """
    out: list[bytes] = []
    written = 0
    position = 0
    word = -1  # end of the last word, where the domain would go; -1: there is none
    leave = bracket = bracketed = group = False
    value += b","  # closes the last mailbox, and is taken off again
    while position < len(value):
        mark = value[position : position + 1]
        end = _comment_end(value, position) if mark == b"(" else _end_of_token(value, position)
        match mark:
            case b"(" | b" " | b"\t" | b"\n":
                pass
            case b",":
                if word >= 0 and not (leave or bracket or group):
                    out += (value[written:word], b"@", domain)
                    written = word
                word = -1
                leave = bracket = bracketed = False
            case b"@":
                leave = True
            case b":" if not bracket:
                group = True
            case b";":
                group, leave = False, True
            case b"<" if not bracketed:
                bracket = bracketed = True
                word = -1
            case b">" if bracket:
                bracket = False
            case b'"' if end == position + 1:  # it is never closed: what follows cannot be told apart
                break
            case _ if bracket or not bracketed:
                word = end
        position = end
    out.append(value[written:])
    return b"".join(out)[:-1]


def _end_of_token(value: bytes, position: int) -> int:
    token = _TOKEN.match(value, position)
    return token.end() if token else position + 1


def _comment_end(value: bytes, position: int) -> int:
    """Behind the comment that begins at position; behind everything when it does not end."""
    depth = 0
    for mark in _COMMENT_MARK.finditer(value, position):
        depth += (mark[0] == b"(") - (mark[0] == b")")
        if not depth:
            return mark.end()
    return len(value)


def date_text(when: tuple[int, int, int, int, int, int, int], offset: int, zone: str) -> str:
    """A date as OpenSMTPD writes it in headers: `Fri, 1 Mar 2024 08:05:09 +0100 (CET)` (RFC 5322 3.3).

    `when`: year, month, day, hour, minute, second and day of the week (Monday is 0), all of local time, the
    first seven of a time.struct_time. `offset`: seconds east of Greenwich.
    """
    year, month, day, hour, minute, second, weekday = when
    sign = "-" if offset < 0 else "+"
    minutes = abs(offset) // 60
    return (
        f"{_DAYS[weekday]}, {day} {_MONTHS[month - 1]} {year} {hour:02d}:{minute:02d}:{second:02d} "
        f"{sign}{minutes // 60:02d}{minutes % 60:02d} ({zone})"
    )
