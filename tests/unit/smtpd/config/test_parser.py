import pytest

from smtpd.config.errors import ConfigError
from smtpd.config.lexer import END, STRING, Lexer
from smtpd.config.machine import FixedMachine
from smtpd.config.parser import Fault, Parser


def parser(text: str, warned: list[ConfigError] | None = None) -> Parser:
    lexer = Lexer("f", text.encode(), lambda name: b"")
    return Parser(lexer, FixedMachine(), (warned if warned is not None else []).append)


def message(fault: Fault) -> str:
    assert fault.error is not None
    return fault.error.message


def test_words() -> None:
    p = parser("listen on lo port 25\n")
    assert p.peek().kind == "listen"
    assert p.at("match", "listen") == "listen"
    assert p.accept("match") is None
    assert p.take().value == "listen"
    assert p.expect("on").kind == "on"
    assert p.string("x").value == "lo"
    assert p.expect("port").line == 1
    assert p.number("x").number == 25
    p.newlines()
    assert p.peek().kind == END


def test_it_looks_no_further_than_asked() -> None:
    p = parser("a \\\n b")
    p.string("x")
    assert p.lexer.lineno == 1
    p.peek()
    assert p.lexer.lineno == 2


@pytest.mark.parametrize(
    ("text", "wanted", "kinds", "expected", "hint"),
    [
        ("tsl", "", ("tls", "tag"), 'syntax error at "tsl"', 'did you mean "tls"?'),
        ("zzz", "", ("tls", "tag"), 'syntax error at "zzz"', 'expected "tag" or "tls"'),
        ("\n", "", ("on",), 'syntax error at the end of the line, where "on" belongs', ""),
        ("\n", "a thing", (), "syntax error at the end of the line, where a thing belongs", ""),
        ("\n", "", (STRING, "{"), 'syntax error at the end of the line, where a word or "{" belongs', ""),
        ("user", "a name", (), 'syntax error at "user", where a name belongs', "reserved word"),
        ("25", "a name", (), 'syntax error at "25", where a name belongs', "a number is no word"),
        ("/x", "a name", (), 'syntax error at "/", where a name belongs', "must be in quotes"),
        ("é", "a name", (), "syntax error at byte 0xc3, where a name belongs", "only ASCII"),
        ("\r", "", ("on",), "syntax error: carriage return", "CRLF"),
    ],
)
def test_syntax_error(text: str, wanted: str, kinds: tuple[str, ...], expected: str, hint: str) -> None:
    p = parser(text)
    p.at(*kinds)
    fault = p.syntax_error(wanted)
    assert message(fault) == expected
    assert fault.error is not None
    assert hint in fault.error.hint


def test_depth_of_braces() -> None:
    p = parser("{ { }")
    depths = []
    for _ in range(3):
        p.take()
        depths.append(p.depth)
    assert depths == [1, 2, 1]


def test_missing_names_are_told_once() -> None:
    p = parser("x")
    token = p.take()
    assert "did you mean" in str(p.missing("table", token, "no", {"xy"}).error)
    p.draft.broken.add(("table", "x"))
    assert p.missing("table", token, "no", {"xy"}).error is None


def test_warn_and_later() -> None:
    warned: list[ConfigError] = []
    p = parser("a b", warned)
    token = p.take()
    p.warn("doubtful")
    assert (warned[0].message, warned[0].word) == ("doubtful", "a")
    p.check_later(lambda: False, "wrong", token, "hint")
    good, error = p.later[0]
    assert (good(), error.message, error.line, error.hint) == (False, "wrong", 1, "hint")


def test_place() -> None:
    p = parser("\na")
    p.take()
    assert str(p.place()) == ":0"
    p.first = p.take()
    assert str(p.place()) == "f:2"
