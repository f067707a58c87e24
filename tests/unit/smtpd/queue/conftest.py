"""A queue process with a spool in memory and peers that keep what they are sent."""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from imsg.message import kind_of
from smtpd.config.model import Config, LocalAction, QueueSettings, RelayAction
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import MDA, MTA, Envelope
from smtpd.mail.envelope_text import decode
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.lookup_queue import SubmitEnvelopes
from smtpd.mproc.log import Log
from smtpd.mproc.loop import new_loop
from smtpd.queue.process import Process
from smtpd.spool.backend import ERROR, Backend, Failure
from smtpd.spool.ram import RamBackend

RELAY = Envelope(
    0,
    MTA,
    "relay",
    smtpname="mx.example.org",
    helo="client.example.net",
    hostname="client.example.net",
    sockaddr="192.0.2.7",
    sender=MailAddress("ann", "example.net"),
    rcpt=MailAddress("bob", "example.com"),
    dest=MailAddress("bob", "example.com"),
)
LOCAL = RELAY._replace(type=MDA, dispatcher="local", mda_user="bob")


class Peer:
    """Keeps messages; refuses those that could not be sent."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.instance = 0
        self.lost = False
        self.full = False
        self.sent: list[Any] = []
        self.fds: list[int] = []
        self.asked: list[tuple[Any, Callable[..., None]]] = []
        self.drained: list[Callable[[], None]] = []

    def send(self, message: Any, fd: int | None = None) -> int:
        kind = kind_of(message)
        assert self.name in kind.receivers and "queue" in kind.senders
        CATALOGUE.encode(message)
        assert (fd is None) or kind.descriptor
        self.sent.append(message)
        if fd is not None:
            self.fds.append(fd)
        return len(self.sent)

    def ask(self, message: Any, then: Callable[..., None]) -> None:
        CATALOGUE.encode(message)
        self.asked.append((message, then))

    def when_drained(self, callback: Callable[[], None]) -> None:
        self.drained.append(callback)

    def take(self) -> list[Any]:
        """What was sent since the last time."""
        sent, self.sent = self.sent, []
        return sent


class Lines(Log):
    """A log in a list."""

    def __init__(self) -> None:
        super().__init__("queue", verbose=True)
        self.lines: list[str] = []

    def _write(self, priority: str, text: str) -> None:
        self.lines.append(text)


class Unwilling(RamBackend):
    """A spool in memory that fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: set[str] = set()
        self.failure = Failure(ERROR, "No space left on device")

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("_") and name not in ("fails", "failure") and name in self.fails:
            return lambda *arguments: arguments[-1](self.failure)
        return super().__getattribute__(name)


class World:
    """The process and everybody around it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config) -> None:
        self.loop = loop
        self.log = Lines()
        self.process = Process(loop, self.log)
        self.process.config = config
        self.spool = Unwilling()
        self.process.use(self.spool)
        self.peers = {name: Peer(name) for name in ("parent", "control", "lookup", "pony", "scheduler")}
        self.process._peers = {(name, 0): peer for name, peer in self.peers.items()}  # type: ignore[misc]
        self.pony = self.peers["pony"]
        self.lookup = self.peers["lookup"]
        self.scheduler = self.peers["scheduler"]
        self.control = self.peers["control"]
        self._reqid = 0

    def restart(self, spool: Backend | None = None) -> None:
        """Another process on the same spool."""
        config = self.process.config
        peers = self.process._peers
        self.process = Process(self.loop, self.log)
        self.process.config = config
        self.process.use(spool or self.spool)
        self.process._peers = peers

    def handle(self, sender: str, message: Any) -> Any:
        """What the process does with a message from a peer; the reply, if there is one by then."""
        kind = kind_of(message)
        assert sender in kind.senders
        message = CATALOGUE.decode(*CATALOGUE.encode(message))
        handler = self.process.handler(kind)
        assert handler is not None
        peer = self.peers[sender]
        if kind.reply is None:
            assert handler(peer, message) is None
            return None
        self._reqid += 1
        count = len(peer.sent)
        reply = handler(peer, self._reqid, message)
        if reply is None and len(peer.sent) > count:
            reply = peer.sent.pop()
        if reply is not None:
            assert type(reply) is kind.reply and reply.reqid == self._reqid
        return reply

    def received(self, *envelopes: Envelope, content: bytes = b"Subject: x\n\nbody\n") -> list[Envelope]:
        """A message that pony and lookup have brought, committed; its envelopes as they are stored."""
        msgid = self.process.incoming.create(self.pony)  # type: ignore[arg-type]
        evpids = []
        for envelope in envelopes:
            reply = self.handle("lookup", SubmitEnvelopes(msgid, False, [envelope]))
            assert reply.error == ""
            evpids += reply.evpids
        opened: list[Any] = []
        self.process.incoming.open(msgid, opened.append)
        os.write(opened[0], content)
        os.close(opened[0])
        results: list[Any] = []
        self.process.incoming.commit(msgid, results.append)
        self.until(lambda: results)
        assert results == [None]
        self.scheduler.take()
        return [self.stored(evpid) for evpid in evpids]

    def stored(self, evpid: int) -> Envelope:
        """An envelope as the spool has it; AssertionError if it has not."""
        envelope = self.find(evpid)
        assert envelope is not None
        return envelope

    def find(self, evpid: int) -> Envelope | None:
        """The same, or None."""
        found: list[Any] = []
        self.spool.load([evpid], found.extend)
        data = found[0].data
        return decode(evpid, data) if isinstance(data, bytes) else None

    def queued(self) -> list[Envelope]:
        """All envelopes in the spool."""
        return [
            decode(evpid, data) for found in self.spool._envelopes.values() for evpid, data in found.items()
        ]

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the loop run until something is so."""

        async def wait() -> None:
            async with asyncio.timeout(5):
                while not condition():
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop as processes have it."""
    loop = new_loop()
    yield loop
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def relay() -> Envelope:
    """An envelope to relay, as lookup hands it in."""
    return RELAY


@pytest.fixture
def local() -> Envelope:
    """An envelope to deliver here."""
    return LOCAL


@pytest.fixture
def config() -> Config:
    """Two actions, short times."""
    return Config(
        hostname="mx.example.org",
        actions={
            "relay": RelayAction(name="relay"),
            "local": LocalAction(name="local", method="maildir", ttl=3600),
        },
        queue=QueueSettings(ttl=345600),
        bounce_warn=(14400, 86400),
    )


@pytest.fixture
def world(loop: asyncio.AbstractEventLoop, config: Config) -> Iterator[World]:
    """The process and its peers; no descriptor is left behind."""
    new_loop().close()
    before = len(os.listdir("/proc/self/fd"))
    world = World(loop, config)
    yield world
    loop.run_until_complete(world.spool.close())
    for peer in world.peers.values():
        for fd in peer.fds:
            os.close(fd)
    assert len(os.listdir("/proc/self/fd")) <= before
