import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config.dump import MASK, Texts, dump, quoted
from smtpd.config.errors import ConfigErrors
from smtpd.config.lexer import Lexer, LexicalError
from smtpd.config.machine import FixedMachine
from smtpd.config.parse import Options, parse_text

MACHINE = FixedMachine(files={"/map": b"a b\n"})
OPTIONS = Options(machine=MACHINE, load=False)


def read_word(text: str) -> tuple[str, str]:
    lexer = Lexer("x", text.encode("utf-8", "surrogateescape"), lambda name: b"")
    token = lexer.next()
    assert lexer.next().kind == "\n"
    return token.kind, token.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lo", "lo"),
        ("local", '"local"'),
        ("", '""'),
        ("/etc", '"/etc"'),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("12", '"12"'),
        ("a b", '"a b"'),
        ('a"b', '"a\\"b"'),
        ("a\\ b", '"a\\\\ b"'),
        ("$a", '"$a"'),
        ("a\\", "a\\\\"),
    ],
)
def test_quoted(text: str, expected: str) -> None:
    assert quoted(text) == expected
    assert read_word(expected) == ("STRING", text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\x01\x02"), max_size=20))
def test_what_is_quoted_reads_back(text: str) -> None:
    if not text.endswith("\\"):
        assert read_word(quoted(text)) == ("STRING", text)


@given(st.binary(max_size=12))
def test_what_was_read_reads_back(data: bytes) -> None:
    lexer = Lexer("x", data, lambda name: b"")
    try:
        token = lexer.next()
    except LexicalError:
        return
    if token.kind == "STRING":
        assert read_word(quoted(token.value)) == ("STRING", token.value)


WHOLE = """
admd example.org
queue encryption "0123456789abcdef0123456789abcdef"
srs key sesame
srs key backup older
mta limit for domain d inet4
mta limit inet6 max-conn-per-host 3
pki a cert "/c" key "/k"
table users { joe = "$2b$hash" }
table map file:/map
filter f proc-exec "x y"
listen on lo tls pki a auth <users> filter { f }
listen on socket tag L
action in maildir alias <map> ttl 1h
action out relay host { smtp://a, smtp://b } auth { l = "u:password" } srs
match from src { 192.0.2.0/24 } for domain regex { "^a" } action in
match !from auth for any action out
"""


def test_dump_reads_back() -> None:
    config = parse_text(WHOLE, options=OPTIONS)
    text = dump(config, secrets=True)
    assert parse_text(text, options=OPTIONS) == config
    assert dump(parse_text(text, options=OPTIONS), secrets=True) == text


def test_secrets_are_masked() -> None:
    config = parse_text(WHOLE, options=OPTIONS)
    text = dump(config)
    for secret in ("0123456789abcdef", "sesame", "older", "$2b$hash", "password"):
        assert secret not in text
    assert f"u:{MASK}" in text
    assert dump(parse_text(text, options=OPTIONS)) == text


def test_what_is_as_usual_is_left_out() -> None:
    text = dump(parse_text("match for any reject", options=OPTIONS))
    assert text == "listen on socket\nmatch from local for any reject\n"


def test_parts() -> None:
    text = (
        'table t { a }\naction "local" mbox\n'
        'match from any !for domain { b.example, c.example } action "local"\n'
        "match from src <t> for any reject\n"
    )
    config = parse_text(text, options=OPTIONS)
    texts = Texts(config)
    local, reject = config.rules
    assert texts.rule(local) == 'match from any !for domain { b.example, c.example } action "local"'
    assert texts.rule(reject) == "match from src <t> for any reject"
    assert [texts.criterion(each) for each in reject.criteria] == ["from src <t>", "for any"]
    inline = local.criteria[1].table
    assert texts.table(inline) == "{ b.example, c.example }"
    assert [texts.table(name) for name in ("t", "<localhost>")] == ["<t>", "<localhost>"]


WORDS = st.sampled_from(
    [
        *"match from for any local domain auth tls tag src ! { } , = <t> a b x.example action reject".split(),
        *"mbox relay host maildir alias listen on lo port 25 table t admd regex rdns mail-from".split(),
        *"filter rcpt-to f chain srs ttl 1h".split(),
        '"',
        "\n",
    ]
)


@given(st.lists(WORDS, max_size=12))
def test_whatever_is_accepted_reads_back(words: list[str]) -> None:
    text = "table t { a }\naction a mbox\nmatch reject\nmatch " + " ".join(words) + " reject\n"
    try:
        config = parse_text(text, options=OPTIONS)
    except ConfigErrors:
        return
    assert parse_text(dump(config, secrets=True), options=OPTIONS) == config
