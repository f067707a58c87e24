"""What an administrator does to envelopes: schedule, remove, pause, resume, discover, uncorrupt."""

import asyncio
from typing import TYPE_CHECKING

from smtpd.messages.client_control import (
    ClientChangeEnvelopes,
    ClientDiscover,
    ClientDone,
    ClientUncorrupt,
    ProgressRow,
)
from smtpd.messages.control_queue import DiscoverEnvelopes, EnvelopesDiscovered, UncorruptMessage
from smtpd.messages.control_scheduler import ChangeEnvelopes, EnvelopesAffected
from smtpd.messages.links import QUEUE, SCHEDULER
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client, ClientGone
from .clients import Clients

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

CHANGES = ("schedule", "remove", "suspend", "resume")


class Changes:
    """The part of control that passes changes on to the scheduler and queue."""

    def __init__(self, process: "Process", clients: Clients) -> None:
        self._process = process
        self._clients = clients

    @handles(ClientChangeEnvelopes)
    async def client_change_envelopes(
        self, client: Peer, reqid: int, message: ClientChangeEnvelopes
    ) -> ClientDone:
        """Batch by batch. When the client goes (^C), what is changed stays changed, and that is all."""
        assert isinstance(client, Client)
        if message.change not in CHANGES:
            return ClientDone(reqid, f"no such change: {message.change}", 0)
        log = self._process.log
        action = f"{message.change} {named(message.id)}"
        log.info(f"control: uid={client.uid} {action}")
        total = start = 0
        try:
            while True:
                reply = await self._process.peer(SCHEDULER).call(
                    ChangeEnvelopes(message.change, message.id, start)
                )
                if not isinstance(reply, EnvelopesAffected):
                    self._clients.log_action(client, action, "the scheduler does not answer")
                    return ClientDone(reqid, "the scheduler does not answer", total)
                total += reply.number
                start = reply.next
                if not start:
                    break
                await client.row(ProgressRow(reqid, total))
        except (asyncio.CancelledError, ClientGone):
            log.info(f"control: {action}: broken off after {total} envelopes")
            raise
        log.info(f"control: {action}: {total} envelopes")
        return ClientDone(reqid, "", total)

    @handles(ClientDiscover)
    async def client_discover(self, client: Peer, reqid: int, message: ClientDiscover) -> ClientDone:
        """discover."""
        return await self._recover(
            client, reqid, f"discover {named(message.id)}", DiscoverEnvelopes(message.id)
        )

    @handles(ClientUncorrupt)
    async def client_uncorrupt(self, client: Peer, reqid: int, message: ClientUncorrupt) -> ClientDone:
        """uncorrupt."""
        return await self._recover(
            client, reqid, f"uncorrupt {named(message.msgid)}", UncorruptMessage(message.msgid)
        )

    async def _recover(
        self, client: Peer, reqid: int, action: str, request: DiscoverEnvelopes | UncorruptMessage
    ) -> ClientDone:
        reply = await self._process.peer(QUEUE).call(request)
        if isinstance(reply, EnvelopesDiscovered):
            error, number = reply.error, reply.number
        else:
            error, number = "queue does not answer", 0
        self._clients.log_action(client, action, error)
        return ClientDone(reqid, error, number)


def named(identifier: int) -> str:
    """An id as smtpctl's user wrote it: "all", a msgid or an evpid."""
    if identifier == 0:
        return "all"
    return f"{identifier:016x}" if identifier > 0xFFFFFFFF else f"{identifier:08x}"
