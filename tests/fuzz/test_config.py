"""Any text is a Config or faults with places: no other exception, no hang, no unbounded memory.

Texts are any bytes, words of the language in any order, statements made by its grammar, and the files of
tests/conf and corpus/config with parts of them changed. What is accepted must read back from its dump.

By hand, for longer: `python tests/fuzz/test_config.py SECONDS` mutates the files, and atheris_config.py next
to this follows the parser's branches.
"""

import random
import sys
import time
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from smtpd.config import wire
from smtpd.config.dump import dump
from smtpd.config.errors import ConfigErrors
from smtpd.config.keywords import KEYWORDS
from smtpd.config.machine import FixedMachine
from smtpd.config.model import Config
from smtpd.config.parse import Options, parse_text
from smtpd.protocol import berkeley_hash

HERE = Path(__file__).parent
SEEDS = [
    path.read_bytes()
    for folder in (HERE / "corpus" / "config", HERE.parent / "conf" / "cases")
    for path in sorted(folder.glob("*.conf"))
    if path.stat().st_size < 4000
]
FILES = {
    "/list": b"a\nb\n",
    "/map": b"a b\n",
    "/self.conf": b'include "/self.conf"\n',
    "/two.conf": b'include "/three.conf"\n',
    "/three.conf": b'include "/two.conf"\nadmd $x',
    "/open.conf": b'x = "open',
    "/brace.conf": b"table t {\n",
    "/map.db": berkeley_hash.write([(b"a\0", b"b\0")]),
}
OPTIONS = Options(machine=FixedMachine(files=FILES), load=False)


def check(text: bytes) -> Config | None:
    """The promise of the parser, for one text."""
    try:
        config = parse_text(text, "fuzz.conf", options=OPTIONS)
    except ConfigErrors as errors:
        assert errors.errors
        lines = text.count(b"\n") + 2
        for error in errors.errors:
            assert error.message
            assert error.file in ("fuzz.conf", *FILES)
            assert 0 <= error.line <= lines or error.file != "fuzz.conf"
            assert len(str(error).splitlines()) <= 4
        return None
    shown = dump(config, secrets=True)
    again = parse_text(shown, options=OPTIONS)
    assert again == config
    assert dump(again, secrets=True) == shown
    assert wire.loads(Config, wire.dumps(config)) == config
    parse_text(dump(config), options=OPTIONS)
    return config


@given(st.binary(max_size=400))
@example(b"\x01\x02\\")
@example(b'include "/self.conf"\ninclude "/two.conf"')
@example(b'x = "$x $x"\n$x $x')
def test_any_bytes(text: bytes) -> None:
    check(text)


WORD = st.one_of(
    st.sampled_from(sorted(KEYWORDS)),
    st.sampled_from(
        ["{", "}", ",", "=", "=>", "<", ">", "!", "\n", "\\\n", "#", '"', "'", "$x", "<t>", "-", "1", "\r"]
    ),
    st.sampled_from(
        ['"x"', '"/list"', "file:/map", "lo", "a", "t", "1h", "2M", "max-session", '"/two.conf"', "x=y"]
    ),
)


@given(st.lists(WORD, max_size=60))
def test_any_words(words: list[str]) -> None:
    check(" ".join(words).encode())


NAME = st.sampled_from(["a", "b", "c", '"local"', '"two words"', '""', '"\\"q\\""', "é".join('""')])
TABLE = st.one_of(
    NAME,
    st.sampled_from(
        ["<lists>", "<maps>", "<users>", "{ x, y }", "{ k = v }", "{\n k => v,\n l = w\n}", '"(?i)^x"']
    ),
)
SPAN = st.sampled_from(["1s", "2m", "3h", "4d", "0s", "1w", "99999d", '" 1h"'])
NOT = st.sampled_from(["", "", "!", "! "])
REGEX = st.sampled_from(["", "", "regex"])


