"""Finding a key in a table by the rules of a service (table(5); OpenSMTPD's table.c for what it leaves open).

Holds an index for each kind of match, made when a service is first asked for. Whatever the number of entries,
a look-up is a few hash look-ups; for networks a search in sorted ranges (never more than 33 or 129 steps),
for regular expressions one walk of an automaton. Must not know where entries come from.

domain    the name, or a pattern: "*" stands for what is before the first place where the character after it
          stands ("*.example.org" is one label deep), at the end of a pattern for one character at least
netaddr   the text itself, or an address in a network; IPv6 in brackets or not, the prefix length within them
mailaddr  "user@domain", "@domain" (domains as above), "user" at any domain, "@" all; an entry whose user has
          no subaddress stands for its user with any
regex     expressions, found anywhere
others    the key itself
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, MutableSequence
from socket import AF_INET6, inet_pton
from typing import NamedTuple, Protocol

from smtpd.mail.address import lower
from smtpd.protocol.ere import compile_all
from smtpd.tables.entries import Entries, Entry

__all__ = ["Entry", "Index", "make_index", "parse_network", "wildcard"]


class Index(Protocol):
    """The entries of a table, ready for one service."""

    def find(self, key: str) -> Entry | None:
        """An entry that matches a key in lower case, or None."""


class Patterns:
    """The entries whose keys have a wildcard elsewhere than in a first label that is "*"."""

    def __init__(self, entries: Iterable[Entry], domain: Callable[[str], str]) -> None:
        self._patterns: list[tuple[re.Pattern[str], Entry]] = []
        for entry in entries:
            pattern = domain(entry[0])
            if "*" in pattern and (not pattern.startswith("*.") or "*" in pattern[1:]):
                self._patterns.append((wildcard(pattern), entry))

    def matching(self, name: str) -> Iterable[Entry]:
        """The entries whose pattern matches a domain name."""
        return [entry for pattern, entry in self._patterns if pattern.fullmatch(name)]


def wildcard(pattern: str) -> re.Pattern[str]:
    """A pattern of a domain as a regular expression, one that cannot take long."""
    parts = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char != "*":
            parts.append(re.escape(char))
            continue
        while position < len(pattern) and pattern[position] == "*":
            position += 1
        if position == len(pattern):
            parts.append(".+")
        else:
            parts.append(f"[^{re.escape(pattern[position])}]*+")
    return re.compile("".join(parts), re.DOTALL)


def _below(domain: str) -> str:
    """The pattern "*.x" that matches a name "a.x"; "" for a name without a dot."""
    _, dot, rest = domain.partition(".")
    return f"*.{rest}" if dot else ""


class DomainIndex:
    """domain."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._patterns = Patterns(entries, str)

    def find(self, key: str) -> Entry | None:
        """See Index."""
        if (entry := self._entries.find(key)) is not None:
            return entry
        if (below := _below(key)) and (entry := self._entries.find(below)) is not None:
            return entry
        return next(iter(self._patterns.matching(key)), None)


