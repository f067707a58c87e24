"""A session's connection, over real sockets: made or not, in the clear or under TLS."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from tls_sink import TlsSink

from smtpd.pony.mta import connection as module
from smtpd.pony.mta.connection import Connection
from smtpd.pony.mta.routing import Host, Route, Source
from smtpd.pony.tls_stream import TlsStream


class User:
    """Keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.data = b""

    def connected(self) -> None:
        self.heard.append("connected")

    def received(self, data: bytes) -> None:
        self.data += data

    def writable(self) -> None:
        self.heard.append("writable")

    def tls_started(self, stream: TlsStream) -> None:
        self.heard.append("started")

    def tls_failed(self, reason: str) -> None:
        self.heard.append(("failed", reason))

    def lost(self, error: Exception | None) -> None:
        self.heard.append(("lost", error))


@pytest.fixture
def user() -> User:
    return User()


@pytest.fixture
def sinks(tmp_path: Path) -> Iterator[Callable[..., TlsSink]]:
    authority = Authority(tmp_path)
    made: list[TlsSink] = []

    def make(**options: Any) -> TlsSink:
        made.append(TlsSink(authority.sign("mx.test").server(), **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def route(loop: asyncio.AbstractEventLoop, address: str = "127.0.0.1", source: str = "") -> Route:
    return Route(loop, 1, Source(loop, source), Host(loop, address))


def turn(loop: asyncio.AbstractEventLoop, condition: Callable[[], object]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.001)

    loop.run_until_complete(wait())


def context() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    return made


def test_in_the_clear(loop: asyncio.AbstractEventLoop, user: User, sinks: Callable[..., TlsSink]) -> None:
    connection = Connection(loop, user)
    assert not connection.made and connection.source == "-"
    connection.write(b"nobody hears")
    connection.close()
    loop.run_until_complete(connection.open(route(loop, source="127.0.0.1"), sinks().port))
    turn(loop, lambda: user.data)
    assert connection.made and connection.source == "127.0.0.1"
    assert user.data == b"220 sink.test ESMTP\r\n"
    connection.write(b"QUIT\r\n")
    turn(loop, lambda: len(user.heard) == 2)
    assert user.heard == ["connected", ("lost", None)]


def test_under_tls(loop: asyncio.AbstractEventLoop, user: User, sinks: Callable[..., TlsSink]) -> None:
    to = sinks(smtps=True)
    connection = Connection(loop, user)
    loop.run_until_complete(connection.open(route(loop), to.port))
    connection.start_tls(context(), "mx.test")
    turn(loop, lambda: user.data)
    connection.write(b"QUIT\r\n")
    turn(loop, lambda: len(user.heard) == 3)
    assert user.heard == ["connected", "started", ("lost", None)]
    assert to.commands == ["TLS", "QUIT"]


@pytest.mark.parametrize("name", ["mx.test", "not..a.name"])
def test_no_tls_is_told_once(
    loop: asyncio.AbstractEventLoop, user: User, sinks: Callable[..., TlsSink], name: str
) -> None:
    connection = Connection(loop, user)
    loop.run_until_complete(connection.open(route(loop), sinks().port))
    connection.start_tls(context(), name)  # the other side greets in the clear
    turn(loop, lambda: len(user.heard) > 1)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert user.heard[0] == "connected"
    ((what, reason),) = user.heard[1:]
    assert what == "failed"
    assert reason.startswith("not a host name" if ".." in name else "wrong version number")


def test_what_is_dropped_is_silent(
    loop: asyncio.AbstractEventLoop, user: User, sinks: Callable[..., TlsSink]
) -> None:
    connection = Connection(loop, user)
    loop.run_until_complete(connection.open(route(loop), sinks(smtps=True, hang=True).port))
    connection.start_tls(context(), "mx.test")
    connection.drop()
    loop.run_until_complete(asyncio.sleep(0.01))
    assert user.heard == ["connected"]


def test_nobody_there(loop: asyncio.AbstractEventLoop, user: User) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            loop.run_until_complete(Connection(loop, user).open(route(loop), taken.getsockname()[1]))
    with pytest.raises(OSError, match="assign"):
        loop.run_until_complete(Connection(loop, user).open(route(loop, source="192.0.2.1"), 25))
    assert user.heard == []


def test_nobody_answers(loop: asyncio.AbstractEventLoop, user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> None:
        await loop.create_future()

    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.02)
    monkeypatch.setattr(module, "_reach", never)
    with pytest.raises(TimeoutError):
        loop.run_until_complete(Connection(loop, user).open(route(loop), 25))


def test_a_reader_that_is_slow(loop: asyncio.AbstractEventLoop, user: User) -> None:
    connection = Connection(loop, user)
    connection.pause_writing()
    assert connection.paused
    connection.resume_writing()
    assert not connection.paused and user.heard == ["writable"]
