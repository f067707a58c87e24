"""Enhanced status codes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail import status


def test_text_form() -> None:
    assert status.esc_code(status.STATUS_PERMFAIL, status.BAD_DESTINATION_MAILBOX_ADDRESS) == "5.1.1"
    assert status.esc_code(status.STATUS_OK, status.OTHER_STATUS) == "2.0.0"
    assert status.esc_code(status.STATUS_TEMPFAIL, status.DELIVERY_TIME_EXPIRED) == "4.4.7"


def test_every_code_has_a_description_and_a_number_of_its_own() -> None:
    codes = {
        name: value
        for name, value in vars(status).items()
        if name.isupper() and isinstance(value, int) and not name.startswith(("STATUS_", "_"))
    }
    assert len(set(codes.values())) == len(codes) == 49
    for name, code in codes.items():
        assert status.esc_description(code) != "Other/Undefined" or name == "OTHER_STATUS"
        assert status.parse_esc(status.esc_code(5, code)) == (5, code)


def test_unknown_code() -> None:
    assert status.esc_description(99) == "Other/Undefined"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.1.1 User unknown", (5, 11)),
        ("4.7.0", (4, 70)),
        ("2.0.0", (2, 0)),
        ("5.7.26 DMARC", (5, 70)),
        ("4.9.9 odd", (4, 0)),
    ],
)
def test_parse(text: str, expected: tuple[int, int]) -> None:
    assert status.parse_esc(text) == expected


@pytest.mark.parametrize("text", ["", "3.1.1", "5.1", "5.1.1.1", "x5.1.1", "5.1234.1", "5.1.", "٥.1.1"])
def test_not_a_code(text: str) -> None:
    assert status.parse_esc(text) is None


@given(st.text())
def test_parse_takes_any_text(text: str) -> None:
    assert status.parse_esc(text) is None or text[0] in "245"