def _join(*parts: str | st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """The parts in order, with blanks."""
    return st.tuples(*(st.just(part) if isinstance(part, str) else part for part in parts)).map(" ".join)


def _some(*options: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Some of the options, in any order."""
    return st.lists(st.one_of(options), max_size=5).map(" ".join)


ONLY = st.sampled_from
CRITERION = st.one_of(
    _join(NOT, ONLY(["tag", "helo", "auth", "mail-from", "rcpt-to"]), REGEX, TABLE),
    _join(NOT, ONLY(["from src", "from rdns", "from auth", "from mail-from"]), REGEX, TABLE),
    _join(NOT, ONLY(["for domain", "for rcpt-to"]), REGEX, TABLE),
    _join(NOT, ONLY(["tls", "auth", "from any", "from local", "from socket", "from rdns", "from auth"])),
    _join(NOT, ONLY(["for any", "for local"])),
)
MATCH = _join("match", _some(CRITERION), st.one_of(ONLY(["reject"]), _join("action", NAME)))
LOCAL = _join(
    "action",
    NAME,
    ONLY(["mbox", "maildir", "maildir junk", 'maildir "~/x"', 'lmtp "/x"', "lmtp h:1 rcpt-to", 'mda "x y"']),
    _some(_join(ONLY(["alias", "virtual", "userbase"]), TABLE), _join("user", NAME), ONLY(["wrapper w"])),
    st.one_of(st.just(""), _join("ttl", SPAN)),
)
RELAY = _join(
    "action",
    NAME,
    "relay",
    _some(
        _join(ONLY(["host", "domain", "src", "helo-src", "auth"]), TABLE),
        _join(ONLY(["helo", "mail-from", "backup mx", "pki", "ca"]), NAME),
        ONLY(["backup", "tls", "tls no-verify", "srs", "filter f", "filter { f, g }", "filter {\n g }"]),
    ),
    st.one_of(st.just(""), _join("ttl", SPAN)),
)
LISTEN = _join(
    "listen on",
    ONLY(["lo", "socket", "eth0", "127.0.0.1", "localhost", "egress", "::1"]),
    _some(
        ONLY(
            [
                "inet4",
                "inet6",
                "port 25",
                "port smtps",
                "tls",
                "smtps",
                "tls-require",
                "verify",
                "auth",
                "pki p",
            ]
        ),
        ONLY(["mask-src", "no-dsn", "received-auth", "proxy-v2", "masquerade", "filter f", "filter { f g }"]),
        _join(ONLY(["auth", "auth-optional", "hostnames", "senders"]), TABLE),
        _join(ONLY(["tag", "hostname", "ca"]), NAME),
    ),
)
FILTER = _join(
    "filter",
    NAME,
    "phase",
    ONLY(["connect", "helo", "ehlo", "auth", "mail-from", "rcpt-to", "data", "commit"]),
    "match",
    NOT,
    st.one_of(
        ONLY(["fcrdns", "rdns", "auth"]), _join(ONLY(["src", "helo", "mail-from", "rcpt-to"]), REGEX, TABLE)
    ),
    st.one_of(ONLY(["junk", "bypass"]), _join(ONLY(["reject", "disconnect", "rewrite", "report"]), NAME)),
)
OTHER = st.one_of(
    _join("bounce warn-interval", st.lists(SPAN, min_size=1, max_size=5).map(", ".join)),
    _join(ONLY(["queue ttl", "srs ttl"]), SPAN),
    _join(
        ONLY(["admd", "srs key", "srs key backup", "smtp sub-addr-delim", "queue encryption", "include"]),
        NAME,
    ),
    _join("mta limit for domain", NAME, ONLY(["inet4", "max-conn-per-host 3", "conn-delay-relay -1", "x 1"])),
    _join("mta limit", ONLY(["inet6", "session-mail-max 3", "task-hiwat 7 task-lowat 2"])),
    _join(
        "table",
        NAME,
        ONLY(["{ a }", "{ a = b }", "file:/list", "file:/map", "db:/map.db", "getpwnam", "proc:/x"]),
    ),
    _join(NAME, "=", NAME),
)
BEFORE = """table lists { x }
table maps { x = y }
table users getpwnam
filter f proc-exec x
filter g phase connect match rdns junk
pki p cert "/c" key "/k"
mda wrapper w x
srs key k
action a relay
"""


@given(st.lists(st.one_of(MATCH, LOCAL, RELAY, LISTEN, FILTER, OTHER), min_size=1, max_size=6))
def test_statements(statements: list[str]) -> None:
    check((BEFORE + "match reject\n" + "\n".join(statements)).encode())
    for statement in statements[:2]:
        check((BEFORE + "match reject\n" + statement + "\n").encode())


def _mutated(text: bytes, chance: random.Random) -> bytes:
    """A text with some bytes or lines changed, left out, doubled or taken from another."""
    data = bytearray(text)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(5):
            case 0:
                del data[at : at + chance.randrange(1, 8)]
            case 1:
                data[at:at] = bytes([chance.choice(b"\\\"'${}<>=,!# \n\r\t\x00\x01\x02\xff0aZ-/")])
            case 2:
                other = chance.choice(SEEDS)
                start = chance.randrange(len(other) + 1)
                data[at:at] = other[start : start + chance.randrange(1, 40)]
            case 3:
                data[at:at] = chance.choice(
                    (b"\\\n", b"$a", b'a = "b c"\n', b"{", b"}", b'include "/two.conf"\n')
                )
            case 4:
                data[at:at] = data[at : at + chance.randrange(1, 30)]
    return bytes(data)


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_mutated_files(seed: int) -> None:
    chance = random.Random(seed)
    check(_mutated(chance.choice(SEEDS), chance))


def test_seeds() -> None:
    assert len(SEEDS) > 250
    for seed in SEEDS:
        check(seed)


def test_much_of_everything_takes_little_time() -> None:
    """Sizes that would show anything worse than linear."""
    began = time.monotonic()
    check(b"{" * 30_000)
    check(b"x" * 50_000)
    check(b"\\\n" * 100_000)
    check(b'x = "' + b"a b " * 2000 + b'"\nmatch reject\n' + b"$x\n" * 300)
    check(b"table t { " + b"a, " * 30_000 + b"a }\nmatch reject")
    check(b"table t {\n" + b"a = b\n" * 30_000 + b"}\nmatch reject")
    check(b"match for any reject\n" * 5000)
    check(b"lisen\n" * 20_000)
    check(b'include "/two.conf"\n' * 2000)
    assert time.monotonic() - began < 30


if __name__ == "__main__":
    until = time.monotonic() + float(sys.argv[1] if len(sys.argv) > 1 else 60)
    rounds = 0
    while time.monotonic() < until:
        base = random.Random(rounds)
        mutated = _mutated(base.choice(SEEDS), base)
        try:
            check(mutated)
        except BaseException:
            print(repr(mutated))
            raise
        rounds += 1
    print(f"{rounds} texts")
