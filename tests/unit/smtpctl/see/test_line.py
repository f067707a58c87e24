"""smtpctl/see/line.py: a line a message, ids in the colour of their mail, values for JSON."""

import json
import re

import pytest
from traffic import START, Traffic

from smtpctl.see.flow import join
from smtpctl.see.joining import Joiner, Message
from smtpctl.see.line import Lines, clock, duration, hash_of, values
from smtpctl.see.seen import Seen

MSGID, SESSION = 0xCB4DE24F, 0xCA5D4878260E45A8


def mail() -> list[Message]:
    return join(Traffic().mail(MSGID, SESSION))


def test_lines_of_a_mail_as_it_comes() -> None:
    joiner, lines = Joiner(), Lines()
    found = []
    for seen in Traffic().mail(MSGID, SESSION):
        message = joiner.feed(seen)
        found += lines.of(message) if message is not None else []
    headings = [line for line in found if line.startswith("──")]
    assert headings == [
        f"── session {SESSION:016x} from 192.0.2.1",
        f"── mail {MSGID:08x}, session {SESSION:016x} from 192.0.2.1",
    ]
    assert (
        found[1][15:]
        == "      pony → lookup    ReverseName        address=192.0.2.1 session=ca5d4878260e45a8"
    )
    reply = next(line for line in found if "MessageCreated" in line)
    assert reply.endswith("msgid=cb4de24f after 150 µs") and "reqid" not in reply
    assert any(line.endswith("error='' +fd after 150 µs") for line in found)


def test_an_id_and_its_mail_have_one_colour() -> None:
    lines = Lines(colour=True)
    text = "\n".join(line for message in mail() for line in lines.of(message))
    colours = re.findall(r"\033\[(\d+)m(?:cb4de24f|cb4de24f01234567)\033", text)
    assert len(colours) > 5 and len(set(colours)) == 1


def test_slow_messages_are_said_to_be() -> None:
    message = mail()[1]
    assert message.received is not None
    message.received += 200_000_000
    assert Lines().of(message)[-1].endswith("after 200 ms (200 ms in the socket)")


def test_what_is_not_known_is_not_shown() -> None:
    message = Message(Seen(START, "pony", "queue", 0, 0xFFF0, 120, 1, 2, None))
    assert Lines().of(message)[0].endswith("message 0xfff0     (120 bytes, not shown)")
    found = values(message)
    assert (found["kind"], found["fields"], found["bytes"]) == ("message 0xfff0", None, 120)


def test_values() -> None:
    messages = mail()
    request, reply = values(messages[2]), values(messages[3])
    assert request["kind"] == "CreateMessage" and request["fields"] == {"session": f"{SESSION:016x}"}
    assert reply["fields"]["msgid"] == f"{MSGID:08x}" and reply["request"] == request["peerid"]
    assert (reply["elapsed"], reply["waited"], request["elapsed"]) == (0.00015, 0.00005, None)
    assert (reply["sessions"], reply["messages"]) == ([f"{SESSION:016x}"], [f"{MSGID:08x}"])
    assert values(messages[-1])["envelopes"] == [f"{MSGID:08x}01234567"]
    for message in messages:
        json.dumps(values(message))


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1500, "1.5 µs"),
        (306_000, "306 µs"),
        (1_240_000, "1.24 ms"),
        (2.5e9, "2.5 s"),
    ],
)
def test_durations(ns: float, text: str) -> None:
    assert duration(ns) == text


def test_clock_and_hash() -> None:
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.000123", clock(START + 123_999))
    assert len({hash_of(number << 32) % 12 for number in range(100)}) == 12
