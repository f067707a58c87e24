"""Notifications, read back with the standard library's mail parser."""

import email
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import BOUNCE, Envelope
from smtpd.protocol import dsn
from smtpd.protocol.dsn import (
    HEADER_MAX,
    RETURN_MAX,
    Notice,
    date,
    duration,
    notification,
    returns_full,
    unxtext,
)

ORIGINAL = b"Received: from a\n\tby b; date\nSubject: lunch\nFrom: <ann@example.net>\n\nAt noon?\n\nAnn\n"
HEADER = ORIGINAL[: ORIGINAL.index(b"\n\n") + 1]

NOTICE = Notice(
    kind="failed",
    id=0x1234ABCD,
    smtpname="mx.example.org",
    to="ann@example.net",
    now=1763814960,
    boundary="b0undary/mx.example.org",
    unique="0123456789abcdef",
    arrived=1763800000,
)

ENVELOPE = Envelope(
    1 << 32 | 1,
    BOUNCE,
    sender=MailAddress("ann", "example.net"),
    rcpt=MailAddress("bob", "example.com"),
    dest=MailAddress("bob", "example.com"),
    errorline="550 5.1.1 no such user",
    esc_class=5,
    esc_code=11,
)


def text(notice: Notice = NOTICE, *recipients: Envelope, original: Any = (ORIGINAL,)) -> bytes:
    return b"".join(notification(notice, recipients or (ENVELOPE,), original))


def parsed(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    for part in message.walk():
        assert part.defects == []
    return message


def status(message: EmailMessage) -> list[EmailMessage]:
    """The blocks of the delivery-status part."""
    part = list(message.iter_parts())[1]
    assert part.get_content_type() == "message/delivery-status"
    blocks: Any = part.get_payload()
    return list(blocks)


def test_header() -> None:
    message = parsed(text())
    assert message["Subject"] == "Delivery status notification: failed"
    assert message["From"] == "Mailer Daemon <MAILER-DAEMON@mx.example.org>"
    assert message["To"] == "ann@example.net"
    assert message["Date"] == "Sat, 22 Nov 2025 12:36:00 +0000"
    assert message["Message-ID"] == "<0123456789abcdef@mx.example.org>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert "id 1234abcd;" in message["Received"]
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"


def test_parts() -> None:
    report, delivery_status, original = parsed(text()).iter_parts()
    assert report.get_content_type() == "text/plain"
    assert "bob@example.com: 550 5.1.1 no such user\n" in report.get_content()
    assert "could not be delivered" in report.get_content()
    assert delivery_status["Content-Description"] == "Delivery Report"
    assert original.get_content_type() == "text/rfc822-headers"
    assert original.get_content() == HEADER.decode()


def test_delivery_status() -> None:
    other = ENVELOPE._replace(
        dest=MailAddress("carol", "example.com"),
        errorline="Envelope expired",
        esc_code=47,
        dsn_orcpt="rfc822;ca+2Brol@example.com",
        last_try=1763814000,
    )
    message, first, second = status(parsed(text(NOTICE._replace(envid="QQ+2B1"), ENVELOPE, other)))
    assert dict(message) == {
        "Original-Envelope-Id": "QQ+1",
        "Reporting-MTA": "dns; mx.example.org",
        "Arrival-Date": "Sat, 22 Nov 2025 08:26:40 +0000",
    }
    assert dict(first) == {
        "Final-Recipient": "rfc822; bob@example.com",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
    }
    assert dict(second) == {
        "Original-Recipient": "rfc822; ca+rol@example.com",
        "Final-Recipient": "rfc822; carol@example.com",
        "Action": "failed",
        "Status": "5.4.7",
        "Last-Attempt-Date": "Sat, 22 Nov 2025 12:20:00 +0000",
    }


def test_original_recipient_of_an_old_envelope() -> None:
    [_, first] = status(parsed(text(NOTICE, ENVELOPE._replace(dsn_orcpt="bob@example.org"))))
    assert first["Original-Recipient"] == "rfc822; bob@example.org"


def test_delayed() -> None:
    notice = NOTICE._replace(kind="delayed", delay=4 * 3600, ttl=4 * 86400)
    message = parsed(text(notice, ENVELOPE._replace(errorline="421 busy", esc_class=4, esc_code=41)))
    report = next(iter(message.iter_parts())).get_content()
    assert "more than 4 hours" in report and "for 4 days in all" in report
    [_, first] = status(message)
    assert (first["Action"], first["Status"]) == ("delayed", "4.4.1")
    assert first["Will-Retry-Until"] == "Wed, 26 Nov 2025 08:26:40 +0000"


@pytest.mark.parametrize("kind", ["delivered", "relayed"])
def test_success(kind: str) -> None:
    message = parsed(
        text(NOTICE._replace(kind=kind), ENVELOPE._replace(errorline="", esc_class=2, esc_code=0))
    )
    assert message["Subject"] == f"Delivery status notification: {kind}"
    [_, first] = status(message)
    assert (first["Action"], first["Status"]) == (kind, "2.0.0")
    assert "Diagnostic-Code" not in first
    assert "bob@example.com: 2.0.0\n" in next(iter(message.iter_parts())).get_content()


def test_the_whole_original() -> None:
    *_, original = parsed(text(NOTICE._replace(full=True))).iter_parts()
    assert original.get_content_type() == "message/rfc822"
    inner = original.get_content()
    assert inner["Subject"] == "lunch" and inner.get_content() == "At noon?\n\nAnn\n"


def test_an_original_without_a_last_line_end() -> None:
    data = text(NOTICE._replace(full=True), original=(b"Subject: x\n\nno end",))
    assert b"\n\nno end\n\n--b0undary/mx.example.org--\n" in data


@pytest.mark.parametrize(
    ("kind", "ret", "size", "expected"),
    [
        ("failed", "FULL", 0, True),
        ("failed", "FULL", RETURN_MAX, True),
        ("failed", "FULL", RETURN_MAX + 1, False),
        ("failed", "HDRS", 10, False),
        ("failed", "", 10, False),
        ("delayed", "FULL", 10, False),
        ("delivered", "FULL", 10, False),
    ],
)
def test_returns_full(kind: str, ret: str, size: int, expected: bool) -> None:
    assert returns_full(kind, ret, size) is expected


def returned(original: Any) -> bytes:
    data = text(original=original)
    return data[data.rindex(b"8bit\n\n") + 6 : data.rindex(b"\n--b0undary")]


@given(
    st.data(),
    st.sampled_from([ORIGINAL, b"", b"\n", b"\nbody\n", b"A: b\n", b"A: b\n\n", b"A: b\n \n\nbody\n\n"]),
)
def test_the_header_however_it_comes(data: st.DataObject, original: bytes) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(original)), max_size=8)))
    pieces = [original[a:b] for a, b in zip([0, *cuts], [*cuts, len(original)], strict=True)]
    whole = b"\n" + original
    end = whole.find(b"\n\n")
    assert returned(pieces) == (original if end < 0 else original[:end])


