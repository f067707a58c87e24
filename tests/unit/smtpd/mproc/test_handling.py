"""smtpd/mproc/handling.py, over a real link: who measures or watches sees each handler and each reply."""

import asyncio
import time
from typing import Any

import pytest

from imsg import Recorder
from imsg.layout import MIN_TAPE
from imsg.message import kind_of
from imsg.tape import TapeReader
from smtpd.messages.pony_queue import (
    CommitMessage,
    CreateMessage,
    MessageCommitted,
    MessageCreated,
    OpenIncoming,
    RollbackMessage,
)
from smtpd.mproc.handling import Handling
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer

pytestmark = pytest.mark.usefixtures("no_leak")


class Measured:
    """What Handling needs of a process, with one peer."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.log = Log("pony")
        self.recorder = Recorder(bytearray(Recorder.size(16, MIN_TAPE)), entries=16)
        self.handling = Handling(self)  # type: ignore[arg-type]

    def peers(self) -> list[Peer]:
        return [self._peer]

    def rows(self) -> dict[tuple[str, str, str], tuple[int, int]]:
        """(number, total) by what, peer and name."""
        return {row[1:4]: (row.number, row.total) for row in self.handling.rows()}

    def marks(self) -> list[tuple[str, int, int, int]]:
        """(peer, kind, which run, request's id) of the handlers' marks on the tape."""
        records = TapeReader(self.recorder.memory, oldest=True).read()
        assert all(record.handled is not None for record in records)
        return [(record.channel, record.type, record.length, record.peerid) for record in records]


def test_handlers(link: Any, incoming: Any) -> None:
    queue = Measured(link.pony)
    queue.handling.measure(True)
    assert not queue.handling.on, "no handler has anything before it"
    assert link.run(link.queue.call(CreateMessage(7))) == MessageCreated(1, 7)
    link.queue.send(RollbackMessage(7))
    link.turns()
    assert {key: number for key, (number, _) in queue.rows().items()} == {
        ("handler", "pony", "CreateMessage"): 1,
        ("handler", "pony", "RollbackMessage"): 1,
    }
    queue.handling.measure(False)
    link.run(link.queue.call(CreateMessage(8)))
    assert queue.rows()["handler", "pony", "CreateMessage"][0] == 1
    assert incoming.got == [CreateMessage(7), RollbackMessage(7), CreateMessage(8)]
    assert queue.marks() == []


def test_replies(link: Any, incoming: Any) -> None:
    pony = Measured(link.queue)
    pony.handling.measure(True)
    asked = link.loop.create_task(link.queue.call(CommitMessage(1)))
    link.until(lambda: incoming.held)
    time.sleep(0.01)
    ((peer, reqid),) = incoming.held
    peer.send(MessageCommitted(reqid, ""))
    assert link.run(asked) == MessageCommitted(reqid, "")
    number, took = pony.rows()["reply", "queue", "CommitMessage"]
    assert number == 1 and 10_000_000 <= took < 5_000_000_000
    assert pony.rows()["handler", "queue", "MessageCommitted"][0] == 1


def test_a_peer_that_goes_has_not_replied(link: Any, incoming: Any) -> None:
    pony = Measured(link.queue)
    pony.handling.measure(True)
    asked = link.loop.create_task(link.queue.call(CommitMessage(1)))
    link.until(lambda: incoming.held)
    link.pony.close()
    assert link.run(asked) is None
    assert ("reply", "queue", "CommitMessage") not in pony.rows()
    assert pony.handling.oldest(link.queue) == 0


def test_waiting_is_not_running(link: Any, incoming: Any) -> None:
    queue = Measured(link.pony)
    queue.handling.measure(True)
    queue.handling.mark(True)
    asked = link.loop.create_task(link.queue.call(OpenIncoming(2)))
    link.turns()
    link.run(asyncio.sleep(0.2))
    incoming.release.set()
    reply, fd = link.run(asked)
    assert (reply.error, fd) == ("no such message", None)
    number, took = queue.rows()["handler", "pony", "OpenIncoming"]
    assert number == 1 and took < 150_000_000
    kind = kind_of(OpenIncoming).number
    assert queue.marks() == [("pony", kind, 0, reply.reqid), ("pony", kind, 1, reply.reqid)]


@pytest.mark.parametrize("marking", [False, True])
def test_a_cancelled_handler_may_clean_up(link: Any, incoming: Any, marking: bool) -> None:
    queue = Measured(link.pony)
    queue.handling.measure(True)
    queue.handling.mark(marking)
    ended: list[str] = []

    async def handler(*_: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cleaned up")

    kind = kind_of(OpenIncoming)

    async def cancelled() -> None:
        if marking:
            timed = queue.handling.handler(link.pony, kind, handler)(link.pony, 1, OpenIncoming(1))
        else:
            timed = queue.handling._timed(handler(), link.pony, kind.number)
        task = asyncio.ensure_future(_awaited(timed))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    link.run(cancelled())
    assert ended == ["cleaned up"] and queue.rows() == {}


async def _awaited(answer: Any) -> Any:
    return await answer


def test_the_oldest_request(link: Any, incoming: Any) -> None:
    pony = Measured(link.queue)
    link.queue.ask(CommitMessage(1), lambda _: None)
    link.turns()
    pony.handling.follow(True)
    assert pony.handling.oldest(link.queue) == 0, "sent before the beginning"
    link.queue.ask(CommitMessage(2), lambda _: None)
    link.turns()
    time.sleep(0.01)
    link.queue.ask(CommitMessage(3), lambda _: None)
    assert pony.handling.oldest(link.queue) >= 10_000_000
    link.until(lambda: len(incoming.held) == 3)
    for peer, reqid in incoming.held[:2]:
        peer.send(MessageCommitted(reqid, ""))
    link.turns()
    assert 0 < pony.handling.oldest(link.queue)
    assert pony.rows() == {}, "followed, not measured"
    incoming.held[2][0].send(MessageCommitted(incoming.held[2][1], ""))
    link.turns()
    assert pony.handling.oldest(link.queue) == 0, "all are answered"
    pony.handling.follow(False)
    assert pony.handling.oldest(link.queue) == 0 and not pony.handling.on


def test_who_only_follows_or_measures_leaves_handlers_and_replies_alone(link: Any, incoming: Any) -> None:
    pony, queue = Measured(link.queue), Measured(link.pony)
    pony.handling.follow(True)
    queue.handling.follow(True)
    link.run(link.queue.call(CreateMessage(7)))
    assert link.queue._observer is None and pony.rows() == queue.rows() == {}
    pony.handling.measure(True)
    link.run(link.queue.call(CreateMessage(7)))
    assert link.queue._observer is None
    rows = pony.rows()
    assert set(rows) == {("reply", "queue", "CreateMessage"), ("handler", "queue", "MessageCreated")}
    pony.handling.measure(False)
    link.run(link.queue.call(CreateMessage(7)))
    assert pony.rows() == rows, "followed still, not measured any more"


@pytest.mark.parametrize("marking", [False, True])
def test_measured_alike_whatever_a_message_carries(link: Any, incoming: Any, marking: bool) -> None:
    queue = Measured(link.pony)
    queue.handling.mark(marking)
    queue.handling.measure(True)
    incoming.release.set()
    for request in (OpenIncoming(2), CreateMessage(1)):
        link.run(link.queue.call(request))
        assert queue.rows()["handler", "pony", type(request).__name__][0] == 1
    link.queue.send(RollbackMessage(1))
    link.turns()
    assert queue.rows()["handler", "pony", "RollbackMessage"][0] == 1
    assert len(queue.marks()) == (3 if marking else 0)


def test_each_of_a_batch_takes_its_own_time(link: Any, incoming: Any) -> None:
    queue = Measured(link.pony)
    queue.handling.measure(True)
    for number in range(30):
        link.queue.send(RollbackMessage(number))
        link.queue.ask(CreateMessage(number), lambda _: None)
    link.turns()
    rows = queue.rows()
    assert rows["handler", "pony", "RollbackMessage"][0] == rows["handler", "pony", "CreateMessage"][0] == 30
    assert 0 < rows["handler", "pony", "RollbackMessage"][1] < 10**9


def test_begun_in_a_batch_and_ended_in_one(link: Any, incoming: Any) -> None:
    """SetProfile itself is handled among others."""
    queue = Measured(link.pony)
    begun = incoming.rollback_message

    def rollback_message(peer: Peer, message: RollbackMessage) -> None:
        begun(peer, message)
        if message.msgid < 2:
            queue.handling.measure(not message.msgid)
            assert queue.rows().get(("handler", "pony", "CreateMessage"), (0, 0))[0] == 3 * message.msgid

    link.in_queue._handlers[kind_of(RollbackMessage).number] = rollback_message
    link.queue.ask(CreateMessage(1), lambda _: None)
    link.queue.send(RollbackMessage(0))
    link.queue.ask(CreateMessage(2), lambda _: None)
    link.turns()
    for number in range(3):
        link.queue.ask(CreateMessage(number), lambda _: None)
    link.queue.send(RollbackMessage(1))
    link.queue.ask(CreateMessage(4), lambda _: None)
    link.turns()
    assert queue.rows()["handler", "pony", "CreateMessage"][0] == 3
    assert ("handler", "pony", "RollbackMessage") not in queue.rows(), (
        "it was on at neither's end and beginning"
    )


def test_from_nothing(link: Any, incoming: Any) -> None:
    queue = Measured(link.pony)
    queue.handling.measure(True)
    link.run(link.queue.call(CreateMessage(1)))
    queue.handling.forget()
    assert queue.rows() == {}
    link.run(link.queue.call(CreateMessage(1)))
    assert queue.rows()["handler", "pony", "CreateMessage"][0] == 1
