"""aliases(5) and forward(5): what one line of recipients means. Text in, nodes out.

A line holds recipients between commas; quotes keep a comma, a backslash keeps any character (so "\\user" is
"user"). What the nodes lead to is for lookup to find out.
"""

import re
from typing import NamedTuple

from smtpd.mail.address import MailAddress

LINE_MAX = 2047
"""Bytes of a line that are read."""

ADDRESS = "address"
USERNAME = "username"
FILENAME = "filename"
FILTER = "filter"
INCLUDE = "include"
ERROR = "error"

_USER_MAX = 255
_USERNAME = re.compile(r"[A-Za-z0-9_.+-]+", re.ASCII)
_LOCALPART = re.compile(r"[A-Za-z0-9!#$%*/?|^{}`~&'+=_.-]+", re.ASCII)
_DOMAIN = re.compile(r"[A-Za-z0-9.-]+", re.ASCII)
_ERROR = re.compile(r"[45][0-9][0-9] [A-Za-z0-9]", re.ASCII)
_INCLUDE_PREFIX = re.compile(r":?include:", re.IGNORECASE)
_ERROR_PREFIX = re.compile(r":?error:", re.IGNORECASE)


class AliasError(ValueError):
    """A line that is none of aliases(5)."""


class Recipient(NamedTuple):
    """`kind`: one of the words above; `text`: as written, without prefix; `address`: of an address."""

    kind: str
    text: str
    address: MailAddress = MailAddress("", "")


def parse_line(line: str) -> list[Recipient]:
    """The recipients of a line, in order; AliasError when one of them is none."""
    if len(line.encode("utf-8", "surrogateescape")) > LINE_MAX:
        raise AliasError("line too long")
    return [parse_recipient(word) for part in _split(line) if (word := part.strip())]


def parse_recipient(word: str) -> Recipient:
    """What one word is: error, include, command, file, address or user, tried in this order; AliasError."""
    if (prefix := _ERROR_PREFIX.match(word)) and _ERROR.match(word, prefix.end()):
        return Recipient(ERROR, word[prefix.end() :])
    if (prefix := _INCLUDE_PREFIX.match(word)) and word.startswith("/", prefix.end()):
        return Recipient(INCLUDE, word[prefix.end() :])
    if word.startswith("|"):
        return Recipient(FILTER, word[1:])
    if word.startswith('"|') and len(word) > 2 and word.endswith('"'):
        return Recipient(FILTER, word[2:-1])
    if word.startswith("/"):
        return Recipient(FILENAME, word)
    user, at, domain = word.partition("@")
    if at:
        if _LOCALPART.fullmatch(user) and _DOMAIN.fullmatch(domain):
            if max(len(user), len(domain)) <= _USER_MAX:
                return Recipient(ADDRESS, word, MailAddress(user, domain))
    elif _USERNAME.fullmatch(word) and len(word) <= _USER_MAX:
        return Recipient(USERNAME, word)
    raise AliasError(f"not a recipient: {word[:80]!r}")


def _split(line: str) -> list[str]:
    """The parts of a line between commas that are neither quoted nor escaped."""
    parts: list[str] = []
    part: list[str] = []
    quote = ""
    escaped = False
    for char in line:
        if escaped:
            part.append(char)
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == "," and not quote:
            parts.append("".join(part))
            part = []
        else:
            part.append(char)
            if char in "\"'":
                if not quote:
                    quote = char
                elif quote == char:
                    quote = ""
    if escaped or quote:
        raise AliasError("a quote or backslash without its end")
    parts.append("".join(part))
    return parts
