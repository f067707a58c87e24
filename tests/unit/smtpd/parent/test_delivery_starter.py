"""Parent's side of the starter: started when wanted, gone when idle, replaced when it dies."""

import asyncio
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Channel
from imsg.message import Kind
from smtpd.delivery.starter import CATALOGUE
from smtpd.messages.delivery import AgentExited, DeliverMaildir, StartAgent
from smtpd.mproc.log import Log
from smtpd.parent import delivery_starter
from smtpd.parent.delivery_starter import Starter


class Owner:
    """Collects what the starter says."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.exits: list[tuple[int, int]] = []
        self.starter = Starter(loop, Log("test"), self.handler)

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        assert kind.cls is AgentExited
        return self.agent_exited

    def agent_exited(self, peer: object, message: AgentExited) -> None:
        self.exits.append((message.agent, message.status))
        self.starter.exited(message.agent)

    def run_until(self, condition: Callable[[], bool]) -> None:
        async def wait() -> None:
            async with asyncio.timeout(20):
                while not condition():
                    await asyncio.sleep(0.01)

        self.loop.run_until_complete(wait())


@pytest.fixture
def owner() -> Iterator[Owner]:
    loop = asyncio.new_event_loop()
    owner = Owner(loop)
    before = len(os.listdir("/proc/self/fd"))
    yield owner
    try:
        owner.starter.close()
        owner.run_until(lambda: len(os.listdir("/proc/self/fd")) <= before)
    finally:
        loop.close()


def deliver(owner: Owner, fd: int, path: Path) -> Channel:
    channel = Channel(socket.socket(fileno=fd), CATALOGUE)
    message = os.memfd_create("message")
    os.write(message, b"x\n")
    channel.put(DeliverMaildir(str(path), "", False, b"", ""), message)
    channel.flush()
    owner.run_until(lambda: bool(select.select([channel], [], [], 0)[0]))
    ((_, answer, _, _),) = channel.receive()
    assert answer.status == "ok"
    return channel


def test_life_of_a_starter(owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_starter, "IDLE_SECONDS", 0.05)
    assert not owner.starter.running
    one = deliver(owner, owner.starter.start(StartAgent(1, "ann", -1, -1, str(tmp_path))), tmp_path / "m")
    two = deliver(owner, owner.starter.start(StartAgent(2, "bob", -1, -1, str(tmp_path))), tmp_path / "m")
    one.close()
    owner.run_until(lambda: owner.exits == [(1, 0)])
    owner.starter.stop(2)
    owner.run_until(lambda: owner.exits == [(1, 0), (2, -9)])
    assert owner.starter.running
    owner.run_until(lambda: not owner.starter.running)
    two.close()
    # and again
    three = deliver(owner, owner.starter.start(StartAgent(3, "ann", -1, -1, str(tmp_path))), tmp_path / "m")
    assert owner.starter.running
    owner.starter.stop(99)
    three.close()
    owner.run_until(lambda: len(owner.exits) == 3)


def test_a_killed_starter_is_replaced_and_its_agents_go_on(owner: Owner, tmp_path: Path) -> None:
    one = owner.starter.start(StartAgent(1, "ann", -1, -1, str(tmp_path)))
    first = deliver(owner, one, tmp_path / "m")
    os.kill(owner.starter.pid, signal.SIGKILL)
    owner.run_until(lambda: not owner.starter.running)
    second = deliver(owner, owner.starter.start(StartAgent(2, "ann", -1, -1, str(tmp_path))), tmp_path / "m")
    owner.starter.stop(1)  # nobody knows it any more
    again = deliver(owner, os.dup(first.fileno()), tmp_path / "m")
    for channel in (first, again, second):
        channel.close()
    owner.run_until(lambda: owner.exits == [(2, 0)])


def test_nonsense_from_the_starter(owner: Owner, tmp_path: Path) -> None:
    fd = owner.starter.start(StartAgent(1, "ann", -1, -1, str(tmp_path)))
    peer = owner.starter._peer
    assert peer is not None
    owner.starter.violation(peer, "nonsense")
    assert not owner.starter.running and peer.lost
    os.close(fd)
