"""`--json`: what each command prints has the fields, and the types, that it is documented with.

Names and types stay as they are here: programs rely on them. New fields may come, and are added here.
"""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import tree
from daemon import Daemon, mail
from side_by_side import call
from sink import Sink

from smtpctl.commands.stats import MONITORED
from smtpctl.commands.table import COMMANDS

CONF = """\
table names file:${folder}/names
listen on 127.0.0.1 port ${port}
action "local" mda "cat >/dev/null; exec sleep 900" virtual <names>
action "relay" relay host smtp://127.0.0.1:${sink}
match from any for local action "local"
match from any for domain "relay.test" action "relay"
"""

INT_OR_NULL = (int, type(None))

DONE = {"done": bool, "number": int}
FAILED = {"done": bool, "error": str}
MESSAGE = {
    "time": float,
    "sender": str,
    "receiver": str,
    "kind": str,
    "number": int,
    "peerid": int,
    "pid": int,
    "bytes": int,
    "descriptor": bool,
    "fields": (dict, type(None)),
    "waited": (float, type(None)),
    "request": INT_OR_NULL,
    "elapsed": (float, type(None)),
    "sessions": [str],
    "messages": [str],
    "envelopes": [str],
}
CONNECTOR = {
    "source": str,
    "references": int,
    "connections": int,
    "last_connection": INT_OR_NULL,
    "timeout": INT_OR_NULL,
    "flags": [str],
}
OPTION = {"option": str, "help": str}

SCHEMAS: dict[str, tuple[dict[str, Any], ...]] = {
    "show queue": (
        {
            "envelope": str,
            "message": str,
            "type": str,
            "state": str,
            "suspended": bool,
            "flags": [str],
            "source": str,
            "sender": str,
            "recipient": str,
            "destination": str,
            "created": int,
            "expires": int,
            "last_try": int,
            "tries": int,
            "next_try": INT_OR_NULL,
            "since": INT_OR_NULL,
            "error": str,
        },
    ),
    "show queue --by=domain": ({"domain": str, "total": int, "ages": [int], "limits": [int]},),
    "show queue --by=error": ({"error": str, "total": int, "ages": [int], "limits": [int]},),
    "show hosts": (
        {
            "address": str,
            "name": str,
            "references": int,
            "connections": int,
            "last_connection": INT_OR_NULL,
        },
    ),
    "show hoststats": ({"domain": str, "time": int, "status": str},),
    "show relays": (
        {
            "relay": str,
            "references": int,
            "tasks": int,
            "connections": int,
            "last_connection": INT_OR_NULL,
            "timeout": INT_OR_NULL,
            "waits": [str],
            "onhold": bool,
            "connectors": [CONNECTOR],
        },
    ),
    "show routes": (
        {
            "id": int,
            "source": str,
            "destination": str,
            "new": bool,
            "disabled": bool,
            "waiting": bool,
            "connections": int,
            "errors": int,
            "penalty": int,
            "timeout": INT_OR_NULL,
        },
    ),
    "show mta paused": ({"source": str, "domain": str},),
    "show status": ({"mda": str, "mta": str, "smtp": str},),
    "show config": ({"statement": str},),
    "show profile": (
        {
            "process": str,
            "subsystem": str,
            "what": str,
            "peer": str,
            "name": str,
            "number": int,
            "rate": float,
            "total": int,
            "p50": int,
            "p90": int,
            "p99": int,
            "max": int,
        },
    ),
    "show recorder": (
        {
            "time": float,
            "process": str,
            "direction": str,
            "channel": str,
            "kind": str,
            "number": int,
            "bytes": int,
            "peerid": int,
            "pid": int,
            "descriptor": bool,
        },
    ),
    "show recorder queue --counts": (
        {
            "process": str,
            "kind": str,
            "number": int,
            "count_in": int,
            "bytes_in": int,
            "count_out": int,
            "bytes_out": int,
        },
    ),
    "encrypt secret": ({"hash": str},),
    "help show queue": ({"command": str, "help": str, "options": [OPTION]},),
    "check queue": ({"messages": int, "envelopes": int, "problems": int},),
    "explain you@localhost": (
        {
            "step": str,
            "recipient": int,
            "parent": int,
            "kind": str,
            "text": str,
            "repeated": bool,
        },
        {
            "step": str,
            "recipient": int,
            "number": int,
            "place": str,
            "text": str,
            "result": str,
            "criterion": str,
            "table": str,
            "key": str,
        },
        {
            "step": str,
            "recipient": int,
            "rule": int,
            "source": str,
            "service": str,
            "key": str,
            "result": str,
            "value": str,
        },
        {
            "step": str,
            "recipient": int,
            "type": str,
            "action": str,
            "method": str,
            "dest": str,
            "user": str,
            "command": str,
            "wrapper": str,
        },
        {
            "step": str,
            "status": str,
            "reply": str,
            "reason": str,
            "recipient": int,
            "envelopes": int,
            "left_out": int,
        },
    ),
}
"""The rows of commands that list. `show stats` is one object: a counter's name, its value."""

