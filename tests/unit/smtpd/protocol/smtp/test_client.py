"""The client core beyond the transcripts of tests/dialog: time-outs, misuse, odd corners."""

import pytest

from smtpd.protocol.smtp.client import Client
from smtpd.protocol.smtp.client_events import (
    Closed,
    Mail,
    MailDone,
    Rcpt,
    RcptDone,
    Ready,
    SendContent,
    Settings,
    StartTls,
)

MAIL = Mail("a@x", (Rcpt("b@y"),))


def ready(extensions: bytes = b"250 PIPELINING\r\n", **settings: object) -> Client:
    client = Client(Settings("me", **settings))  # type: ignore[arg-type]
    events = client.receive(b"220 x\r\n") + client.receive(b"250-x\r\n" + extensions)
    assert [type(event) for event in events] == [Ready]
    client.take_output()
    return client


def test_time_out_follows_what_is_awaited() -> None:
    client = Client(Settings("me"))
    assert (client.awaiting, client.timeout) == ("BANNER", 300)
    client.receive(b"220 x\r\n")
    assert client.awaiting == "EHLO"
    client = ready()
    assert client.awaiting == ""
    client.send(MAIL)
    assert (client.awaiting, client.timeout) == ("MAIL", 300)
    client.receive(b"250 ok\r\n250 ok\r\n")
    assert (client.awaiting, client.timeout) == ("DATA", 120)
    client.receive(b"354 go\r\n")
    assert client.timeout == 180
    client.content(b"x\n", last=False)
    assert client.timeout == 180
    client.content(b"", last=True)
    assert (client.awaiting, client.timeout) == (".", 600)
    client.receive(b"250 ok\r\n")
    client.quit()
    assert (client.awaiting, client.timeout) == ("QUIT", 10)


def test_misuse_is_told() -> None:
    client = Client(Settings("me"))
    with pytest.raises(RuntimeError):
        client.send(MAIL)
    with pytest.raises(RuntimeError):
        client.quit()
    client = ready()
    with pytest.raises(RuntimeError):
        client.content(b"", last=True)
    client.send(MAIL)
    with pytest.raises(RuntimeError):
        client.send(MAIL)
    with pytest.raises(RuntimeError):
        client.quit()


def test_content_after_the_end_is_ignored() -> None:
    client = ready()
    client.send(MAIL)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.lost("gone")
    assert client.content(b"x\n", last=True) == []
    assert client.receive(b"250 ok\r\n") == []
    assert client.lost("again") == []
    assert not client.takes_mail and not client.idle


def test_no_content_is_asked_for_once_closed() -> None:
    client = ready()
    client.send(MAIL)
    events = client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n550 no, after all\r\n")
    assert [type(event) for event in events] == [RcptDone, MailDone, Closed]
    assert isinstance(events[0], RcptDone) and events[0].result == "permfail"


def test_clear_text_behind_starttls() -> None:
    for tail in (b"250 evil\r\n", b"250", b"250-evil\r\n", b"garbage\r\n"):
        client = Client(Settings("me", tls="required"))
        client.receive(b"220 x\r\n250-x\r\n250 STARTTLS\r\n")
        events = client.receive(b"220 go\r\n" + tail)
        assert [type(event) for event in events] == [Closed], tail
        assert not client.ready


def test_starttls_forgets_the_extensions() -> None:
    client = Client(Settings("me", tls="opportunistic"))
    client.receive(b"220 x\r\n250-x\r\n250-PIPELINING\r\n250 STARTTLS\r\n")
    assert client.receive(b"220 go\r\n") == [StartTls()]
    client.take_output()
    client.tls_started()
    assert client.extensions == {}
    assert client.take_output() == b"EHLO me\r\n"
    client.receive(b"250 x\r\n")
    client.send(MAIL)
    assert client.take_output() == b"MAIL FROM:<a@x>\r\n"


def test_unsafe_addresses_never_reach_the_wire() -> None:
    client = ready()
    bad = Mail("a@x", (Rcpt("b@y\r\nRCPT TO:<c@z>"), Rcpt("d@y")))
    events = client.send(bad)
    assert [(event.rcpt, event.result, event.esc) for event in events if isinstance(event, RcptDone)] == [
        (0, "permfail", "5.1.3")
    ]
    assert client.take_output() == b"MAIL FROM:<a@x>\r\nRCPT TO:<d@y>\r\nDATA\r\n"
    client = ready()
    events = client.send(Mail("a\n@x", MAIL.rcpts))
    assert [type(event) for event in events] == [RcptDone, MailDone]
    assert client.take_output() == b"" and client.idle


def test_the_next_mail_follows_only_on_a_proven_session() -> None:
    client = ready()
    for accepted in range(2):
        client.send(MAIL)
        client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
        assert not client.takes_mail
        client.content(b"x\n", last=True)
        assert client.takes_mail is (accepted > 0)
        client.receive(b"250 ok\r\n")
        assert client.takes_mail and client.idle
    assert client.accepted == 2
    for settings in ({"ahead": False}, {"pipelining": False}):
        client = ready(**settings)
        assert not settings.get("pipelining", True) or client.takes_mail


def test_never_more_than_two_mails() -> None:
    client = ready()
    client.send(MAIL)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.content(b"x\n", last=True)
    client.receive(b"250 ok\r\n")
    client.send(MAIL)
    client.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.content(b"x\n", last=True)
    client.send(MAIL)
    assert not client.takes_mail
    with pytest.raises(RuntimeError):
        client.send(MAIL)


def test_odd_size_parameters() -> None:
    for size in (b"SIZE", b"SIZE 0", b"SIZE -1", b"SIZE huge", b"SIZE " + b"9" * 300, "SIZE ²".encode()):
        client = ready(b"250 " + size + b"\r\n")
        client.send(MAIL._replace(size=10**9))
        assert b"MAIL FROM:<a@x> SIZE=1000000000\r\n" == client.take_output()


def test_greeting_with_two_replies_at_once() -> None:
    client = Client(Settings("me"))
    events = client.receive(b"220 x\r\n250-x\r\n250 PIPELINING\r\n")
    assert [type(event) for event in events] == [Ready]


def test_data_with_2xx_is_taken_as_354() -> None:
    client = ready()
    client.send(MAIL)
    assert client.receive(b"250 ok\r\n250 ok\r\n250 go\r\n") == [SendContent(MAIL)]


def test_3xx_to_mail_is_temporary() -> None:
    client = ready(b"250 HELP\r\n")
    client.send(MAIL)
    events = client.receive(b"354 what\r\n")
    assert isinstance(events[0], RcptDone) and events[0].result == "tempfail"
