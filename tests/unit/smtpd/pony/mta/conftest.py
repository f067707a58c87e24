"""A process around the MTA, with peers that record and answer as a test says, and a host to relay to."""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest

from smtpd.config.model import Config, MtaLimits, RelayAction, Table
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.pony_lookup import FindHost, FindInTable, FoundInTable, HostsFound
from smtpd.messages.pony_queue import (
    DeliveryOk,
    DeliveryPermfail,
    DeliveryTempfail,
    MessageOpened,
    OpenMessage,
    RelayMta,
)
from smtpd.mproc.loop import new_loop
from smtpd.mproc.stat import Stat
from smtpd.pony.mta.mta import Mta


class FakeLog:
    """Keeps lines."""

    tracing_mta = False
    tracing_io = False

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    warn = debug = info

    def trace(self, subsystem: str, text: str) -> None:
        self.lines.append(f"{subsystem}: {text}")


class FakePeer:
    """Keeps messages sent; answers requests with `answers[kind](request)`: a reply, or (reply, fd), or None
    to wait.

    A request that waits is in `asked` with its `then`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str) -> None:
        self.loop = loop
        self.name = name
        self.sent: list[Any] = []
        self.asked: list[tuple[Any, Callable[..., None]]] = []
        self.answers: dict[type, Callable[[Any], Any]] = {}

    def send(self, message: Any, fd: int | None = None) -> int:
        if fd is not None:
            os.close(fd)
        self.sent.append(message)
        return len(self.sent)

    def ask(self, message: Any, then: Callable[..., None], fd: int | None = None) -> None:
        if fd is not None:
            os.close(fd)
        answer = self.answers.get(type(message))
        result = answer(message) if answer is not None else None
        if result is None:
            self.asked.append((message, then))
        elif type(result) is tuple:
            self.loop.call_soon(then, *result)
        else:
            self.loop.call_soon(then, result)

    def of(self, kind: type) -> list[Any]:
        """What was sent of a kind."""
        return [message for message in self.sent if type(message) is kind]


class Host:
    """An SMTP server that takes everything, unless told otherwise.

    `replies`: verb -> reply, or a list of replies to give in turn, then the usual one. `extensions`: of EHLO.
    `close_after`: connections are closed with a 421 after so many mails. `mute`: verbs that get no reply.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str = "127.0.0.1") -> None:
        self.loop = loop
        self.replies: dict[str, str | list[str]] = {}
        self.extensions = ["PIPELINING", "8BITMIME", "SIZE 10000000", "DSN"]
        self.close_after = 0
        self.mute: set[str] = set()
        self.greeting = "220 mx.example ESMTP"
        self.mails: list[tuple[str, list[str], bytes]] = []
        self.commands: list[str] = []
        self.connections: list[Connection] = []
        self.server = loop.run_until_complete(loop.create_server(lambda: Connection(self), address, 0))
        self.port = self.server.sockets[0].getsockname()[1]

    @property
    def open(self) -> int:
        """Connections that are not closed."""
        return sum(not connection.closed for connection in self.connections)

    def reply(self, verb: str, usual: str) -> str:
        special = self.replies.get(verb, usual)
        if isinstance(special, list):
            return special.pop(0) if special else usual
        return special

    def close(self) -> None:
        self.server.close()
        for connection in self.connections:
            connection.transport.abort()
        self.loop.run_until_complete(self.server.wait_closed())