CHANGES = """\
pause mda
resume mda
pause mta
resume mta
pause smtp
resume smtp
pause mta from 127.0.0.9 for other.test
resume mta from 127.0.0.9 for other.test
pause envelope all
resume envelope all
pause envelope ID
resume envelope ID
pause envelope MSG
resume envelope MSG
schedule 12345678
schedule all
schedule 1234567812345678
remove 12345678
remove 1234567812345678
discover 12345678
discover 1234567812345678
log brief
log verbose
trace smtp
untrace smtp
profile imsg
unprofile imsg
resume route 99
update table names
"""
"""Commands that do something: {"done": true, "number": N}."""

REFUSED = """\
uncorrupt 12345678
update table nope
trace nope
profile nope
resume mda
show envelope 1234567812345678
show message 12345678
show queue --sort=nope
show queue --nope
show nope
show queue nope
s
remove -1
encrypt --method=nope x
completion nope
show crash
show flow 12345678
"""
"""Commands that fail: {"done": false, "error": TEXT} on standard output, whatever the status."""


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon with a mail in flight, one that failed for now, and something to list of every kind."""
    sink = Sink({"RCPT": "451 4.2.1 come back"})
    one = Daemon(CONF, sink=sink.port)
    try:
        (one.folder / "names").write_text("you: you\n")
        one.start()
        one.ctl("profile", "imsg")
        one.send("a@source.test", "you@localhost")
        one.send("a@source.test", "b@relay.test", mail(subject="to relay"))
        one.wait_log("come back", 60)
        one.ctl("pause", "mta", "from", "127.0.0.8", "for", "paused.test")
        yield one
    finally:
        one.close()
        sink.close()


def objects(daemon: Daemon, *words: str, status: int = 0) -> list[dict[str, Any]]:
    """What a command prints."""
    said = call(daemon.state, "--json", *words)
    assert said.status == status, said
    lines = [json.loads(line) for line in said.lines]
    assert all(isinstance(line, dict) for line in lines)
    return lines


def fits(value: object, kind: Any) -> bool:
    """Whether a value is of a kind: a type, several, a list of a kind, or an object with these fields."""
    if isinstance(kind, dict):
        return (
            isinstance(value, dict)
            and set(value) == set(kind)
            and all(fits(value[name], kind[name]) for name in kind)
        )
    if isinstance(kind, list):
        return isinstance(value, list) and all(fits(each, kind[0]) for each in value)
    if kind is float and type(value) is int:
        return True
    return type(value) in (kind if isinstance(kind, tuple) else (kind,))


@pytest.mark.parametrize("command", SCHEMAS)
def test_the_manual_names_every_field(command: str) -> None:
    page = (
        (tree.ROOT / "man/smtpctl.8").read_text().partition(".Sh JSON\n")[2].partition(".Sh ENVIRONMENT")[0]
    )
    said = set(re.findall(r"[a-z_0-9]+", page))
    for schema in SCHEMAS[command]:
        assert schema.keys() <= said | {"count_in", "bytes_in", "count_out", "bytes_out", "error"}
    entries = ["show queue", *re.findall(r"^\.It Ic ([a-z ]+)$", page, re.M)]
    assert any(command.startswith(entry) for entry in entries)


@pytest.mark.parametrize("command", SCHEMAS)
def test_rows_are_as_documented(daemon: Daemon, command: str) -> None:
    rows = objects(daemon, *command.split())
    assert rows
    for row in rows:
        assert any(fits(row, schema) for schema in SCHEMAS[command]), row
    if command.startswith("explain"):
        assert {row["step"] for row in rows} == {"recipient", "rule", "lookup", "envelope", "end"}


def test_counters_are_numbers_under_their_names(daemon: Daemon) -> None:
    (row,) = objects(daemon, "show", "stats")
    assert fits(row, dict.fromkeys(row, int))
    assert row["smtp.session.inet4"] == 2


def test_an_envelope_is_its_fields(daemon: Daemon) -> None:
    (row,) = objects(daemon, "show", "envelope", evpid(daemon))
    assert fits(row, dict.fromkeys(row, str))
    assert (row["dest"], row["errorline"]) == ("b@relay.test", "451 4.2.1 come back")


def test_a_message_is_never_wrapped(daemon: Daemon) -> None:
    said = call(daemon.state, "--json", "show", "message", evpid(daemon))
    assert "\nSubject: to relay\n" in said.out
    assert said.out == call(daemon.state, "show", "message", evpid(daemon)).out


def evpid(daemon: Daemon) -> str:
    """The envelope of the mail that failed."""
    return next(str(row["envelope"]) for row in objects(daemon, "show", "queue") if row["type"] == "mta")


def test_monitor_is_an_object_a_second(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("smtpctl.commands.stats.time.sleep", interrupt)
    (row,) = objects(daemon, "monitor", status=130)
    assert fits(row, {"time": int, **dict.fromkeys(MONITORED, int)})


def test_messages_are_objects_and_an_end(daemon: Daemon) -> None:
    words = [sys.executable, "-m", "smtpctl", "--state", str(daemon.state), "--json"]
    with subprocess.Popen([*words, "trace", "imsg", "--watch", "--count=3"], stdout=subprocess.PIPE) as watch:
        until = time.monotonic() + 60
        while watch.poll() is None and time.monotonic() < until:
            call(daemon.state, "show", "status")
            time.sleep(0.05)
        assert watch.stdout is not None
        *rows, end = [json.loads(line) for line in watch.stdout]
    assert len(rows) == 3
    assert all(fits(row, MESSAGE) for row in rows), rows
    assert fits(end, {"done": bool, "number": int, "lost": int, "left_out": int, "reason": str})


ELSEWHERE = {
    "capture",  # writes pcapng; tests of what is seen
    "show crash",
    "show flow",
    "complete",  # for the shell
    "completion",
    "show message",  # the mail itself
    "show envelope",
    "show stats",
    "monitor",
    "spf walk",  # test_against_opensmtpd_spf.py
    "uncorrupt",  # below
    "remove all",
}


def test_the_manual_names_the_fields_of_messages() -> None:
    page = (tree.ROOT / "man/smtpctl.8").read_text().partition(".Sh JSON\n")[2]
    assert MESSAGE.keys() <= set(re.findall(r"[a-z_]+", page))


def test_every_command_is_in_a_table() -> None:
    covered = [*SCHEMAS, *CHANGES.splitlines(), *ELSEWHERE]
    missing = []
    for command in COMMANDS:
        literal = command.pattern.split(" <")[0].split(" -")[0]
        if not any(line.startswith(literal) for line in covered):
            missing.append(command.pattern)
    assert missing == []


@pytest.mark.parametrize("line", CHANGES.splitlines())
def test_what_was_done_is_an_object(daemon: Daemon, line: str) -> None:
    words = line.replace("ID", evpid(daemon)).replace("MSG", evpid(daemon)[:8]).split()
    (row,) = objects(daemon, *words)
    assert fits(row, DONE)
    assert row["done"] is True


def test_what_was_set_aside_comes_back_and_all_can_go(daemon: Daemon) -> None:
    daemon.ctl("pause", "mta")
    found = evpid(daemon)
    (row,) = objects(daemon, "pause", "envelope", found)
    queued = daemon.state / "spool/queue" / found[:2] / found[:8]
    aside = daemon.state / "spool/corrupt" / found[:8]
    shutil.copytree(queued, aside)
    assert objects(daemon, "remove", "all") == [{"done": True, "number": 2}]
    until = time.monotonic() + 30
    while queued.exists() and time.monotonic() < until:
        time.sleep(0.02)
    *problems, end = objects(daemon, "check", "queue", status=1)
    assert [fits(each, {"message": str, "problem": str}) for each in problems] == [True]
    assert problems[0]["message"] == found[:8]
    assert end["problems"] == 1
    assert objects(daemon, "uncorrupt", found[:8]) == [{"done": True, "number": 1}]
    assert evpid(daemon) == found
    assert objects(daemon, "check", "queue")[-1]["problems"] == 0
    assert objects(daemon, "uncorrupt", found[:8], status=1)[0]["done"] is False
    daemon.ctl("resume", "mta")


@pytest.mark.parametrize("line", REFUSED.splitlines())
def test_what_was_not_done_is_an_object_too(daemon: Daemon, line: str) -> None:
    said = call(daemon.state, "--json", *line.split())
    assert said.status != 0
    (row,) = [json.loads(each) for each in said.lines]
    assert fits(row, FAILED), row
    assert row["done"] is False
    assert row["error"]
