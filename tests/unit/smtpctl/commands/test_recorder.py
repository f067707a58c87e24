"""smtpctl/commands/recorder.py: the last headers of processes, in the order of time, and counts."""

import json
from typing import Any

import pytest

from imsg import Recorder
from imsg.layout import OUT
from smtpctl.commands import recorder
from smtpctl.see.watching import Memory
from smtpd.messages.catalogue import CATALOGUE

NUMBER = CATALOGUE.by_name["CreateMessage"].number


@pytest.fixture(autouse=True)
def recorders(monkeypatch: pytest.MonkeyPatch) -> None:
    pony, queue = (Recorder(bytearray(Recorder.size(8)), entries=8) for _ in range(2))
    pony.write(OUT, pony.channel("queue"), [NUMBER], [17], [1], [103], [False])
    queue.write(0, queue.channel("pony"), [NUMBER], [17], [1], [103], [False])
    pony.write(0, pony.channel("\x1b[2J"), [0xFFF0], [40], [2], [104], [True])
    memories = [Memory("queue", 104, queue.memory), Memory("pony", 103, pony.memory)]  # type: ignore[arg-type]
    monkeypatch.setattr(recorder, "recorders", lambda client: memories)


def test_all_processes(smtpctl: Any) -> None:
    status, out, err = smtpctl("show", "recorder")
    assert (status, err) == (0, "")
    assert [line[16:] for line in out.splitlines()] == [
        "     pony → queue     CreateMessage      #1 pid=103 (17 bytes)",
        "    queue ← pony      CreateMessage      #1 pid=103 (17 bytes)",
        "     pony ← ?[2J      message 0xfff0     #2 pid=104 (40 bytes) +fd",
    ]


def test_one_process_and_the_last(smtpctl: Any) -> None:
    (line,) = smtpctl("--json", "show", "recorder", "pony", "--last=1").out.splitlines()
    entry = json.loads(line)
    assert entry.pop("time") > 1e9
    assert entry == {
        "process": "pony",
        "direction": "in",
        "channel": "?[2J",
        "kind": "message 0xfff0",
        "number": 0xFFF0,
        "bytes": 40,
        "peerid": 2,
        "pid": 104,
        "descriptor": True,
    }
    assert len(smtpctl("show", "recorder", "--last=0").out.splitlines()) == 3


def test_counts(smtpctl: Any) -> None:
    rows = [json.loads(line) for line in smtpctl("--json", "show", "recorder", "--counts").out.splitlines()]
    found = {(row["process"], row["kind"]): row for row in rows}
    assert (
        found["pony", "CreateMessage"] | {"count_out": 1, "bytes_out": 17, "count_in": 0}
        == found["pony", "CreateMessage"]
    )
    assert found["pony", "message 0x0000"]["count_in"] == 1  # over 4095
    assert smtpctl("show", "recorder", "queue", "--counts").out.splitlines()[1].split() == [
        "queue", "CreateMessage", "1", "17", "0", "0",
    ]  # fmt: skip


def test_what_means_nothing(smtpctl: Any) -> None:
    status, _, err = smtpctl("show", "recorder", "nobody")
    assert status == 64 and "'nobody' is no process; pony, queue are" in err
    assert smtpctl("show", "recorder", "--last=-1").status == 64
