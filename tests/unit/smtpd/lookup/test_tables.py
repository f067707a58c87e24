"""smtpd/lookup/tables.py: the tables of a configuration, as rules and expansion ask them."""

import os
import pwd
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config.model import GETPWNAM, Config, SmtpSettings, Table
from smtpd.lookup.expansion import UserInfo
from smtpd.lookup.rules import TableTempfail
from smtpd.lookup.tables import TableSet, parse_userinfo
from smtpd.mproc.log import Log
from smtpd.protocol.aliases import parse_line

Run = Callable[[Any], Any]


def table(name: str, *entries: tuple[str, str | None]) -> Table:
    kind = "hash" if entries[0][1] is not None else "list"
    return Table(name=name, backend="static", kind=kind, entries=entries)


TABLES = {
    "list": table("list", ("*.example.org", None), ("alice", None)),
    "net": table("net", ("10.0.0.0/8", None), ("local", None)),
    "mail": table("mail", ("user@example.org", None), ("[", None)),
    "aliases": table(
        "aliases", ("root", "alice, bob@example.org"), ("bad", "no such thing"), ("list", ":include:/x")
    ),
    "people": table("people", ("alice", "1000:100:/home/alice"), ("broken", "1000"), ("root", "0:0:/root")),
    GETPWNAM: Table(name=GETPWNAM, backend="getpwnam"),
    "program": Table(name="program", backend="proc", config="x"),
}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Log, "_write", lambda _self, _priority, text: found.append(text))
    return found


@pytest.fixture
def tables(lines: list[str]) -> TableSet:
    return TableSet(Config(tables=TABLES), Log("lookup"), "")


# matching


@pytest.mark.parametrize(
    ("table", "service", "key", "expected"),
    [
        ("list", "domain", "Mail.Example.Org", True),
        ("list", "domain", "example.org", False),
        ("list", "string", "ALICE", True),
        ("list", "string", "mail.example.org", False),
        ("net", "netaddr", "10.9.8.7", True),
        ("net", "netaddr", "local", True),
        ("net", "netaddr", "[2001:db8::1]", False),
        ("mail", "mailaddr", "user+tag@example.org", True),
        ("mail", "mailaddr", "other@example.org", False),
    ],
)
def test_match(tables: TableSet, run: Run, table: str, service: str, key: str, expected: bool) -> None:
    assert run(tables.match(table, service, key)) is expected


def test_the_delimiter_of_the_configuration(run: Run, lines: list[str]) -> None:
    config = Config(tables=TABLES, smtp=SmtpSettings(sub_addr_delim="_"))
    tables = TableSet(config, Log("lookup"), "")
    assert run(tables.match("mail", "mailaddr", "user_tag@example.org"))
    assert not run(tables.match("mail", "mailaddr", "user+tag@example.org"))


@pytest.mark.parametrize("table", ["nowhere", ""])
def test_a_table_that_is_not_there(tables: TableSet, run: Run, table: str) -> None:
    """A configuration that names it would not have been read."""
    for question in (
        tables.match(table, "string", "x"),
        tables.alias(table, "x"),
        tables.fetch(table, "source"),
    ):
        with pytest.raises(TableTempfail):
            run(question)


# aliases


def test_alias(tables: TableSet, run: Run, lines: list[str]) -> None:
    assert run(tables.alias("aliases", "Root")) == parse_line("alice, bob@example.org")
    assert run(tables.alias("aliases", "list")) == parse_line(":include:/x")
    assert run(tables.alias("aliases", "nobody")) is None
    assert lines == []


def test_an_alias_that_is_none(tables: TableSet, run: Run, lines: list[str]) -> None:
    """Mail waits until it is mended; the log says where."""
    with pytest.raises(TableTempfail):
        run(tables.alias("aliases", "bad"))
    assert len(lines) == 1 and "aliases" in lines[0] and "bad" in lines[0]


# users


def test_users_of_a_table(tables: TableSet, run: Run) -> None:
    assert run(tables.user("people", "Alice")) == UserInfo("Alice", 1000, 100, "/home/alice")
    assert run(tables.user("people", "nobody-there")) is None
    with pytest.raises(TableTempfail):
        run(tables.user("people", "broken"))


@pytest.mark.parametrize("table", ["", GETPWNAM])
def test_users_of_the_system(tables: TableSet, run: Run, table: str) -> None:
    name = pwd.getpwuid(0).pw_name
    assert run(tables.user(table, name)).uid == 0
    assert run(tables.user(table, "no-such-user-here")) is None


def test_the_caller_for_everybody(run: Run, lines: list[str]) -> None:
    tables = TableSet(Config(tables=TABLES), Log("lookup"), "/state/home")
    assert run(tables.user("", "anybody")) == UserInfo(
        "anybody", os.geteuid(), os.getegid(), "/state/home/anybody"
    )
    assert run(tables.user("", "../x")) is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1000:100:/home/alice", (1000, 100, "/home/alice")),
        ("0:0:/", (0, 0, "/")),
        ("4294967294:4294967294:/x", (4294967294, 4294967294, "/x")),
        ("alice:*:1000:100:Alice,,:/home/alice:/bin/sh", (1000, 100, "/home/alice")),
        ("1000:100:/home/a b", (1000, 100, "/home/a b")),
    ],
)
def test_userinfo(value: str, expected: tuple[int, int, str]) -> None:
    assert parse_userinfo("alice", value) == ("alice", *expected)


@pytest.mark.parametrize(
    "value",
    [
        "", "1000", "1000:100", "1000:100:", "1000:100:relative", "-1:100:/x", "1000:-1:/x", "+1:1:/x",
        " 1:1:/x", "4294967295:1:/x", "1:4294967295:/x", "99999999999:1:/x", "1:1:/x:y", "٣:1:/x", "a:b:c:d:e:f",
        "1:1:/" + "x" * 5000, "1_0:1:/x", ":::::", "0x1:1:/x",
    ],
)  # fmt: skip
def test_no_userinfo(value: str) -> None:
    with pytest.raises(TableTempfail) as caught:
        parse_userinfo("alice", value)
    assert len(str(caught.value)) < 200


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_userinfo(value: str) -> None:
    try:
        user = parse_userinfo("alice", value)
    except TableTempfail:
        return
    assert 0 <= user.uid < 2**32 - 1 and 0 <= user.gid < 2**32 - 1 and user.directory.startswith("/")


# values and lists


def test_value(tables: TableSet, run: Run) -> None:
    assert run(tables.value("aliases", "relayhost", "bad")) == "no such thing"
    assert run(tables.value("aliases", "relayhost", "nobody")) is None


def test_fetch(tables: TableSet, run: Run) -> None:
    assert [run(tables.fetch("net", "source")) for _ in range(3)] == ["10.0.0.0/8", "local", "10.0.0.0/8"]


def test_trace(tables: TableSet, run: Run, lines: list[str]) -> None:
    run(tables.match("net", "netaddr", "10.1.1.1"))
    assert lines == []
    tables._log.set_trace("lookup", True)
    run(tables.match("net", "netaddr", "10.1.1.1"))
    run(tables.alias("aliases", "nobody"))
    assert len(lines) == 2 and all(line.startswith("lookup: ") for line in lines)
    assert "10.1.1.1" in lines[0] and "net" in lines[0] and "none" in lines[1]
