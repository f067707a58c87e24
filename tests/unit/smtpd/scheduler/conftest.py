"""A whole scheduler process in the hands of a test: queue and control are channels that the test holds."""

import asyncio
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from imsg import Channel
from smtpd.config import wire
from smtpd.config.model import Config, SchedulerLimits
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.queue_scheduler import EnvelopeTimes
from smtpd.mproc.log import Log
from smtpd.scheduler.process import Process
from smtpd.scheduler.ramqueue import MDA, MTA


class Bench:
    """A scheduler with both its peers, and a clock that stands still at `now`."""

    START = 1_700_000_000

    def __init__(self, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = loop
        self.now = float(self.START)
        monkeypatch.setattr(time, "time", lambda: self.now)
        self.process = Process(loop, Log("scheduler"))
        self.ends: dict[str, Channel] = {}
        for name in ("queue", "control"):
            self.connect(name)
        self.process.load_config(wire.dumps(Config(scheduler=SchedulerLimits(max_schedule=5))))
        self.process.start()
        self.process.begin()

    @staticmethod
    def evpid(number: int) -> int:
        """The first envelope of message `number`."""
        return number << 32 | 1

    def times(
        self, number: int, kind: str = "mta", *, age: int = 0, ttl: int = 86400, retry: int = 0
    ) -> EnvelopeTimes:
        """That envelope, made `age` seconds before the start."""
        return EnvelopeTimes(self.evpid(number), kind, self.START - age, ttl, 0, 0, retry)

    def standing(self) -> tuple[list[bool], int, int, int]:
        """Which types are paused (mda, mta); how many envelopes are pending, in flight, held."""
        queue = self.process.ramqueue
        inflight = queue.inflight + queue.leaving
        pending = len(queue) - inflight - queue.held
        return [queue.paused[MDA], queue.paused[MTA]], pending, inflight, queue.held

    def connect(self, name: str) -> None:
        """A new link to a peer."""
        ours, theirs = socket.socketpair()
        if name in self.ends:
            self.ends[name].close()
        self.ends[name] = Channel(theirs, CATALOGUE)
        self.process.attach(name, 0, Channel(ours, CATALOGUE, max_queued=4096))

    def tell(self, name: str, *messages: Any) -> None:
        """Send as that peer."""
        for message in messages:
            self.ends[name].put(message)
        assert self.ends[name].flush()

    def hear(self, name: str) -> list[Any]:
        """What the scheduler sent to that peer, once it has nothing more to do."""
        for _ in range(30):
            self.loop.run_until_complete(asyncio.sleep(0))
        heard: list[Any] = []
        try:
            while received := self.ends[name].receive():
                heard.extend(message for _, message, _, _ in received)
        except BlockingIOError:
            pass
        return heard

    def ask(self, message: Any) -> Any:
        """Ask as control; the reply."""
        self.tell("control", message)
        (reply,) = self.hear("control")
        return reply

    def close(self) -> None:
        """The end."""
        self.loop.run_until_complete(self.process.stop())
        for peer in self.process.peers():
            peer.close()
        for end in self.ends.values():
            end.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    bench = Bench(loop, monkeypatch)
    yield bench
    bench.close()
    loop.close()
