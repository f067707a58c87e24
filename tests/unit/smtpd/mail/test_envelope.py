"""The envelope as a value: limits, clipping, error lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import (
    LIMITS,
    LINE_MAX,
    MTA,
    Envelope,
    clip,
    clipped,
    errorline,
    too_long,
)

PLAIN = Envelope(1, MTA, sender=MailAddress("a", "b"), smtpname="mx", helo="h", hostname="n")
TEXTS = st.text(st.characters(codec="utf-8") | st.integers(0xDC80, 0xDCFF).map(chr), max_size=3000)


def size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def test_limits_are_in_bytes() -> None:
    assert too_long(PLAIN) == ""
    for name, limit in LIMITS.items():
        assert too_long(PLAIN._replace(**{name: "x" * limit})) == ""
        assert too_long(PLAIN._replace(**{name: "x" * (limit + 1)})) == name
        assert too_long(PLAIN._replace(**{name: "é" * (limit // 2 + 1)})) == name


@pytest.mark.parametrize("name", ["sender", "rcpt", "dest"])
def test_limits_of_addresses(name: str) -> None:
    assert too_long(PLAIN._replace(**{name: MailAddress("u" * 255, "d" * 255)})) == ""
    assert too_long(PLAIN._replace(**{name: MailAddress("u" * 256, "")})) == name
    assert too_long(PLAIN._replace(**{name: MailAddress("", "d" * 256)})) == name


def test_clipped_names() -> None:
    assert clipped(PLAIN) is PLAIN
    long = PLAIN._replace(smtpname="s" * 70, helo="h" * 64, hostname="é" * 40, username="u" * 300)
    cut = clipped(long)
    assert (cut.smtpname, cut.helo, cut.hostname) == ("s" * 64, "h" * 64, "é" * 32)
    assert cut.username == "u" * 255
    assert too_long(cut) == ""


@given(TEXTS, st.integers(0, 3000))
def test_clip(text: str, limit: int) -> None:
    cut = clip(text, limit)
    assert size(cut) <= limit
    assert text.startswith(cut)
    if size(text) > limit:
        assert size(cut) > limit - 4
    else:
        assert cut == text


@given(TEXTS)
def test_errorline_fits_and_is_one_line(text: str) -> None:
    line = errorline(text)
    assert size(line) <= LINE_MAX
    assert not any(ord(char) < 32 or ord(char) == 127 for char in line)
    assert too_long(PLAIN._replace(errorline=line)) == ""


def test_errorline_shows_that_it_was_cut() -> None:
    assert errorline("x" * LINE_MAX) == "x" * LINE_MAX
    assert errorline("x" * (LINE_MAX + 1)) == "x" * (LINE_MAX - 3) + "..."
    assert errorline("550 no\r\n such\tuser\n") == "550 no   such user"
