"""`show queue`: a page of states from the scheduler, what queue knows of those envelopes, rows to the client.

One page is in memory at a time, and the next is asked for when the client has taken this one.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from imsg import MessageError
from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_queue import ClientShowQueue, QueueRow
from smtpd.messages.control_queue import DescribeEnvelopes, EnvelopesDescribed
from smtpd.messages.control_scheduler import EnvelopesListed, EnvelopeState, ListEnvelopes
from smtpd.messages.links import QUEUE, SCHEDULER
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

PAGE = 128
"""Envelopes asked for at a time."""

ANSWER_SECONDS = 30


class Listing:
    """The part of control that lists the queue."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @handles(ClientShowQueue)
    async def client_show_queue(self, client: Peer, reqid: int, message: ClientShowQueue) -> ClientDone:
        """show queue [MSGID], in the order of evpid. What leaves the queue meanwhile may be listed or not."""
        assert isinstance(client, Client)
        start = message.start
        shown = 0
        while True:
            page = await self._ask(SCHEDULER, ListEnvelopes(start, message.msgid, PAGE))
            if not isinstance(page, EnvelopesListed):
                return ClientDone(reqid, "the scheduler does not answer", shown)
            states = {state.evpid: state for state in page.envelopes}
            waiting = list(states)
            while waiting:
                described = await self._ask(QUEUE, DescribeEnvelopes(waiting))
                if not isinstance(described, EnvelopesDescribed) or not described.taken:
                    return ClientDone(reqid, "queue does not answer", shown)
                for envelope in described.envelopes:
                    shown += await self._show(client, reqid, states.get(envelope.evpid), envelope)
                del waiting[: described.taken]
            start = page.next
            if not start:
                return ClientDone(reqid, "", shown)

    async def _show(self, client: Client, reqid: int, state: EnvelopeState | None, envelope: Any) -> bool:
        if state is None:
            return False
        try:
            await client.row(QueueRow(reqid, state, envelope))
        except MessageError:
            # It fitted a frame without its state, and hardly that: its text is of no use to anybody.
            await client.row(QueueRow(reqid, state, envelope._replace(errorline="", mda_exec="")))
        return True

    async def _ask(self, name: str, message: Any) -> Any:
        """The reply, or None."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._process.peer(name).call(message)
        except TimeoutError:
            return None
