"""The values around the client core."""

import pytest

from smtpd.protocol.smtp.client_events import Mail, Rcpt, Settings


def test_settings_are_careful_by_default() -> None:
    settings = Settings("client.example")
    assert not settings.lmtp and not settings.secure and settings.auth_user == ""
    assert settings.tls == "no"


def test_mails_can_be_shared() -> None:
    mail = Mail("", (Rcpt("a@b"),))
    with pytest.raises(AttributeError):
        mail.sender = "x"  # type: ignore[misc]
    assert mail == Mail("", (Rcpt("a@b", "", ""),), 0, False, "", "", None)
