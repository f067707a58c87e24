"""The pony process: SMTP in, SMTP out, deliveries."""

import asyncio

from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.mproc.process import ChildProcess

from .hindrances import Hindrances
from .local_sessions import LocalSessions
from .mda.mda import Mda
from .mta.contexts import ClientContexts
from .mta.listing import Listing
from .mta.mta import Mta
from .smtp_in import SmtpIn


class Process(ChildProcess):
    """pony."""

    NAME = "pony"
    parts = (SmtpIn, LocalSessions, Mda, Mta, Listing, Hindrances)

    config: Config

    def load_config(self, data: bytes) -> None:
        """Its slice of the configuration."""
        self.config = wire.loads(Config, data)

    def prepare(self) -> None:
        """Keys and certificates."""
        self._contexts = ClientContexts(self.config, self.log)

    def start(self) -> None:
        """Build the parts."""
        self._smtp_in = self.add(SmtpIn(self))
        self.add(LocalSessions(self, self._smtp_in))
        self._mda = self.add(Mda(self))
        self._mta = self.add(Mta(self, self._contexts))
        listing = self.add(Listing(self, self._mta))
        self.add(Hindrances(self, self._mta, self._mda, listing))

    def begin(self) -> None:
        """Accept."""
        self._smtp_in.begin()

    async def stop(self) -> None:
        """Accept no more; what is under way is finished, all at the same time."""
        await asyncio.gather(self._smtp_in.stop(), self._mda.stop(), self._mta.stop())
