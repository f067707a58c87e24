import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config.lexer import END, MAX_DEPTH, NEWLINE, IncludeError, Lexer, LexicalError, Token

FILES: dict[str, bytes] = {"/one": b"admd inside", "/open": b'x "open', "/empty": b""}


def read_file(name: str) -> bytes:
    if name in FILES:
        return FILES[name]
    raise FileNotFoundError(2, "No such file or directory", name)


class SlowLexer(Lexer):
    """Without the look at the text as it is: every character goes the long way."""

    def _plain(self) -> Token | None:
        return None


def words(lexer: Lexer, most: int = 10_000) -> list[tuple[str, str, int]]:
    """Kind, value and line of every word; a fault is a word "FAULT" with its message."""
    found = []
    for _ in range(most):
        try:
            token = lexer.next()
        except LexicalError as error:
            assert error.error is not None
            found.append(("FAULT", error.error.message, error.error.line))
            continue
        found.append((token.kind, token.value if token.kind != "NUMBER" else str(token.number), token.line))
        if token.kind == END:
            return found
    raise AssertionError("no end")


def cut(text: bytes) -> list[tuple[str, str]]:
    return [(kind, value) for kind, value, _ in words(Lexer("x", text, read_file))][:-2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"listen on lo", [("listen", "listen"), ("on", "on"), ("STRING", "lo")]),
        (b'"listen"', [("STRING", "listen")]),
        (b"25 25a 2.5", [("NUMBER", "25"), ("STRING", "25a"), ("STRING", "2.5")]),
        (b"-5 -a", [("NUMBER", "-5"), ("-", "-"), ("STRING", "a")]),
        (b"10/8", [("NUMBER", "10"), ("/", "/"), ("NUMBER", "8")]),
        (b"1.0/8", [("STRING", "1.0/8")]),
        (b"a=b=>c", [("STRING", "a"), ("=", "="), ("STRING", "b"), ("=>", "=>"), ("STRING", "c")]),
        (b"{a,b}", [("{", "{"), ("STRING", "a"), (",", ","), ("STRING", "b"), ("}", "}")]),
        (b"<t>!x", [("<", "<"), ("STRING", "t"), (">", ">"), ("!", "!"), ("STRING", "x")]),
        (b"a\\\nb", [("STRING", "ab")]),
        (b"a\\\\b \\c", [("STRING", "a\\b"), ("STRING", "c")]),
        (b"'a\"b' \"c'd\"", [("STRING", 'a"b'), ("STRING", "c'd")]),
        (b'"a\\"b\\ c\\td\\\ne\nf"', [("STRING", 'a"b c\\tdef')]),
        ("käse".encode(), [("STRING", "k"), ("Ã", "\udcc3"), ("¤", "\udca4"), ("STRING", "se")]),
        ('"käse"'.encode(), [("STRING", "käse")]),
        (b'"\xff"', [("STRING", "\udcff")]),
        (b"a # b\nc", [("STRING", "a"), (NEWLINE, "\n"), ("STRING", "c")]),
        (b"a # b \\\nc\nd", [("STRING", "a"), (NEWLINE, "\n"), ("STRING", "d")]),
        (b"\x01a\x02b", [("STRING", "ab")]),
    ],
)
def test_words(text: bytes, expected: list[tuple[str, str]]) -> None:
    assert cut(text) == expected


def test_lines() -> None:
    text = b'a\n"b\nc"\nd \\\n e\n\nf'
    lines = [line for kind, _, line in words(Lexer("x", text, read_file)) if kind == "STRING"]
    assert lines == [1, 2, 4, 5, 7]


def test_macro_is_cut_into_words() -> None:
    lexer = Lexer("x", b"$m z", read_file)
    lexer.define("m", 'a "b c" $d')
    assert [(kind, value) for kind, value, _ in words(lexer)][:-2] == [
        ("STRING", "a"),
        ("STRING", "b c"),
        ("$", "$"),
        ("STRING", "d"),
        ("STRING", "z"),
    ]
    assert lexer.used == {"m"}


def test_persistent_macro_stays() -> None:
    lexer = Lexer("x", b"$m", read_file)
    lexer.define("m", "one", persist=True)
    lexer.define("m", "two")
    assert words(lexer)[0][:2] == ("STRING", "one")


def test_unknown_macro_skips_the_line() -> None:
    lexer = Lexer("x", b"a $lna b\nc", read_file)
    lexer.define("lan", "x")
    lexer.next()
    with pytest.raises(LexicalError) as caught:
        lexer.next()
    error = caught.value.error
    assert error is not None
    assert (error.line, error.column, error.message) == (1, 3, "macro 'lna' not defined")
    assert "lan" in error.hint
    assert lexer.next().value == "c"


