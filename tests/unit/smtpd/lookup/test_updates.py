"""smtpd/lookup/updates.py: programs from parent, and tables read again for control."""

import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smtpd.config.model import Config, Table
from smtpd.lookup.tables import TableSet
from smtpd.lookup.updates import Programs, Updates
from smtpd.messages.control_lookup import TableUpdated, UpdateTable
from smtpd.messages.parent_lookup import OpenTableProc, TableProcOpened
from smtpd.mproc.log import Log

Run = Callable[[Any], Any]


class Process:
    """lookup, and a parent that answers with `reply` and `fd`."""

    def __init__(self, reply: TableProcOpened | None = None, fd: int | None = None) -> None:
        self.lines: list[str] = []
        self.log = SimpleNamespace(info=self.lines.append, warn=self.lines.append)
        self.answer = reply, fd
        self.asked: list[Any] = []

    def peer(self, name: str) -> Any:
        assert name == "parent"
        return self

    async def call(self, message: Any) -> tuple[TableProcOpened | None, int | None]:
        self.asked.append(message)
        return self.answer


def test_a_program(run: Run) -> None:
    ours, theirs = socket.socketpair()
    process = Process(TableProcOpened(1, ""), ours.detach())
    with theirs, run(Programs(process)("users")) as opened:  # type: ignore[arg-type]
        theirs.send(b"x")
        assert opened.recv(1) == b"x"
    assert process.asked == [OpenTableProc("users")]


@pytest.mark.parametrize(
    ("reply", "why"),
    [(TableProcOpened(1, "No such file or directory"), "No such file"), (None, "parent does not answer")],
)
def test_no_program(run: Run, reply: TableProcOpened | None, why: str) -> None:
    with pytest.raises(OSError, match=why):
        run(Programs(Process(reply))("users"))  # type: ignore[arg-type]


def test_update(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "here"
    path.write_text("a.example\n")
    process = Process()
    config = Config(tables={"here": Table(name="here", backend="static", kind="list", config=str(path))})
    tables = TableSet(config, Log("lookup"), "", Programs(process))  # type: ignore[arg-type]
    updates = Updates(process, tables)  # type: ignore[arg-type]

    async def update(name: str) -> TableUpdated:
        return await updates.update_table(None, 5, UpdateTable(name))  # type: ignore[arg-type]

    assert run(update("here")) == TableUpdated(5, "")
    path.unlink()
    assert run(update("here")) == TableUpdated(5, f"{path}: No such file or directory")
    assert process.lines == [
        "table here is updated",
        f"table here is not updated: {path}: No such file or directory",
    ]
    assert len(run(update("x" * 10_000)).error) == 4096
