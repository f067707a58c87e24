"""The part of lookup that explains: the expansion of a recipient as a dry run, told step by step.

Rules, tables, .forward and included files are asked as for a real recipient, in the same order and with the
same answers; nothing goes to queue. What is told is bounded (report.py).
"""

from ipaddress import ip_address
from typing import TYPE_CHECKING

from smtpd.config.model import Config
from smtpd.mail.envelope import FLAG_AUTHENTICATED, Envelope
from smtpd.messages.control_lookup import ExplainedSteps, ExplainRecipient, RecipientExplained
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.protocol.smtp.grammar import parse_path

from .expansion import OK, Expander, Forwards, Includes, Tables
from .report import Report
from .resolver import ResolveError, Resolver
from .rules import LOCAL, UNKNOWN_HOST, Rules
from .steps import FOUND, NONE, TEMPFAIL, Asked
from .watched import WatchedForwards, WatchedIncludes, WatchedTables

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

MOST_AT_ONCE = 8
"""Dry runs under way; a table that does not answer must not let them pile up."""


class BadQuestion(ValueError):
    """The question makes no sense; the text says why."""


class Explaining:
    """Explains for control."""

    def __init__(
        self,
        process: "Process",
        tables: Tables,
        forwards: Forwards,
        includes: Includes,
        resolver: Resolver,
    ) -> None:
        self._process = process
        self._tables = tables
        self._forwards = forwards
        self._includes = includes
        self._resolver = resolver
        self._running = 0

    @handles(ExplainRecipient)
    async def explain_recipient(
        self, peer: Peer, reqid: int, message: ExplainRecipient
    ) -> RecipientExplained:
        """The steps, then how it ends."""
        config: Config = self._process.config
        try:
            if self._running >= MOST_AT_ONCE:
                raise BadQuestion("too many explanations are under way")
            envelope = asked_envelope(config, message)
        except BadQuestion as error:
            return RecipientExplained(reqid, "refused", "", str(error), 0, 0, 0)
        self._running += 1
        try:
            report = Report(config, lambda steps: peer.send(ExplainedSteps(message.question, steps)))
            if message.address and not envelope.hostname:
                envelope = envelope._replace(hostname=await self._name(message.address, report))
            return await self._explain(reqid, config, envelope, message.tls, report)
        finally:
            self._running -= 1

    async def _explain(
        self, reqid: int, config: Config, envelope: Envelope, tls: bool, report: Report
    ) -> RecipientExplained:
        tables = WatchedTables(self._tables, report.tell)
        expander = Expander(
            config,
            Rules(config, tables),
            tables,
            WatchedForwards(self._forwards, report.tell),
            WatchedIncludes(self._includes, report.tell),
        )
        outcome = await expander.expand(envelope, tls, report.tell)
        if outcome.status == OK:
            report.plan(tables.users)
        report.flush()
        made = len(outcome.envelopes)
        return RecipientExplained(
            reqid, outcome.status, outcome.reply, report.reason, report.failed_at, made, report.left_out
        )

    async def _name(self, address: str, report: Report) -> str:
        """The client's name as a session would find it; DNS is asked only where rules make use of it."""
        config: Config = self._process.config
        if not any(criterion.what == "from-rdns" for rule in config.rules for criterion in rule.criteria):
            return UNKNOWN_HOST
        try:
            name = await self._resolver.reverse(address)
        except ResolveError as error:
            report.tell(Asked("DNS", "rdns", address, TEMPFAIL if error.temporary else NONE, str(error)))
            return UNKNOWN_HOST
        report.tell(Asked("DNS", "rdns", address, FOUND if name else NONE, name))
        return name or UNKNOWN_HOST


def asked_envelope(config: Config, question: ExplainRecipient) -> Envelope:
    """The envelope that a session of such a client would have expanded (hostname "": not known yet)."""
    rcpt = parse_path(question.recipient, config.hostname, null_allowed=False)
    if rcpt is None:
        raise BadQuestion(f"not a recipient: {question.recipient[:80]!r}")
    sender = parse_path(question.sender, config.hostname, null_allowed=True)
    if sender is None:
        raise BadQuestion(f"not a sender: {question.sender[:80]!r}")
    hostname = "localhost" if question.rdns is None and not question.address else question.rdns or ""
    if question.rdns == "":
        hostname = UNKNOWN_HOST
    return Envelope(
        0,
        "",
        tag=question.tag,
        smtpname=config.hostname,
        helo=question.helo or config.hostname,
        hostname=hostname,
        username=question.username,
        sockaddr=_sockaddr(question.address),
        sender=sender,
        rcpt=rcpt,
        dest=rcpt,
        flags=FLAG_AUTHENTICATED if question.username else 0,
    )


def _sockaddr(address: str) -> str:
    if not address:
        return LOCAL
    try:
        parsed = ip_address(address)
    except ValueError:
        raise BadQuestion(f"not an address: {address[:80]!r}") from None
    return f"[{parsed}]" if parsed.version == 6 else str(parsed)
