"""A permanent failure comes back to the sender as a status notification (RFC 3464), and never twice."""

import email
import email.policy

from daemon import RELAY, mail


def parse(content: bytes) -> email.message.EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def test_a_refused_recipient_comes_back_with_the_hosts_words(daemon, sink) -> None:
    to = sink({"RCPT": "550 5.1.1 Nobody of that name here"})
    one = daemon(RELAY, sink=to.port)
    content = mail("me@localhost", subject="unwanted")
    one.send("me@localhost", "nobody@relay.test", content)
    (bounce,) = one.mails("me")
    message = parse(bounce)
    assert message["Return-Path"] is None  # as OpenSMTPD: no line for the empty sender
    assert "me@localhost" in message["To"]
    assert "mailer-daemon" in message["From"].lower()
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    first, status, original = message.iter_parts()
    assert "550 5.1.1 Nobody of that name here" in first.get_content()
    assert status.get_content_type() == "message/delivery-status"
    report = status.as_string()
    assert "Final-Recipient: rfc822; nobody@relay.test" in report
    assert "Action: failed" in report
    assert "Status: 5.1.1" in report
    assert original.get_content_type() in ("message/rfc822", "text/rfc822-headers")
    assert "unwanted" in original.as_string()
    one.wait_empty()


def test_a_bounce_that_cannot_be_delivered_makes_no_bounce(daemon, sink) -> None:
    to = sink({"RCPT": "550 5.1.1 Nobody"})
    one = daemon(RELAY, sink=to.port)
    one.send("also@relay.test", "nobody@relay.test")
    one.wait_empty()
    assert to.taken == []
    assert list((one.state / "home").glob("*/Maildir/new/*")) == []


def test_no_bounce_for_the_empty_sender(daemon, sink) -> None:
    to = sink({"RCPT": "550 5.1.1 Nobody"})
    one = daemon(RELAY, sink=to.port)
    one.send("", "nobody@relay.test")
    one.wait_empty()
    assert list((one.state / "home").glob("*/Maildir/new/*")) == []


def test_only_the_refused_recipients_are_named(daemon, sink) -> None:
    to = sink({"RCPT": lambda line: "550 5.1.1 No" if "bad" in line else ""})
    one = daemon(RELAY, sink=to.port)
    one.send("me@localhost", ["good@relay.test", "bad1@relay.test", "bad2@relay.test"])
    to.wait(1)
    one.wait_empty()
    bounces = b"".join(one.mails("me"))
    assert b"bad1@relay.test" in bounces
    assert b"bad2@relay.test" in bounces
    assert b"Final-Recipient: rfc822; good@relay.test" not in bounces
    assert [taken.rcpts for taken in to.taken] == [("good@relay.test",)]


def test_a_message_refused_after_its_content_comes_back(daemon, sink) -> None:
    to = sink({".": "554 5.7.1 Looks like spam"})
    one = daemon(RELAY, sink=to.port)
    one.send("me@localhost", "you@relay.test")
    (bounce,) = one.mails("me")
    assert b"554 5.7.1 Looks like spam" in bounce
    one.wait_empty()
