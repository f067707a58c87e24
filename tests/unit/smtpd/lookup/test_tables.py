"""smtpd/lookup/tables.py: the tables of a configuration, as rules and expansion ask them."""

import asyncio
import os
import pwd
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config.model import GETPWNAM, Config, Criterion, LocalAction, Rule, SmtpSettings, Table
from smtpd.lookup.expansion import UserInfo
from smtpd.lookup.rules import TableTempfail
from smtpd.lookup.tables import TableSet, parse_userinfo, services_of
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


async def no_program(table: str) -> socket.socket:
    """Parent, when it cannot start the program of a table."""
    raise OSError(2, f"no program for {table}")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Log, "_write", lambda _self, _priority, text: found.append(text))
    return found


@pytest.fixture
def tables(lines: list[str]) -> TableSet:
    return TableSet(Config(tables=TABLES), Log("lookup"), "", no_program)


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
    tables = TableSet(config, Log("lookup"), "", no_program)
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
    tables = TableSet(Config(tables=TABLES), Log("lookup"), "/state/home", no_program)
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
        " 1:1:/x", "4294967295:1:/x", "1:4294967295:/x", "99999999999:1:/x", "1:1:/x:y", "٣:1:/x",
        "a:b:c:d:e:f",
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


def test_passwords_are_not_in_the_trace(tables: TableSet, run: Run, lines: list[str]) -> None:
    tables._log.set_trace("lookup", True)
    assert run(tables.value("people", "credentials", "alice")) == "1000:100:/home/alice"
    assert run(tables.value("people", "credentials", "nobody")) is None
    assert run(tables.match("list", "auth", "joe:geheim")) is False
    with pytest.raises(TableTempfail):
        run(tables.match("program", "auth", "joe:geheim"))
    text = "\n".join(lines)
    assert '"alice" as credentials in table people: ********' in text
    assert '"nobody" as credentials in table people: none' in text
    assert "1000" not in text and "geheim" not in text


def test_trace(tables: TableSet, run: Run, lines: list[str]) -> None:
    run(tables.match("net", "netaddr", "10.1.1.1"))
    assert lines == []
    tables._log.set_trace("lookup", True)
    run(tables.match("net", "netaddr", "10.1.1.1"))
    run(tables.alias("aliases", "nobody"))
    assert len(lines) == 2 and all(line.startswith("lookup: ") for line in lines)
    assert "10.1.1.1" in lines[0] and "net" in lines[0] and "none" in lines[1]


# other backends


NOBODY = ["", "no-such-user-here", "a\0b", "\udcff", "root\n", "root:x", " root", "0"]


@pytest.mark.parametrize("name", NOBODY, ids=ascii)
def test_no_users_of_the_system(tables: TableSet, run: Run, name: str) -> None:
    assert run(tables.user("", name)) is None


def test_a_name_that_is_too_long(tables: TableSet, run: Run) -> None:
    for question in (tables.user("", "x" * 1100), tables.match("list", "string", "x" * 1100)):
        with pytest.raises(TableTempfail):
            run(question)


def files(folder: Path, **texts: str | None) -> TableSet:
    """Tables in files of these names; None: there is no such file."""
    for name, text in texts.items():
        if text is not None:
            (folder / name).write_text(text)
    tables = {
        name: Table(name=name, backend="static", kind="list", config=str(folder / name)) for name in texts
    }
    return TableSet(Config(tables=tables), Log("lookup"), "", no_program)


def test_files(run: Run, tmp_path: Path, lines: list[str]) -> None:
    tables = files(tmp_path, here="a.example\nb.example\n", aliases="x: y, z\n")
    assert run(tables.match("here", "domain", "B.example"))
    assert run(tables.alias("aliases", "x")) == parse_line("y, z")
    assert [run(tables.fetch("here", "source")) for _ in range(3)] == ["a.example", "b.example", "a.example"]
    assert lines == []


def test_answers_in_memory_wait_for_nothing(tmp_path: Path, lines: list[str]) -> None:
    tables = files(tmp_path, here="a.example\n")
    question = tables.match("here", "domain", "a.example")
    with pytest.raises(StopIteration) as ended:
        question.send(None)
    assert ended.value.value is True


def test_update(run: Run, tmp_path: Path, lines: list[str]) -> None:
    tables = files(tmp_path, here="a.example\n", aliases="x: y\n")
    (tmp_path / "here").write_text("b.example\n")
    assert run(tables.update("here")) == ""
    assert run(tables.match("here", "domain", "b.example"))
    assert not run(tables.match("here", "domain", "a.example"))
    (tmp_path / "aliases").write_text("x: z\nalone\n")
    assert run(tables.update("aliases")).startswith(f"{tmp_path}/aliases:2: ")
    assert run(tables.alias("aliases", "x")) == parse_line("y"), "as before"
    assert run(tables.update("nowhere")) == "no such table: nowhere"


