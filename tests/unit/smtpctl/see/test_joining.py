"""smtpctl/see/joining.py: two sightings are one message, a reply finds its request, a handler its message."""

import pytest
from traffic import START, Traffic

from smtpctl.see import joining
from smtpctl.see.flow import join
from smtpctl.see.joining import Joiner, Message
from smtpctl.see.seen import HANDLED, OUT, Seen
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.pony_queue import CreateMessage, MessageCreated

ASK, ASKED = CATALOGUE.encode(CreateMessage(7))


def answer(reqid: int) -> tuple[int, bytes]:
    return CATALOGUE.encode(MessageCreated(reqid, 0xCB4DE24F))


def sent(time: int, peerid: int = 1) -> Seen:
    return Seen(time, "pony", "queue", OUT, ASK, 16 + len(ASKED), peerid, 103, None)


def got(time: int, peerid: int = 1) -> Seen:
    return Seen(time, "queue", "pony", 0, ASK, 16 + len(ASKED), peerid, 103, ASKED)


def replied(time: int, reqid: int = 1, receiver: str = "pony") -> Seen:
    number, payload = answer(reqid)
    return Seen(time, receiver, "queue", 0, number, 16 + len(payload), 9, 104, payload)


def test_sent_and_received_is_one() -> None:
    joiner = Joiner()
    assert joiner.feed(sent(100)) is None
    assert [seen[:3] for seen in joiner.unreceived()] == [(100, "pony", "queue")]
    message = joiner.feed(got(160))
    assert message is not None and joiner.unreceived() == []
    assert (message.sender, message.receiver, message.name) == ("pony", "queue", "CreateMessage")
    assert (message.sent, message.received, message.waited, message.time, message.end) == (
        100,
        160,
        60,
        100,
        160,
    )
    assert message.fields == CreateMessage(7) and message.ids.sessions == {7}


def test_received_alone_and_sent_alone() -> None:
    message = Joiner().feed(got(160))
    assert message is not None and (message.sent, message.time, message.waited) == (None, 160, None)
    to_client = Joiner().feed(Seen(5, "control", "client", OUT, 1, 16, 1, 1, b"\x90"))
    assert to_client is not None and (to_client.received, to_client.end) == (None, 5)


def test_a_reply_and_its_request() -> None:
    joiner = Joiner()
    request, other = joiner.feed(got(10, 1)), joiner.feed(got(11, 2))
    reply = joiner.feed(replied(40, 2))
    assert request and other and reply
    assert reply.request is other and other.reply is reply and request.reply is None
    assert reply.elapsed == 29 and request.elapsed is None
    assert other.ids.msgids == {0xCB4DE24F} and reply.ids.sessions == {7}
    again, elsewhere = joiner.feed(replied(50, 2)), joiner.feed(replied(51, 1, "lookup"))
    assert again and elsewhere and again.request is elsewhere.request is None


def test_what_cannot_be_decoded() -> None:
    for number, payload, name in (
        (ASK, b"\xc1", "CreateMessage"),
        (0xFFF0, b"", "message 0xfff0"),
        (ASK, None, "CreateMessage"),
    ):
        message = Message(Seen(1, "queue", "pony", 0, number, 17, 1, 1, payload))
        assert (message.name, message.fields, bool(message.ids)) == (name, None, False)


def test_handlers_run_in_the_order_of_messages() -> None:
    joiner = Joiner()
    joiner.handlers = True
    first, second = joiner.feed(got(10, 1)), joiner.feed(got(11, 2))
    for time, took in ((20, 5), (30, 6)):
        mark = Seen(time, "queue", "pony", HANDLED, ASK, 0, 0, 0, took.to_bytes(8, "little"))
        assert joiner.feed(mark) is None
    assert first and second
    assert (first.handled, second.handled) == (((20, 5),), ((30, 6),))
    later = Seen(40, "queue", "pony", HANDLED, ASK, 1, 2, 0, (7).to_bytes(8, "little"))
    assert joiner.feed(later) is None and joiner.feed(later._replace(payload=b"?")) is None


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "MOST_WAITING", 3)
    joiner = Joiner()
    for peerid in range(1, 6):
        joiner.feed(sent(peerid, peerid))
    assert [seen.peerid for seen in joiner.unreceived()] == [3, 4, 5]


def test_a_whole_mail() -> None:
    messages = join(Traffic(handlers=True).mail(0xCB4DE24F, 7), handlers=True)
    assert messages[0].time == START
    assert sum(message.request is not None for message in messages) == 11
    assert all(message.handled for message in messages if message.receiver != "delivery")


def test_a_message_gives_its_sighting_back() -> None:
    for seen in Traffic().mail(0xCB4DE24F, 7):
        message = Message(seen)
        assert message.seen == seen
        fields = message.fields
        message.forget()
        assert message.fields == fields
