"""The values of each service (table(5); OpenSMTPD's table_parse_lookup).

Holds a reader for each service whose value is more than a word: the text of a value in, what it means out, or
ValueError, which whoever asked must take for a temporary failure. The recipients of `alias` are
smtpd.protocol.aliases's, the URLs of `relayhost` smtpd.protocol.relayhost's. Must not look anything up.
"""

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from smtpd.mail.address import MailAddress
from smtpd.mail.address import parse as parse_address

LINE_MAX = 2047
ID_MAX = (1 << 32) - 2


class UserInfo(NamedTuple):
    """A user that mail can be delivered to."""

    username: str
    uid: int
    gid: int
    directory: str


class Credentials(NamedTuple):
    """A user name and a password, which is encrypted where clients log in."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials({self.username!r}, ...)"


def userinfo(key: str, value: str) -> UserInfo:
    """ "uid:gid:directory" of the user `key`; ValueError."""
    uid, first, rest = value.partition(":")
    gid, second, directory = rest.partition(":")
    if not (first and second):
        raise ValueError("not uid:gid:directory")
    return UserInfo(key, _id(uid), _id(gid), directory)


def _id(text: str) -> int:
    # strtonum(3) takes blanks and a sign before the number.
    digits = text.lstrip(" \t\n\v\f\r")
    digits = digits.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 20 or int(digits) > ID_MAX:
        raise ValueError(f"not a user or group id: {text[:20]!r}")
    return int(digits)


def credentials(key: str, value: str) -> Credentials:
    """ "password" of the user `key`, or "user:password"; ValueError."""
    if not 3 <= len(value.encode("utf-8", "surrogateescape")) <= LINE_MAX:
        raise ValueError("credentials are too short or too long")
    if "\0" in value:
        raise ValueError("credentials with a NUL")  # it parts name and password where one logs in (RFC 4616)
    user, colon, password = value.partition(":")
    if not colon:
        return Credentials(key, value)
    if not user or not password:
        raise ValueError("credentials without a user or a password")
    return Credentials(user, password)


def source(value: str) -> str:
    """A numeric IPv4 or IPv6 address, in brackets or not, in its usual form without brackets; a scope stays.
    ValueError."""
    return _address(value)


def addrname(key: str, value: str) -> tuple[str, str]:
    """The address `key` and the host name it has; ValueError."""
    if len(value.encode("utf-8", "surrogateescape")) > 255:
        raise ValueError("host name too long")
    return _address(key), value


def _address(text: str) -> str:
    try:
        return inet_ntop(AF_INET, inet_pton(AF_INET, text))
    except (OSError, ValueError):
        pass
    inner = text.removeprefix("[")
    if inner[:5].lower() == "ipv6:":
        inner = inner[5:]
    address, percent, scope = inner.partition("]")[0].partition("%")
    try:
        shown = inet_ntop(AF_INET6, inet_pton(AF_INET6, address))
    except (OSError, ValueError):
        raise ValueError(f"not an address: {text[:60]!r}") from None
    return shown + percent + scope


def mailaddr(value: str) -> MailAddress:
    """An address, a user or "@domain"; ValueError."""
    return parse_address(value)


def mailaddrmap(value: str) -> list[MailAddress]:
    """Addresses between commas; quotes keep a comma, a backslash keeps any character. ValueError."""
    return [parse_address(word) for part in _split(value) if (word := part.strip(" \t\n\v\f\r"))]


def _split(line: str) -> list[str]:
    if len(line.encode("utf-8", "surrogateescape")) > LINE_MAX:
        raise ValueError("value too long")
    parts: list[str] = []
    part: list[str] = []
    quote = ""
    escaped = False
    for c in line:
        if escaped:
            part.append(c)
            escaped = False
        elif c == "\\":
            escaped = True
        elif c == "," and not quote:
            parts.append("".join(part))
            part = []
        else:
            part.append(c)
            if c in "\"'" and quote in ("", c):
                quote = "" if quote else c
    if escaped or quote:
        raise ValueError("a quote or backslash without its end")
    return [*parts, "".join(part)]
