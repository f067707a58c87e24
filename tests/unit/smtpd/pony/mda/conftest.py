"""A process around one part of pony, with peers that record what is sent and answer as a test says."""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smtpd.config.model import Config
from smtpd.mproc.loop import new_loop
from smtpd.mproc.stat import Stat


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


class FakeProcess:
    """What a part needs of its process."""

    def __init__(self, loop: asyncio.AbstractEventLoop, config: Config) -> None:
        self.loop = loop
        self.config = config
        self.log = FakeLog()
        self.stat = Stat()
        self.recorder = None
        self.peers = {name: FakePeer(loop, name) for name in ("parent", "lookup", "queue", "control")}

    def peer(self, name: str, instance: int = 0) -> FakePeer:
        return self.peers[name]

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
