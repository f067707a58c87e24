"""SMTP in, on real sockets, with queue and lookup played by the test (test_listener.py, test_smtp_in*.py)."""

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from smtpd.config.model import Config, Listener
from smtpd.messages import pony_lookup, pony_queue
from smtpd.messages.parent_pony import ListenSocket
from smtpd.mproc.stat import Stat
from smtpd.pony.smtp_in import SmtpIn


class QuietLog:
    """Keeps the lines."""

    tracing_smtp = False
    tracing_filters = False
    tracing_io = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    warn = debug = info

    def trace(self, subsystem: str, text: str) -> None:
        self.lines.append(f"{subsystem}: {text}")


class PlayedPeer:
    """Answers each kind of request by a function of `answers`, in the next turn; None answers nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.heard: list[Any] = []
        self.open: list[tuple[Any, Callable[..., None]]] = []
        self.answers: dict[type, Callable[[Any], tuple[Any, ...] | None]] = {}

    def ask(self, message: Any, then: Callable[..., None]) -> None:
        self.heard.append(message)
        reply = self.answers[type(message)](message)
        if reply is None:
            self.open.append((message, then))
        else:
            self.loop.call_soon(then, *reply)

    def send(self, message: Any) -> None:
        self.heard.append(message)


class PlayedProcess:
    """What SmtpIn needs of its process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config) -> None:
        self.loop = loop
        self.log = QuietLog()
        self.stat = Stat()
        self.config = config
        self.peers = {name: PlayedPeer(loop) for name in ("queue", "lookup")}
        self.tasks: list[asyncio.Task[None]] = []

    def peer(self, name: str) -> PlayedPeer:
        return self.peers[name]

    def spawn_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.tasks.append(self.loop.create_task(coroutine))


class Bench:
    """SmtpIn listening on a loopback port. Messages go to `folder`/MSGID."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path, config: Config) -> None:
        self.loop = loop
        self.folder = folder
        self.process = PlayedProcess(loop, config)
        self.log = self.process.log
        self.stat = self.process.stat
        self.queue = self.process.peers["queue"]
        self.lookup = self.process.peers["lookup"]
        self.smtp_in = SmtpIn(self.process)  # type: ignore[arg-type]
        self.messages = 0
        self.lookup.answers = {
            pony_lookup.ReverseName: lambda _: (pony_lookup.ReverseNameFound(1, "ok", "client.example"),),
            pony_lookup.ExpandRecipient: self.expand,
        }
        self.queue.answers = {
            pony_queue.CreateMessage: self.create,
            pony_queue.OpenIncoming: lambda message: (
                pony_queue.IncomingOpened(1, ""),
                os.open(folder / f"{message.msgid:08x}", os.O_WRONLY | os.O_CREAT, 0o600),
            ),
            pony_queue.CommitMessage: lambda _: (pony_queue.MessageCommitted(1, ""),),
        }
        self.clients: list[socket.socket] = []
        self.listen()

    def listen(self) -> None:
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(10)
        self.where = listening.getsockname()
        message = ListenSocket(0, "127.0.0.1")
        self.smtp_in.listen_socket(None, message, listening.detach())  # type: ignore[arg-type]

    def create(self, _: pony_queue.CreateMessage) -> tuple[pony_queue.MessageCreated]:
        self.messages += 1
        return (pony_queue.MessageCreated(1, self.messages),)

    def expand(self, message: pony_lookup.ExpandRecipient) -> tuple[pony_lookup.RecipientExpanded]:
        envelope = message.envelope
        if envelope.rcpt.user == "nobody":
            return (pony_lookup.RecipientExpanded(1, "permfail", "550 Invalid recipient", []),)
        return (pony_lookup.RecipientExpanded(1, "ok", "", [envelope.evpid + 7]),)

    def run(self, seconds: float = 0.0) -> None:
        """Let the loop do what it has to do."""
        self.loop.run_until_complete(self._run(seconds))

    async def _run(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        for _ in range(20):
            await asyncio.sleep(0)

    def connect(self) -> socket.socket:
        """A client that was not greeted yet."""
        client = socket.create_connection(self.where)
        client.setblocking(False)
        self.clients.append(client)
        return client

    def hear(self, client: socket.socket, end: bytes, seconds: float = 3.0) -> bytes:
        """What comes until `end` does; all there is when the connection ends first."""
        return self.loop.run_until_complete(asyncio.wait_for(self._hear(client, end), seconds))

    async def _hear(self, client: socket.socket, end: bytes) -> bytes:
        heard = b""
        while not heard.endswith(end) or not end:
            try:
                some = await self.loop.sock_recv(client, 65536)
            except ConnectionError:
                break
            if not some:
                break
            heard += some
        return heard

    def say(self, client: socket.socket, data: bytes, end: bytes = b"\r\n") -> bytes:
        """Send, and hear the answer."""
        self.loop.run_until_complete(self.loop.sock_sendall(client, data))
        return self.hear(client, end)

    def greeted(self) -> socket.socket:
        """A client that has said EHLO."""
        client = self.connect()
        assert self.hear(client, b"\r\n") == b"220 mx.example ESMTP smtpd\r\n"
        assert self.say(client, b"EHLO c.example\r\n", b" HELP\r\n").startswith(
            b"250-mx.example Hello c.example"
        )
        return client

    def kinds(self) -> list[str]:
        """The messages that queue was sent, by name."""
        return [type(message).__name__ for message in self.queue.heard]

    def close(self) -> None:
        """The end; nothing may be left open."""
        for client in self.clients:
            client.close()
        for message, then in [*self.queue.open, *self.lookup.open]:
            then(None, None) if isinstance(message, pony_queue.OpenIncoming) else then(None)
        self.run()
        self.loop.run_until_complete(self.smtp_in.stop())
        self.run()
        assert not self.smtp_in.sessions
        assert self.stat.get("smtp.session") == 0


CONFIG = Config(hostname="mx.example", listeners=(Listener(on="127.0.0.1", tag="T"),))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def make_bench(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[Callable[[Config], Bench]]:
    """Benches that are closed at the end of the test, and then leave no descriptor behind."""
    made: list[Bench] = []
    # the loop opens a descriptor of its own, as a reserve, when it first serves
    server = loop.run_until_complete(loop.create_server(asyncio.Protocol, "127.0.0.1", 0))
    server.close()
    loop.run_until_complete(asyncio.sleep(0.001))
    before = descriptors()

    def make(config: Config = CONFIG) -> Bench:
        bench = Bench(loop, tmp_path, config)
        made.append(bench)
        bench.smtp_in.begin()
        bench.run()
        return bench

    yield make
    for bench in made:
        bench.close()
    assert descriptors() <= before


@pytest.fixture
def bench(make_bench: Callable[[], Bench]) -> Bench:
    return make_bench()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
