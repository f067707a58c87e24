"""The counters of all processes, in one round trip."""

import asyncio
import time
from typing import TYPE_CHECKING

from smtpd.messages.client_control import ClientDone, ClientShowStats, StatsRows
from smtpd.messages.control_process import OTHERS, Counter, Counters, GetCounters
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client
from .counter_names import OPENSMTPDS, OWN

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

ANSWER_SECONDS = 5
"""A process that has not answered by then is left out, and named in the reply's error."""

MOST_COUNTERS = 100
"""How many surely fit one frame; a name is cut at NAME_MOST."""

NAME_MOST = 128


class Collector:
    """The part of control that collects counters."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._started = time.time()

    @handles(ClientShowStats)
    async def client_show_stats(self, client: Peer, reqid: int, message: ClientShowStats) -> ClientDone:
        """show stats. A name that several processes count is the sum of theirs."""
        assert isinstance(client, Client)
        values, silent = await self._collect()
        values["uptime"] = int(time.time() - self._started)
        counters = [Counter(name[:NAME_MOST], value) for name, value in sorted(values.items())]
        for i in range(0, len(counters), MOST_COUNTERS):
            await client.row(StatsRows(reqid, counters[i : i + MOST_COUNTERS]))
        error = f"no answer from {', '.join(silent)}" if silent else ""
        return ClientDone(reqid, error, len(counters))

    async def _collect(self) -> tuple[dict[str, int], list[str]]:
        """The sums, and the processes that did not answer."""
        peers = [self._process.peer(name) for name in OTHERS]
        asked = [asyncio.ensure_future(peer.call(GetCounters())) for peer in peers]
        await asyncio.wait(asked, timeout=ANSWER_SECONDS)
        values = dict.fromkeys((*OPENSMTPDS, *OWN), 0) | dict(self._process.stat.items())
        silent: list[str] = []
        for peer, answer in zip(peers, asked, strict=True):
            reply = answer.result() if answer.done() else None
            if not isinstance(reply, Counters):
                answer.cancel()
                silent.append(peer.name)
                continue
            for name, value in reply.counters:
                values[name] = values.get(name, 0) + value
        return values, silent
