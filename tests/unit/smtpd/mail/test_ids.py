"""Ids as numbers and as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.ids import (
    EVPID_MAX,
    MSGID_MAX,
    format_evpid,
    format_msgid,
    make_evpid,
    msgid_of,
    parse_evpid,
    parse_msgid,
)


@given(st.integers(1, MSGID_MAX), st.integers(0, 0xFFFFFFFF))
def test_halves_of_an_evpid(msgid: int, low: int) -> None:
    evpid = make_evpid(msgid, low)
    assert msgid_of(evpid) == msgid
    assert evpid & 0xFFFFFFFF == low
    assert format_evpid(evpid) == format_msgid(msgid) + f"{low:08x}"


@given(st.integers(1, MSGID_MAX), st.integers(1, EVPID_MAX))
def test_text_and_back(msgid: int, evpid: int) -> None:
    assert len(format_msgid(msgid)) == 8 and parse_msgid(format_msgid(msgid)) == msgid
    assert len(format_evpid(evpid)) == 16 and parse_evpid(format_evpid(evpid)) == evpid
    assert parse_evpid(format_evpid(evpid).upper()) == evpid


@pytest.mark.parametrize(
    "text", ["", "0", "00000000", "100000000", "g", "0x12", "-1", "+1", " 1", "1 ", "1_0", "١", "1" * 65]
)
def test_not_a_msgid(text: str) -> None:
    with pytest.raises(ValueError, match="not a message id"):
        parse_msgid(text)


def test_a_short_id_is_one_and_a_long_msgid_is_an_evpid() -> None:
    assert parse_msgid("1f") == 0x1F
    assert parse_evpid("100000000") == 1 << 32
    with pytest.raises(ValueError, match="not an? .*id"):
        parse_evpid("1" + "0" * 16)
