"""smtpd/pony/mta/shown.py: no password and no content."""

import pytest

from smtpd.pony.mta.shown import MOST, shown_output
from smtpd.protocol.smtp.client_commands import AUTH, AUTH_PASSWORD, AUTH_USER


def test_commands() -> None:
    data = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"
    assert shown_output(data, "MAIL", False) == ["MAIL FROM:<a@b>", "RCPT TO:<c@d>", "DATA"]
    assert shown_output(b"RCPT TO:<\xff>\r\n", "RCPT", False) == ["RCPT TO:<\udcff>"]
    assert len(shown_output(b"NOOP\r\n" * 99, "NOOP", False)) == MOST


@pytest.mark.parametrize(
    ("data", "awaiting"),
    [
        (b"AUTH PLAIN c2VjcmV0\r\n", AUTH_PASSWORD),
        (b"auth plain c2VjcmV0\r\n", ""),
        (b"c2VjcmV0\r\n", AUTH_PASSWORD),
        (b"c2VjcmV0\r\n", AUTH_USER),
        (b"AUTH LOGIN\r\n", AUTH),
    ],
)
def test_nothing_of_a_password(data: bytes, awaiting: str) -> None:
    assert shown_output(data, awaiting, False) == ["AUTH ********"]


def test_nothing_of_the_content() -> None:
    assert shown_output(b"MAIL FROM:<secret>\r\n.\r\n", "DATA", True) == ["[MSG] 23 octets"]
