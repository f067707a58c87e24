"""Reply texts: OpenSMTPD's, and what of the client's may stand in one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail import status
from smtpd.protocol.smtp import reply

CONSTANTS = {name: value for name, value in vars(reply).items() if isinstance(value, bytes)}


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_reply_is_one_line_with_a_fitting_status(name: str) -> None:
    line = CONSTANTS[name].decode("ascii")
    found = re.fullmatch(r"([2-5])[0-9]{2} (?:([245])\.[0-7]\.[0-9] )?[ -~]+\r\n", line)
    assert found is not None
    assert found[2] in (None, found[1])
    assert len(line) <= 512  # RFC 5321 4.5.3.1.5


def test_texts_that_scripts_know() -> None:
    assert reply.UNRECOGNIZED == b"500 5.5.1 Invalid command: Command unrecognized\r\n"
    assert reply.NOT_NOW == b"503 5.5.1 Invalid command: Command not allowed at this point.\r\n"
    assert reply.RECIPIENT_OK == b"250 2.1.5 Destination address valid: Recipient ok\r\n"
    assert reply.TOO_BIG == b"554 5.3.4 Message too big for system: Transaction failed, message too big\r\n"
    assert reply.LOOP == b"500 5.4.6 Routing loop detected: Loop detected\r\n"
    assert reply.MALFORMED == (
        b"550 5.7.1 Delivery not authorized, message refused: Message is not RFC 2822 compliant\r\n"
    )
    assert reply.TOO_MANY_RECIPIENTS == b"451 4.5.3 Too many recipients: Too many recipients\r\n"
    assert reply.TOO_MANY_MESSAGES == b"452 4.5.3 Too many recipients: Too many messages sent\r\n"
    assert reply.FULL == b"452 4.3.1 Mail system full: Insufficient system storage\r\n"
    assert reply.TEMPORARY_ERROR == b"421 4.3.0 Temporary Error\r\n"
    assert reply.NO_ARGUMENT == (
        b"500 5.5.4 Invalid command arguments: command does not accept arguments.\r\n"
    )
    assert reply.refused("550 Invalid recipient", "a@b") == b"550 Invalid recipient: <a@b>\r\n"
    assert reply.refused("550 Invalid recipient: <a@b>", "a@b") == b"550 Invalid recipient: <a@b>\r\n"
    assert reply.accepted(0x1A) == b"250 2.0.0 0000001a Message accepted for delivery\r\n"


def test_reply() -> None:
    assert reply.reply(450, status.MAILBOX_DISABLED, "x") == (
        b"450 4.2.1 Mailbox disabled, not accepting messages: x\r\n"
    )
    assert reply.reply(250, status.OTHER_STATUS, "x", described=False) == b"250 2.0.0 x\r\n"


def test_greetings() -> None:
    assert reply.banner("mx.example", "us") == b"220 mx.example ESMTP us\r\n"
    assert (
        reply.hello("250-", "mx", "c", "[192.0.2.1]")
        == b"250-mx Hello c [192.0.2.1], pleased to meet you\r\n"
    )
    assert reply.extensions(1000, dsn=True).splitlines() == [
        b"250-8BITMIME",
        b"250-ENHANCEDSTATUSCODES",
        b"250-PIPELINING",
        b"250-SIZE 1000",
        b"250-DSN",
        b"250 HELP",
    ]
    assert b"DSN" not in reply.extensions(1000, dsn=False)
    assert reply.help_text("us").splitlines()[0] == b"214-2.0.0 This is us"
    assert reply.help_text("us").splitlines()[-1] == b"214 2.0.0 End of HELP info"


def test_parameters() -> None:
    def bad(kind: str, described: bool = True) -> bytes:
        return reply.bad_parameter(kind, "X=1", described=described)

    assert bad("unsupported") == b"503 5.5.4 Invalid command arguments: Unsupported option X=1\r\n"
    assert bad("unsupported", False) == b"503 Unsupported option X=1\r\n"
    assert bad("envid") == b"503 5.5.4 Invalid command arguments: option too large, truncated: X=1\r\n"
    assert bad("notify") == reply.BAD_NOTIFY
    assert bad("orcpt") == reply.BAD_ORCPT
    assert bad("size") == reply.BAD_SIZE


SHOWN = [
    ("plain", "plain"),
    ("j\xf6rg", "j\xf6rg"),
    ("a\r\nb\tc\0", "a\\r\\nb\\tc\\000"),
    ("\x1b[31m\x7f", "\\^[[31m\\^?"),
    ("\udce9\udc80\udcff", "\\M-i\\M^@\\M^?"),
    ("\x9b2J\u2028", "\\u009b2J\\u2028"),
    ("x" * 600, "x" * 512 + "..."),
]


@pytest.mark.parametrize(("text", "shown"), SHOWN)
def test_echoed(text: str, shown: str) -> None:
    assert reply.echoed(text) == shown
    assert reply.logged(text) == shown


def test_logged_doubles_backslashes() -> None:
    assert reply.logged("a\\r") == "a\\\\r"
    assert reply.echoed("a\\r") == "a\\r"


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_echoed_is_one_line(text: str) -> None:
    assert reply.echoed(text).isprintable()
    line = reply.refused(text, "a@b")
    assert line.endswith(b"\r\n")
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("550 no", True),
        ("451 4.3.0 later", True),
        ("250 ok", False),
        ("550", False),
        ("550-no", False),
        ("", False),
    ]
    + [("55\u0663 no", False), ("999 x", False)],
)
def test_is_refusal(text: str, is_one: bool) -> None:
    assert reply.is_refusal(text) is is_one
