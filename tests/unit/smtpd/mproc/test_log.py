"""smtpd/mproc/log.py: one line an event, and no way to forge one."""

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mproc import log as log_module
from smtpd.mproc.log import SUBSYSTEMS, Log, escape

STAMP = r"\d\d:\d\d:\d\d\.\d{3} "


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What goes to standard error, one item a write."""
    lines: list[bytes] = []

    def write(fd: int, data: bytes) -> int:
        assert fd == 2
        lines.append(data)
        return len(data)

    monkeypatch.setattr(log_module.os, "write", write)
    return lines


def shown(lines: list[bytes]) -> list[str]:
    return [re.sub(f"^{STAMP}", "", line.decode("utf-8", "surrogateescape")) for line in lines]


def test_levels(written: list[bytes]) -> None:
    log = Log("queue")
    log.info("one")
    log.warn("two")
    log.crit("three")
    log.debug("four")
    assert shown(written) == ["queue: one\n", "queue: warn: two\n", "queue: fatal: three\n"]
    assert all(re.match(STAMP, line.decode()) for line in written)
    log.verbose = True
    log.debug("four")
    assert shown(written)[3:] == ["queue: debug: four\n"]


# escaping


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text, ümläuts und 漢字", "plain text, ümläuts und 漢字"),
        ("two\nlines", "two\\x0alines"),
        ("\r\n\t\0\x1b[2J\x7f", "\\x0d\\x0a\\x09\\x00\\x1b[2J\\x7f"),
        ("\u2028\u2029\x85", "\\xe2\\x80\\xa8\\xe2\\x80\\xa9\\xc2\\x85"),  # line breaks for some readers
        ("\u202egnp.exe", "\\xe2\\x80\\xaegnp.exe"),  # right to left
        (b"\xff\xfe\x80".decode("utf-8", "surrogateescape"), "\\xff\\xfe\\x80"),
        ("\ud800\udfff", "\\xed\\xa0\\x80\\xed\\xbf\\xbf"),  # surrogates that stand for no byte
        ("", ""),
    ],
)
def test_escape(text: str, expected: str) -> None:
    assert escape(text) == expected


ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_whatever_is_escaped_is_one_printable_line(text: str) -> None:
    escaped = escape(text)
    assert escaped.isprintable()
    assert len(escaped.splitlines()) <= 1
    escaped.encode("utf-8")
    if text.isprintable():
        assert escaped == text


@given(st.binary())
def test_bytes_survive(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    escaped = escape(text.replace("\\", ""))
    back = re.sub(rb"\\x([0-9a-f]{2})", lambda m: bytes.fromhex(m[1].decode()), escaped.encode())
    assert back == data.replace(b"\\", b"")


@given(ANY_TEXT, st.sampled_from(["info", "warn", "crit", "debug"]))
def test_a_call_is_a_line(text: str, level: str) -> None:
    lines: list[bytes] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_module.os, "write", lambda fd, data: lines.append(data))
        getattr(Log("pony", verbose=True), level)(text)
    assert len(lines) == 1
    assert lines[0].count(b"\n") == 1 and lines[0].endswith(b"\n")
    assert len(lines[0].decode("utf-8").splitlines()) == 1


def test_a_forged_line(written: list[bytes]) -> None:
    Log("pony").info("HELO a\n00:00:00.000 parent: fatal: it was the butler")
    assert shown(written) == ["pony: HELO a\\x0a00:00:00.000 parent: fatal: it was the butler\n"]


def test_long_lines_are_cut(written: list[bytes]) -> None:
    Log("pony").info("x" * 100_000)
    (line,) = shown(written)
    assert line == "pony: " + "x" * 8189 + "...\n"


def test_no_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(_fd: int, _data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(log_module.os, "write", write)
    log = Log("pony")
    log.info("one")
    log.crit("two")
    assert log.lost == 2


# traces


def test_traces(written: list[bytes]) -> None:
    log = Log("pony")
    assert not any(getattr(log, f"tracing_{name}") for name in SUBSYSTEMS)
    log.trace("smtp", "unseen")
    log.set_trace("smtp", True)
    assert log.tracing_smtp and not log.tracing_mta
    log.trace("smtp", "seen")
    log.trace("mta", "unseen")
    assert shown(written) == ["pony: smtp: seen\n"]
    log.set_trace("smtp", False)
    log.set_trace("smtp", False)
    assert not log.tracing_smtp


def test_all_and_transfer() -> None:
    log = Log("pony")
    log.set_trace("transfer", True)
    assert log.traces == {"mta"} and log.tracing_mta
    log.set_trace("all", True)
    assert log.traces == set(SUBSYSTEMS)
    assert all(getattr(log, f"tracing_{name}") for name in SUBSYSTEMS)
    log.set_trace("transfer", False)
    assert not log.tracing_mta and log.tracing_imsg
    log.set_trace("all", False)
    assert log.traces == set()
    assert not any(getattr(log, f"tracing_{name}") for name in SUBSYSTEMS)


@pytest.mark.parametrize("name", ["", "SMTP", "traces", "name", "__class__", "profile"])
def test_unknown_subsystems(name: str) -> None:
    log = Log("pony")
    with pytest.raises(ValueError, match="no such subsystem"):
        log.set_trace(name, True)
    assert log.traces == set() and not hasattr(log, f"tracing_{name}")


def test_every_subsystem_has_its_flag() -> None:
    assert {f"tracing_{name}" for name in SUBSYSTEMS} == {
        name for name in Log.__annotations__ if name.startswith("tracing_")
    }


# syslog


@pytest.fixture
def syslog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A syslog at another place than /dev/log."""
    path = str(tmp_path / "log")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(path)
    listening.setblocking(False)
    connect = socket.socket.connect

    class Redirected(socket.socket):
        def connect(self, address: Any) -> None:
            assert address == "/dev/log"
            connect(self, path)

    monkeypatch.setattr(log_module.socket, "socket", Redirected)
    yield listening
    listening.close()


def close(log: Log) -> None:
    assert log._syslog is not None
    log._syslog.close()


def test_syslog_lines(syslog: socket.socket, written: list[bytes]) -> None:
    log = Log("pony", syslog=True, verbose=True)
    log.info("one\ntwo")
    log.warn("three")
    log.crit("four")
    log.debug("five")
    got = [syslog.recv(10_000).decode() for _ in range(4)]
    assert [line[: line.index(">") + 1] for line in got] == ["<22>", "<20>", "<18>", "<23>"]  # LOG_MAIL
    head = rf"<\d\d>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d smtpd\[{os.getpid()}\]: "
    assert all(re.match(head, line) for line in got)
    assert [re.sub(head, "", line) for line in got] == [
        "one\\x0atwo", "warn: three", "fatal: four", "debug: five",
    ]  # fmt: skip
    assert written == [] and log.lost == 0
    close(log)


def test_a_full_or_dead_syslog_holds_nothing_up(syslog: socket.socket) -> None:
    log = Log("pony", syslog=True)
    for number in range(5000):
        log.info(f"line {number}")
        if log.lost:
            break
    assert log.lost, "the test never filled the socket"
    syslog.close()
    lost = log.lost
    log.info("nobody there")
    assert log.lost == lost + 1
    close(log)


def test_no_syslog(monkeypatch: pytest.MonkeyPatch, written: list[bytes]) -> None:
    class Refusing(socket.socket):
        def connect(self, address: Any) -> None:
            raise FileNotFoundError

    monkeypatch.setattr(log_module.socket, "socket", Refusing)
    Log("pony", syslog=True).info("all the same")
    assert shown(written) == ["pony: all the same\n"]
