"""smtpd/mproc/peer.py: peers that break the rules, and what we may not send ourselves."""

import os
import socket
import struct
from typing import Any

import pytest

from imsg import MessageError
from smtpd.messages.parent_lookup import ForwardOpened
from smtpd.messages.parent_pony import ListenSocket
from smtpd.messages.pony_queue import (
    CommitMessage,
    CreateMessage,
    DeliveryTempfail,
    IncomingOpened,
    MessageCommitted,
    MessageCreated,
    RollbackMessage,
)

from .conftest import Incoming, Link, reader_gone

pytestmark = pytest.mark.usefixtures("no_leak")


@pytest.mark.parametrize(
    "reply", [MessageCreated(1, 1), MessageCommitted(99, ""), MessageCommitted(0, "")], ids=repr
)
def test_a_reply_nobody_asked_for(link: Link, incoming: Incoming, reply: Any) -> None:
    """Another kind than was asked for, or an unknown id."""
    link.queue.ask(CommitMessage(1), lambda _reply: pytest.fail("is no answer to this"))
    link.pony.send(reply)
    link.until(lambda: link.in_pony.violations)
    assert link.in_pony.violations == [f"queue: {type(reply).__name__} answers nothing that was asked"]
    link.queue._asked.clear()


def test_a_second_reply(link: Link, incoming: Incoming) -> None:
    answers: list[Any] = []
    link.queue.ask(CommitMessage(1), answers.append)
    link.until(lambda: incoming.held)
    peer, reqid = incoming.held[0]
    peer.send(MessageCommitted(reqid, ""))
    peer.send(MessageCommitted(reqid, "no, wait"))
    link.until(lambda: link.in_pony.violations)
    assert answers == [MessageCommitted(reqid, "")]


def test_the_descriptor_of_an_unasked_reply_is_closed(link: Link) -> None:
    reading, writing = os.pipe()
    link.pony.send(IncomingOpened(5, ""), reading)
    link.until(lambda: link.in_pony.violations)
    assert reader_gone(writing)


@pytest.mark.parametrize("message", [ForwardOpened(1, "ok"), ListenSocket(1, "")], ids=repr)
def test_a_kind_the_peer_may_not_send(link: Link, message: Any) -> None:
    """A reply and a request of other links, both with a descriptor."""
    reading, writing = os.pipe()
    link.queue.send(message, reading)
    link.until(lambda: link.in_queue.violations)
    assert link.in_queue.violations == ["pony: a message that it may not send here"]
    assert reader_gone(writing)


def test_a_kind_without_a_handler_here(link: Link) -> None:
    link.queue.send(RollbackMessage(1))
    link.queue.send(CreateMessage(1))
    link.until(lambda: len(link.in_queue.violations) == 2)
    assert set(link.in_queue.violations) == {"pony: a message that it may not send here"}


def frame(number: int, payload: bytes) -> bytes:
    return struct.pack("=IIII", number, 16 + len(payload), 1, os.getpid()) + payload


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xff" * 64, "length"),
        (frame(0x0999, b"\x90"), "no message has the number"),
        (frame(0x0507, b"\x91\xa1x"), "RollbackMessage: msgid is str"),
        (frame(0x0507, b"\x92\x01\x02"), "RollbackMessage"),
        (frame(0x0507, b"\x91\x01\x02"), "RollbackMessage"),
        (frame(0x0507, b""), "RollbackMessage"),
        (frame(0x0507, b"\x91\xcf" + b"\xff" * 8), "RollbackMessage: msgid is out of range"),
    ],
    ids=["length", "number", "type", "two-fields-wrong", "two-fields", "nothing", "range"],
)
def test_what_no_peer_may_send(link: Link, incoming: Incoming, data: bytes, said: str) -> None:
    link.queue.channel.sock.sendall(data)
    link.until(lambda: link.in_queue.violations)
    assert said in link.in_queue.violations[0]
    assert incoming.got == []


def test_an_end_inside_a_frame(link: Link) -> None:
    link.queue.channel.sock.sendall(b"\x07\x05\x00\x00\x20")
    link.queue.channel.sock.shutdown(socket.SHUT_WR)
    link.until(lambda: link.in_queue.violations or link.pony.lost)
    assert link.in_queue.violations[0] == "pony: the stream ended inside a frame"


def test_what_we_may_not_send(link: Link) -> None:
    """Wrong types are an error where they are made; a descriptor is closed all the same."""
    with pytest.raises(MessageError):
        link.queue.send(RollbackMessage("x"))  # type: ignore[arg-type]
    with pytest.raises(MessageError):
        link.queue.send(DeliveryTempfail(1, "x" * 20_000, 4, 0))
    reading, writing = os.pipe()
    with pytest.raises(MessageError):
        link.queue.send(RollbackMessage(1), reading)
    assert reader_gone(writing)
    assert link.queue.backlog == 0 and link.queue.unanswered == 0
