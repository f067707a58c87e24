"""smtpd/mproc/trace.py: the message trace, and what it must not show."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from imsg import Catalogue, Channel
from imsg.message import U32, message
from smtpd.messages.pony_queue import CreateMessage, MessageCreated, RollbackMessage
from smtpd.mproc import log as log_module
from smtpd.mproc.dispatch import handles
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer
from smtpd.mproc.spawn import socketpair
from smtpd.mproc.trace import trace_messages

from .conftest import Link


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log_module.os, "write", lambda fd, data: lines.append(data.decode()[13:-1]))
    return lines


class Part:
    @handles(CreateMessage)
    def create_message(self, peer: Peer, reqid: int, message: CreateMessage) -> MessageCreated:
        return MessageCreated(reqid, 0xABCDEF01)


def test_a_line_for_each_message_in_and_out(link: Link, written: list[str]) -> None:
    link.in_queue.add(Part())
    log = Log("queue")
    log.set_trace("imsg", True)
    trace_messages(log, "queue", [link.pony])
    assert link.run(link.queue.call(CreateMessage(0x1234))).msgid == 0xABCDEF01
    assert written == [
        "queue: imsg: queue <- pony: CreateMessage#1 (len=4) session=0000000000001234",
        "queue: imsg: queue -> pony: MessageCreated#1 (len=7) reqid=1 msgid=abcdef01",
    ]


def test_no_hook_while_nothing_is_traced(link: Link, written: list[str]) -> None:
    log = Log("queue")
    trace_messages(log, "queue", [link.pony, link.queue])
    assert link.pony.channel.on_trace is None
    log.set_trace("imsg", True)
    trace_messages(log, "queue", [link.pony])
    assert link.pony.channel.on_trace is not None and link.queue.channel.on_trace is None
    log.set_trace("smtp", True)
    log.set_trace("imsg", False)
    trace_messages(log, "queue", [link.pony])
    assert link.pony.channel.on_trace is None
    link.pony.send(MessageCreated(1, 2))
    assert written == []


def test_secrets_are_masked(written: list[str]) -> None:
    @message(1, "one", "two", secret=("password",))
    class LogIn(NamedTuple):
        user: str
        password: str
        number: U32

    one, two = socketpair()
    two.close()

    class Stand:
        """As much of a peer as the trace needs."""

        name = "two"
        channel = Channel(one, Catalogue((LogIn,)))

    log = Log("one")
    log.set_trace("imsg", True)
    trace_messages(log, "one", [Stand()])  # type: ignore[list-item]
    Stand.channel.put(LogIn("me\nand you", "hunter2", 3))
    Stand.channel.close()
    (line,) = written
    assert "hunter2" not in line and "password" in line and "number=3" in line
    assert "\n" not in line


def test_each_peer_has_its_own_name(make_link: Callable[[], Link], written: list[str]) -> None:
    one, two = make_link(), make_link()
    log = Log("queue")
    log.set_trace("imsg", True)
    trace_messages(log, "queue", [one.pony, two.queue])
    one.pony.send(MessageCreated(1, 2))
    two.queue.send(RollbackMessage(2))
    assert [line.split(":")[2] for line in written] == [" queue -> pony", " queue -> queue"]
