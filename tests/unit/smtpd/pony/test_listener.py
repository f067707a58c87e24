"""A listening socket: settings for its sessions; accepting is tested with SmtpIn."""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from smtpd.config.model import Config, SmtpSettings
from smtpd.config.model import Listener as ListenerConfig
from smtpd.pony.listener import Listener, settings_of

CONFIG = Config(hostname="mx.example", smtp=SmtpSettings(max_message_size=1000, max_rcpt=5, max_mails=6))


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        yield sock


class Named:
    """A socket bound to whatever address."""

    def __init__(self, family: socket.AddressFamily, name: Any) -> None:
        self.family = family
        self.name = name

    def getsockname(self) -> Any:
        return self.name


def test_settings() -> None:
    here = Named(socket.AF_INET, ("192.0.2.1", 25))
    plain = settings_of(CONFIG, ListenerConfig(on="x"), here)  # type: ignore[arg-type]
    assert plain.hostname == "mx.example"
    assert (plain.max_message_size, plain.max_rcpt, plain.max_mails, plain.max_commands) == (1000, 5, 6, 1010)
    assert plain.dsn
    assert not plain.mask_source
    assert not plain.complete_headers
    listener = ListenerConfig(
        on="x", hostname="a.example", tag="t", no_dsn=True, mask_src=True, tls_require=True, auth_require=True
    )
    other = settings_of(CONFIG, listener, here)  # type: ignore[arg-type]
    assert (other.hostname, other.tag) == ("a.example", "t")
    assert not other.dsn
    assert other.mask_source
    assert other.starttls_required
    assert other.auth_required


@pytest.mark.parametrize(
    ("family", "name", "completes"),
    [
        (socket.AF_INET, ("192.0.2.1", 25), False),
        (socket.AF_INET, ("192.0.2.1", 587), True),
        (socket.AF_INET, ("127.0.0.5", 25), True),
        (socket.AF_INET6, ("2001:db8::1", 25, 0, 0), False),
        (socket.AF_INET6, ("fe80::1%eth0", 25, 0, 2), False),
        (socket.AF_INET6, ("::1", 25, 0, 0), True),
        (socket.AF_UNIX, "/x", True),
    ],
)
def test_where_headers_are_completed(family: socket.AddressFamily, name: Any, completes: bool) -> None:
    settings = settings_of(CONFIG, ListenerConfig(on="x"), Named(family, name))  # type: ignore[arg-type]
    assert settings.complete_headers is completes


def test_the_socket_outlives_a_pause(listening: socket.socket) -> None:
    accepted: list[asyncio.BaseTransport] = []

    class Session(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.append(transport)
            transport.close()

    async def run() -> None:
        tasks: list[asyncio.Task[None]] = []

        def spawn(coroutine: Coroutine[Any, Any, None]) -> None:
            tasks.append(asyncio.ensure_future(coroutine))

        listener = Listener(3, listening.dup(), spawn)
        assert listener.number == 3
        for expected in (1, 2):
            listener.accept(Session)
            listener.accept(Session)
            await asyncio.gather(*tasks)
            with socket.create_connection(listening.getsockname()):
                while len(accepted) < expected:
                    await asyncio.sleep(0.001)
            listener.pause()
        with socket.create_connection(listening.getsockname()):
            await asyncio.sleep(0.01)
            assert len(accepted) == 2
        # paused before it had begun
        listener.accept(Session)
        listener.pause()
        await asyncio.gather(*tasks)
        await asyncio.sleep(0.01)
        assert listener._server is None
        listener.close()
        assert len(tasks) == 3

    asyncio.run(run())