class Connection(asyncio.Protocol):
    """One client of a Host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.data = b""
        self.closed = False
        self.content: bytes | None = None
        self.sender = ""
        self.rcpts: list[str] = []
        self.taken = 0
        self.paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.host.connections.append(self)
        self.say(self.host.greeting)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True

    def say(self, reply: str) -> None:
        if reply:
            self.transport.write(reply.replace("|", "\r\n").encode() + b"\r\n")
        if reply.startswith(("421", "554 bye")):
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.data += data
        while not self.transport.is_closing():
            if self.content is not None:
                text = b"\r\n" + self.data
                end = text.find(b"\r\n.\r\n")
                if end < 0:
                    return
                self.data = text[end + 5 :]
                content = text[2 : end + 2].replace(b"\r\n.", b"\r\n") if end else b""
                self.content = None
                self.dot(content.removeprefix(b".") if content.startswith(b".") else content)
                continue
            line, newline, rest = self.data.partition(b"\r\n")
            if not newline:
                return
            self.data = rest
            self.command(line.decode())

    def command(self, line: str) -> None:
        self.host.commands.append(line)
        verb = line.split()[0].upper()
        argument = line.partition("<")[2].partition(">")[0]
        if verb in self.host.mute:
            return
        usual = {
            "EHLO": "|".join(f"250-{word}" for word in ["mx.example", *self.host.extensions]) + "|250 HELP",
            "LHLO": "|".join(f"250-{word}" for word in ["mx.example", *self.host.extensions]) + "|250 HELP",
            "DATA": "354 go" if self.rcpts else "503 no recipients",
            "QUIT": "221 bye",
        }.get(verb, "250 2.0.0 ok")
        if verb == "MAIL" and self.host.close_after and self.taken >= self.host.close_after:
            usual = "421 4.7.0 enough"
        reply = self.host.reply(verb, usual)
        if verb in ("MAIL", "RSET"):
            self.sender, self.rcpts = argument, []
        if verb == "RCPT" and reply.startswith("2"):
            self.rcpts.append(argument)
        if verb == "DATA" and reply.startswith("354"):
            self.content = b""
        self.say(reply)
        if verb == "QUIT":
            self.transport.close()

    def dot(self, content: bytes) -> None:
        reply = self.host.reply(".", "250 2.0.0 queued")
        if reply.startswith("2"):
            self.taken += 1
            self.host.mails.append((self.sender, self.rcpts, content))
        if "." not in self.host.mute:
            self.say(reply)


class FakeProcess:
    """What a part needs of its process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config) -> None:
        self.loop = loop
        self.config = config
        self.log = FakeLog()
        self.stat = Stat()
        self.peers = {name: FakePeer(loop, name) for name in ("parent", "lookup", "queue", "control")}

    def peer(self, name: str, instance: int = 0) -> FakePeer:
        return self.peers[name]

    def spawn_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return self.loop.create_task(coroutine)

    def run_until(self, condition: Callable[[], object], seconds: float = 20) -> None:
        """Turn the loop until `condition` holds."""

        async def wait() -> None:
            async with asyncio.timeout(seconds):
                while not condition():
                    await asyncio.sleep(0.001)

        self.loop.run_until_complete(wait())

    def turn(self, seconds: float = 0.0) -> None:
        """Let the loop do what it has to do."""
        self.loop.run_until_complete(asyncio.sleep(seconds))


CONTENT = b"Subject: hi\n\nbody\n.dot\n"
FAST = MtaLimits(conndelay_route=0, conndelay_relay=0, discdelay_route=0)
CONFIG = Config(
    hostname="client.example",
    actions={
        "smart": RelayAction(name="smart", host="<dynamic:0>"),
        "domain": RelayAction(name="domain", host="domains", host_is_domain=True),
        "direct": RelayAction(name="direct"),
        "list": RelayAction(name="list", host="hosts"),
        "helo": RelayAction(name="helo", host="<dynamic:0>", helo="other.example", mail_from="@list.example"),
        "tls": RelayAction(name="tls", host="<dynamic:0>", tls=True),
        "src": RelayAction(name="src", host="<dynamic:0>", src="sources", helo_src="names"),
        "backup": RelayAction(name="backup", backup=True, backup_mx="mx2.example"),
    },
    # Its entries are those of Relaying.tables, one after the other.
    tables={"<dynamic:0>": Table(name="<dynamic:0>", backend="static")},
    mta_limits={"default": FAST},
    generation=3,
)


