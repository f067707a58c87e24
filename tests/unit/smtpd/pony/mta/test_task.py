"""Which envelopes go together, and how a recipient is asked for."""

import pytest

from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import DSN_DELAY, DSN_FAILURE, DSN_NEVER, Envelope
from smtpd.pony.mta.task import Task, rcpt_of, task_key
from smtpd.protocol import srs
from smtpd.protocol.smtp.client_events import Rcpt

ENVELOPE = Envelope(7 << 32 | 1, "mta")._replace(
    sender=MailAddress("a", "x.example"), dest=MailAddress("b", "y.example")
)


@pytest.mark.parametrize(
    ("mail_from", "sender"),
    [
        ("", "a@x.example"),
        ("list@z.example", "list@z.example"),
        ("@z.example", "a@z.example"),
        ("list", "list@x.example"),
        ("list@", "list@x.example"),
    ],
)
def test_key(mail_from: str, sender: str) -> None:
    assert task_key(ENVELOPE, mail_from) == (7, sender)


def test_a_bounce_stays_a_bounce() -> None:
    assert task_key(ENVELOPE._replace(sender=EMPTY), "list@z.example") == (7, "")


def test_forwarded_mail_is_rewritten() -> None:
    forwarded = ENVELOPE._replace(rcpt=MailAddress("me", "relay.example"))
    assert task_key(forwarded, "", "key", 19675) == (
        7,
        srs.encode("a@x.example", "relay.example", "key", 19675),
    )
    assert task_key(forwarded, "list@z.example", "key", 19675)[1].endswith("=z.example=list@relay.example")
    assert task_key(forwarded, "") == (7, "a@x.example")
    assert task_key(forwarded._replace(rcpt=ENVELOPE.dest), "", "key") == (7, "a@x.example")
    assert task_key(forwarded._replace(sender=EMPTY), "", "key") == (7, "")


def test_rcpt() -> None:
    assert rcpt_of(ENVELOPE) == Rcpt("b@y.example")
    both = ENVELOPE._replace(dsn_notify=DSN_FAILURE | DSN_DELAY, dsn_orcpt="rfc822;o@z")
    assert rcpt_of(both) == Rcpt("b@y.example", "FAILURE,DELAY", "rfc822;o@z")
    assert rcpt_of(ENVELOPE._replace(dsn_notify=DSN_NEVER)).notify == "NEVER"


def test_task() -> None:
    task = Task(7, "a@x.example")
    assert task.key == task_key(ENVELOPE, "") and task.envelopes == [] and task.again == 0
