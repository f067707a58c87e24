"""`match` rules: which action a recipient gets (smtpd.conf(5), "match").

Rules are tried in order and the first whose criteria all hold decides. A table that cannot answer now makes
the whole answer temporary: going on to a later rule could send the mail the wrong way.
"""

from typing import NamedTuple, Protocol

from smtpd.config.model import Config, Criterion, Rule
from smtpd.mail.envelope import FLAG_AUTHENTICATED, FLAG_INTERNAL, Envelope

from .steps import MATCHED, NO_MATCH, TEMPFAIL, Tell, Tried

UNKNOWN_HOST = "<unknown>"
"""The host name of a client without reverse DNS."""

LOCAL = "local"
"""What `sockaddr` says of a client on the local socket; internal mail counts as such too."""


class TableTempfail(Exception):
    """A table could not answer now."""


class Matcher(Protocol):
    """What rules need of the tables."""

    async def match(self, table: str, service: str, key: str) -> bool:
        """Whether the table holds the key, by the service's rules. TableTempfail."""


class Subject(NamedTuple):
    """What a rule is held against: the envelope with the current `dest`; whether the session is encrypted."""

    envelope: Envelope
    tls: bool


class Rules:
    """The rules of one configuration."""

    def __init__(self, config: Config, tables: Matcher) -> None:
        self._rules = config.rules
        self._tables = tables

    async def match(self, subject: Subject, tell: Tell | None = None) -> tuple[int, Rule] | None:
        """The number (from 1) of the first rule that matches, and the rule; None without one. TableTempfail.

        `tell` is told of every rule that was tried.
        """
        for number, rule in enumerate(self._rules, 1):
            for criterion in rule.criteria:
                try:
                    if await self.holds(criterion, subject):
                        continue
                except TableTempfail:
                    if tell is not None:
                        tell(Tried(number, rule, TEMPFAIL, criterion, key_of(criterion, subject)))
                    raise
                if tell is not None:
                    tell(Tried(number, rule, NO_MATCH, criterion, key_of(criterion, subject)))
                break
            else:
                if tell is not None:
                    tell(Tried(number, rule, MATCHED, None, ""))
                return number, rule
        return None

    async def holds(self, criterion: Criterion, subject: Subject) -> bool:
        """Whether one criterion holds, its negation counted in. TableTempfail."""
        what, negated, table, regex = criterion
        envelope = subject.envelope
        match what:
            case "from-src" | "from-socket" | "from-rdns":
                return await self._from(criterion, envelope)
            case "for-domain":
                found = await self._tables.match(table, "regex" if regex else "domain", envelope.dest.domain)
            case "tag":
                found = await self._tables.match(table, "regex" if regex else "string", envelope.tag)
            case "helo":
                found = await self._tables.match(table, "regex" if regex else "domain", envelope.helo)
            case "auth":
                found = bool(envelope.flags & FLAG_AUTHENTICATED)
                if found and table:
                    service = "regex" if regex else "mailaddr" if "@" in envelope.username else "string"
                    found = await self._tables.match(table, service, envelope.username)
            case "tls":
                found = subject.tls
            case "mail-from":
                found = await self._tables.match(
                    table, "regex" if regex else "mailaddr", str(envelope.sender)
                )
            case "rcpt-to":
                found = await self._tables.match(table, "regex" if regex else "mailaddr", str(envelope.dest))
            case _:
                raise ValueError(f"no such criterion: {what}")
        return found != negated

    async def _from(self, criterion: Criterion, envelope: Envelope) -> bool:
        what, negated, table, regex = criterion
        if envelope.flags & FLAG_INTERNAL:
            # Mail that a .forward made comes from here, whoever sent the mail that led to it.
            if not table:
                return False
            key = LOCAL
        elif what == "from-rdns":
            known = envelope.hostname not in ("", UNKNOWN_HOST)
            if not table:
                return known != negated
            if not known:
                return False
            key = envelope.hostname
        elif what == "from-socket":
            return (envelope.sockaddr == LOCAL) != negated
        else:
            key = envelope.sockaddr
        found = await self._tables.match(table, "regex" if regex else "netaddr", key)
        return found != negated


def key_of(criterion: Criterion, subject: Subject) -> str:
    """What of the subject a criterion looks at; what it asks its table for, when it has one and asks it."""
    envelope = subject.envelope
    match criterion.what:
        case "from-src" | "from-socket" | "from-rdns" if envelope.flags & FLAG_INTERNAL:
            return LOCAL
        case "from-src" | "from-socket":
            return envelope.sockaddr
        case "from-rdns":
            return envelope.hostname
        case "for-domain":
            return envelope.dest.domain
        case "tag":
            return envelope.tag
        case "helo":
            return envelope.helo
        case "auth":
            return envelope.username
        case "tls":
            return "tls" if subject.tls else ""
        case "mail-from":
            return str(envelope.sender)
        case "rcpt-to":
            return str(envelope.dest)
        case what:
            raise ValueError(f"no such criterion: {what}")
