"""The queue process: a spool, the envelopes in it, and the parts that work on them."""

import asyncio
from collections.abc import Sequence

from imsg import Recorder
from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.mail.envelope import Envelope
from smtpd.messages.queue_scheduler import MOST_TIMES, EnvelopesReady
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer
from smtpd.mproc.process import ChildProcess
from smtpd.spool.backend import Backend
from smtpd.spool.fs import FsBackend

from .bounces import Bounces
from .envelopes import Envelopes
from .incoming import IncomingMessages
from .listing import Listing
from .loading import Loading
from .measuring import Measuring
from .outgoing import OutgoingEnvelopes
from .recovery import Recovery
from .results import Results

PONY_SECONDS = 4.0
"""How long the end waits for pony, of the 5 seconds there are."""


class Process(ChildProcess):
    """queue."""

    NAME = "queue"
    parts = (IncomingMessages, OutgoingEnvelopes, Results, Listing, Recovery)

    spool: Backend
    envelopes: Envelopes
    incoming: IncomingMessages
    results: Results
    bounces: Bounces

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, recorder: Recorder | None = None) -> None:
        super().__init__(loop, log, recorder)
        self.config: Config = Config()
        self._loading: Loading | None = None
        self._pony_gone: asyncio.Future[None] = loop.create_future()

    def load_config(self, data: bytes) -> None:
        """Its slice of the configuration."""
        self.config = wire.loads(Config, data)

    def start(self) -> None:
        """Open the spool, build the parts."""
        self.use(FsBackend(self.root, self.loop, self.log.warn))

    def use(self, spool: Backend) -> None:
        """Work on this spool."""
        self.spool = spool
        Measuring(self)
        self.envelopes = Envelopes(spool, self.config, self.log, self.stat)
        self.incoming = self.add(IncomingMessages(self))
        self.bounces = Bounces(self)
        self.results = self.add(Results(self))
        self.add(OutgoingEnvelopes(self))
        self.add(Listing(self))
        self.add(Recovery(self))

    def begin(self) -> None:
        """Tell scheduler what waits in the spool."""
        self._loading = Loading(self)
        self._loading.begin()

    def announce(self, ready: Sequence[Envelope]) -> None:
        """Tell scheduler of queued envelopes."""
        scheduler = self.peer("scheduler")
        times = self.envelopes.times
        for first in range(0, len(ready), MOST_TIMES):
            scheduler.send(EnvelopesReady([times(one) for one in ready[first : first + MOST_TIMES]]))

    def peer_lost(self, peer: Peer) -> None:
        """Messages that a pony was sending will not be finished."""
        super().peer_lost(peer)
        if peer.name == "pony":
            self.incoming.rollback_all(peer)
            if (
                all(other.lost for other in self.peers() if other.name == "pony")
                and not self._pony_gone.done()
            ):
                self._pony_gone.set_result(None)

    async def stop(self) -> None:
        """Take what pony still has to say of its sessions and deliveries, finish what was begun."""
        if self._loading is not None:
            self._loading.stop()
        await asyncio.wait((self._pony_gone,), timeout=PONY_SECONDS)
        await self.spool.close()
