import pytest

from smtpd.config.model import Table
from smtpd.config.table import DYNAMIC, HASH, LIST, serves, usable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ a, B, a }", Table(name="t", backend="static", kind="list", entries=(("a", None), ("b", None)))),
        ("{ a = B, A => c }", Table(name="t", backend="static", kind="hash", entries=(("a", "c"),))),
        ("file:/list", Table(name="t", backend="static", config="/list", kind="list")),
        ('"/map"', Table(name="t", backend="static", config="/map", kind="hash")),
        ("static:/map", Table(name="t", backend="static", config="/map", kind="hash")),
        ("file", Table(name="t", backend="static", kind="none")),
        ("db:/map.db", Table(name="t", backend="db", config="/map.db")),
        ("getpwnam", Table(name="t", backend="getpwnam")),
        ("proc:/x", Table(name="t", backend="proc", config="/x")),
        ("ldap:/x", Table(name="t", backend="proc", config="ldap:/x")),
        ("ldap", Table(name="t", backend="proc", config="ldap")),
    ],
)
def test_statement(parse, text: str, expected: Table) -> None:
    assert parse(f"table t {text}").tables["t"] == expected


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("file:/nope", "invalid configuration file /nope for table t", "No such file"),
        ("file:/bad", "invalid configuration file /bad for table t", "line 2"),
        ("file:x", "invalid backend parameter for table: t", "absolute"),
        ('"file:"', "invalid backend parameter for table: t", ""),
        ("sql:/x", 'table backend "sql" does not exist', "table-sql"),
        ("db:/map", "invalid configuration file /map for table t", "too small"),
        ("db:/nope", "invalid configuration file /nope for table t", "No such file"),
        ("getpwnam:/x", "invalid configuration file /x for table t", ""),
        ('"/' + "x" * 4095 + '"', "table config for table t too long", ""),
    ],
)
def test_refused(refused, text: str, message: str, hint: str) -> None:
    (error,) = refused(f"table t {text}")
    assert error.message == message
    assert hint in error.hint


def test_names(refused) -> None:
    assert refused("table t { a }\ntable t { b }")[0].line == 2
    assert "too long" in refused(f'table "{"n" * 2048}" {{ a }}')[0].message
    assert "without a name" in refused('table "<dynamic:3>" { a }')[0].message


def test_a_key_too_long_is_left_out_with_a_warning(parse) -> None:
    config = parse(f'table t {{ "{"k" * 1024}", a }}')
    assert config.tables["t"].entries == (("a", None),)


def test_a_table_whose_only_key_is_left_out(parse) -> None:
    config = parse(f'match for domain "{"k" * 1024}" reject')
    assert config.tables["<dynamic:0>"] == Table(name="<dynamic:0>", backend="static", kind="list")


def test_missing_table_is_told_once(refused) -> None:
    errors = refused("table t { a, }\nmatch for domain <t> reject\nmatch for domain <u> reject")
    assert [error.line for error in errors] == [1, 3]


def test_usable() -> None:
    listed = Table(name="t", backend="static", kind="list")
    mapped = Table(name="t", backend="static", kind="hash")
    users = Table(name="t", backend="getpwnam")
    program = Table(name="t", backend="proc")
    assert usable(listed, (DYNAMIC, LIST), ("domain",))
    assert not usable(mapped, (DYNAMIC, LIST), ("domain",))
    assert usable(mapped, (DYNAMIC, HASH), ("alias", "nothing"))
    assert usable(users, (DYNAMIC, HASH), ("userinfo",))
    assert not usable(users, (DYNAMIC, HASH), ("alias",))
    assert usable(program, (DYNAMIC,), ("auth",))
    assert not serves(listed, "auth")


@pytest.mark.parametrize(
    ("table", "hint"),
    [
        ("{ a = b }", "a list is wanted"),
        ("file:/map", "# @list"),
        ("static", "the table is empty"),
        ("getpwnam", "does not serve domain"),
    ],
)
def test_why_it_cannot_be_used(refused, table: str, hint: str) -> None:
    (error,) = refused(f"table t {table}\nmatch for domain <t> reject")
    assert error.message == "table \"t\" may not be used for 'for' lookups"
    assert hint in error.hint


def test_a_mapping_is_wanted(refused) -> None:
    (error,) = refused("action a maildir alias { x }")
    assert "a mapping of keys to values is wanted" in error.hint
