"""The terms of an SPF record (RFC 7208 4.6, 5, 6): text in, values out. Nothing is looked up or judged here.

Macros (RFC 7208 7) are left as they are: they depend on a mail, and there is none.
"""

from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

VERSION = "v=spf1"
TERMS_MAX = 512
"""Terms of a record that are looked at."""

QUALIFIERS = "+-~?"


class Term(NamedTuple):
    """A mechanism, or a modifier (`qualifier` is "" then).

    `name`: in lower case; `value`: what follows ":" or "=", without a prefix length; "" for none. `prefix4`,
    `prefix6`: prefix lengths, -1 where none is given.
    """

    qualifier: str
    name: str
    value: str
    prefix4: int = -1
    prefix6: int = -1


def is_spf(text: str) -> bool:
    """Whether a TXT record is one of SPF (RFC 7208 4.5)."""
    return text[: len(VERSION)].lower() == VERSION and text[len(VERSION) : len(VERSION) + 1] in ("", " ")


def parse(text: str) -> list[Term]:
    """The terms of a record, in order; those that are none are left out. [] if it is no SPF record."""
    if not is_spf(text):
        return []
    found = (parse_term(word) for word in text.split(" ")[1 : TERMS_MAX + 1] if word)
    return [term for term in found if term is not None]


def parse_term(word: str) -> Term | None:
    """One term, or None."""
    qualifier = "+"
    if word[0] in QUALIFIERS:
        qualifier, word = word[0], word[1:]
    end = next((i for i, char in enumerate(word) if char in ":=/"), len(word))
    name, separator, value = word[:end].lower(), word[end : end + 1], word[end + 1 :]
    if not name:
        return None
    if separator == "=":
        return Term("", name, value)
    if name in ("ip4", "ip6"):
        return _network(qualifier, name, value)
    if separator == "/":
        value = "/" + value
    value, slash, rest = value.partition("/")
    if not slash:
        return Term(qualifier, name, value)
    four, _, six = rest.partition("/")  # "/24", "/24//64", "//64"
    six = six.removeprefix("/")
    prefix4, prefix6 = _prefix(four, 32), _prefix(six, 128)
    if prefix4 is None or prefix6 is None:
        return None
    return Term(qualifier, name, value, prefix4, prefix6)


def _network(qualifier: str, name: str, value: str) -> Term | None:
    """ip4:192.0.2.0/24 or ip6:2001:db8::/32; what has host bits is the network they are in."""
    try:
        network = (IPv4Network if name == "ip4" else IPv6Network)(value, strict=False)
    except ValueError:
        return None
    address, _, length = str(network).partition("/")
    if "/" not in value:
        return Term(qualifier, name, value.lower())
    prefix = int(length)
    return Term(qualifier, name, address, *((prefix, -1) if name == "ip4" else (-1, prefix)))


def _prefix(text: str, most: int) -> int | None:
    """-1 for none; None for what is no prefix length."""
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= most):
        return None
    return int(text)