class NetaddrIndex:
    """netaddr. Of several networks that hold an address, the smallest is found."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        found: dict[int, list[tuple[int, int, int]]] = {4: [], 6: []}
        for number, (key, _) in enumerate(entries):
            network = parse_network(key)
            if network is not None:
                found[network[0]].append((network[1], -network[2], number))
        self._ranges = {4: _ranges(found[4], array("I"), 32), 6: _ranges(found[6], [], 128)}

    def find(self, key: str) -> Entry | None:
        """See Index."""
        if (entry := self._entries.find(key)) is not None:
            return entry
        address = parse_network(key)
        if address is None or address.first != address.last:
            return None
        firsts, numbers = self._ranges[address.version]
        at = bisect_right(firsts, address.first) - 1
        return None if at < 0 or numbers[at] < 0 else self._entries.at(numbers[at])


def _ranges(
    networks: list[tuple[int, int, int]], firsts: MutableSequence[int], bits: int
) -> tuple[MutableSequence[int], array[int]]:
    """Networks (first, -last, number) as the addresses at which another one of them is the smallest, and the
    number of that one, -1 for none."""
    numbers = array("i")

    def begin(first: int, number: int) -> None:
        if firsts and firsts[-1] == first:
            numbers[-1] = number
        elif first < 1 << bits:
            firsts.append(first)
            numbers.append(number)

    inside: list[tuple[int, int]] = []
    for first, last, number in [*sorted(networks), (1 << bits, -(1 << bits), -1)]:
        while inside and inside[-1][0] < first:
            end, _ = inside.pop()
            begin(end + 1, inside[-1][1] if inside else -1)
        begin(first, number)
        inside.append((-last, number))
    return firsts, numbers


class Network(NamedTuple):
    """Addresses of IP version 4 or 6, from the first to the last as numbers."""

    version: int
    first: int
    last: int


_V4_PARTS = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3}){0,3})(?:/([0-9]{1,2}))?", re.ASCII)


def parse_network(text: str) -> Network | None:
    """An address or network as OpenSMTPD's text_to_netaddr reads it; host bits are dropped, None is neither.

    IPv4 may leave octets out ("10/8", "192.168/16", "10" by its class); IPv6 stands in brackets or not, its
    prefix length before the closing one (after it is taken too), "IPv6:" may come first.
    """
    text = _without_prefix(text)
    match = _V4_PARTS.fullmatch(text)
    if match is not None:
        return _v4_network(match[1].split("."), match[2])
    if text.startswith("["):
        inner, bracket, rest = _without_prefix(text[1:]).partition("]")
        if not bracket or (rest and (not rest.startswith("/") or "/" in inner)):
            return None
        text = inner + rest
    address, slash, bits = text.partition("/")
    if slash and not (bits.isascii() and bits.isdigit() and len(bits) <= 3 and int(bits) <= 128):
        return None
    try:
        number = int.from_bytes(inet_pton(AF_INET6, address))
    except (OSError, ValueError):
        return None
    return _network(6, number, 128 - int(bits or "128"))


def _network(version: int, number: int, host_bits: int) -> Network:
    first = number >> host_bits << host_bits
    return Network(version, first, first + (1 << host_bits) - 1)


def _v4_network(octets: list[str], bits: str | None) -> Network | None:
    """inet_net_pton(3): the prefix length is that of the class or of the octets where there is none."""
    number = 0
    for octet in octets:
        part = int(octet)
        if part > 255:
            return None
        number = number << 8 | part
    number <<= 32 - 8 * len(octets)
    if bits is not None:
        length = int(bits)
        if length > 32:
            return None
    elif len(octets) == 4:
        length = 32
    else:
        first = number >> 24
        length = (
            32 if first >= 240 else 8 if first >= 224 else 24 if first >= 192 else 16 if first >= 128 else 8
        )
        length = max(length, 8 * len(octets))
    return _network(4, number, 32 - length)


def _without_prefix(text: str) -> str:
    return text[5:] if text[:5].lower() == "ipv6:" else text


class MailaddrIndex:
    """mailaddr."""

    def __init__(self, entries: Entries, delimiter: str) -> None:
        self._entries = entries
        self._delimiter = delimiter
        self._patterns = Patterns(entries, lambda key: _split(key)[1])
        self._all = entries.find("@") or entries.find("")

    def find(self, key: str) -> Entry | None:
        """See Index."""
        user, domain = _split(key)
        bare = user.partition(self._delimiter)[0] if self._delimiter else user
        names = [user] if user == bare else [user, bare]
        hosts = [domain]
        if below := _below(domain):
            hosts.append(below)
        find = self._entries.find
        for name in names:
            for host in hosts:
                if host and name and (entry := find(f"{name}@{host}")) is not None:
                    return entry
            if name and (entry := find(name) or find(f"{name}@")) is not None and "@" not in name:
                return entry
        for host in hosts:
            if host and (entry := find(f"@{host}")) is not None:
                return entry
        for entry in self._patterns.matching(domain):
            if _split(entry[0])[0] in ("", *names):
                return entry
        return self._all


def _split(address: str) -> tuple[str, str]:
    """User and domain, at the last "@"; without one all is user."""
    user, at, domain = address.rpartition("@")
    return (user, domain) if at else (address, "")


class RegexIndex:
    """regex. `refused` has the expressions that are none, with the reason: they match nothing."""

    def __init__(self, entries: Entries) -> None:
        patterns = [key for key, _ in entries]
        self._expressions, refused = compile_all(key.encode("utf-8", "surrogateescape") for key in patterns)
        self.refused = [(key.decode("utf-8", "surrogateescape"), why) for key, why in refused]
        self._any: Entry | None = entries.at(0) if patterns else None

    def find(self, key: str) -> Entry | None:
        """See Index. The entry is the first of the table, whichever expression was found."""
        return self._any if self._expressions.search(key.encode("utf-8", "surrogateescape")) else None


class ExactIndex:
    """The other services."""

    def __init__(self, entries: Entries) -> None:
        self.find = entries.find


def make_index(service: str, entries: Entries, delimiter: str = "+") -> Index:
    """The index of a service over entries whose keys are in lower case."""
    match service:
        case "domain":
            return DomainIndex(entries)
        case "netaddr":
            return NetaddrIndex(entries)
        case "mailaddr":
            return MailaddrIndex(entries, delimiter)
        case "regex":
            return RegexIndex(entries)
        case _:
            return ExactIndex(entries)


def lowered(key: str) -> str:
    """A key as it is looked up."""
    return lower(key)
