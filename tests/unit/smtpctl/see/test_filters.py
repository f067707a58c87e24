"""smtpctl/see/filters.py: each filter, requests and replies together, and the way of the next mail."""

import pytest
from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.failure import BadFilter
from smtpctl.see.filters import Selection, read_id, wanted_kinds
from smtpctl.see.joining import Joiner
from smtpd.messages.catalogue import CATALOGUE

ONE, TWO = 0xCB4DE24F, 0x11111111
EVPID = f"{ONE << 32 | 0x1234567:016x}"


def chosen(**options: str) -> list[str]:
    """Names of the messages that are shown out of two mails."""
    traffic, joiner, selection = Traffic(), Joiner(), Selection(options)
    found = []
    for sightings in (traffic.mail(ONE, 7, "ann@b.example"), traffic.mail(TWO, 8, "bob@c.example")):
        for seen in sightings:
            message = joiner.feed(seen)
            if message is not None:
                found += [each.name for each in selection.select(message)]
    return found


def test_no_filter_takes_all() -> None:
    assert len(chosen()) == 2 * MESSAGES_OF_A_MAIL
    assert wanted_kinds({}) == frozenset()


def test_a_kind_brings_its_request_or_reply() -> None:
    pair = ["CreateMessage", "MessageCreated"] * 2
    assert chosen(kind="CreateMessage") == chosen(kind="messagecreated") == chosen(kind="Create*") == pair
    assert chosen(kind="EnvelopeDone,EnvelopesReady") == ["EnvelopesReady", "EnvelopeDone"] * 2
    numbers = {CATALOGUE.by_name[name].number for name in pair}
    assert wanted_kinds({"kind": "MessageCreated"}) == numbers


def test_between() -> None:
    assert chosen(between="queue,scheduler") == ["EnvelopesReady", "DeliverEnvelopes", "EnvelopeDone"] * 2
    assert chosen(between="scheduler") == chosen(between="scheduler:queue")
    kinds = wanted_kinds({"between": "pony,queue"})
    assert CATALOGUE.by_name["CreateMessage"].number in kinds
    assert CATALOGUE.by_name["ReverseName"].number not in kinds


def test_ids() -> None:
    of_mail = chosen(msgid=f"{ONE:08x}")
    assert of_mail == chosen(mail=f"{ONE:08x}")
    assert "CreateMessage" in of_mail and "ReverseName" not in of_mail
    assert of_mail.count("EnvelopeDone") == 1
    assert chosen(evpid=EVPID) == chosen(mail=EVPID) != of_mail
    assert chosen(session=f"{8:016x}")[0] == "ReverseName"
    assert chosen(msgid="00000001") == []


def test_addresses() -> None:
    for address in ("ANN@B.example", "b.example"):
        assert set(chosen(address=address)) >= {"ExpandRecipient", "DeliverMda"}
        assert chosen(address=address).count("DeliverMda") == 1
    assert chosen(address="eve@b.example") == []
    assert chosen(address="192.0.2.1").count("ReverseName") == 2


def test_the_next_mail_from_its_first_message_to_its_last() -> None:
    found = chosen(mail="next")
    assert len(found) == MESSAGES_OF_A_MAIL
    assert (found[0], found[-1]) == ("ReverseName", "EnvelopeDone")


def test_after_the_next_mail_it_is_over() -> None:
    joiner, selection = Joiner(), Selection({"mail": "NEXT"})
    over = []
    for seen in Traffic().mail(ONE, 7):
        message = joiner.feed(seen)
        if message is not None:
            selection.select(message)
            over.append(selection.over)
    assert over == [False] * (MESSAGES_OF_A_MAIL - 1) + [True]


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "Nothing*"},
        {"between": "pony,nobody"},
        {"between": "pony,queue,lookup"},
        {"session": "1"},
        {"msgid": "0" * 8},
        {"evpid": "x" * 16},
        {"mail": "first"},
    ],
)
def test_what_means_nothing_is_refused(options: dict[str, str]) -> None:
    with pytest.raises(BadFilter):
        Selection(options)
    assert read_id({}, "msgid", 8) == 0


def test_those_who_never_talk() -> None:
    with pytest.raises(BadFilter, match="nothing to say"):
        wanted_kinds({"between": "pony,scheduler"})


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("CommitMesage", r"'CommitMesage' is no kind of message \(CommitMessage"),
        ("CommitMessage,Qqq", r"'Qqq' is no kind of message; --kind='\*Qqq\*' finds part of a name"),
    ],
)
def test_each_kind_of_a_list_must_be_one(kind: str, said: str) -> None:
    with pytest.raises(BadFilter, match=said):
        wanted_kinds({"kind": kind})


def test_everything() -> None:
    assert Selection({}).everything and Selection({"count": "3"}).everything
    for name, value in (
        ("kind", "CreateMessage"),
        ("between", "pony,queue"),
        ("session", "ca5d4878260e45a8"),
        ("msgid", "cb4de24f"),
        ("evpid", "cb4de24f00000001"),
        ("address", "a@b.example"),
        ("mail", "next"),
        ("mail", "cb4de24f"),
    ):
        assert not Selection({name: value}).everything
