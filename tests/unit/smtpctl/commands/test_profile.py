"""smtpctl/commands/profile.py: what is asked, tables, and JSON."""

import json
import sys
from typing import Any

import pytest

from smtpctl.commands import profile
from smtpctl.see.measures import WIDE
from smtpd.messages.client_observation import ClientSetProfile, ClientShowProfile, ProfileRows
from smtpd.messages.control_observation import Bucket, ProfileRow

HANDLER = ProfileRow("imsg", "handler", "pony", "CreateMessage", 4, 80, 20, [Bucket(20, 4)])
BUSY = ProfileRow("mproc", "busy", "", "loop", 1, 10, 10, [Bucket(10, 1)])
FSYNC = ProfileRow("queue", "fsync", "", "fsync", 2, 40, 20, [Bucket(20, 2)])


@pytest.mark.parametrize(("word", "on"), [("profile", True), ("unprofile", False)])
def test_on_and_off(smtpctl: Any, daemon: Any, word: str, on: bool) -> None:
    assert smtpctl(word, "imsg") == (0, "command succeeded\n", "")
    assert daemon.asked == [ClientSetProfile("imsg", on)]


def test_tables(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowProfile] = [
        ProfileRows(1, "queue", 0, 1000, [HANDLER, BUSY]),
        ProfileRows(1, "queue", 0, 2000, [FSYNC]),
    ]
    status, out, err = smtpctl("show", "profile")
    assert (status, err, daemon.asked) == (0, "", [ClientShowProfile()])
    parts = out.split("\n\n")
    assert [part.splitlines()[0] for part in parts] == ["imsg, 2.0 s", "mproc, 2.0 s", "queue, 2.0 s"]
    assert "CreateMessage" in parts[0] and "fsync" in parts[2]
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_as_json(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowProfile] = [ProfileRows(1, "queue", 0, 2000, [HANDLER])]
    assert json.loads(smtpctl("--json", "show", "profile").out) == {
        "process": "queue",
        "subsystem": "imsg",
        "what": "handler",
        "peer": "pony",
        "name": "CreateMessage",
        "number": 4,
        "rate": 2.0,
        "total": 80,
        "p50": 20,
        "p90": 20,
        "p99": 20,
        "max": 20,
    }


def test_nothing(smtpctl: Any) -> None:
    assert smtpctl("show", "profile").out.startswith("nothing was measured")
    assert smtpctl("--json", "show", "profile") == (0, "", "")


def test_watching_shows_the_last_second(smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.rows[ClientShowProfile] = [ProfileRows(1, "queue", 0, 2000, [HANDLER])]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            raise KeyboardInterrupt
        more = HANDLER._replace(
            number=4 + len(slept), total=80 + 20 * len(slept), buckets=[Bucket(20, 4 + len(slept))]
        )
        daemon.rows[ClientShowProfile] = [ProfileRows(1, "queue", 0, 2000 + 1000 * len(slept), [more])]

    with monkeypatch.context() as patched:
        patched.setattr("time.sleep", sleep)
        status, out, _ = smtpctl("--json", "show", "profile", "--watch")
    rows = [json.loads(line) for line in out.splitlines()]
    assert (status, slept) == (0, [1, 1, 1])
    assert [(row["number"], row["rate"], row["total"]) for row in rows] == [(1, 1.0, 20)] * 2
    assert all(row["time"] > 1e9 for row in rows)


def test_without_a_terminal_all_columns_are_there() -> None:
    assert sys.stdout.isatty() or profile._columns() == WIDE
