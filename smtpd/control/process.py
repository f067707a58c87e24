"""The control process: the clients, and a part for each topic they ask about."""

import asyncio
import contextlib
import grp
import os

from imsg import Channel, Recorder
from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer
from smtpd.mproc.process import ChildProcess, Lifecycle

from .changes import Changes
from .clients import Clients
from .configuration import Configuration
from .counters import Collector
from .explaining import Explaining
from .listing import Listing
from .profiles import Profiles
from .relaying import Relaying
from .sessions import Sessions
from .switches import PAUSABLE, Switches
from .tables import Tables
from .waits import Waits
from .watchers import Watchers

GROUP = "_smtpctl"
"""Who is in this group may control the daemon, as root may."""


class Process(ChildProcess):
    """control."""

    NAME = "control"
    parts = (
        Clients,
        Switches,
        Collector,
        Listing,
        Changes,
        Sessions,
        Relaying,
        Explaining,
        Configuration,
        Tables,
        Watchers,
        Profiles,
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, recorder: Recorder | None = None) -> None:
        super().__init__(loop, log, recorder)
        self.config: Config = Config()
        # Whoever started the daemon may control it: root, or without root the one user it runs as.
        self._starter = os.geteuid()
        self._group = -1
        self.clients: Clients | None = None
        self.watchers: Watchers | None = None
        self._switches: Switches | None = None

    @classmethod
    def own_parts(cls) -> tuple[type, ...]:
        """Nobody asks control for its counters: it is the one who asks."""
        return (Lifecycle,)

    def load_config(self, data: bytes) -> None:
        self.config = wire.loads(Config, data)

    def prepare(self) -> None:
        """The number of the administrators' group, if the machine has one."""
        with contextlib.suppress(KeyError):
            self._group = grp.getgrnam(GROUP).gr_gid

    def start(self) -> None:
        self.clients = self.add(Clients(self, frozenset((0, self._starter)), self._group))
        self.watchers = self.add(Watchers(self, self.clients))
        self.add(Profiles(self, self.clients, Waits(self, self.watchers)))
        self._switches = self.add(Switches(self, self.clients, self.watchers.untraced))
        self.add(Collector(self))
        self.add(Listing(self))
        self.add(Changes(self, self.clients))
        self.add(Sessions(self))
        self.add(Relaying(self, self.clients))
        self.add(Explaining(self))
        self.add(Configuration(self))
        self.add(Tables(self, self.clients))

    def begin(self) -> None:
        if self._switches is not None:
            self._switches.paused = set(self.paused & set(PAUSABLE))

    def attach(self, name: str, instance: int, channel: Channel) -> Peer:
        peer = super().attach(name, instance, channel)
        if self._switches is not None:
            self._switches.tell_again(name)
        if self.watchers is not None:
            self.watchers.tell_again(name)
        return peer

    def trace_changed(self) -> None:
        super().trace_changed()
        if self.clients is not None:
            self.clients.trace_changed()

    async def stop(self) -> None:
        if self.clients is not None:
            self.clients.close()
        if self.watchers is not None:
            self.watchers.close()
