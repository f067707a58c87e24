"""Delivery status notifications: messages that tell a sender what became of a mail (RFC 3464, RFC 3461 6).

`notification` makes the text, a few lines at a time, with line feeds only, as messages lie in the spool:
what a person reads, what a program reads (message/delivery-status), and the original's header or the whole
original. One notification is about one message and one kind of result, for any number of recipients.

Time, boundary and the original's bytes are arguments; nothing is read, sent or decided here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

from smtpd.mail.envelope import DELAYED, DELIVERED, FAILED, RET_FULL, Envelope
from smtpd.mail.status import esc_code

RETURN_MAX = 4 * 1024 * 1024
"""Bytes of an original that is returned whole; of a longer one only the header goes back (RFC 3461 4.3)."""

HEADER_MAX = 256 * 1024
"""Bytes of a header that are returned."""

RELAYED = "relayed"
"""The action of a recipient whose mail went on to a host that sends no notifications (RFC 3464 2.3.3)."""

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_REPLY = re.compile(r"[245]\d\d(?:[ -]|$)", re.ASCII)
_XTEXT = re.compile(r"\+([0-9A-F]{2})", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LINE = 76

_WHAT = {
    FAILED: "Your message could not be delivered to the recipients below.",
    DELAYED: "Your message has been waiting for more than {delay} to go to the recipients below.",
    DELIVERED: "Your message has been delivered to the recipients below.",
    RELAYED: "Your message has been passed on to the mail servers of the recipients below.\n"
    "    They will not say whether it was delivered.",
}
_WAITS = (
    "This is a warning, nothing is lost yet. Delivery will be tried for {ttl} in all.\n"
    "    There is no need to send the message again."
)


class Notice(NamedTuple):
    """What a notification is about.

    `kind`: "failed", "delayed", "delivered" or "relayed". `id`: the new message's msgid; `smtpname`: our
    name; `to`: the sender of the original, as "user@domain". `envid`: of MAIL FROM, still in xtext. `full`:
    return the whole original. `now`, `arrived`: Unix seconds; `zone`: seconds east of UTC. `delay`, `ttl`:
    seconds, for "delayed". `boundary`: occurs nowhere in the original; `unique`: the left side of the
    Message-ID.
    """

    kind: str
    id: int
    smtpname: str
    to: str
    now: int
    boundary: str
    unique: str
    arrived: int = 0
    zone: int = 0
    envid: str = ""
    full: bool = False
    delay: int = 0
    ttl: int = 0


def returns_full(kind: str, dsn_ret: str, size: int) -> bool:
    """Whether a whole original of `size` bytes goes back: after a failure, with RET=FULL, if not too long."""
    return kind == FAILED and dsn_ret == RET_FULL and size <= RETURN_MAX


def notification(
    notice: Notice, recipients: Sequence[Envelope], original: Iterable[bytes]
) -> Iterator[bytes]:
    """The text of a notification in pieces. `recipients`: an envelope each; `original`: LF-ended lines."""
    boundary = notice.boundary
    yield _bytes(
        f"Received: by {notice.smtpname} with local\n"
        f"\tid {notice.id:08x};\n"
        f"\t{date(notice.now, notice.zone)}\n"
        f"Subject: Delivery status notification: {notice.kind}\n"
        f"From: Mailer Daemon <MAILER-DAEMON@{notice.smtpname}>\n"
        f"To: {notice.to}\n"
        f"Date: {date(notice.now, notice.zone)}\n"
        f"Message-ID: <{notice.unique}@{notice.smtpname}>\n"
        "Auto-Submitted: auto-replied\n"
        "MIME-Version: 1.0\n"
        "Content-Type: multipart/report; report-type=delivery-status;\n"
        f'\tboundary="{boundary}"\n'
        "Content-Transfer-Encoding: 8bit\n"
        "\n"
        "This is a delivery status notification in MIME format.\n"
        "\n"
        f"--{boundary}\n"
        "Content-Description: Notification\n"
        "Content-Type: text/plain; charset=utf-8\n"
        "Content-Transfer-Encoding: 8bit\n"
        "\n"
        "    Hi!\n"
        "\n"
        f"    This is the mail system at {notice.smtpname}; nobody reads replies to this message.\n"
        "\n"
        f"    {_WHAT[notice.kind].format(delay=duration(notice.delay))}\n"
        "\n"
    )
    for one in recipients:
        yield _bytes(f"{one.dest}: {_reason(one)}\n")
    yield b"\n"
    if notice.kind == DELAYED:
        yield _bytes(f"    {_WAITS.format(ttl=duration(notice.ttl))}\n\n")
    what = "A copy of your message" if notice.full else "The header of your message"
    yield _bytes(
        f"    {what} follows the report.\n"
        "\n"
        f"--{boundary}\n"
        "Content-Description: Delivery Report\n"
        "Content-Type: message/delivery-status\n"
        "\n"
    )
    yield _bytes(_fields(_message_fields(notice)))
    for one in recipients:
        yield _bytes("\n" + _fields(_recipient_fields(notice, one)))
    yield _bytes(
        f"\n--{boundary}\n"
        f"Content-Description: {'Message' if notice.full else 'Message headers'}\n"
        f"Content-Type: {'message/rfc822' if notice.full else 'text/rfc822-headers'}\n"
        "Content-Transfer-Encoding: 8bit\n"
        "\n"
    )
    last = b"\n"
    for piece in original if notice.full else _header(original):
        if piece:
            last = piece[-1:]
            yield piece
    yield _bytes(f"\n--{boundary}--\n" if last == b"\n" else f"\n\n--{boundary}--\n")


# RFC 3464 2.2


def _message_fields(notice: Notice) -> Iterator[tuple[str, str]]:
    if notice.envid:
        yield "Original-Envelope-Id", unxtext(notice.envid)
    yield "Reporting-MTA", f"dns; {notice.smtpname}"
    if notice.arrived:
        yield "Arrival-Date", date(notice.arrived, notice.zone)


# RFC 3464 2.3


def _recipient_fields(notice: Notice, one: Envelope) -> Iterator[tuple[str, str]]:
    if one.dsn_orcpt:
        kind, semicolon, address = one.dsn_orcpt.partition(";")
        if not semicolon:  # an envelope of OpenSMTPD 6.8
            kind, address = "rfc822", kind
        yield "Original-Recipient", f"{kind}; {unxtext(address)}"
    yield "Final-Recipient", f"rfc822; {one.dest}"
    yield "Action", notice.kind
    yield "Status", esc_code(one.esc_class, one.esc_code)
    reason = _reason(one)
    if _REPLY.match(reason):
        yield "Diagnostic-Code", f"smtp; {reason}"
    if one.last_try:
        yield "Last-Attempt-Date", date(one.last_try, notice.zone)
    if notice.kind == DELAYED and notice.arrived and notice.ttl:
        yield "Will-Retry-Until", date(notice.arrived + notice.ttl, notice.zone)


def _fields(fields: Iterable[tuple[str, str]]) -> str:
    return "".join(_fold(f"{name}: {_printable(text)}") for name, text in fields)


def _fold(line: str) -> str:
    """The field on lines of at most 76 characters, as far as its blanks allow (RFC 5322 2.2.3)."""
    lines = []
    while len(line) > _LINE:
        cut = line.rfind(" ", 1, _LINE)
        if cut < 1 or not line[:cut].strip():
            cut = line.find(" ", _LINE)
        if cut < 0:
            break
        lines.append(line[:cut])
        line = line[cut:]
    lines.append(line)
    return "\n".join(lines) + "\n"


def _reason(one: Envelope) -> str:
    """The error line without the code of replies that we made up ourselves (1yz, 6yz)."""
    line = one.errorline
    if len(line) > 4 and line[0] in "16" and line[1:3].isdigit():
        line = line[4:]
    return _printable(line) or esc_code(one.esc_class, one.esc_code)


def _printable(text: str) -> str:
    return " ".join(text.split()) if text.isprintable() else " ".join(_CONTROL.sub(" ", text).split())


def _header(original: Iterable[bytes]) -> Iterator[bytes]:
    """The pieces up to the empty line that ends the header, at most HEADER_MAX bytes."""
    left = HEADER_MAX
    tail = b"\n"  # an original that begins with an empty line has no header
    for piece in original:
        end = (tail + piece).find(b"\n\n")
        if end >= 0:
            yield piece[:end][:left]
            return
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            return
        tail = piece[-1:] or tail


def _bytes(text: str) -> bytes:
    """UTF-8; bytes that were none in the first place become question marks."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


