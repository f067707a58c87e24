"""A parent whose children are played by the test: real sockets and pidfds, `cat` in place of a program."""

import asyncio
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Channel, ChannelClosed
from smtpd.config.model import Config
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CHILDREN
from smtpd.messages.parent_child import ChildHello, ChildReady, SetupComplete, Shutdown
from smtpd.mproc.log import Log
from smtpd.mproc.loop import new_loop
from smtpd.mproc.spawn import Child, socketpair
from smtpd.parent import children as children_module
from smtpd.parent import process as process_module
from smtpd.parent.places import CALLER, Places
from smtpd.parent.process import Process
from smtpd.parent.sockets import Bound, listen_control


class FakeChild:
    """A child: its process ends when the test says so. `heard`: the messages, and their descriptors."""

    def __init__(self, family: "Family", name: str) -> None:
        self._family = family
        self.name = name
        self.process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        ours, theirs = socketpair()
        self.child = Child(name, self.process, ours, os.pidfd_open(self.process.pid))
        self.channel = Channel(theirs, CATALOGUE)
        self.heard: list[tuple[Any, int | None]] = []
        family.loop.add_reader(theirs.fileno(), self._readable)
        self.say(ChildHello(self.process.pid, family.digests.get(name, CATALOGUE.digest())))

    def say(self, message: Any) -> None:
        self.channel.put(message)
        self.channel.flush()

    def _readable(self) -> None:
        try:
            received = self.channel.receive()
        except ChannelClosed:
            self.hang_up()
            return
        for _number, message, _peerid, fd in received:
            self.heard.append((message, fd))
            self._family.events.append((self.name, type(message).__name__))
            if isinstance(message, SetupComplete) and self.name not in self._family.slow:
                self.say(ChildReady())
            elif isinstance(message, Shutdown) and self.name not in self._family.stubborn:
                self.end()

    def of(self, kind: type) -> list[Any]:
        """The messages of a kind that it was sent."""
        return [message for message, _fd in self.heard if isinstance(message, kind)]

    def fd(self, kind: type) -> int:
        """The descriptor of the first of them."""
        fd = next(fd for message, fd in self.heard if isinstance(message, kind))
        assert fd is not None
        return fd

    def end(self) -> None:
        """Exit with status 0."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            self._family.events.append((self.name, "ends"))
            self.process.stdin.close()

    def hang_up(self) -> None:
        if not self.channel._closed:
            self._family.loop.remove_reader(self.channel.fileno())
            self.channel.close()

    def close(self) -> None:
        self.hang_up()
        self.end()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for _message, fd in self.heard:
            if fd is not None:
                os.close(fd)


class Family:
    """A parent and its children. `slow` never say ChildReady, `stubborn` do not end at Shutdown."""

    def __init__(self, tmp_path: Path, config: Config, listeners: list[Bound]) -> None:
        self.loop = new_loop()
        self.children: dict[str, FakeChild] = {}
        self.events: list[tuple[str, str]] = []
        self.slow: set[str] = set()
        self.stubborn: set[str] = set()
        self.digests: dict[str, str] = {}
        self.lines: list[str] = []
        self.places = Places(
            separated=False,
            spool=tmp_path / "spool",
            socket=tmp_path / "smtpd.sock",
            empty=tmp_path / "empty",
            homes=str(tmp_path / "home"),
            crashes=tmp_path / "crash",
            user=CALLER,
            queue_user=CALLER,
        )
        log = Log("parent")
        log._write = lambda _priority, text: self.lines.append(text)  # type: ignore[method-assign]
        self.parent = Process(
            self.loop, log, config=config, places=self.places, log_to="stderr", listeners=listeners,
            following=frozenset(), control=listen_control(self.places.socket),
        )  # fmt: skip

    def spawn(self, name: str) -> Child:
        assert name in CHILDREN
        self.children[name] = FakeChild(self, name)
        return self.children[name].child

    def run_until(self, condition: Callable[[], Any], seconds: float = 5) -> None:
        async def wait() -> None:
            while not condition():
                await asyncio.sleep(0.002)

        self.loop.run_until_complete(asyncio.wait_for(wait(), seconds))

    def start(self) -> None:
        """All children, up to Begin."""
        self.parent.children.start()
        self.run_until(lambda: sum(event == "Begin" for _name, event in self.events) == len(CHILDREN))

    def run_to_the_end(self, seconds: float = 10) -> None:
        """Until parent leaves its loop."""
        timer = self.loop.call_later(seconds, pytest.fail, "parent is still there")
        self.loop.run_forever()
        timer.cancel()

    def close(self) -> None:
        for child in self.children.values():
            child.close()
        for peer in self.parent.peers():
            peer.close()
        for running in self.parent.children._running.values():
            self.loop.remove_reader(running.child.pidfd)
            os.close(running.child.pidfd)
            running.ring.memory.close()
            os.close(running.ring.fd)
        self.parent.interfaces.close()
        self.parent.offline.close()
        self.parent.deliveries.close()
        self.parent.table_programs.close()
        self.parent._control.close()
        os.close(self.parent.ring.fd)
        self.loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def make_family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Family]]:
    """Makes a family, with a configuration and listeners."""
    made: list[Family] = []

    def make(config: Config | None = None, listeners: list[Bound] | None = None) -> Family:
        family = Family(tmp_path, config or Config(generation=5), listeners or [])
        made.append(family)
        monkeypatch.setattr(children_module, "spawn", family.spawn)
        monkeypatch.setattr(process_module.Process, "_loop_exception", _raise)
        return family

    yield make
    for family in made:
        family.close()


def _raise(_process: Process, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    raise AssertionError(context)


@pytest.fixture
def family(make_family: Callable[..., Family]) -> Family:
    return make_family()
