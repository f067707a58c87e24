"""smtpctl/see/flow.py: what belongs to a mail, an envelope, a session, and what is said when nothing does."""

import pytest
from traffic import MESSAGES_OF_A_MAIL, PIDS, START, Traffic

from smtpctl.see import flow as module
from smtpctl.see.flow import Flow, NoFlow, column_of, everything, flow_of, join, mails_in
from smtpctl.see.joining import Message

ONE, TWO = 0xCB4DE24F, 0x11111111


@pytest.fixture
def messages() -> list[Message]:
    """Two mails, their sightings in each other's way."""
    first, second = Traffic(), Traffic()
    second.now += 1000
    second._numbers = {(one, other): 500 for one in PIDS for other in PIDS}  # not those of the first
    sightings = [*first.mail(ONE, 7), *second.mail(TWO, 8)]
    return join(sorted(sightings, key=lambda seen: seen.time))


def test_join_is_in_the_order_of_sending(messages: list[Message]) -> None:
    assert len(messages) == 2 * MESSAGES_OF_A_MAIL
    assert [message.time for message in messages] == sorted(message.time for message in messages)
    assert mails_in(messages) == [ONE, TWO]
    assert everything(messages).messages is messages


@pytest.mark.parametrize(("msgid", "session"), [(ONE, 7), (TWO, 8)])
def test_a_mail_and_its_session(messages: list[Message], msgid: int, session: int) -> None:
    flow = flow_of(messages, f"{msgid:08x}")
    assert flow.title == f"mail {msgid:08x}" and len(flow.messages) == MESSAGES_OF_A_MAIL
    assert {mail for message in flow.messages for mail in message.ids.msgids} == {msgid}
    same = flow_of(messages, f"{session:016x}")
    assert same.title == f"session {session:016x}" and same.messages == flow.messages


def test_an_envelope(messages: list[Message]) -> None:
    flow = flow_of(messages, f"{ONE << 32 | 0x1234567:016X}")
    assert flow.title == "envelope cb4de24f01234567" and len(flow.messages) == MESSAGES_OF_A_MAIL
    with pytest.raises(NoFlow, match="envelope cb4de24f00000009 was not recorded"):
        flow_of(messages, f"{ONE << 32 | 9:016x}")


def test_what_is_not_there(messages: list[Message]) -> None:
    with pytest.raises(NoFlow, match="mail 00000001 was not recorded; there are cb4de24f, 11111111"):
        flow_of(messages, "00000001")
    with pytest.raises(NoFlow, match="no mail was recorded"):
        flow_of([], "00000001")
    for wanted in ("", "1", "xxxxxxxx", "00000000", "0" * 16):
        with pytest.raises(NoFlow, match="is no id"):
            flow_of(messages, wanted)


def test_columns(messages: list[Message]) -> None:
    assert everything(messages).processes == ["delivery", "parent", "lookup", "pony", "queue", "scheduler"]
    names = ["zebra", "scheduler", "pony2", "pony", "client"]
    assert sorted(names, key=column_of) == ["client", "pony", "pony2", "scheduler", "zebra"]
    assert everything(messages).begin == START and Flow("", []).begin == 0


def test_of_more_messages_than_there_is_room_for_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = join(Traffic().mail(0xCB4DE24F, 7))
    monkeypatch.setattr(module, "MOST", 10)
    before: list[int] = []
    last = join(Traffic().mail(0xCB4DE24F, 7), too_many=before.append)
    assert [message.name for message in last] == [message.name for message in whole[-10:]]
    assert before == [MESSAGES_OF_A_MAIL - 10]
