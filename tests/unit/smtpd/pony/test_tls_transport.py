"""TLS put between a transport and a protocol, over real sockets on the loop."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority

from smtpd.pony import tls_transport
from smtpd.pony.tls_stream import TlsStream
from smtpd.pony.tls_transport import TlsTransport


class Above(asyncio.Protocol):
    """Keeps what it hears, in order."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.data = b""
        self.paused = 0

    def tls_started(self, stream: TlsStream) -> None:
        self.heard.append("started")

    def tls_failed(self, reason: str) -> None:
        self.heard.append(("failed", reason))

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, error: Exception | None) -> None:
        self.heard.append(("lost", error))

    def pause_writing(self) -> None:
        self.paused += 1

    def resume_writing(self) -> None:
        self.paused -= 1


class World:
    """A server that does with a client what `serve` says; `connect` gives both."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self.loop = loop
        self.pair = Authority(folder).sign("mx.test")
        self.above = Above()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def run(self, serve: Callable[..., Any], client: Callable[..., Any], **options: Any) -> None:
        """`serve(reader, writer)` on one side, `client(tls)` on the other, until both are done."""

        async def both() -> None:
            done: asyncio.Future[None] = self.loop.create_future()

            async def serving(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    with contextlib.suppress(ConnectionError, ssl.SSLError):
                        await serve(reader, writer)
                finally:
                    writer.close()
                    if not done.done():
                        done.set_result(None)

            server = await asyncio.start_server(serving, "127.0.0.1", 0, **options)
            port = server.sockets[0].getsockname()[1]
            transport, _ = await self.loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
            transport.set_write_buffer_limits(high=65536)  # type: ignore[union-attr]
            tls = TlsTransport(transport, TlsStream(self.context, server_name="mx.test"), self.above)  # type: ignore[arg-type]
            tls.start()
            async with asyncio.timeout(20):
                await client(tls)
                await done
            transport.abort()  # type: ignore[union-attr]
            server.close()
            await asyncio.sleep(0.01)

        self.loop.run_until_complete(both())

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.001)


@pytest.fixture
def world(loop: asyncio.AbstractEventLoop, tmp_path: Path) -> Iterator[World]:
    yield World(loop, tmp_path)


def test_data_both_ways_and_a_polite_end(world: World) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(100_000) == b"x" * 100_000
        writer.write(b"thanks")
        assert await reader.read() == b""

    async def client(tls: TlsTransport) -> None:
        await world.until(lambda: world.above.heard)
        tls.write(b"x" * 100_000)
        await world.until(lambda: world.above.data)
        tls.close()
        await world.until(lambda: len(world.above.heard) > 1)

    world.run(serve, client, ssl=world.pair.server())
    assert world.above.heard == ["started", ("lost", None)]
    assert world.above.data == b"thanks"


def test_the_other_side_ends(world: World) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")

    async def client(tls: TlsTransport) -> None:
        await world.until(lambda: len(world.above.heard) > 1)
        tls.write(b"too late")

    world.run(serve, client, ssl=world.pair.server())
    assert world.above.heard == ["started", ("lost", None)]
    assert world.above.data == b"bye"


@pytest.mark.parametrize("answer", [b"", b"220 no TLS here\r\n"])
def test_no_handshake(world: World, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await reader.read(3)).startswith(b"\x16\x03")
        writer.write(answer)

    async def client(tls: TlsTransport) -> None:
        await world.until(lambda: world.above.heard)

    world.run(serve, client)
    ((what, reason),) = world.above.heard
    assert what == "failed"
    assert reason == ("wrong version number" if answer else "connection closed during the handshake")


def test_who_is_detached_hears_nothing(world: World) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def client(tls: TlsTransport) -> None:
        tls.detach()
        tls.write(b"x")
        await asyncio.sleep(0.02)

    world.run(serve, client)
    assert world.above.heard == []


def test_a_reader_that_is_slow_pauses_the_writer(world: World) -> None:
    go_on = threading.Event()
    read = 0

    def serve() -> None:
        """Blocking: what a loop's own TLS reads ahead depends on its mood."""
        nonlocal read
        sock, _ = listener.accept()
        with world.pair.server().wrap_socket(sock, server_side=True) as tls:
            go_on.wait(20)
            while data := tls.recv(65536):
                read += len(data)

    async def client() -> None:
        transport, _ = await world.loop.create_connection(asyncio.Protocol, *listener.getsockname())
        transport.set_write_buffer_limits(high=65536)
        tls = TlsTransport(transport, TlsStream(world.context, server_name="mx.test"), world.above)  # type: ignore[arg-type]
        tls.start()
        try:
            async with asyncio.timeout(20):
                await world.until(lambda: world.above.heard)
                tls.write(b"x" * 16_000_000)
                await world.until(lambda: world.above.paused == 1)
                go_on.set()
                await world.until(lambda: world.above.paused == 0)
        finally:
            go_on.set()
            tls.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve)
        server.start()
        try:
            world.loop.run_until_complete(client())
            world.loop.run_until_complete(world.until(lambda: not server.is_alive()))
        finally:
            server.join(30)
    assert world.above.heard == ["started", ("lost", None)]
    assert read == 16_000_000


def test_who_leaves_what_it_asked_for_unread_is_cut_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_transport, "BACKLOG_MAX", -1)  # even nothing is too much

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def client(tls: TlsTransport) -> None:
        await world.until(lambda: world.above.heard and world.above.heard[-1] != "started")

    world.run(serve, client, ssl=world.pair.server())
    assert world.above.heard[-1] != "started"


def test_what_the_transport_knows(world: World) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def client(tls: TlsTransport) -> None:
        assert tls.get_extra_info("peername")[0] == "127.0.0.1"
        assert tls.get_extra_info("nothing", 7) == 7
        tls.close()

    world.run(serve, client)
