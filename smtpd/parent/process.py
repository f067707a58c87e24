"""The parent process: its parts, and its life from the first child to the last."""

import asyncio
import os
import signal
import socket

from imsg import Recorder
from smtpd.config.model import Config
from smtpd.messages import links
from smtpd.messages.parent_control import ControlSocket
from smtpd.messages.parent_pony import ListenSocket
from smtpd.mproc import process as mproc
from smtpd.mproc.log import Log
from smtpd.mproc.notify import notify

from .children import Children
from .configuration import Configuration
from .deliveries import Deliveries
from .forwards import Forwards
from .interfaces import Interfaces
from .offline import Offline
from .places import Places
from .sealed import ring
from .sockets import Bound
from .table_programs import TablePrograms


class Process(mproc.Process):
    """parent. `serve` returns the exit status."""

    NAME = "parent"
    parts = (Children, Configuration, Deliveries, Forwards, TablePrograms)

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        *,
        config: Config,
        places: Places,
        log_to: str,
        listeners: list[Bound],
        control: socket.socket,
        following: frozenset[int] = frozenset(),
    ) -> None:
        self.ring = ring("smtpd-parent-recorder")
        super().__init__(loop, log, Recorder(self.ring.memory))
        self.config: Config = config
        self.places = places
        self.log_to = log_to
        self._listeners = listeners
        self._control = control
        self.children = self.add(Children(self, self._hand_out_sockets))
        self.deliveries = self.add(Deliveries(self))
        self.add(Forwards(self))
        self.table_programs = self.add(TablePrograms(self))
        self.offline = Offline(self)
        self.add(Configuration(self))
        self.interfaces = Interfaces(self, following)

    def serve(self) -> int:
        """Start the children, serve until a signal or a fault, stop; the exit status."""
        # A handler, not SIG_IGN: what is ignored stays so in the commands that are run, a handler does not.
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self.loop.call_soon(self._begin)
        self.loop.run_forever()
        self.offline.close()
        self.deliveries.close()
        self.table_programs.close()
        self._unlink_control()
        return self.exit_status

    def _begin(self) -> None:
        # In the running loop: it hears of a signal that came before only when the next one comes.
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._stop)
        self.children.start()

    def _hand_out_sockets(self) -> None:
        pony = self.peer(links.PONY)
        self.interfaces.start(self._listeners)
        for bound in self._listeners:
            pony.send(ListenSocket(bound.listener, bound.address), bound.socket.detach())
            self.log.info(f"listening on {bound.address}")
        self.children.share_memories()
        self.peer(links.CONTROL).send(ControlSocket(str(self.places.socket)), self._control.detach())
        self.log.info("ready")
        self.offline.start()
        notify("READY=1")

    def _stop(self) -> None:
        self.log.info("stopping")
        self.interfaces.close()
        notify("STOPPING=1")
        self.children.stop()

    def _unlink_control(self) -> None:
        try:
            os.unlink(self.places.socket)
        except OSError as error:
            self.log.debug(f"{self.places.socket}: {error.strerror}")
