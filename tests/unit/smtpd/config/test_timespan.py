import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config.timespan import INT_MAX, LLONG_MAX, scaled, seconds, span


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 1),
        ("2m", 120),
        ("3h", 10800),
        ("4d", 345600),
        (" +4d", 345600),
        ("2147483647s", INT_MAX),
        ("2147483648s", None),
        ("24855d", 24855 * 86400),
        ("24856d", None),
        ("0s", None),
        ("-1s", None),
        ("1w", None),
        ("1D", None),
        ("1.5h", None),
        ("1 d", None),
        ("d", None),
        ("1", None),
        ("", None),
        ("1dd", None),
        ("٣s", None),
        ("9" * 5000 + "s", None),
    ],
)
def test_seconds(text: str, expected: int | None) -> None:
    assert seconds(text) == expected


@given(st.integers(1, INT_MAX))
def test_span_reads_back(number: int) -> None:
    assert seconds(span(number)) == number


def test_span_is_short() -> None:
    assert [span(number) for number in (1, 60, 61, 3600, 86400, 90000)] == [
        "1s",
        "1m",
        "61s",
        "1h",
        "1d",
        "25h",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("5", 5),
        ("+5", 5),
        (" -5", -5),
        ("35M", 35 << 20),
        ("35m", 35 << 20),
        ("1.5k", 1536),
        ("-1.5k", -1536),
        ("1.", 1),
        (".5k", 512),
        ("1.9", 1),
        ("7B", 7),
        ("1E", 1 << 60),
        ("8E", None),
        ("7E", 7 << 60),
        ("1M bytes", 1 << 20),
        ("1MB", None),
        ("1X", None),
        ("1..5k", None),
        ("--5", None),
        ("0" * 20, 0),
        ("0" * 21, None),
        ("9" * 20, None),
        ("0.9999999999999999999k", None),
        ("0.999999999999999999k", 1023),
        ("0.00000000000000000000000001k", 0),
        ("1é", None),
    ],
)
def test_scaled(text: str, expected: int | None) -> None:
    assert scaled(text) == expected


@given(st.integers(0, LLONG_MAX))
def test_numbers_are_themselves(number: int) -> None:
    assert scaled(str(number)) == number
    assert scaled(f"-{number}") == -number


@given(st.text(max_size=30))
def test_any_text(text: str) -> None:
    for found in (scaled(text), seconds(text)):
        assert found is None or -LLONG_MAX <= found <= LLONG_MAX
