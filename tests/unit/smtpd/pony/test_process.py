"""smtpd/pony/process.py: the whole process in the hands of a test."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from imsg import Channel
from smtpd.config import wire
from smtpd.config.model import Config, Listener
from smtpd.config.slices import slice_for
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_mta import ListMta, MtaListed
from smtpd.messages.control_pony import PauseSmtp, ResumeSmtp
from smtpd.messages.parent_pony import ListenSocket
from smtpd.messages.pony_lookup import ReverseName, ReverseNameFound
from smtpd.mproc.log import Log
from smtpd.mproc.process import channel_on
from smtpd.mproc.spawn import socketpair
from smtpd.pony.process import Process

CONFIG = Config(generation=3, hostname="mx.example", listeners=(Listener(on="127.0.0.1"),))


class Bench:
    """A pony that listens, and the other ends of its links."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        handler = loop.get_exception_handler()
        self.loop = loop
        self.process = Process(loop, Log("pony"))
        loop.set_exception_handler(handler)
        self.ends: dict[str, Channel] = {}
        self.clients: list[socket.socket] = []
        for name in ("parent", "control", "lookup", "queue"):
            ours, theirs = socketpair()
            self.ends[name] = Channel(theirs, CATALOGUE)
            self.process.attach(name, 0, channel_on(ours.detach(), name, self.process))
        self.process.load_config(wire.dumps(slice_for(CONFIG, "pony")))
        self.process.prepare()
        self.process.start()
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        self.where = listening.getsockname()
        self.tell("parent", ListenSocket(0, "127.0.0.1"), listening.detach())

    def tell(self, name: str, message: Any, fd: int | None = None) -> None:
        self.ends[name].put(message, fd)
        assert self.ends[name].flush()
        self.run(0.02)

    def run(self, seconds: float) -> None:
        """Let it work; lookup knows every client's name meanwhile."""

        async def work() -> None:
            end = self.loop.time() + seconds
            while self.loop.time() < end:
                await asyncio.sleep(0.001)
                for _number, question, reqid, _fd in self.ends["lookup"].receive():
                    assert isinstance(question, ReverseName)
                    self.ends["lookup"].put(ReverseNameFound(reqid, "ok", "client.example"))
                    self.ends["lookup"].flush()

        self.loop.run_until_complete(work())

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.where)
        client.setblocking(False)
        self.clients.append(client)
        return client

    def hear(self, client: socket.socket) -> bytes:
        """What a client was sent within two seconds, b"" for nothing or the end."""
        for _ in range(40):
            self.run(0.05)
            try:
                return client.recv(4096)
            except BlockingIOError:
                continue
        return b""

    def close(self) -> None:
        self.loop.run_until_complete(asyncio.wait_for(self.process.stop(), 5))
        for client in self.clients:
            client.close()
        for peer in self.process.peers():
            peer.close()
        for end in self.ends.values():
            end.close()


@pytest.fixture
def bench(loop: asyncio.AbstractEventLoop) -> Iterator[Bench]:
    bench = Bench(loop)
    yield bench
    bench.close()


def test_its_configuration(bench: Bench) -> None:
    assert bench.process.config == slice_for(CONFIG, "pony") and bench.process.config.generation == 3
    with pytest.raises(wire.WireError):
        bench.process.load_config(b"\xc1")


def test_nobody_is_served_before_the_beginning(bench: Bench) -> None:
    client = bench.connect()
    bench.run(0.1)
    with pytest.raises(BlockingIOError):
        client.recv(100)
    bench.process.begin()
    assert bench.hear(client) == b"220 mx.example ESMTP smtpd\r\n"
    client.send(b"EHLO c.example\r\n")
    assert bench.hear(client).startswith(b"250-mx.example Hello c.example")


def test_control_reaches_its_parts(bench: Bench) -> None:
    bench.process.begin()
    bench.tell("control", PauseSmtp())
    client = bench.connect()
    bench.run(0.1)
    with pytest.raises(BlockingIOError):
        client.recv(100)
    bench.tell("control", ResumeSmtp())
    assert bench.hear(client).startswith(b"220 ")
    bench.tell("control", ListMta("relays", ""))
    ((_number, listed, _reqid, _fd),) = bench.ends["control"].receive()
    assert isinstance(listed, MtaListed) and listed.relays == []


def test_stop_ends_all_that_is_under_way(bench: Bench) -> None:
    bench.process.begin()
    client = bench.connect()
    assert bench.hear(client).startswith(b"220 ")
    bench.loop.run_until_complete(asyncio.wait_for(bench.process.stop(), 5))
    assert bench.hear(client).startswith(b"421 ")
    assert bench.hear(client) == b""
    with pytest.raises(ConnectionRefusedError):
        bench.connect()
