"""Mail addresses as OpenSMTPD keeps them: a user and a domain, split at the last "@".

Limits are in bytes of UTF-8 (text from outside is decoded with surrogateescape, so bytes survive). Comparing
keeps the case; what is looked up in aliases, tables and users is lower-cased first, ASCII letters only. What
a client may write between angle brackets (source routes, the null path) is the SMTP grammar's, not ours.
"""

from typing import NamedTuple

LOCALPART_MAX = 255
"""Bytes of a local part (RFC 5321 4.5.3.1.1 asks for 64 at least)."""

DOMAINPART_MAX = 255
"""Bytes of a domain (RFC 5321 4.5.3.1.2)."""

TEXT_MAX = 2047
"""Bytes of a text that `parse` looks at."""

LABEL_MAX = 63
"""Bytes of a label of a domain (RFC 1035 2.3.4)."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_DOTTED_ATOMS = frozenset(_LETTERS + "!#$%&'*/?^`{|}~+-=_.")
_DOTTED_LABELS = frozenset(_LETTERS + "_-.")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class MailAddress(NamedTuple):
    """`user` without, `domain` after the last "@"; both empty for the null path of a bounce."""

    user: str
    domain: str

    def __str__(self) -> str:
        """ "user@domain"; "@" for EMPTY, as in the log and the envelope text."""
        return f"{self.user}@{self.domain}"

    @property
    def path(self) -> str:
        """What stands between the angle brackets of MAIL FROM and RCPT TO: "" for EMPTY (RFC 5321 4.5.5)."""
        return f"{self.user}@{self.domain}" if self.domain else self.user

    def lowered(self) -> "MailAddress":
        """Both parts lower-cased, for looking up."""
        return MailAddress(lower(self.user), lower(self.domain))


EMPTY = MailAddress("", "")
"""The sender of a bounce: MAIL FROM:<>."""


def parse(text: str) -> MailAddress:
    """Split at the last "@"; without one, all is the user. Says nothing on whether the parts are valid.

    Raises ValueError when a part is longer than its limit.
    """
    user, at, domain = text.rpartition("@")
    if not at:
        user, domain = domain, ""
    # three bytes a character at most (a surrogate escape is one byte): most texts need no second look
    if len(text) > 85:
        if _size(text) > TEXT_MAX or _size(user) > LOCALPART_MAX or _size(domain) > DOMAINPART_MAX:
            raise ValueError(f"address too long: {text[:40]!r}...")
    return MailAddress(user, domain)


def valid_localpart(text: str) -> bool:
    """A dot-string of ASCII (RFC 5321 4.1.2), with "/" and such as OpenSMTPD allows; no quoted strings."""
    return len(text) <= LOCALPART_MAX and _DOTTED_ATOMS.issuperset(text) and "" not in text.split(".")


def valid_domainpart(text: str) -> bool:
    """A host name without a trailing dot, or an address literal "[192.0.2.1]", "[IPv6:2001:db8::1]"."""
    if text.startswith("["):
        return len(text) <= DOMAINPART_MAX and _valid_literal(text)
    if len(text) > DOMAINPART_MAX or not _DOTTED_LABELS.issuperset(text) or text.startswith("-"):
        return False
    labels = text.split(".")
    return "" not in labels and max(map(len, labels)) <= LABEL_MAX


def lower(text: str) -> str:
    """ASCII letters lower-cased, everything else as it is (C's tolower in the C locale)."""
    return text.lower() if text.isascii() else text.translate(_LOWER)


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _valid_literal(text: str) -> bool:
    if not text.endswith("]") or not text.isascii():
        return False
    inner = text[1:-1]
    if inner[:5].lower() == "ipv6:":
        inner = inner[5:]
    if "%" in inner:  # a scope id means something on one machine only
        return False
    from ipaddress import IPv4Address, IPv6Address  # here: literals are rare, and smtpctl needs none

    try:
        (IPv6Address if ":" in inner else IPv4Address)(inner)
    except ValueError:
        return False
    return True
