"""A loop, spools to open in it, and questions to them as plain calls."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.mproc.loop import new_loop
from smtpd.spool import layout
from smtpd.spool.backend import Backend, Failure, Stored
from smtpd.spool.fs import FsBackend


def descriptors(folder: Path) -> int:
    """How many are open to what lies, or lay, in a folder, and to no file; not what others open."""
    found = 0
    for number in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{number}").startswith((f"{folder}/", "anon_inode:"))
        except FileNotFoundError:  # that of the listing
            pass
    return found


class Spool:
    """A backend with the waiting taken out: each method runs the loop until `then` was called."""

    def __init__(self, loop: asyncio.AbstractEventLoop, backend: Backend) -> None:
        self.loop = loop
        self.backend = backend
        self._closed = False

    def ask(self, name: str, *arguments: Any) -> Any:
        """Call a method that takes `then`; what `then` got."""
        answer: asyncio.Future[Any] = self.loop.create_future()
        getattr(self.backend, name)(*arguments, answer.set_result)
        return self.loop.run_until_complete(asyncio.wait_for(answer, 5))

    def write(self, content: bytes, number: int = 1) -> tuple[int, list[int]]:
        """An incoming message with its content and so many evpids."""
        msgid = self.backend.new_msgid()
        fd = self.ask("open_incoming", msgid)
        assert isinstance(fd, int), fd
        os.write(fd, content)
        os.close(fd)
        return msgid, [self.backend.new_evpid(msgid) for _ in range(number)]

    def commit(self, content: bytes = b"content\n", texts: tuple[bytes, ...] = (b"envelope\n",)) -> list[int]:
        """A queued message; its evpids."""
        msgid, evpids = self.write(content, len(texts))
        assert self.ask("commit", msgid, list(zip(evpids, texts, strict=True))) is None
        return evpids

    def content(self, msgid: int) -> bytes | Failure:
        """The content of a queued message."""
        fd = self.ask("open_message", msgid)
        if isinstance(fd, Failure):
            return fd
        with open(fd, "rb") as file:
            return file.read()

    def text(self, evpid: int) -> bytes | Failure:
        """The text of an envelope."""
        [stored] = self.ask("load", [evpid])
        assert stored.evpid == evpid
        data: bytes | Failure = stored.data
        return data

    def walk(self) -> dict[int, bytes | Failure]:
        """All that the walk finds."""
        walk = self.backend.walk()
        found: dict[int, bytes | Failure] = {}
        while True:
            answer: asyncio.Future[list[Stored] | None] = self.loop.create_future()
            walk.next(answer.set_result)
            batch = self.loop.run_until_complete(asyncio.wait_for(answer, 5))
            if batch is None:
                return found
            assert batch
            for evpid, data in batch:
                assert evpid not in found
                found[evpid] = data

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self.loop.run_until_complete(self.backend.close())


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop as processes have it; what its exception handler was told fails the test."""
    loop = new_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    yield loop
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.set_event_loop(None)
    assert told == []


@pytest.fixture
def log() -> list[str]:
    """What the spool said to the administrator."""
    return []


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folders of an empty spool."""
    path = tmp_path / "spool"
    assert layout.prepare(str(path)) == []
    return path


@pytest.fixture
def open_spool(root: Path, loop: asyncio.AbstractEventLoop, log: list[str]) -> Iterator[Callable[[], Spool]]:
    """Opens the spool under `root`; all that were opened are closed at the end, and no descriptor is left."""
    new_loop().close()
    before = len(os.listdir("/proc/self/fd"))
    opened: list[Spool] = []

    def open_it() -> Spool:
        opened.append(Spool(loop, FsBackend(str(root), loop, log.append)))
        return opened[-1]

    yield open_it
    for spool in opened:
        spool.close()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[int]]:
    """Descriptors of three files."""
    fds = [os.open(tmp_path / str(number), os.O_WRONLY | os.O_CREAT) for number in range(3)]
    yield fds
    for fd in fds:
        os.close(fd)
