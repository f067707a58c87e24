"""Local submission at the control socket: the descriptor, the rate, the refusals."""

import os
import socket
import time
from typing import Any

import pytest

from smtpd.control import sessions
from smtpd.control.sessions import Sessions
from smtpd.messages.client_control import ClientDone, ClientOpenSession, ClientShowStatus, SessionRow
from smtpd.messages.control_pony import OpenSession, SessionOpened


def receive(bench: Any, client: Any, count: int) -> list[tuple[Any, int | None]]:
    """What the client gets, with the descriptors."""
    got: list[tuple[Any, int | None]] = []
    until = time.monotonic() + 5
    while len(got) < count:
        assert time.monotonic() < until
        bench.turn(2)
        got += [(message, fd) for _, message, _, fd in client.receive()]
    return got


def test_a_session_for_a_user_without_rights(
    bench: Any, own_uid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.process.clients, "_administrators", frozenset())
    ours, theirs = socket.socketpair()
    end = bench.ends["pony"]

    def opened(_name: str, reqid: int, message: OpenSession) -> None:
        assert message.uid == own_uid
        end.put(SessionOpened(reqid, ""), theirs.detach())
        end.flush()

    bench.answers[OpenSession] = opened
    client = bench.connect()
    peerid = client.put(ClientOpenSession())
    client.flush()
    (row, fd), (done, nothing) = receive(bench, client, 2)
    assert (row, done, nothing) == (SessionRow(peerid), ClientDone(peerid, "", 1), None)
    with ours, socket.socket(fileno=fd) as session:
        ours.sendall(b"220 ")
        assert session.recv(10) == b"220 "
    assert bench.ask(client, ClientShowStatus()) == [ClientDone(0, "need root privileges", 0)]


def test_refused(bench: Any) -> None:
    bench.answers[OpenSession] = lambda _name, reqid, _message: SessionOpened(reqid, "smtp is paused")
    client = bench.connect()
    assert bench.ask(client, ClientOpenSession()) == [ClientDone(0, "smtp is paused", 0)]


def test_pony_is_gone(bench: Any) -> None:
    client = bench.connect()
    bench.ends.pop("pony").close()
    bench.turn()
    assert bench.ask(client, ClientOpenSession()) == [ClientDone(0, "pony does not answer", 0)]


def test_pony_is_silent(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "ANSWER_SECONDS", 0)
    client = bench.connect()
    assert bench.ask(client, ClientOpenSession()) == [ClientDone(0, "pony does not answer", 0)]


def test_who_asked_has_gone_meanwhile(bench: Any) -> None:
    """Neither the daemon nor its number of descriptors suffers from it."""
    client = bench.connect()
    client.put(ClientOpenSession())
    client.flush()
    bench.turn()
    (asked,) = [message for message in bench.heard["pony"] if isinstance(message, OpenSession)]
    assert asked
    client.close()
    bench.turn()
    before = len(os.listdir("/proc/self/fd"))
    ours, theirs = socket.socketpair()
    bench.ends["pony"].put(SessionOpened(bench.process.peer("pony").channel._low, ""), theirs.detach())
    bench.ends["pony"].flush()
    bench.turn()
    assert ours.recv(1) == b""
    ours.close()
    assert len(os.listdir("/proc/self/fd")) <= before


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.loop = self

    def time(self) -> float:
        return self.now


def test_the_rate_of_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    part = Sessions(clock)  # type: ignore[arg-type]
    assert [part._delay(7) for _ in range(sessions.BURST)] == [0.0] * sessions.BURST
    assert part._delay(7) == pytest.approx(1 / sessions.RATE)
    assert part._delay(7) == pytest.approx(2 / sessions.RATE)
    assert part._delay(8) == 0.0
    assert [part._delay(0) for _ in range(1000)] == [0.0] * 1000
    clock.now += 1 + 2 / sessions.RATE
    assert [part._delay(7) for _ in range(sessions.RATE)] == [0.0] * sessions.RATE
    monkeypatch.setattr(sessions, "MOST_REMEMBERED", 2)
    clock.now += 1000
    part._delay(9)
    assert set(part._paid) == {9}
