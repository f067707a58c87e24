import ctypes
import platform
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd.protocol import ere
from smtpd.protocol.ere import ExpressionError, Expressions, compile_all


def found(pattern: bytes, text: bytes) -> bool | None:
    """Whether the pattern is in the text; None when it is no pattern."""
    expressions, refused = compile_all([pattern])
    return None if refused else expressions.search(text)


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (rb"^a+@example\.org$", b"aaa@example.org", b"aaa@examplexorg"),
        (rb"spam", b"no spam here", b"ham"),
        (rb"(?i)SPAM", b"spAm", b"ham"),
        (rb"SPAM", b"SPAM", b"spam"),
        (rb"^[[:alpha:]]+$", b"aZ", b"a1"),
        (rb"^[^[:digit:]]$", b"a", b"1"),
        (rb"^[]a-c-]+$", b"]b-", b"d"),
        (rb"^[^]]$", b"a", b"]"),
        (rb"^[\.]$", b"\\", b"x"),
        (rb"^[[.-.]-/]$", b".", b","),
        (rb"^(ab|c){2,3}$", b"abcab", b"ab"),
        (rb"^a{2}b{0,1}c{1,}$", b"aacc", b"aab"),
        (rb"^a{,2}$", b"aa", b"aaa"),
        (rb"x*", b"", None),
        (rb"^$", b"", b"a"),
        (rb"a|^b|c$", b"xxc", b"xcx"),
        (rb"\<mail\>", b"a mail b", b"amail"),
        (rb"^\w+\s\W$", b"ab_1 -", b"a-b -"),
        (rb"\bx\B", b" xa", b"ax "),
        (rb"()", b"", None),
        (rb"^a)$", b"a)", b"a"),
        (b"\xc3.", b"\xc3\xa9", b"\xc3"),
    ],
)
def test_meaning(pattern: bytes, yes: bytes, no: bytes | None) -> None:
    assert found(pattern, yes) is True
    assert no is None or found(pattern, no) is False


@pytest.mark.parametrize(
    "pattern",
    [
        b"(",
        b"[",
        b"[a",
        b"[]",
        b"*a",
        b"a|*",
        b"(+)",
        b"^*",
        b"\\",
        b"a{2,1}",
        b"a{x}",
        b"a{256}",
        b"a{",
        b"[b-a]",
    ]
    + [b"[[:nope:]]", b"[[.ab.]]", rb"(a)\1", b"a" + b"*" * 200, b"(" * 200 + b")" * 200, b"[[:alpha:]-z]"],
)
def test_what_is_none(pattern: bytes) -> None:
    assert found(pattern, b"a") is None


def test_several_are_looked_for_together() -> None:
    expressions, refused = compile_all([b"^a", b"(", b"b$", b"(?i)^C$"])
    assert [pattern for pattern, _ in refused] == [b"("]
    assert [expressions.search(text) for text in (b"ax", b"xb", b"c", b"xcx", b"")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not Expressions().search(b"x")


def test_refused_expressions_leave_nothing() -> None:
    expressions = Expressions()
    with pytest.raises(ExpressionError, match="too large"):
        expressions.add(b"((a{255}){255}){255}")
    expressions.add(b"^b$")
    assert expressions.search(b"b") and not expressions.search(b"a")


def test_no_text_is_slow() -> None:
    expressions, refused = compile_all([b"^(a+)+$", b"^(a|a)*$", b"(.*a){20}x", b"(x?){50}x{50}y"])
    assert refused == []
    began = time.monotonic()
    assert not expressions.search(b"a" * 1000 + b"b")
    assert not expressions.search(b"x" * 1000)
    assert time.monotonic() - began < 2


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ere, "MAX_STEPS", 50)
    expressions, _ = compile_all([rb"a.{7}b\b", b"c.{6}d$"])
    for number in range(300):
        text = bytes((number * 7 + i * i) % 26 + 97 for i in range(20))
        assert expressions.search(text) == bool(found(rb"a.{7}b\b", text) or found(b"c.{6}d$", text))


ATOM = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "*",
        "+",
        "?",
        "(",
        ")",
        "|",
        "^",
        "$",
        "[ab]",
        "[^a]",
        "[a-c]",
        "[[:alpha:]]",
        "{2}",
        "{1,2}",
    ]
    + [
        "{,2}",
        "{2,}",
        "\\.",
        "\\w",
        "\\W",
        "\\s",
        "\\b",
        "\\<",
        "\\>",
        "\\B",
        " ",
        "-",
        "[]a]",
        "[a-]",
        "[",
        "]",
        "{",
    ]
    + ["}", "\\", "[.a.]", "[[=a=]]", "{0}", "[[.a.]-c]"]
)


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    """The C library, in the C locale as smtpd is."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the C library is not GNU's")
    loaded = ctypes.CDLL(None)
    loaded.newlocale.restype = ctypes.c_void_p
    loaded.uselocale.argtypes = [ctypes.c_void_p]
    loaded.uselocale.restype = ctypes.c_void_p
    loaded.uselocale(loaded.newlocale(0x1FFF, b"C", None))
    return loaded


@settings(max_examples=300)
@given(st.lists(ATOM, max_size=8).map("".join), st.lists(st.text("abcA -._", max_size=8), max_size=5))
def test_as_the_c_library(library: ctypes.CDLL, pattern: str, texts: list[str]) -> None:
    buffer = ctypes.create_string_buffer(256)
    good = library.regcomp(buffer, pattern.encode(), 1 | 8) == 0
    try:
        for text in texts:
            expected = library.regexec(buffer, text.encode(), 0, None, 0) == 0 if good else None
            assert found(pattern.encode(), text.encode()) == expected
    finally:
        if good:
            library.regfree(buffer)
