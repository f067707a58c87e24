"""smtpd/protocol/spf.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.spf import Term, is_spf, parse, parse_term


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("v=spf1", True),
        ("V=SPF1 -all", True),
        ("v=spf10 -all", False),
        ("v=spf2.0/pra", False),
        ("", False),
        (" v=spf1", False),
    ],
)
def test_is_spf(text: str, result: bool) -> None:
    assert is_spf(text) is result


@pytest.mark.parametrize(
    ("word", "term"),
    [
        ("-all", Term("-", "all", "")),
        ("A", Term("+", "a", "")),
        ("a/24", Term("+", "a", "", 24)),
        ("a//64", Term("+", "a", "", -1, 64)),
        ("?mx:example.org/24//64", Term("?", "mx", "example.org", 24, 64)),
        ("~include:Example.org", Term("~", "include", "Example.org")),
        ("redirect=_spf.example.org", Term("", "redirect", "_spf.example.org")),
        ("exp=a/b:c", Term("", "exp", "a/b:c")),
        ("exists:%{i}.example.org", Term("+", "exists", "%{i}.example.org")),
        ("ip4:192.0.2.1", Term("+", "ip4", "192.0.2.1")),
        ("ip4:192.0.2.77/24", Term("+", "ip4", "192.0.2.0", 24)),
        ("-ip6:2001:DB8::/32", Term("-", "ip6", "2001:db8::", -1, 32)),
        ("ip6:2001:DB8::1", Term("+", "ip6", "2001:db8::1")),
        ("ip4:192.0.2.256", None),
        ("ip4:2001:db8::1", None),
        ("ip6:192.0.2.1", None),
        ("ip4:192.0.2.0/33", None),
        ("a:example.org/33", None),
        ("a:example.org/x", None),
        ("mx//129", None),
        (":x", None),
        ("+", None),
    ],
)
def test_a_term(word: str, term: Term | None) -> None:
    assert parse_term(word) == term


def test_a_record() -> None:
    assert parse("v=spf1  a  ip4:no mx -all") == [
        Term("+", "a", ""),
        Term("+", "mx", ""),
        Term("-", "all", ""),
    ]
    assert parse("no spf at all") == []
    assert len(parse("v=spf1 " + "a " * 2000)) == 512


@given(st.text())
def test_any_text_gives_terms_or_nothing(text: str) -> None:
    for term in parse("v=spf1 " + text):
        assert term.name == term.name.lower()
        assert -1 <= term.prefix4 <= 32
        assert -1 <= term.prefix6 <= 128
