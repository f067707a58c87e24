"""smtpd/control/tables.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from smtpd.messages.client_configuration import ClientUpdateTable
from smtpd.messages.client_control import ClientDone
from smtpd.messages.control_lookup import TableUpdated, UpdateTable
from smtpd.mproc.log import Log


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(Log, "_write", lambda _self, _priority, text: found.append(text))
    return found


@pytest.mark.parametrize("error", ["", "/etc/mail/aliases:7: no good"])
def test_update_table(bench: Any, lines: list[str], error: str) -> None:
    bench.answers[UpdateTable] = lambda _name, peerid, _message: TableUpdated(peerid, error)
    done = bench.ask(bench.connect(), ClientUpdateTable("aliases"))
    assert done == [ClientDone(0, error, 0 if error else 1)]
    assert bench.heard["lookup"] == [UpdateTable("aliases")]
    assert any("update table aliases: " + (f"failed: {error}" if error else "done") in line for line in lines)


def test_lookup_is_gone(bench: Any) -> None:
    bench.process.peer("lookup").close()
    bench.ends.pop("lookup").close()
    assert bench.ask(bench.connect(), ClientUpdateTable("x")) == [ClientDone(0, "lookup does not answer", 0)]