def test_a_file_that_is_not_there_at_first(run: Run, tmp_path: Path, lines: list[str]) -> None:
    """It may have gone since the configuration was read: its questions fail for a while."""
    tables = files(tmp_path, here=None, aliases="x: y\n")
    assert len(lines) == 1 and "here: No such file" in lines[0]
    for question in (
        tables.match("here", "domain", "a"),
        tables.value("here", "alias", "a"),
        tables.fetch("here", "source"),
    ):
        with pytest.raises(TableTempfail, match="No such file"):
            run(question)
    assert "No such file" in run(tables.update("here"))
    (tmp_path / "here").write_text("a.example\n")
    assert run(tables.update("here")) == ""
    assert run(tables.match("here", "domain", "a.example"))


class Program:
    """What parent starts: `answers` by key; a key that is not there is answered with an error."""

    def __init__(self, answers: dict[str, str]) -> None:
        self.answers = answers
        self.tables: list[str] = []
        self.serving: list[asyncio.Task[None]] = []

    async def __call__(self, table: str) -> socket.socket:
        self.tables.append(table)
        ours, theirs = socket.socketpair()
        self.serving.append(asyncio.create_task(self.serve(theirs)))
        return ours

    async def serve(self, theirs: socket.socket) -> None:
        theirs.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=theirs)
        while line := (await reader.readline()).decode():
            words = line.rstrip("\n").split("|", 7)
            if line == "config|ready\n":
                services = ("alias", "domain", "source", "userinfo")
                writer.writelines(f"register|{word}\n".encode() for word in (*services, "ready"))
            elif words[0] == "table":
                number = words[5] if words[4] == "update" else words[6]
                answer = self.answers.get(words[-1] if len(words) == 8 else words[4], "error|no idea")
                writer.write(f"{words[4]}-result|{number}|{answer}\n".encode())
        writer.close()


def test_a_program(run: Run, lines: list[str]) -> None:
    program = Program(
        {
            "a.example": "found",
            "b.example": "not-found",
            "team": "found|x, y",
            "nobody": "not-found",
            "alice": "found|7:8:/home/alice",
            "fetch": "found|192.0.2.1",
            "update": "ok",
        }
    )
    tables = TableSet(Config(tables=TABLES), Log("lookup"), "", program)

    async def questions() -> None:
        tables.begin()
        assert await tables.match("program", "domain", "A.Example")
        assert not await tables.match("program", "domain", "b.example")
        assert await tables.alias("program", "team") == parse_line("x, y")
        assert await tables.alias("program", "nobody") is None
        assert await tables.user("program", "alice") == UserInfo("alice", 7, 8, "/home/alice")
        assert await tables.fetch("program", "source") == "192.0.2.1"
        assert await tables.update("program") == ""
        assert lines == []
        tables._log.set_trace("lookup", True)
        await tables.match("program", "domain", "b.example")
        await tables.value("program", "alias", "team")
        assert len(lines) == 2 and "none" in lines[0] and '"x, y"' in lines[1]
        for question in (
            tables.match("program", "domain", "what"),
            tables.value("program", "alias", "what"),
        ):
            with pytest.raises(TableTempfail, match="no idea"):
                await question
        assert "no idea" in lines[2]
        await tables.close()
        with pytest.raises(TableTempfail):
            await tables.match("program", "domain", "a.example")
        await asyncio.gather(*program.serving)

    run(questions())
    assert program.tables == ["program"]


def test_no_program(tables: TableSet, run: Run, lines: list[str]) -> None:
    async def question() -> None:
        with pytest.raises(TableTempfail, match="no program for program"):
            await tables.match("program", "domain", "x")
        assert "no program" in await tables.update("program")
        await tables.close()

    run(question())


def test_what_tables_are_asked_for(tmp_path: Path, lines: list[str]) -> None:
    """Their indexes are made before mail comes."""
    (tmp_path / "here").write_text("a.example\n")
    rules = (
        Rule(criteria=(Criterion("for-domain", False, "here"), Criterion("tls", False)), action="a"),
        Rule(
            criteria=(Criterion("rcpt-to", True, "here"), Criterion("helo", False, "list", True)), action="a"
        ),
    )
    actions = {"a": LocalAction(name="a", method="maildir", alias="aliases", userbase="people")}
    here = Table(name="here", backend="static", kind="list", config=str(tmp_path / "here"))
    config = Config(tables={**TABLES, "here": here}, rules=rules, actions=actions)
    found = services_of(config)
    assert {name: found[name] for name in ("here", "list", "aliases", "people")} == {
        "here": {"domain", "mailaddr"},
        "list": {"regex"},
        "aliases": {"alias"},
        "people": {"userinfo"},
    }
    tables = TableSet(config, Log("lookup"), "", no_program)
    assert set(tables._quick["here"]._indexes) == {"domain", "mailaddr"}
