"""Relaying as the administrator sees it: lists of hosts, relays and routes from pony, and orders to it."""

import asyncio
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_mta import (
    ClientListMta,
    ClientPauseSource,
    ClientResumeRoute,
    ClientResumeSource,
    MtaRows,
)
from smtpd.messages.control_mta import LISTS, ListMta, MtaListed, PauseSource, ResumeRoute, ResumeSource
from smtpd.messages.links import PONY
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client
from .clients import Clients

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

ANSWER_SECONDS = 30
DOMAIN_MAX = 255


class Relaying:
    """The part of control that talks to the MTA."""

    def __init__(self, process: "Process", clients: Clients) -> None:
        self._process = process
        self._clients = clients

    @handles(ClientListMta)
    async def client_list_mta(self, client: Peer, reqid: int, message: ClientListMta) -> ClientDone:
        """show hosts, hoststats, relays, routes, mta paused."""
        assert isinstance(client, Client)
        if message.what not in LISTS:
            return ClientDone(reqid, f"there is no list of {message.what}", 0)
        start, shown = "", 0
        while True:
            listed = await self._ask(ListMta(message.what, start))
            if listed is None:
                return ClientDone(reqid, "pony does not answer", shown)
            start = listed.next
            lists: tuple[Any, ...] = listed[2:]
            shown += sum(map(len, lists))
            await client.row(MtaRows(reqid, *lists))
            if not start:
                return ClientDone(reqid, "", shown)

    async def _ask(self, request: ListMta) -> MtaListed | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                listed = await self._process.peer(PONY).call(request)
        except TimeoutError:
            return None
        return listed if isinstance(listed, MtaListed) else None

    @handles(ClientResumeRoute)
    def client_resume_route(self, client: Peer, reqid: int, message: ClientResumeRoute) -> ClientDone:
        """resume route NUMBER."""
        self._process.peer(PONY).send(ResumeRoute(message.id))
        self._clients.log_action(client, f"resume route {message.id}")
        return ClientDone(reqid, "", 1)

    @handles(ClientPauseSource)
    def client_pause_source(self, client: Peer, reqid: int, message: ClientPauseSource) -> ClientDone:
        """pause mta from ADDRESS for DOMAIN."""
        error = _fault(message.source, message.domain)
        if not error:
            self._process.peer(PONY).send(PauseSource(message.source, message.domain))
        self._clients.log_action(client, f"pause mta from {message.source} for {message.domain}", error)
        return ClientDone(reqid, error, 0 if error else 1)

    @handles(ClientResumeSource)
    def client_resume_source(self, client: Peer, reqid: int, message: ClientResumeSource) -> ClientDone:
        """resume mta from ADDRESS for DOMAIN."""
        error = _fault(message.source, message.domain)
        if not error:
            self._process.peer(PONY).send(ResumeSource(message.source, message.domain))
        self._clients.log_action(client, f"resume mta from {message.source} for {message.domain}", error)
        return ClientDone(reqid, error, 0 if error else 1)


def _fault(source: str, domain: str) -> str:
    """What is wrong with an order, or ""."""
    try:
        ip_address(source)
    except ValueError:
        return f"{source[:DOMAIN_MAX]} is no address"
    return "" if 0 < len(domain) <= DOMAIN_MAX else "no domain"
