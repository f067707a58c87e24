"""Addresses: splitting, validity, limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import (
    EMPTY,
    MailAddress,
    lower,
    parse,
    valid_domainpart,
    valid_localpart,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ann@example.org", ("ann", "example.org")),
        ("ann", ("ann", "")),
        ("@example.org", ("", "example.org")),
        ("@", ("", "")),
        ("", ("", "")),
        ("a@b@c", ("a@b", "c")),
        ("ann@", ("ann", "")),
    ],
)
def test_parse(text: str, expected: tuple[str, str]) -> None:
    assert parse(text) == expected


def test_text_forms() -> None:
    assert str(MailAddress("ann", "example.org")) == "ann@example.org"
    assert MailAddress("ann", "example.org").path == "ann@example.org"
    assert str(EMPTY) == "@" and EMPTY.path == ""
    assert MailAddress("ann", "").path == "ann"


@given(st.text(max_size=80), st.text(max_size=80).filter(lambda text: "@" not in text))
def test_parse_undoes_str(user: str, domain: str) -> None:
    assert parse(str(MailAddress(user, domain))) == (user, domain)


@pytest.mark.parametrize(
    "text",
    ["u" * 256, "u" * 256 + "@d", "u@" + "d" * 256, "é" * 128 + "@d", "u" * 2048],
)
def test_too_long(text: str) -> None:
    with pytest.raises(ValueError, match="address too long"):
        parse(text)


def test_the_longest() -> None:
    assert parse("u" * 255 + "@" + "d" * 255) == ("u" * 255, "d" * 255)
    assert parse("\udcff" * 255 + "@d").user == "\udcff" * 255  # bytes that are no UTF-8 count as one each


@pytest.mark.parametrize("text", ["ann", "a.b", "a+b", "a/b", "{a}|~", "0", "a=b", "a_b-c", "!#$%&'*?^`"])
def test_local_parts(text: str) -> None:
    assert valid_localpart(text)


@pytest.mark.parametrize(
    "text", ["", ".a", "a.", "a..b", "a b", '"a b"', "a@b", "a\n", "é", "a(b)", "u" * 256, "a\0"]
)
def test_no_local_parts(text: str) -> None:
    assert not valid_localpart(text)


@pytest.mark.parametrize(
    "text",
    [
        "example.org",
        "localhost",
        "a_b.example",
        "1.2.3.4",
        "xn--bcher-kva.example",
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "[ipv6:::1]",
        "[2001:db8::1]",
    ],
)
def test_domains(text: str) -> None:
    assert valid_domainpart(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "example.org.",
        "a..b",
        "-a.org",
        "a b",
        "a" * 64 + ".org",
        "é.org",
        "[192.0.2.256]",
        "[192.0.2.1",
        "[]",
        "[IPv6:]",
        "[fe80::1%eth0]",
        "[x]y",
        "a.org\n",
        "a." * 128 + "b",
    ],
)
def test_no_domains(text: str) -> None:
    assert not valid_domainpart(text)


@given(st.text())
def test_lower_changes_ascii_letters_only(text: str) -> None:
    lowered = lower(text)
    assert len(lowered) == len(text)
    for before, after in zip(text, lowered, strict=True):
        assert after == (before.lower() if before.isascii() else before)


def test_lowered() -> None:
    assert MailAddress("Ann", "Example.ORG").lowered() == ("ann", "example.org")
    assert lower("ÄA") == "Äa"
