"""smtpctl/see/origins.py: what is learned of sessions and mails, and forgotten."""

import pytest
from traffic import Traffic

from smtpctl.see.flow import join
from smtpctl.see.origins import Origins
from smtpd.messages.queue_scheduler import EnvelopeRetry, EnvelopeTimes

MSGID, SESSION = 0xCB4DE24F, 0xCA5D4878260E45A8


def learned(sender: str = "a@b.example", most: int = 100, mails: int = 1) -> Origins:
    origins, traffic = Origins(most), Traffic()
    for number in range(mails):
        for message in join(traffic.mail(MSGID + number, SESSION + number, sender)):
            origins.learn(message)
    return origins


def test_a_mail() -> None:
    origins = learned()
    assert origins.session(SESSION) == "session ca5d4878260e45a8 from 192.0.2.1"
    assert origins.sender(MSGID).strip("<>") == "a@b.example"
    assert origins.mail(MSGID) == (
        "mail cb4de24f from <a@b.example>, session ca5d4878260e45a8 from 192.0.2.1"
    )


def test_what_is_not_known() -> None:
    origins = Origins()
    assert origins.session(5) == "session 0000000000000005"
    assert origins.mail(5) == "mail 00000005" and origins.sender(5) == ""


def test_the_empty_sender() -> None:
    origins = learned(sender="")
    assert origins.sender(MSGID) == "<>" and " from <>, session" in origins.mail(MSGID)


def test_what_scheduler_knows_of_an_envelope_is_no_envelope() -> None:
    origins, traffic = Origins(), Traffic()
    retry = EnvelopeRetry(EnvelopeTimes(MSGID << 32 | 1, "mta", 1, 2, 3, 4, 5))
    for message in join(traffic.pass_("queue", "scheduler", retry)):
        origins.learn(message)
    assert origins.sender(MSGID) == ""


@pytest.mark.parametrize("most", [1, 2])
def test_the_oldest_are_forgotten(most: int) -> None:
    origins = learned(most=most, mails=3)
    known = [bool(origins.sender(MSGID + number)) for number in range(3)]
    assert known == [number >= 3 - most for number in range(3)]
    assert origins.session(SESSION).endswith("45a8") and "from" in origins.session(SESSION + 2)


def test_nothing_in_a_name_commands_the_terminal() -> None:
    text = learned(sender="a\x1b]0;x\x07\n\t\udc9b@b.example").mail(MSGID)
    assert text.isprintable() and "<a\\x1b]0;x\\x07\\x0a \\x9b@b.example>" in text
