"""What every table answers, whatever it is kept in.

Holds the services of table(5), `Table` (the questions) and `TemporaryFailure` (the answer of a table that
cannot answer now). A question is of a service, because a service decides which keys match: "*.example.org"
is a pattern for `domain` and a plain key for `alias`. Must not hold a backend.
"""

from dataclasses import dataclass
from typing import Protocol

SERVICES = (
    "alias",
    "domain",
    "credentials",
    "netaddr",
    "userinfo",
    "source",
    "mailaddr",
    "addrname",
    "mailaddrmap",
    "relayhost",
    "string",
    "regex",
    "auth",
)
"""alias        user or address -> recipients (aliases(5))
domain       list of domains, "*" as a wildcard
credentials  user -> encrypted password, or label -> user:password
netaddr      list of addresses and networks
userinfo     user -> uid:gid:directory
source       list of addresses
mailaddr     list of addresses, users, @domains
addrname     address -> host name
mailaddrmap  user -> addresses
relayhost    list of relay URLs, or domain -> URL
string       list of words
regex        list of POSIX extended regular expressions
auth         user:password, asked of programs only"""

KEY_MAX = 1023
"""Longest key in bytes; a longer one is a temporary failure, as in OpenSMTPD."""


@dataclass(frozen=True, slots=True)
class TemporaryFailure:
    """The table cannot answer now; why, for the log."""

    reason: str


class Table(Protocol):
    """A table of any backend. Keys are given in any case; ASCII letters are compared without it."""

    name: str

    async def check(self, service: str, key: str) -> bool | TemporaryFailure:
        """Whether a key of the table matches."""

    async def lookup(self, service: str, key: str) -> str | None | TemporaryFailure:
        """The value of the key that matches, as it is written ("" in a list); None when there is none."""

    async def fetch(self, service: str) -> str | None | TemporaryFailure:
        """The next key of the table, in turn and round again (source, relayhost); None when it is empty."""

    async def update(self) -> str:
        """Read the table's source again (`smtpctl update table`): "" when done, else why not; then the table
        answers as before."""

    async def close(self) -> None:
        """Let go of what the table holds open."""


def key_fault(key: str) -> TemporaryFailure | None:
    """The failure of a key that is too long, None when it is not."""
    if len(key) * 4 <= KEY_MAX or len(key.encode("utf-8", "surrogateescape")) <= KEY_MAX:
        return None
    return TemporaryFailure(f"lookup key too long: {key[:40]}...")
