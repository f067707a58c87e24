"""Forwarded mail leaves under an address of ours (SRS), and what bounces comes back through it."""

from daemon import body_of, mail

CONF = """\
listen on 127.0.0.1 port ${port} hostname here.test
srs key "newer secret"
srs key backup "older secret"
table aliases { "forwarded" = "bob@far.test" }
action "local" maildir alias <aliases>
action "out" relay host smtp://127.0.0.1:${sink} srs
match from any for domain "here.test" action "local"
match from local for any action "out"
"""
SENDER = "Alice.Sender@source.test"


def test_forwarded_and_bounced(daemon, sink) -> None:
    to = sink()
    one = daemon(CONF, sink=to.port)
    one.send(SENDER, "forwarded@here.test")
    (got,) = to.wait(1)
    assert got.rcpts == ("bob@far.test",)
    assert got.sender.startswith("SRS0=") and got.sender.endswith("=source.test=Alice.Sender@here.test")
    one.wait_log(f"from=<{got.sender}>")
    # what the other side does when it cannot deliver
    bounce = mail("Undelivered", body="It did not work.\r\n")
    one.send("", got.sender, bounce)
    _, back = to.wait(2)
    assert (back.sender, back.rcpts) == ("", (SENDER,))
    assert body_of(back.content) == body_of(bounce)
    one.wait_empty()
    # and nobody sends to anywhere by making such an address up, or without its being a bounce
    for sender, rcpt in (
        ("", got.sender.replace("source.test", "victim.test")),
        ("x@source.test", got.sender),
    ):
        with one.smtp() as client:
            client.ehlo()
            assert client.mail(sender)[0] == 250
            assert client.rcpt(rcpt)[0] == 550
    one.wait_log("SRS failed to decode: SRS0=")
    assert "secret" not in one.ctl("show", "config")


def test_mail_that_is_not_forwarded_keeps_its_sender(daemon, sink) -> None:
    to = sink()
    one = daemon(CONF, sink=to.port)
    one.send(SENDER, ["forwarded@here.test", "other@far.test"])
    assert {(got.sender[:5], got.rcpts) for got in to.wait(2)} == {
        ("SRS0=", ("bob@far.test",)),
        ("Alice", ("other@far.test",)),
    }
    one.wait_empty()
