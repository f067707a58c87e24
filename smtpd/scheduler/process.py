"""The scheduler process: a ramqueue, its turns, and the two who talk to it."""

import asyncio
import time

from imsg import Channel, Recorder
from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.messages.links import QUEUE
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer
from smtpd.mproc.process import ChildProcess

from .orders import Orders
from .ramqueue import TYPE_NUMBERS, RamQueue
from .reports import Reports
from .turns import Turns


class Process(ChildProcess):
    """scheduler."""

    NAME = "scheduler"
    parts = (Reports, Orders)

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, recorder: Recorder | None = None) -> None:
        super().__init__(loop, log, recorder)
        self.config: Config = Config()
        self.ramqueue = RamQueue()
        self.turns = Turns(self, self.ramqueue)

    def load_config(self, data: bytes) -> None:
        self.config = wire.loads(Config, data)

    def start(self) -> None:
        self.ramqueue.limits = self.config.scheduler
        self.add(Reports(self, self.ramqueue, self.turns))
        self.add(Orders(self, self.ramqueue, self.turns))

    def begin(self) -> None:
        for name in self.paused & {"mda", "mta"}:
            self.ramqueue.paused[TYPE_NUMBERS[name]] = True
        self.turns.wake()

    def attach(self, name: str, instance: int, channel: Channel) -> Peer:
        """A new queue knows nothing of what the one before was told: tell it again."""
        peer = super().attach(name, instance, channel)
        if name == QUEUE and len(self.ramqueue):
            count = self.ramqueue.requeue_inflight(int(time.time()))
            self.log.info(f"queue is new: {count} envelopes in flight are due again")
            self.turns.wake()
        return peer

    async def stop(self) -> None:
        self.turns.stop()