# small forms


def unxtext(text: str) -> str:
    """What xtext stands for (RFC 3461 4); only its printable ASCII is undone, the rest stays as it is."""

    def undo(match: re.Match[str]) -> str:
        code = int(match[1], 16)
        return chr(code) if 32 <= code < 127 else match[0]

    return _XTEXT.sub(undo, text)


def date(seconds: int, zone: int = 0) -> str:
    """A Unix time as in a Date field, such as "Sat, 22 Nov 2025 12:36:00 +0000" (RFC 5322 3.3)."""
    try:
        when = datetime.fromtimestamp(seconds, timezone(timedelta(seconds=zone)))
    except (ValueError, OverflowError, OSError):
        when = datetime.fromtimestamp(0, UTC)
    sign = "-" if zone < 0 else "+"
    return (
        f"{_DAYS[when.weekday()]}, {when.day} {_MONTHS[when.month - 1]} {when.year:04d} "
        f"{when.hour:02d}:{when.minute:02d}:{when.second:02d} "
        f"{sign}{abs(zone) // 3600:02d}{abs(zone) % 3600 // 60:02d}"
    )


def duration(seconds: int) -> str:
    """A time span in its largest whole unit: "4 hours", "1 day"."""
    count, unit = seconds, "second"
    for name, size in (("minute", 60), ("hour", 3600), ("day", 86400)):
        if seconds >= size:
            count, unit = seconds // size, name
    return f"{count} {unit}{'' if count == 1 else 's'}"
