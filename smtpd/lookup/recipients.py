"""The part of lookup that turns recipients into envelopes and hands these to queue."""

from typing import TYPE_CHECKING

from smtpd.mail.envelope import Envelope
from smtpd.mail.ids import msgid_of
from smtpd.messages.lookup_queue import BounceExpanded, ExpandBounce, SubmitEnvelopes
from smtpd.messages.pony_lookup import ExpandRecipient, FindUser, RecipientExpanded, UserFound
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .expansion import OK, TEMPFAIL, Expander, Tables
from .rules import TableTempfail
from .steps import Step, Tell, trace_line

if TYPE_CHECKING:
    from .process import Process

_FRAME_BYTES = 12_000
"""How much of a frame envelopes may fill; the rest is for the array around them."""

_QUEUE_TEMPFAIL = "451 Temporary failure"

_EVPIDS_TOLD = 1000
"""Envelope ids in a reply: they are for the log, and more of a long list would not fit its frame."""


class Recipients:
    """Expansion for pony and queue, and users for deliveries."""

    def __init__(self, process: "Process", expander: Expander, tables: Tables) -> None:
        self._process = process
        self._log = process.log
        self._expander = expander
        self._tables = tables

    @handles(ExpandRecipient)
    async def expand_recipient(self, peer: Peer, reqid: int, message: ExpandRecipient) -> RecipientExpanded:
        """RCPT TO."""
        status, reply, evpids = await self._expand(message.envelope, message.tls, f"{message.session:016x} ")
        return RecipientExpanded(reqid, status, reply, evpids)

    @handles(ExpandBounce)
    async def expand_bounce(self, peer: Peer, reqid: int, message: ExpandBounce) -> BounceExpanded:
        """A bounce is mail from here: queue says so with the address `local`."""
        status, reply, _ = await self._expand(message.envelope, False)
        return BounceExpanded(reqid, status, reply)

    @handles(FindUser)
    async def find_user(self, peer: Peer, reqid: int, message: FindUser) -> UserFound:
        """The uid, gid and home to deliver with."""
        try:
            user = await self._tables.user(message.table, message.username)
        except TableTempfail:
            return UserFound(reqid, "tempfail", message.username, -1, -1, "")
        if user is None:
            return UserFound(reqid, "none", message.username, -1, -1, "")
        return UserFound(reqid, "ok", *user)

    async def _expand(self, envelope: Envelope, tls: bool, whose: str = "") -> tuple[str, str, list[int]]:
        """`whose`: what the trace puts before the message's id."""
        msgid = msgid_of(envelope.evpid)
        outcome = await self._expander.expand(envelope, tls, self._tell(f"{whose}msg:{msgid:08x} "))
        if outcome.status != OK:
            return outcome.status, outcome.reply, []
        queue = self._process.peer("queue")
        evpids: list[int] = []
        batches = frames_of(outcome.envelopes)
        for number, batch in enumerate(batches, 1):
            more = number < len(batches)
            submitted = await queue.call(SubmitEnvelopes(msgid, more, batch))
            if submitted is None or submitted.error:
                return TEMPFAIL, _QUEUE_TEMPFAIL, []
            evpids += submitted.evpids
        return OK, "", evpids[:_EVPIDS_TOLD]

    def _tell(self, whose: str) -> Tell | None:
        """Where the steps are told: only while they are traced."""
        if not (self._log.tracing_expand or self._log.tracing_rules):
            return None

        def tell(step: Step) -> None:
            subsystem, text = trace_line(step)
            self._log.trace(subsystem, whose + text)

        return tell


def frames_of(envelopes: list[Envelope]) -> list[list[Envelope]]:
    """The envelopes in lists that fit one frame each."""
    batches: list[list[Envelope]] = [[]]
    room = _FRAME_BYTES
    for envelope in envelopes:
        size = 160 + sum(3 * len(text) for text in envelope if isinstance(text, str))
        size += sum(3 * len(part) for address in envelope[10:13] for part in address)
        if size > room and batches[-1]:
            batches.append([])
            room = _FRAME_BYTES
        batches[-1].append(envelope)
        room -= size
    return batches
