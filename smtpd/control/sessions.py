"""Local submission: an SMTP session for whoever asks, from pony.

Open to every user, so a user gets BURST sessions at once and RATE a second then: who is faster waits, nobody
is refused for that. How many a user may have at a time is pony's to say.
"""

import asyncio
from typing import TYPE_CHECKING

from smtpd.messages.client_control import ClientDone, ClientOpenSession, SessionRow
from smtpd.messages.control_pony import OpenSession
from smtpd.messages.links import PONY
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

RATE = 50
BURST = 100

ANSWER_SECONDS = 30

MOST_REMEMBERED = 1000
"""Users whose last sessions are remembered, before those that are no longer fast are forgotten."""


class Sessions:
    """The part of control that hands sessions out."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._paid: dict[int, float] = {}
        """uid -> the loop's time until which its sessions so far would last at RATE."""

    @handles(ClientOpenSession)
    async def client_open_session(self, client: Peer, reqid: int, message: ClientOpenSession) -> ClientDone:
        """A row with the descriptor, or why there is none."""
        assert isinstance(client, Client)
        await asyncio.sleep(self._delay(client.uid))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                opened, fd = await self._process.peer(PONY).call(OpenSession(client.uid))
        except TimeoutError:
            return ClientDone(reqid, "pony does not answer", 0)
        if opened is None or fd is None:
            return ClientDone(reqid, opened.error if opened is not None else "pony does not answer", 0)
        client.send(SessionRow(reqid), fd)
        return ClientDone(reqid, "", 1)

    def _delay(self, uid: int) -> float:
        """Seconds that a user has to wait for its next session."""
        if uid == 0:
            return 0.0
        now = self._process.loop.time()
        if len(self._paid) >= MOST_REMEMBERED:
            self._paid = {uid: until for uid, until in self._paid.items() if until > now}
        until = max(self._paid.get(uid, now), now) + 1 / RATE
        self._paid[uid] = until
        return max(0.0, until - now - BURST / RATE)
