"""smtpd/tables/static.py: a table whose entries are known."""

from collections.abc import Coroutine
from typing import Any

import pytest

from smtpd.tables import static as static_module
from smtpd.tables.entries import entries_of
from smtpd.tables.service import TemporaryFailure
from smtpd.tables.static import StaticTable


def test_find_by_each_service() -> None:
    table = StaticTable("t", [("192.0.2.0/24", None), ("*.example.org", None), ("user@example.org", None)])
    assert table.name == "t"
    assert table.find("netaddr", "192.0.2.7") == ("192.0.2.0/24", None)
    assert table.find("domain", "x.example.org") == ("*.example.org", None)
    assert table.find("mailaddr", "user+tag@example.org") == ("user@example.org", None)
    assert table.find("string", "192.0.2.7") is None
    assert table.find("string", "192.0.2.0/24") == ("192.0.2.0/24", None)


def test_values() -> None:
    table = StaticTable("t", [("Root", "alice, bob"), ("bob", "|x")])
    assert table.find("alias", "rooT") == ("root", "alice, bob")
    assert table.find("alias", "bob") == ("bob", "|x")
    assert table.find("alias", "alice") is None


def test_an_index_is_made_once_for_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    make = static_module.make_index

    def counted(service: str, *rest: object) -> object:
        made.append(service)
        return make(service, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(static_module, "make_index", counted)
    table = StaticTable("t", [("a", None)])
    assert made == []
    for _ in range(3):
        table.find("string", "a")
        table.find("domain", "a")
    assert made == ["string", "domain"]


def test_the_delimiter() -> None:
    table = StaticTable("t", [("user@x", None)], delimiter="_")
    assert table.find("mailaddr", "user_tag@x") and not table.find("mailaddr", "user+tag@x")


def test_in_turn() -> None:
    table = StaticTable("t", [("a", None), ("b", None), ("c", None)])
    assert [table.turn() for _ in range(7)] == ["a", "b", "c", "a", "b", "c", "a"]
    assert StaticTable("empty", []).turn() is None


def answer(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """A table in memory answers without waiting."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waited for something")


def test_the_questions_of_every_table() -> None:
    table = StaticTable("t", [("alice", "1000:1000:/home/alice"), ("*.example.org", "x")])
    assert answer(table.check("domain", "A.example.org")) is True
    assert answer(table.check("string", "bob")) is False
    assert answer(table.lookup("userinfo", "Alice")) == "1000:1000:/home/alice"
    assert answer(table.lookup("userinfo", "bob")) is None
    assert answer(StaticTable("list", [("a", None)]).lookup("string", "a")) == ""
    assert [answer(table.fetch("source")) for _ in range(3)] == ["alice", "*.example.org", "alice"]
    assert answer(table.update()) == ""
    answer(table.close())


def test_a_key_that_is_too_long() -> None:
    table = StaticTable("t", [("a", None)])
    for key in ("x" * 1024, "ü" * 512):
        for question in (table.check("string", key), table.lookup("string", key)):
            assert isinstance(answer(question), TemporaryFailure)
    assert answer(table.check("string", "x" * 1023)) is False


def test_other_entries_from_now_on() -> None:
    table = StaticTable("t", [("a", None)])
    assert table.find("string", "a") and table.find("domain", "a")
    table.replace(entries_of([("b", "2")]))
    assert table.find("string", "a") is table.find("domain", "a") is None
    assert table.find("domain", "B") == ("b", "2")
