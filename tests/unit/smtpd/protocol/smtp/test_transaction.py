"""What becomes of a client's words: envelope, Received field, header completion."""

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import DSN_FAILURE, FLAG_AUTHENTICATED, Envelope
from smtpd.protocol.smtp.grammar import MailParameters, RcptParameters
from smtpd.protocol.smtp.session_io import Opened, ServerSettings
from smtpd.protocol.smtp.transaction import Client, Transaction

SETTINGS = ServerSettings("mx.example", tag="outside")
SENDER = MailAddress("a", "x.example")
RCPT = MailAddress("b", "y.example")


def client(address: str = "192.0.2.1", authenticated: bool = False) -> Client:
    one = Client(address, authenticated)
    one.host = "client.example"
    one.helo = "helo.example"
    return one


def transaction(*rcpts: MailAddress) -> Transaction:
    one = Transaction(SENDER, MailParameters(dsn_ret="FULL", dsn_envid="QQ"))
    one.msgid = 0x12345678
    one.time = 1700000000
    one.rcpt = RCPT
    one.recipients = [(rcpt, (1,)) for rcpt in rcpts]
    return one


def test_client() -> None:
    assert client().bracketed == "[192.0.2.1]"
    assert client("[2001:db8::1]").bracketed == "[2001:db8::1]"
    assert client("local").bracketed == "[local]"
    one = client()
    assert one.protocol == "SMTP"
    one.esmtp = True
    assert one.protocol == "ESMTP"


def test_envelope() -> None:
    envelope = transaction().envelope(SETTINGS, client(), RcptParameters(DSN_FAILURE, "rfc822;b@z"))
    assert envelope == Envelope(
        0x1234567800000000,
        "",
        tag="outside",
        smtpname="mx.example",
        helo="helo.example",
        hostname="client.example",
        sockaddr="192.0.2.1",
        sender=SENDER,
        rcpt=RCPT,
        dest=RCPT,
        ctime=1700000000,
        dsn_notify=DSN_FAILURE,
        dsn_ret="FULL",
        dsn_envid="QQ",
        dsn_orcpt="rfc822;b@z",
    )


def test_envelope_of_a_local_user() -> None:
    envelope = transaction().envelope(SETTINGS, client("local", True), RcptParameters())
    assert envelope.flags == FLAG_AUTHENTICATED
    assert envelope.sockaddr == "local"


def head(one: Transaction, settings: ServerSettings, who: Client) -> bytes:
    one.open(settings, who, Opened("now", 0xABC))
    assert one.content is not None
    return one.content.feed(b"\r\n.\r\n")


def test_received_of_one_recipient() -> None:
    assert head(transaction(RCPT), SETTINGS, client()) == (
        b"Received: from helo.example (client.example [192.0.2.1])\n"
        b"\tby mx.example (smtpd) with SMTP id 12345678\n"
        b"\tfor <b@y.example>;\n"
        b"\tnow\n"
        b"\n"
    )


def test_received_of_several_from_a_user_of_ours() -> None:
    who = client("local", True)
    who.esmtp = True
    assert b" with ESMTPA id 12345678;\n" in head(transaction(RCPT, RCPT), SETTINGS, who)


def test_completed_header() -> None:
    settings = SETTINGS._replace(complete_headers=True)
    assert head(transaction(RCPT), settings, client()).endswith(
        b"\tnow\nDate: now\nMessage-ID: <0000000000000abc@mx.example>\n\n"
    )
