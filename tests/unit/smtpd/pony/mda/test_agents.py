"""Links to agents: how many, for how long, what happens when one misbehaves. The agents are threads here."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.config.model import Config
from smtpd.delivery.agent import serve
from smtpd.messages.delivery import DeliverMaildir
from smtpd.messages.parent_pony import AgentOpened, KillDelivery, OpenAgent
from smtpd.pony.mda import agents as module
from smtpd.pony.mda.agents import WINDOW, Agent, Agents
from smtpd.pony.mda.user import UserInfo


class Bench:
    """Agents with a parent that gives sockets to threads, or to the test itself (`manual`)."""

    def __init__(self, process: Any, most: int) -> None:
        self.process = process
        self.parent = process.peer("parent")
        self.parent.answers[OpenAgent] = self.open
        self.agents = Agents(process.loop, process.log, lambda: self.parent, most)
        self.threads: list[threading.Thread] = []
        self.ends: list[socket.socket] = []
        self.manual = False
        self.opened: list[tuple[Agent | None, str, str]] = []
        self.results: list[tuple[str, str]] = []

    def open(self, request: OpenAgent) -> tuple[AgentOpened, int]:
        ours, theirs = socket.socketpair()
        if self.manual:
            self.ends.append(theirs)
        else:
            self.threads.append(threading.Thread(target=serve, args=(theirs,)))
            self.threads[-1].start()
        return AgentOpened(1, len(self.threads) + len(self.ends), "ok", ""), ours.detach()

    def user(self, name: str) -> UserInfo:
        return UserInfo(name, 1000, 1000, f"/home/{name}")

    def agent(self, name: str) -> Agent:
        before = len(self.opened)
        self.agents.open(self.user(name), lambda *result: self.opened.append(result))
        self.process.run_until(lambda: len(self.opened) > before)
        agent = self.opened[-1][0]
        assert agent is not None
        return agent

    def deliver(self, agent: Agent, path: Path) -> None:
        fd = os.memfd_create("message")
        os.write(fd, b"x\n")
        agent.reserve()
        request = DeliverMaildir(str(path), "", False, b"", "")
        agent.deliver(request, fd, lambda *result: self.results.append(result))

    def close(self) -> None:
        self.agents.close()
        for end in self.ends:
            end.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture
def bench(make_process: Callable[[Config], Any]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(most: int = 10) -> Bench:
        made.append(Bench(make_process(Config()), most))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


def test_deliveries(bench: Callable[..., Bench], tmp_path: Path) -> None:
    b = bench()
    agent = b.agent("ann")
    for _ in range(40):
        b.deliver(agent, tmp_path / "m")
    assert agent.in_flight == b.agents.in_flight == 40
    b.process.run_until(lambda: len(b.results) == 40)
    assert set(b.results) == {("ok", "")}
    assert agent.in_flight == 0
    assert len(list((tmp_path / "m" / "new").iterdir())) == 40
    assert b.agents.find(b.user("ann")) is agent
    assert b.agents.find(b.user("bob")) is None


def test_two_who_want_the_same_agent(bench: Callable[..., Bench]) -> None:
    b = bench()
    for _ in range(2):
        b.agents.open(b.user("ann"), lambda *result: b.opened.append(result))
    b.process.run_until(lambda: len(b.opened) == 2)
    assert b.opened[0][0] is b.opened[1][0]
    assert len(b.threads) == 1


def test_the_window(bench: Callable[..., Bench]) -> None:
    agent = bench().agent("ann")
    for _ in range(WINDOW):
        assert not agent.full
        agent.reserve()
    assert agent.full
    for _ in range(WINDOW):
        agent.release()
    assert not agent.full


def test_parent_refuses(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.parent.answers[OpenAgent] = lambda request: (AgentOpened(1, 0, "permfail", "no"), None)
    b.agents.open(b.user("root"), lambda *result: b.opened.append(result))
    b.process.run_until(lambda: b.opened)
    assert b.opened == [(None, "permfail", "no")]
    assert b.agents.number == 0


def test_parent_is_gone(bench: Callable[..., Bench]) -> None:
    b = bench()
    b.parent.answers[OpenAgent] = lambda request: (None, None)
    b.agents.open(b.user("ann"), lambda *result: b.opened.append(result))
    b.process.run_until(lambda: b.opened)
    assert b.opened == [(None, "tempfail", "parent is gone")]


def test_the_longest_idle_makes_room(bench: Callable[..., Bench]) -> None:
    b = bench(2)
    ann, bob = b.agent("ann"), b.agent("bob")
    assert b.agents.find(b.user("ann")) is ann
    b.agent("joe")
    assert bob.closed and not ann.closed
    assert b.agents.number == 2


def test_no_room_while_all_are_busy(bench: Callable[..., Bench]) -> None:
    b = bench(1)
    ann = b.agent("ann")
    ann.reserve()
    for name in ("bob", "joe", "bob"):
        b.agents.open(b.user(name), lambda *result: b.opened.append(result))
    b.process.turn(0.02)
    assert len(b.opened) == 1
    ann.release()
    assert ann.closed
    b.process.run_until(lambda: len(b.opened) == 3)
    bob = b.opened[1][0]
    assert bob is b.opened[2][0] and bob is not None and bob.user.username == "bob"
    bob.close()
    b.process.run_until(lambda: len(b.opened) == 4)


def test_an_idle_agent_goes(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    b = bench()
    agent = b.agent("ann")
    b.process.run_until(lambda: agent.closed)
    assert b.agents.number == 0


def test_a_stuck_agent_is_killed(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(module, "STUCK_SECONDS", 0.1)
    b = bench()
    b.manual = True
    agent = b.agent("ann")
    b.deliver(agent, tmp_path)
    b.process.run_until(lambda: agent.closed)
    assert b.parent.sent == [KillDelivery(1)]
    assert b.results == [("tempfail", module.LOST)]


def test_an_agent_that_dies(bench: Callable[..., Bench], tmp_path: Path) -> None:
    b = bench()
    b.manual = True
    agent = b.agent("ann")
    b.deliver(agent, tmp_path)
    b.deliver(agent, tmp_path)
    b.ends.pop().close()
    b.process.run_until(lambda: len(b.results) == 2)
    assert b.results == [("tempfail", module.LOST)] * 2
    assert agent.closed and b.agents.find(b.user("ann")) is None
    agent.close()  # twice is no harm
    b.deliver(agent, tmp_path)  # it was reserved before it died
    b.process.run_until(lambda: len(b.results) == 3)


@pytest.mark.parametrize("garbage", [b"x" * 64, b"\x01\x0f\x00\x00\x10\x00\x00\x00" + b"\0" * 8])
def test_an_agent_that_sends_garbage(bench: Callable[..., Bench], garbage: bytes, tmp_path: Path) -> None:
    b = bench()
    b.manual = True
    agent = b.agent("ann")
    b.deliver(agent, tmp_path)
    b.ends[0].send(garbage)
    b.process.run_until(lambda: agent.closed)
    assert b.results == [("tempfail", module.LOST)]


def test_parent_tells_of_an_end(bench: Callable[..., Bench], tmp_path: Path) -> None:
    b = bench()
    b.manual = True
    agent = b.agent("ann")
    b.deliver(agent, tmp_path)
    assert not b.agents.exited(99, 1)
    assert b.agents.exited(agent.delivery, 70)
    assert agent.closed
    assert "delivery agent of ann ended with status 70" in b.process.log.lines
    b.process.run_until(lambda: b.results)
