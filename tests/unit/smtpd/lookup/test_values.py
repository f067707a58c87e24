"""smtpd/lookup/values.py: values for relay actions, and no others."""

from collections.abc import Callable
from typing import Any

import pytest

from smtpd.config.model import Config, LocalAction, RelayAction
from smtpd.lookup.rules import TableTempfail
from smtpd.lookup.values import Values
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.pony_lookup import CredentialsFound, FindCredentials, FindInTable, FoundInTable
from smtpd.mproc.log import Log

Run = Callable[[Any], Any]

CONFIG = Config(
    actions={
        "out": RelayAction(name="out", host="hosts", src="sources", helo_src="names", auth="secrets"),
        "in": LocalAction(name="in", method="mbox", alias="aliases"),
    }
)

NOBODY: Any = None
"""The peer that asks: it makes no difference."""


class Tables:
    async def value(self, table: str, service: str, key: str) -> str | None:
        if key == "down":
            raise TableTempfail(table)
        values = {"known": f"{service} in {table}", "empty": "", "long": "x" * 5000, "wide": "ü" * 2049}
        values |= {"joe": "geheim", "both": "joe:ge:heim", "half": "joe:", "nul": "joe:ge\0heim"}
        return values.get(key)

    async def fetch(self, table: str, service: str) -> str | None:
        if table == "names":
            raise TableTempfail(table)
        return None if table == "sources" else f"next {service}"


@pytest.fixture
def ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], tuple[str, str]]:
    def ask(table: str, service: str, key: str) -> tuple[str, str]:
        values = Values(CONFIG, Log("lookup"), Tables())  # type: ignore[arg-type]
        reply = run(values.find_in_table(NOBODY, 7, FindInTable(1, table, service, key)))
        assert isinstance(reply, FoundInTable) and reply.reqid == 7
        CATALOGUE.encode(reply)
        return reply.status, reply.value

    monkeypatch.setattr(Log, "_write", lambda *_arguments: None)
    return ask


@pytest.mark.parametrize(
    ("table", "service", "key", "expected"),
    [
        ("hosts", "relayhost", "known", ("ok", "relayhost in hosts")),
        ("names", "addrname", "known", ("ok", "addrname in names")),
        ("hosts", "relayhost", "empty", ("ok", "")),
        ("hosts", "relayhost", "unknown", ("none", "")),
        ("hosts", "relayhost", "down", ("tempfail", "")),
        ("hosts", "relayhost", "", ("ok", "next relayhost")),
        ("sources", "source", "", ("none", "")),
        ("names", "addrname", "", ("tempfail", "")),
        # more than fits a message
        ("hosts", "relayhost", "long", ("tempfail", "")),
        ("hosts", "relayhost", "wide", ("tempfail", "")),
        # what no relay action names
        ("aliases", "alias", "known", ("tempfail", "")),
        ("secrets", "credentials", "known", ("tempfail", "")),
        ("secrets", "relayhost", "", ("tempfail", "")),
        ("", "source", "", ("tempfail", "")),
    ],
)
def test_answers(
    ask: Callable[[str, str, str], Any], table: str, service: str, key: str, expected: tuple[str, str]
) -> None:
    assert ask(table, service, key) == expected


@pytest.mark.parametrize(
    ("table", "label", "expected"),
    [
        ("secrets", "joe", ("ok", "joe", "geheim")),
        ("secrets", "both", ("ok", "joe", "ge:heim")),
        ("secrets", "nobody", ("none", "", "")),
        ("secrets", "down", ("tempfail", "", "")),
        ("secrets", "half", ("tempfail", "", "")),
        ("secrets", "empty", ("tempfail", "", "")),
        ("secrets", "long", ("tempfail", "", "")),
        ("secrets", "nul", ("tempfail", "", "")),
        ("hosts", "joe", ("tempfail", "", "")),  # no action logs in with what is there
        ("aliases", "joe", ("tempfail", "", "")),
        ("", "joe", ("tempfail", "", "")),
    ],
)
def test_credentials(
    run: Run, monkeypatch: pytest.MonkeyPatch, table: str, label: str, expected: tuple[str, str, str]
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(Log, "warn", lambda _log, text: lines.append(text))
    values = Values(CONFIG, Log("lookup"), Tables())  # type: ignore[arg-type]
    reply = run(values.find_credentials(NOBODY, 7, FindCredentials(1, table, label)))
    assert reply == CredentialsFound(7, *expected)
    assert bool(lines) == (expected[0] != "ok")
    assert "heim" not in "".join(lines) and "xxx" not in "".join(lines)


def test_secrets_are_for_logging_in_only(ask: Callable[[str, str, str], tuple[str, str]]) -> None:
    assert ask("secrets", "relayhost", "joe") == ("tempfail", "")
