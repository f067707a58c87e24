"""A loop as processes have it, and two peers on one socketpair."""

import asyncio
import os
import select
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from imsg import Channel
from imsg.message import Kind
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.pony_queue import (
    CommitMessage,
    CreateMessage,
    IncomingOpened,
    MessageCreated,
    OpenIncoming,
    RollbackMessage,
)
from smtpd.mproc.dispatch import handlers_of, handles, replies
from smtpd.mproc.loop import new_loop
from smtpd.mproc.peer import Peer
from smtpd.mproc.process import Process
from smtpd.mproc.spawn import socketpair


def stub(kind: Kind) -> Callable[..., Any]:
    """A handler of the right name and number of arguments."""
    arguments = ["self", "peer", "message"]
    if kind.reply is not None:
        arguments.insert(2, "reqid")
    if kind.descriptor is not False:
        arguments.append("fd")
    names: dict[str, Any] = {}
    exec(f"def {kind.handler_name}({', '.join(arguments)}): pass", names)
    function: Callable[..., Any] = handles(kind.cls)(names[kind.handler_name])
    return function


def kinds_for(process: str) -> list[Kind]:
    """What is sent to a process and has to be handled there."""
    answers = replies()
    return [
        kind
        for kind in CATALOGUE.by_number.values()
        if process in kind.receivers and kind.number not in answers
    ]


def part_of(name: str, kinds: list[Kind]) -> type:
    """A part with a handler that does nothing for each kind."""
    return type(name, (), {kind.handler_name: stub(kind) for kind in kinds})


def rest_of(process: str, process_class: type[Process]) -> type:
    """A part that handles what the parts of every such process leave over."""
    own = {number for part in process_class.own_parts() for number in handlers_of(part)}
    return part_of("Rest", [kind for kind in kinds_for(process) if kind.number not in own])


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of ours; what its exception handler was told fails the test."""
    loop = new_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    yield loop
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.set_event_loop(None)
    assert told == []


@pytest.fixture
def no_leak() -> Iterator[None]:
    """As many descriptors are open after the test as were before it."""
    new_loop().close()  # libuv makes a pipe with its first loop and keeps it
    before = set(os.listdir("/proc/self/fd"))
    yield
    after = set(os.listdir("/proc/self/fd"))
    assert len(after) <= len(before), {fd: os.readlink(f"/proc/self/fd/{fd}") for fd in after - before}


class Owner:
    """What a peer needs of its process; everything it is told is kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.violations: list[str] = []
        self.lost: list[Peer] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self._handlers: dict[int, Callable[..., Any]] = {}

    def add(self, part: object) -> None:
        """Take a part's handlers."""
        for number, name in handlers_of(type(part)).items():
            self._handlers[number] = getattr(part, name)

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        return self._handlers.get(kind.number)

    def answer_later(self, reply: Any, peer: Peer) -> None:
        async def answer() -> None:
            result = await reply
            if result is not None:
                peer.send(result)

        self.tasks.append(self.loop.create_task(answer()))

    def violation(self, peer: Peer, text: str) -> None:
        self.violations.append(f"{peer.name}: {text}")

    def peer_lost(self, peer: Peer) -> None:
        self.lost.append(peer)


class Link:
    """The link between pony and queue, both ends in the test: `pony` is queue's peer, `queue` is pony's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, max_queued: int = 4096) -> None:
        self.loop = loop
        ours, theirs = socketpair()
        self.in_queue = Owner(loop)
        self.in_pony = Owner(loop)
        self.pony = Peer(
            self.in_queue, "pony", 0, Channel(ours, CATALOGUE, name="pony", max_queued=max_queued)
        )
        self.queue = Peer(
            self.in_pony, "queue", 0, Channel(theirs, CATALOGUE, name="queue", max_queued=max_queued)
        )

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end, at most five seconds."""
        return self.loop.run_until_complete(asyncio.wait_for(what, 5))

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the loop run until something is so."""

        async def wait() -> None:
            while not condition():
                await asyncio.sleep(0.001)

        self.run(wait())

    def turns(self, number: int | None = None) -> None:
        """Let the loop run until everything on the way has arrived; or for so many turns."""

        async def wait() -> None:
            for _ in range(number or 20):
                await asyncio.sleep(0)
            await asyncio.sleep(0.005)
            for _ in range(0 if number else 100):  # one that reads no more leaves it there
                if not self._on_the_way():
                    break
                await asyncio.sleep(0.001)

        self.run(wait())

    def _on_the_way(self) -> bool:
        """Whether something lies in a socket that its end has not read."""
        ends = [end.channel.sock for end in (self.pony, self.queue) if end.channel.fileno() >= 0]
        return bool(select.select(ends, [], [], 0)[0])

    def close(self) -> None:
        self.pony.close()
        self.queue.close()


@pytest.fixture
def make_link(loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Link]]:
    """Makes links that are closed at the end."""
    made: list[Link] = []

    def make(max_queued: int = 4096) -> Link:
        made.append(Link(loop, max_queued))
        return made[-1]

    yield make
    for link in made:
        link.close()


@pytest.fixture
def link(make_link: Callable[..., Link]) -> Link:
    return make_link()


class Incoming:
    """Some of queue's handlers, each answering in another way."""

    def __init__(self) -> None:
        self.got: list[Any] = []
        self.held: list[tuple[Peer, int]] = []
        self.release = asyncio.Event()

    @handles(CreateMessage)
    def create_message(self, peer: Peer, reqid: int, message: CreateMessage) -> MessageCreated:
        """At once."""
        self.got.append(message)
        return MessageCreated(reqid, message.session & 0xFFFF)

    @handles(CommitMessage)
    def commit_message(self, peer: Peer, reqid: int, message: CommitMessage) -> None:
        """Later, by `send`."""
        self.held.append((peer, reqid))

    @handles(OpenIncoming)
    async def open_incoming(self, peer: Peer, reqid: int, message: OpenIncoming) -> IncomingOpened | None:
        """As a coroutine; message 1 gets a descriptor."""
        await self.release.wait()
        if message.msgid == 1:
            reading, writing = os.pipe()
            os.close(reading)
            peer.send(IncomingOpened(reqid, ""), writing)
            return None
        return IncomingOpened(reqid, "no such message")

    @handles(RollbackMessage)
    def rollback_message(self, peer: Peer, message: RollbackMessage) -> None:
        """Never answered."""
        self.got.append(message)


@pytest.fixture
def incoming(link: Link) -> Incoming:
    part = Incoming()
    link.in_queue.add(part)
    return part


def reader_gone(writing: int) -> bool:
    """Whether every read end of a pipe is closed; closes the write end."""
    try:
        os.write(writing, b"x")
    except BrokenPipeError:
        return True
    finally:
        os.close(writing)
    return False
