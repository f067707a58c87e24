"""smtpd/parent/table_programs.py: programs of tables, started for lookup."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.config.model import Config, Table
from smtpd.messages.parent_lookup import OpenTableProc, TableProcOpened

ECHO = """#!/bin/sh
echo "$$ $# $0"
echo "$PATH" "$(pwd)" "$(id -u)" $(ls /proc/self/fd | wc -l)
cat
"""

STUBBORN = """#!/bin/sh
trap "" TERM
echo ready
while :; do sleep 0.05; done
"""


class Peer:
    def __init__(self) -> None:
        self.sent: list[tuple[TableProcOpened, int]] = []

    def send(self, message: Any, fd: int) -> None:
        self.sent.append((message, fd))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def family(make_family: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    for name, text in (("echo", ECHO), ("stubborn", STUBBORN)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "plain").write_text("")
    tables = [
        Table(name=name, backend="proc", config=str(tmp_path / name))
        for name in ("echo", "stubborn", "plain", "nowhere")
    ]
    tables += [
        Table(name="short", backend="proc", config="no-such-program:/x"),
        Table(name="list", backend="static", kind="list", entries=(("a", None),)),
    ]
    family = make_family(Config(tables={table.name: table for table in tables}))
    yield family
    left = list(family.parent.table_programs._running.values())
    for running in left:
        os.killpg(running.process.pid, signal.SIGKILL)
    family.parent.table_programs.close()
    for running in left:
        running.process.wait(5)


def opened(family: Any, peer: Peer, table: str) -> socket.socket:
    assert family.parent.table_programs.open_table_proc(peer, 7, OpenTableProc(table)) is None
    message, fd = peer.sent.pop()
    assert message == TableProcOpened(7, "")
    connection = socket.socket(fileno=fd)
    connection.settimeout(5)
    return connection


def test_a_program(family: Any, peer: Peer, tmp_path: Path) -> None:
    with opened(family, peer, "echo") as connection, connection.makefile("rw") as stream:
        pid, count, _name = stream.readline().split(" ", 2)
        path, folder, uid, descriptors = stream.readline().split()
        assert (count, folder, int(uid)) == ("0", "/", os.geteuid())
        assert path.startswith("/usr/local/sbin:") and int(descriptors) <= 4
        assert os.getsid(int(pid)) == int(pid)
        stream.write("what you say\n")
        stream.flush()
        assert stream.readline() == "what you say\n"
    family.run_until(lambda: not family.parent.table_programs._running)
    assert "table echo: its program exited with status 0" in family.lines[-1]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("list", "no table of a program"),
        ("unknown", "no table of a program"),
        ("nowhere", "No such file"),
        ("plain", "Permission denied"),
        ("short", "no program table-no-such-program"),
    ],
)
def test_no_program(family: Any, peer: Peer, table: str, why: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    reply = family.parent.table_programs.open_table_proc(peer, 7, OpenTableProc(table))
    assert reply.reqid == 7 and why in reply.error
    assert peer.sent == [] and len(os.listdir("/proc/self/fd")) <= before


def test_a_table_has_one_program(family: Any, peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smtpd.parent.table_programs._KILL_SECONDS", 0.1)
    with opened(family, peer, "stubborn") as first:
        assert first.recv(6)
        running = family.parent.table_programs._running
        (old,) = running
        with opened(family, peer, "stubborn"):
            assert len(running) == 2, "it takes no notice"
            family.run_until(lambda: len(running) == 1)
            assert old not in running
    assert any("was killed by SIGKILL" in line for line in family.lines)


def test_the_end(family: Any, peer: Peer) -> None:
    with opened(family, peer, "echo") as connection:
        connection.recv(1)
        (running,) = family.parent.table_programs._running.values()
        family.parent.table_programs.close()
        assert running.process.wait(5) == -signal.SIGTERM
