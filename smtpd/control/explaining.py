"""`smtpctl explain`: the question goes to lookup, the steps of its answer go to the client as they come."""

import asyncio
from typing import TYPE_CHECKING, Any

from smtpd.messages.client_configuration import ClientExplain, ExplanationEnd, ExplanationRows
from smtpd.messages.client_control import ClientDone
from smtpd.messages.control_lookup import ExplainedSteps, ExplainRecipient, RecipientExplained
from smtpd.messages.links import LOOKUP
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

ANSWER_SECONDS = 60
"""From step to step: a table may take its time."""

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

    @handles(ExplainedSteps)
    def explained_steps(self, peer: Peer, message: ExplainedSteps) -> None:
        """Steps; those for a client that has gone meanwhile are forgotten."""
        answers = self._waiting.get(message.question)
        if answers is not None:
            answers.put_nowait(message)