class Relaying:
    """A part with a whole world around it."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self.queue, self.lookup = process.peer("queue"), process.peer("lookup")
        self.queue.answers[OpenMessage] = self.open_message
        self.lookup.answers[FindInTable] = lambda request: FoundInTable(
            1, "ok", self.tables[request.table].pop(0)
        )
        self.lookup.answers[FindHost] = lambda request: HostsFound(1, "none", "no such host", False, [])
        self.tables: dict[str, list[str]] = {"<dynamic:0>": []}
        self.contents: dict[int, bytes] = {}
        self.msgid = 0
        self.mta = Mta(process)

    def open_message(self, request: OpenMessage) -> tuple[MessageOpened, int]:
        fd = os.memfd_create("message")
        os.write(fd, self.contents.get(request.msgid, CONTENT))
        return MessageOpened(1, ""), fd

    def smart(self, host: Any, times: int = 1000) -> None:
        self.tables["<dynamic:0>"] = [f"smtp://127.0.0.1:{host.port}"] * times

    def relay(self, *rcpts: str, dispatcher: str = "smart", **fields: Any) -> list[int]:
        """One message; its evpids."""
        self.msgid += 1
        evpids = []
        for number, rcpt in enumerate(rcpts or ("b@y.example",), 1):
            user, _, domain = rcpt.partition("@")
            address = MailAddress(user, domain)
            envelope = Envelope(self.msgid << 32 | number, "mta", dispatcher)._replace(
                sender=MailAddress("a", "x.example"), rcpt=address, dest=address
            )
            self.mta.relay_mta(self.queue, RelayMta(envelope._replace(**fields)))
            evpids.append(envelope.evpid)
        return evpids

    def results(self) -> list[Any]:
        return [m for m in self.queue.sent if isinstance(m, DeliveryOk | DeliveryTempfail | DeliveryPermfail)]

    def wait(self, number: int = 1) -> list[Any]:
        """So many results; forgets them."""
        self.process.run_until(lambda: len(self.results()) >= number)
        results = self.results()
        self.queue.sent.clear()
        return results

    @property
    def lines(self) -> list[str]:
        return self.process.log.lines  # type: ignore[no-any-return]

    def close(self) -> None:
        self.process.loop.run_until_complete(self.mta.stop())
        assert self.process.stat.get("mta.session") == 0


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of ours; what its exception handler was told fails the test."""
    first = new_loop()  # the first one opens what all share
    first.run_until_complete(asyncio.sleep(0))
    first.close()
    before = len(os.listdir("/proc/self/fd"))
    loop = new_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    yield loop
    loop.run_until_complete(asyncio.sleep(0.01))
    loop.close()
    asyncio.set_event_loop(None)
    assert told == []
    assert len(os.listdir("/proc/self/fd")) <= before, "descriptors left open"


@pytest.fixture
def make_process(loop: asyncio.AbstractEventLoop) -> Callable[[Config], FakeProcess]:
    """A process with this configuration."""
    return lambda config: FakeProcess(loop, config)


@pytest.fixture
def make_host(loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., Host]]:
    """A host to relay to."""
    made: list[Host] = []

    def make(address: str = "127.0.0.1") -> Host:
        made.append(Host(loop, address))
        return made[-1]

    yield make
    for host in made:
        host.close()


@pytest.fixture
def make_bench(make_process: Callable[[Config], FakeProcess]) -> Iterator[Callable[..., Relaying]]:
    """An Mta and what it works for; the arguments are limits."""
    made: list[Relaying] = []

    def make(**limits: Any) -> Relaying:
        config = replace(CONFIG, mta_limits={"default": replace(FAST, **limits)})
        made.append(Relaying(make_process(config)))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Relaying]) -> Relaying:
    """One without delays."""
    return make_bench()
