from smtpd.config.draft import KEY_MAX, Draft, builtin_tables, lowercase, static_table
from smtpd.config.machine import FixedMachine, InterfaceAddress
from smtpd.config.model import BUILTIN_TABLES, NOWHERE, Criterion, Rule


def test_builtin_tables() -> None:
    addresses = (
        InterfaceAddress("lo", (), "inet4", "127.0.0.1"),
        InterfaceAddress("e", (), "inet6", "fe80::1%e"),
    )
    tables = builtin_tables(FixedMachine(addresses=addresses), "Mx.example")
    assert tuple(tables) == BUILTIN_TABLES
    keys = {name: [key for key, _ in table.entries] for name, table in tables.items()}
    assert keys == {
        "<localnames>": ["localhost", "mx.example", "127.0.0.1", "[fe80::1%e]"],
        "<anyhost>": ["local", "0.0.0.0/0", "::/0"],
        "<localhost>": ["local", "127.0.0.1", "[fe80::1%e]"],
        "<anydestination>": ["*"],
        "<getpwnam>": [],
    }
    assert tables["<getpwnam>"].backend == "getpwnam"


def test_static_table() -> None:
    skipped: list[str] = []
    longest = "k" * KEY_MAX
    entries = [("A", "1"), ("b", "2"), ("a", "3"), (longest, "4"), (longest + "k", "5"), ("é" * 600, "6")]
    table = static_table("t", entries, NOWHERE, skipped.append)
    assert table.entries == (("a", "3"), ("b", "2"), (longest, "4"))
    assert skipped == [longest + "k", "é" * 600]


def test_lowercase_is_ascii() -> None:
    assert lowercase("ABZ[é\u0130\udcc9") == "abz[é\u0130\udcc9"


def test_finish_numbers_by_use_and_drops_the_rest() -> None:
    draft = Draft(FixedMachine())
    names = [draft.inline_table([(key, None)], NOWHERE, lambda key: None).name for key in "abc"]
    assert len(set(names)) == 3
    draft.rules = [
        Rule(criteria=(Criterion("tag", False, names[2]),), reject=True),
        Rule(criteria=(Criterion("tag", False, names[0]),), reject=True),
    ]
    config = draft.finish(3)
    assert config.generation == 3
    assert [rule.criteria[0].table for rule in config.rules] == ["<dynamic:0>", "<dynamic:1>"]
    assert config.tables["<dynamic:0>"].entries == (("c", None),)
    assert config.tables["<dynamic:1>"].entries == (("a", None),)
    assert "<dynamic:2>" not in config.tables
    assert config.socket_listener.hostname == "mail.example.org"


def test_chain_names_are_new() -> None:
    draft = Draft(FixedMachine())
    assert [draft.chain_name() for _ in range(2)] == ["<dynchain:00000001>", "<dynchain:00000002>"]