def test_a_header_without_end_is_cut() -> None:
    piece = b"X: " + b"y" * 60000 + b"\n"
    assert returned([piece] * 100) == (piece * 100)[:HEADER_MAX] + b"\n"


def test_nothing_is_read_behind_the_header() -> None:
    def pieces() -> Any:
        yield ORIGINAL
        pytest.fail("the body was asked for")

    assert returned(pieces()) == HEADER


def test_codes_of_our_own_are_not_shown() -> None:
    assert b"bob@example.com: No such thing\n" in text(
        NOTICE, ENVELOPE._replace(errorline="600 No such thing")
    )
    assert b"bob@example.com: 1 2\n" in text(NOTICE, ENVELOPE._replace(errorline="1 2"))


LINES = st.text(
    st.characters(codec="utf-8") | st.integers(0xDC80, 0xDCFF).map(chr) | st.sampled_from("\r\n\t -:"),
    max_size=300,
)


@given(LINES, LINES, LINES)
def test_no_value_can_add_a_field_or_a_part(error: str, orcpt: str, envid: str) -> None:
    one = ENVELOPE._replace(errorline=error, dsn_orcpt=orcpt)
    data = text(NOTICE._replace(envid=envid), one)
    plain = text(NOTICE, ENVELOPE)
    for name in (b"\nStatus:", b"\nAction:", b"\nContent-Type:", b"\n--b0undary", b"\nFinal-Recipient:"):
        assert data.count(name) == plain.count(name)
    data.decode()  # whatever came in, UTF-8 goes out


@given(st.text("ab cd", max_size=400))
def test_folded_fields_unfold_to_what_they_were(reason: str) -> None:
    [_, first] = status(parsed(text(NOTICE, ENVELOPE._replace(errorline=f"550 {reason}"))))
    code = f"smtp; 550 {reason}"
    assert " ".join(str(first["Diagnostic-Code"]).split()) == " ".join(code.split())


def test_lines_are_short_where_that_can_be() -> None:
    data = text(NOTICE, ENVELOPE._replace(errorline="550 " + "word " * 300))
    field = data[data.index(b"Diagnostic-Code") :].split(b"\n\n")[0]
    assert max(map(len, field.split(b"\n"))) <= 76


@pytest.mark.parametrize(
    ("seconds", "zone", "expected"),
    [
        (0, 0, "Thu, 1 Jan 1970 00:00:00 +0000"),
        (1763814960, 3600, "Sat, 22 Nov 2025 13:36:00 +0100"),
        (1763814960, -12600, "Sat, 22 Nov 2025 09:06:00 -0330"),
        (1709210096, 0, "Thu, 29 Feb 2024 12:34:56 +0000"),
        (2**63 - 1, 0, "Thu, 1 Jan 1970 00:00:00 +0000"),
    ],
)
def test_date(seconds: int, zone: int, expected: str) -> None:
    assert date(seconds, zone) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (3600, "1 hour"),
        (86399, "23 hours"),
        (86400, "1 day"),
        (345600, "4 days"),
    ],
)
def test_duration(seconds: int, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("text_", "expected"),
    [("a+2Bb", "a+b"), ("a+3D", "a="), ("+0A", "+0A"), ("+FF", "+FF"), ("+2b", "+2b"), ("plain", "plain")],
)
def test_unxtext(text_: str, expected: str) -> None:
    assert unxtext(text_) == expected


def test_the_module_reads_no_clock() -> None:
    assert not {"time", "random", "os"} & set(vars(dsn))
