"""smtpd/mproc/peer.py: two peers over a real socketpair and a real loop."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from imsg import Channel, ChannelFull
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.parent_pony import ListenSocket
from smtpd.messages.pony_queue import (
    CommitMessage,
    CreateMessage,
    DeliveryTempfail,
    IncomingOpened,
    MessageCommitted,
    OpenIncoming,
    RollbackMessage,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.mproc.spawn import socketpair

from .conftest import Incoming, Link, Owner, reader_gone

pytestmark = pytest.mark.usefixtures("no_leak")


# out and in


def test_one_way_messages_arrive_in_order(link: Link, incoming: Incoming) -> None:
    ids = [link.queue.send(RollbackMessage(number)) for number in range(1, 501)]
    assert len(set(ids)) == 500
    link.until(lambda: len(incoming.got) == 500)
    assert incoming.got == [RollbackMessage(number) for number in range(1, 501)]
    assert link.in_queue.violations == link.in_pony.violations == []


def test_every_request_gets_its_own_reply(link: Link, incoming: Incoming) -> None:
    answers: dict[int, Any] = {}
    for session in range(300):
        link.queue.ask(
            CreateMessage(session),
            lambda reply, session=session: answers.__setitem__(session, reply),
        )
    assert link.queue.unanswered == 300
    link.until(lambda: len(answers) == 300)
    assert {session: reply.msgid for session, reply in answers.items()} == {n: n for n in range(300)}
    assert link.queue.unanswered == 0


def test_deferred_replies_in_any_order(link: Link, incoming: Incoming) -> None:
    order: list[str] = []
    for name in ("one", "two", "three"):
        link.queue.ask(CommitMessage(7), lambda reply, name=name: order.append(f"{name} {reply.error}"))
    link.until(lambda: len(incoming.held) == 3)
    assert order == [] and link.queue.unanswered == 3
    for index in (2, 0, 1):
        peer, reqid = incoming.held[index]
        peer.send(MessageCommitted(reqid, f"as #{index}"))
    link.until(lambda: len(order) == 3)
    assert order == ["three as #2", "one as #0", "two as #1"]


def test_call_returns_the_reply(link: Link, incoming: Incoming) -> None:
    assert link.run(link.queue.call(CreateMessage(42))).msgid == 42


def test_an_async_handler_answers_when_it_returns(link: Link, incoming: Incoming) -> None:
    answers: list[Any] = []
    link.queue.ask(OpenIncoming(2), lambda reply, fd: answers.append((reply.error, fd)))
    link.turns()
    assert answers == []
    incoming.release.set()
    link.until(lambda: answers)
    assert answers == [("no such message", None)]


def test_descriptor_in_a_reply(link: Link, incoming: Incoming) -> None:
    incoming.release.set()
    reply, fd = link.run(link.queue.call(OpenIncoming(1)))
    assert reply.error == ""
    assert not os.get_inheritable(fd)
    assert reader_gone(fd)  # the very pipe that was made there


def test_descriptor_in_a_one_way_message(loop: asyncio.AbstractEventLoop) -> None:
    class Listening:
        def __init__(self) -> None:
            self.got: list[tuple[ListenSocket, int | None]] = []

        @handles(ListenSocket)
        def listen_socket(self, peer: Peer, message: ListenSocket, fd: int | None) -> None:
            self.got.append((message, fd))

    link = Link(loop)
    owner, part = Owner(loop), Listening()
    owner.add(part)
    ours, theirs = socketpair()
    parent = Peer(owner, "parent", 0, Channel(ours, CATALOGUE))
    pony = Peer(Owner(loop), "pony", 0, Channel(theirs, CATALOGUE))
    reading, writing = os.pipe()
    pony.send(ListenSocket(3, "[::1]:25"), reading)
    link.until(lambda: part.got)
    ((message, fd),) = part.got
    assert message == ListenSocket(3, "[::1]:25") and fd is not None
    os.write(writing, b"whole")
    assert os.read(fd, 10) == b"whole"
    os.close(fd)
    assert reader_gone(writing)  # the sender kept no copy
    for peer in (parent, pony):
        peer.close()
    link.close()


# one write a turn


def count_flushes(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    sizes: list[int] = []
    flush = peer.channel.flush

    def counted() -> bool:
        sizes.append(peer.channel.queued)
        return flush()

    monkeypatch.setattr(peer.channel, "flush", counted)
    return sizes


def test_a_turn_writes_once(link: Link, incoming: Incoming, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = count_flushes(link.queue, monkeypatch)
    for number in range(1, 51):
        link.queue.send(RollbackMessage(number))
    assert sizes == [] and link.queue.backlog > 50 * 16
    link.until(lambda: len(incoming.got) == 50)
    assert len(sizes) == 1
    assert link.queue.backlog == 0
    link.queue.send(RollbackMessage(51))
    link.until(lambda: len(incoming.got) == 51)
    assert len(sizes) == 2


def test_the_replies_to_a_batch_go_out_at_once(
    link: Link, incoming: Incoming, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = count_flushes(link.pony, monkeypatch)
    answers: list[Any] = []
    for session in range(50):
        link.queue.ask(CreateMessage(session), answers.append)
    link.until(lambda: len(answers) == 50)
    assert len(sizes) == 1


# back-pressure


def fill(peer: Peer, first: int) -> int:
    """Send messages numbered from `first` until the peer says it is full; how many."""
    number = 0
    while not peer.full:
        peer.send(DeliveryTempfail(first + number, "x" * 1000, 4, 0))
        number += 1
    return number


def fill_all(link: Link) -> int:
    """The same until the socket takes no more either."""
    sent = 0
    while not link.queue.full:
        sent += fill(link.queue, sent)
        link.turns(3)
    return sent


class Reports:
    def __init__(self) -> None:
        self.got: list[int] = []

    @handles(DeliveryTempfail)
    def delivery_tempfail(self, peer: Peer, message: DeliveryTempfail) -> None:
        self.got.append(message.evpid)


def test_full_and_drained(make_link: Callable[..., Link]) -> None:
    link = make_link(max_queued=50_000)
    reports = Reports()
    link.in_queue.add(reports)
    link.loop.remove_reader(link.pony.channel.fileno())  # queue is busy and reads nothing
    sent = fill_all(link)
    drained: list[int] = []
    link.queue.when_drained(lambda: drained.append(link.queue.backlog))
    link.queue.when_drained(lambda: drained.append(link.queue.backlog))
    link.turns()
    assert drained == [] and link.queue.backlog >= 50_000
    link.loop.add_reader(link.pony.channel.fileno(), link.pony._readable)
    link.until(lambda: drained)
    assert drained == [0, 0] and not link.queue.full
    link.until(lambda: len(reports.got) == sent)
    assert reports.got == list(range(sent))
    link.turns()
    assert drained == [0, 0]  # once each


def test_the_hard_bound_is_an_error(link: Link) -> None:
    link.loop.remove_reader(link.pony.channel.fileno())
    with pytest.raises(ChannelFull):
        for number in range(1000):
            link.queue.send(DeliveryTempfail(number, "x" * 1000, 4, 0))
    assert link.queue.backlog < 5 * link.queue.channel.max_queued


def test_when_drained_with_nothing_queued(link: Link) -> None:
    called: list[bool] = []
    link.queue.when_drained(lambda: called.append(True))
    assert called == []  # never from within
    link.turns()
    assert called == [True]


def test_who_waits_for_a_drain_hears_of_the_end(make_link: Callable[..., Link]) -> None:
    link = make_link(max_queued=10_000)
    link.loop.remove_reader(link.pony.channel.fileno())
    fill_all(link)
    called: list[bool] = []
    link.queue.when_drained(lambda: called.append(link.queue.lost))
    link.pony.close()
    link.until(lambda: called)
    assert called == [True]
    link.queue.when_drained(lambda: called.append(link.queue.lost))
    link.turns()
    assert called == [True, True] and not link.queue.full


# the end of a peer


def test_death_with_requests_pending(link: Link, incoming: Incoming) -> None:
    answers: list[Any] = []
    link.queue.ask(CommitMessage(1), lambda *reply: answers.append(reply))
    link.queue.ask(OpenIncoming(1), lambda *reply: answers.append(reply))

    async def call_both() -> list[Any]:
        return list(await asyncio.gather(link.queue.call(CommitMessage(2)), link.queue.call(OpenIncoming(2))))

    calls = link.loop.create_task(call_both())
    link.until(lambda: len(incoming.held) == 2)
    link.pony.close()
    assert link.run(_result(calls)) == [None, (None, None)]
    assert answers == [(None,), (None, None)]
    assert link.in_pony.lost == [link.queue] and link.queue.lost
    assert link.in_queue.lost == []  # who closes is not told
    incoming.release.set()  # the late answer of the coroutine goes nowhere
    link.turns()
    assert all(task.done() and task.exception() is None for task in link.in_queue.tasks)


async def _result(task: "asyncio.Task[Any]") -> Any:
    return await task


def test_nothing_can_be_sent_to_the_lost(link: Link) -> None:
    link.queue.close()
    link.queue.close()  # twice does nothing
    reading, writing = os.pipe()
    assert link.queue.send(RollbackMessage(1)) == 0
    assert link.queue.send(IncomingOpened(1, ""), reading) == 0
    assert reader_gone(writing)
    answers: list[Any] = []
    link.queue.ask(CreateMessage(1), lambda *reply: answers.append(reply))
    link.queue.ask(OpenIncoming(1), lambda *reply: answers.append(reply))
    assert answers == []  # never before `ask` has returned
    assert link.run(link.queue.call(OpenIncoming(1))) == (None, None)
    assert answers == [(None,), (None, None)]


def test_what_waits_to_be_sent_is_closed_with_the_peer(link: Link) -> None:
    reading, writing = os.pipe()
    link.pony.send(IncomingOpened(1, ""), reading)
    link.pony.close()
    link.turns()
    assert reader_gone(writing)


def test_a_handler_that_closes_its_peer(link: Link) -> None:
    class Closing:
        def __init__(self) -> None:
            self.got: list[int] = []

        @handles(ListenSocket)
        def listen_socket(self, peer: Peer, message: ListenSocket, fd: int | None) -> None:
            self.got.append(message.listener)
            assert fd is not None
            os.close(fd)
            peer.close()

    owner, closing = Owner(link.loop), Closing()
    owner.add(closing)
    ours, theirs = socketpair()
    parent = Peer(owner, "parent", 0, Channel(ours, CATALOGUE))
    pony = Peer(Owner(link.loop), "pony", 0, Channel(theirs, CATALOGUE))
    pipes = [os.pipe() for _ in range(3)]
    for number, (reading, _writing) in enumerate(pipes):
        pony.send(ListenSocket(number, ""), reading)
    link.until(lambda: pony.lost)
    assert closing.got == [0] and parent.lost
    assert [reader_gone(writing) for _reading, writing in pipes] == [True] * 3


def test_a_reply_that_makes_its_asker_close(link: Link) -> None:
    answers: list[Any] = []

    def close(reply: Any, fd: int | None) -> None:
        answers.append(reply)
        if reply is not None:
            assert fd is not None
            os.close(fd)
            link.queue.close()

    for msgid in (1, 2):
        link.queue.ask(OpenIncoming(msgid), close)
    pipes = [os.pipe(), os.pipe()]
    first = link.queue.channel._next - 2
    for number, (reading, _writing) in enumerate(pipes):
        link.pony.send(IncomingOpened(first + number, ""), reading)
    link.until(lambda: len(answers) == 2)
    assert answers == [IncomingOpened(first, ""), None]
    assert [reader_gone(writing) for _reading, writing in pipes] == [True, True]


def test_a_call_cancelled_before_its_answer(link: Link, incoming: Incoming) -> None:
    call = link.loop.create_task(link.queue.call(OpenIncoming(1)))
    link.turns(2)
    call.cancel()
    incoming.release.set()
    link.until(lambda: not link.queue.unanswered)
    assert call.cancelled()  # the fixture sees whether a descriptor is left


@pytest.mark.parametrize("request_", [OpenIncoming(1), CreateMessage(1)], ids=repr)
def test_a_call_cancelled_between_its_answer_and_its_turn(
    link: Link, incoming: Incoming, monkeypatch: pytest.MonkeyPatch, request_: Any
) -> None:
    """A descriptor is closed; the last field of the other reply is a number, but no descriptor."""
    incoming.release.set()
    answered = link.queue._answered

    def answered_then_cancelled(number: int, reply: Any, fd: int | None) -> None:
        answered(number, reply, fd)
        call.cancel()

    monkeypatch.setattr(link.queue, "_answered", answered_then_cancelled)
    call = link.loop.create_task(link.queue.call(request_))
    link.until(call.done)
    assert call.cancelled()
    assert os.fstat(1)  # msgid 1 would have been standard output
