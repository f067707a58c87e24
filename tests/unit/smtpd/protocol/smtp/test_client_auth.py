"""Logging in: each step, and nothing of the secret in what is shown."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.smtp.client_auth import Login
from smtpd.protocol.smtp.client_commands import AUTH, AUTH_PASSWORD, AUTH_USER

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)


def test_methods() -> None:
    login = Login("joe", "geheim")
    assert login.first("GSSAPI LOGIN plain") == (AUTH_PASSWORD, "AUTH PLAIN AGpvZQBnZWhlaW0=")
    assert login.first("LOGIN") == (AUTH, "AUTH LOGIN")
    assert login.first("") is None
    assert login.first("CRAM-MD5 PLAINER XLOGIN") is None


def test_steps_of_login() -> None:
    login = Login("joe", "geheim")
    assert login.next(AUTH) == (AUTH_USER, "am9l")
    assert login.next(AUTH_USER) == (AUTH_PASSWORD, "Z2VoZWlt")
    assert login.next(AUTH_PASSWORD) is None


def test_there_may_be_nothing_to_log_in_with() -> None:
    assert not Login("", "")
    assert Login("", "").masked("anything") == "anything"
    assert Login("joe", "")


@given(WORDS, WORDS)
def test_plain_says_who_and_with_what(user: str, password: str) -> None:
    step = Login(user, password).first("PLAIN")
    assert step is not None
    encoded = step[1].removeprefix("AUTH PLAIN ")
    assert base64.b64decode(encoded, validate=True).decode() == f"\0{user}\0{password}"


@given(st.text("abcdefgh", min_size=4, max_size=40))
@pytest.mark.parametrize("form", ["{}", "no {}", "{}{}", "<{}> ?"])
def test_whatever_a_server_repeats_is_masked(form: str, password: str) -> None:
    login = Login("joe", password)
    plain = login.first("PLAIN")
    assert plain is not None
    for said in (password, base64.b64encode(password.encode()).decode(), plain[1]):
        assert password not in login.masked(form.format(said, said))
        assert base64.b64encode(password.encode()).decode() not in login.masked(form.format(said, said))
    assert plain[1] not in login.masked(plain[1])
