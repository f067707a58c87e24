"""`smtpctl explain`: the question goes to lookup, the steps of its answer go to the client as they come.

That of an envelope goes to all who know something of it: scheduler, queue and pony.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any

from smtpd.mail.envelope import clip
from smtpd.messages.client_configuration import (
    ClientExplain,
    ClientExplainEnvelope,
    EnvelopeExplained,
    ExplanationEnd,
    ExplanationRows,
)
from smtpd.messages.client_control import ClientDone
from smtpd.messages.control_lookup import ExplainedSteps, ExplainRecipient, RecipientExplained
from smtpd.messages.control_queue import DescribeEnvelopes, EnvelopesDescribed
from smtpd.messages.control_scheduler import EnvelopeFound, FindEnvelope
from smtpd.messages.control_tries import FindHindrances, HindrancesFound
from smtpd.messages.links import LOOKUP, PONY, QUEUE, SCHEDULER
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

ANSWER_SECONDS = 60
"""From step to step: a table may take its time."""

PART_SECONDS = 10
"""For each of those who know something of an envelope."""

TEXT_MOST = 1000
"""Bytes of an envelope's error that are told: all of an answer is to fit one frame."""

_UNANSWERED = "lookup does not answer"


class Explaining:
    """The part of control that passes explanations on. Their size is bounded by lookup."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._asked = 0
        self._waiting: dict[int, asyncio.Queue[Any]] = {}

    @handles(ClientExplain)
    async def client_explain(self, client: Peer, reqid: int, message: ClientExplain) -> ClientDone:
        """explain RCPT."""
        assert isinstance(client, Client)
        self._asked = question = (self._asked + 1) & 0xFFFFFFFF
        answers = self._waiting[question] = asyncio.Queue()
        try:
            request = ExplainRecipient(question, *message)
            self._process.peer(LOOKUP).ask(request, answers.put_nowait)
            while True:
                async with asyncio.timeout(ANSWER_SECONDS):
                    answer = await answers.get()
                if not isinstance(answer, ExplainedSteps):
                    break
                await client.row(ExplanationRows(reqid, answer.steps))
            if not isinstance(answer, RecipientExplained):
                return ClientDone(reqid, _UNANSWERED, 0)
            if answer.status == "refused":
                return ClientDone(reqid, answer.reason, 0)
            await client.row(ExplanationEnd(reqid, *answer[1:]))
            return ClientDone(reqid, "", answer.envelopes)
        except TimeoutError:
            return ClientDone(reqid, _UNANSWERED, 0)
        finally:
            del self._waiting[question]

    @handles(ClientExplainEnvelope)
    async def client_explain_envelope(
        self, client: Peer, reqid: int, message: ClientExplainEnvelope
    ) -> ClientDone:
        """explain ENVELOPE-ID."""
        assert isinstance(client, Client)
        evpid = message.evpid
        found = await self._ask(SCHEDULER, FindEnvelope(evpid))
        if not isinstance(found, EnvelopeFound):
            return ClientDone(reqid, "the scheduler does not answer", 0)
        waits = found.waits
        described = await self._ask(QUEUE, DescribeEnvelopes([evpid])) if waits.state else None
        if waits.state and not isinstance(described, EnvelopesDescribed):
            return ClientDone(reqid, "queue does not answer", 0)
        if described is None or not described.envelopes:
            return ClientDone(reqid, f"no envelope {evpid:016x} in the queue", 0)
        envelope = described.envelopes[0]
        hindered = await self._ask(PONY, FindHindrances(evpid, waits.holdq, envelope.dest.domain))
        await client.row(
            EnvelopeExplained(
                reqid,
                int(time.time()),
                envelope._replace(errorline=clip(envelope.errorline, TEXT_MOST), mda_exec=""),
                waits,
                hindered.hindered if isinstance(hindered, HindrancesFound) else None,
            )
        )
        return ClientDone(reqid, "", 1)

    async def _ask(self, name: str, message: Any) -> Any:
        """The reply, or None."""
        try:
            async with asyncio.timeout(PART_SECONDS):
                return await self._process.peer(name).call(message)
        except TimeoutError:
            return None

    @handles(ExplainedSteps)
    def explained_steps(self, peer: Peer, message: ExplainedSteps) -> None:
        """Steps; those for a client that has gone meanwhile are forgotten."""
        answers = self._waiting.get(message.question)
        if answers is not None:
            answers.put_nowait(message)