def test_macros_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpd.config.lexer.MAX_EXPANSION", 1000)
    lexer = Lexer("x", b"$m\n" * 200, read_file)
    lexer.define("m", "0123456789")
    assert "the macros' texts are too long together" in {value for _, value, _ in words(lexer)}


def test_token_of_a_macro_points_at_its_name() -> None:
    lexer = Lexer("x", b"a $name b", read_file)
    lexer.define("name", "some thing")
    lexer.next()
    token = lexer.next()
    assert (token.value, token.source.text[token.start : token.end]) == ("some", "$name")


def test_include() -> None:
    lexer = Lexer("x", b"\nlast", read_file)
    lexer.include("/one")
    assert words(lexer) == [
        (NEWLINE, "\n", 0),
        ("admd", "admd", 1),
        ("STRING", "inside", 1),
        (NEWLINE, "\n", 1),
        (NEWLINE, "\n", 1),
        ("STRING", "last", 2),
        (NEWLINE, "\n", 2),
        (END, "", 3),
    ]


def test_include_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    lexer = Lexer("x", b"", read_file)
    for name, reason in (("/nope", "No such file"), ("x", "itself"), ("a\0b", "NUL")):
        with pytest.raises(IncludeError, match=reason):
            lexer.include(name)
    monkeypatch.setattr("smtpd.config.lexer.MAX_TEXT", 5)
    with pytest.raises(IncludeError, match="larger"):
        lexer.include("/one")


def test_include_depth() -> None:
    lexer = Lexer("x", b"", lambda name: b"")
    for number in range(MAX_DEPTH - 1):
        lexer.include(str(number))
    with pytest.raises(IncludeError, match="deeper"):
        lexer.include("one more")


def test_unterminated_quote_in_included_file() -> None:
    lexer = Lexer("x", b"\nlast", read_file)
    lexer.include("/open")
    found = words(lexer)
    assert ("FAULT", "reached end of file while parsing quoted string", 1) in found
    assert ("STRING", "last", 2) in found


@pytest.mark.parametrize(
    ("size", "quoted", "good"),
    [(8095, False, True), (8096, False, False), (8094, True, True), (8095, True, False)],
)
def test_longest_word(size: int, quoted: bool, good: bool) -> None:
    word = "a" * size
    found = words(Lexer("x", (f'"{word}"' if quoted else word).encode() + b"\nb", read_file))
    assert (found[0] == ("STRING", word, 1)) is good
    assert good or found[0] == ("FAULT", "string too long", 1)
    assert ("STRING", "b", 2) in found


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_numbers(number: int) -> None:
    assert cut(str(number).encode()) == [("NUMBER", str(number))]
    assert words(Lexer("x", str(number * 2).encode(), read_file))[0][0] == "FAULT"


def test_nul_is_a_fault() -> None:
    for text in (b"\0", b"a \0", b'"a\0b"'):
        assert "NUL byte" in [
            value[:8] for kind, value, _ in words(Lexer("x", text, read_file)) if kind == "FAULT"
        ]
    assert cut(b"# \0") == []


PIECES = st.sampled_from(
    [
        "listen",
        "on",
        "12",
        "-",
        "10/8",
        '"',
        "'",
        "\\",
        "\\\n",
        "\n",
        " ",
        "\t",
        "#",
        "$m",
        "$n",
        "$",
        "=",
        "=>",
        "{",
    ]
    + [
        "}",
        "<",
        ">",
        "!",
        ",",
        "\x01",
        "\x02",
        "\r",
        "é",
        "a.b-c",
        ":x",
        "_",
        "/",
        "@",
        '"a b"',
        "'c'",
        "9" * 20,
    ]
)
TEXT = st.lists(
    st.one_of(PIECES, st.text(st.sampled_from(string.printable + "\x01\x02é"), max_size=5)), max_size=40
)


@given(pieces=TEXT, macro=TEXT)
def test_the_short_way_is_the_long_way(pieces: list[str], macro: list[str]) -> None:
    text = "".join(pieces).encode()
    found = []
    for kind in (Lexer, SlowLexer):
        lexer = kind("x", text, read_file)
        lexer.define("m", "".join(macro).replace("\0", ""))
        found.append(words(lexer))
    assert found[0] == found[1]


@given(data=st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert words(Lexer("x", data, read_file)) == words(SlowLexer("x", data, read_file))


@given(pieces=TEXT)
def test_every_start_of_a_text(pieces: list[str]) -> None:
    text = "".join(pieces).encode()
    for end in range(0, len(text), 7):
        words(Lexer("x", text[:end], read_file))


@given(pieces=TEXT)
def test_offsets_are_in_the_text(pieces: list[str]) -> None:
    lexer = Lexer("x", "".join(pieces).encode(), read_file)
    lexer.define("m", "a b")
    while True:
        try:
            token = lexer.next()
        except LexicalError:
            continue
        assert 0 <= token.start <= token.end <= len(token.source.text)
        if token.kind == END:
            break
