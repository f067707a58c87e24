"""Format specifiers of delivery commands and maildir paths, `%{rcpt.user:lowercase|strip}` (smtpd.conf(5)).

Pure text work for parent, which runs commands, and for pony, which names maildirs.  What comes from a mail's
addresses is made harmless for a shell here, and nowhere else: expand_format is the only way from a mail to a
command line.
"""

import re
from typing import NamedTuple

from smtpd.mail.address import MailAddress

MAX_TOKEN = 127
"""Bytes between the braces."""

MAX_RESULT = 8191
"""Bytes of an expanded text; OpenSMTPD gives up at 1024."""

_OFFSET_MAX = 1024

# OpenSMTPD's MAILADDR_ESCAPE, and what else a shell minds: no valid address holds those, a spool file might.
_ESCAPED = bytes.maketrans(
    b"!#$%&'*?`{|}~" + b'"\\;<>() ' + bytes(range(0x20)) + b"\x7f",
    b":" * (13 + 8 + 0x20 + 1),
)
_NAMED_FILE = re.compile(r"/\S*/mail\.mboxfile -f %\{mbox\.from\} (?P<path>/.*)", re.DOTALL)
_OFFSETS = re.compile(r"(-?[0-9]{1,9})?(?:(:)(-?[0-9]{1,9})?)?")


class FormatError(ValueError):
    """A text that cannot be expanded; says why."""


class FormatValues(NamedTuple):
    """What specifiers stand for.  `mda` is the command that a wrapper wraps, None elsewhere."""

    sender: MailAddress
    rcpt: MailAddress
    dest: MailAddress
    username: str
    directory: str
    mda: str | None = None


def expand_format(text: str, values: FormatValues, delimiter: str = "+", limit: int = MAX_RESULT) -> str:
    """`text` with every %{...} replaced, `%%` as `%`, and a leading `~/` as the user's directory.

    `delimiter` begins a subaddress, for the modifier `strip`.  Raises FormatError.
    """
    source = _bytes(text)
    out = []
    place = 0
    if source.startswith(b"~/"):
        out.append(_bytes(values.directory) + b"/")
        place = 2
    while (percent := source.find(b"%", place)) >= 0:
        out.append(source[place:percent])
        following = source[percent + 1 : percent + 2]
        if following == b"{":
            end = source.find(b"}", percent + 2)
            if end < 0:
                raise FormatError("a specifier is not closed")
            token = source[percent + 2 : end]
            if len(token) > MAX_TOKEN:
                raise FormatError("a specifier is too long")
            out.append(_expand(token, values, _bytes(delimiter[:1])))
            place = end + 1
        else:
            out.append(b"%")
            place = percent + (2 if following == b"%" else 1)
    out.append(source[place:])
    result = b"".join(out)
    if len(result) > limit:
        raise FormatError("too long when expanded")
    if b"\0" in result:
        raise FormatError("holds a NUL")
    return result.decode("utf-8", "surrogateescape")


def named_file(command: str) -> str:
    """The file that an alias or a .forward names, "" when it is a command.

    OpenSMTPD writes such a file into the envelope as a command line, with its own program's place.
    """
    match = _NAMED_FILE.fullmatch(command)
    return match["path"] if match else ""


def _expand(token: bytes, values: FormatValues, delimiter: bytes) -> bytes:
    """One token: name[first:last]:modifier|modifier."""
    name, first, last, modifiers = _parse(token.decode("utf-8", "surrogateescape"))
    value, trusted = _value(name.lower(), values)
    raw = False
    for modifier in modifiers:
        if modifier == "lowercase":
            value = value.lower()  # of bytes: ASCII letters only
        elif modifier == "uppercase":
            value = value.upper()
        elif modifier == "strip":
            value = _strip(value, delimiter)
        elif modifier == "raw":
            raw = True
        else:
            raise FormatError(f"unknown modifier {modifier!r}")
    if not raw and not trusted:
        value = value.translate(_ESCAPED)
    return _slice(value, first, last)


def _parse(token: str) -> tuple[str, int, int, list[str]]:
    left, right = token.find("["), token.find("]")
    first, last = 0, _OFFSET_MAX
    if left >= 0 and right >= 0:
        found = _OFFSETS.fullmatch(token[left + 1 : right]) if right - left > 1 else None
        if found is None:
            raise FormatError(f"bad offsets in {token!r}")
        first = int(found[1] or 0)
        last = int(found[3] or _OFFSET_MAX) if found[2] else first
        if max(abs(first), abs(last)) > _OFFSET_MAX:
            raise FormatError(f"bad offsets in {token!r}")
        name, rest = token[:left], token[right + 1 :]
        if rest and not rest.startswith(":"):
            raise FormatError(f"cannot read {token!r}")
        modifiers = rest[1:]
    else:
        name, _, modifiers = token.partition(":")
        rest = token[len(name) :]
    return name, first, last, modifiers.lower().split("|") if rest else []


def _value(name: str, values: FormatValues) -> tuple[bytes, bool]:
    """What a name stands for, and whether it is the machine's own word rather than a mail's."""
    what, _, part = name.partition(".")
    if what in ("sender", "rcpt", "dest"):
        address: MailAddress = getattr(values, what)
        if name == what:
            return (b"" if address == ("", "") else _bytes(f"{address.user}@{address.domain}")), False
        if part in ("user", "domain"):
            return _bytes(getattr(address, part)), False
    elif name == "user.username":
        return _bytes(values.username), False
    elif name == "user.directory":
        return _bytes(values.directory), True
    elif name == "mda" and values.mda is not None:
        return _bytes(values.mda), True
    elif name == "mbox.from":
        sender = values.sender
        return (b"MAILER-DAEMON" if sender == ("", "") else _bytes(f"{sender.user}@{sender.domain}")), False
    raise FormatError(f"unknown specifier {name!r}")


def _strip(value: bytes, delimiter: bytes) -> bytes:
    """Without the subaddress: gilles+hackers@example.org is gilles@example.org."""
    before, found, after = value.partition(delimiter) if delimiter else (value, b"", b"")
    if not found:
        return value
    at = after.find(b"@")
    return before + after[at:] if at >= 0 else before


def _slice(value: bytes, first: int, last: int) -> bytes:
    """OpenSMTPD's offsets: both inclusive, negative ones from the end (of `last` the byte before it)."""
    size = len(value)
    if not size:
        return b""
    if first >= size:
        raise FormatError("an offset is beyond the end")
    last = min(last, size - 1)
    if first < 0:
        first += size
    if last < 0:
        last += size - 1
    if first < 0 or last < first:
        raise FormatError("offsets out of order")
    return value[first : last + 1]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
