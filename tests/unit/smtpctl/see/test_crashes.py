"""smtpctl/see/crashes.py: what parent writes is read back; what is broken or hostile is refused in words."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from imsg import Recorder
from imsg.layout import MIN_TAPE, OUT, TAPED, TAPED_IN, TAPED_OUT
from smtpctl.see.crashes import CrashError, CrashFile
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.pony_queue import CreateMessage
from smtpd.parent.crash import write_crash_file

NUMBER, PAYLOAD = CATALOGUE.encode(CreateMessage(7))
HEADER = ([NUMBER], [16 + len(PAYLOAD)], [3], [103], [False])
HEAD: dict[str, Any] = {
    "smtpd": "1", "catalogue": "", "time": 1.0, "monotonic": 1, "process": "pony", "pid": 1, "ending": "",
    "last words": "", "memories": [],
}  # fmt: skip


def recorder() -> Recorder:
    made = Recorder(bytearray(Recorder.size(4, MIN_TAPE)), entries=4)
    made.tape_on({NUMBER: TAPED | TAPED_IN | TAPED_OUT})
    return made


def test_what_parent_wrote(tmp_path: Path) -> None:
    pony, queue = recorder(), recorder()
    pony.note("it was here")
    pony.write(OUT, pony.channel("queue"), *HEADER, [PAYLOAD])
    queue.write(0, queue.channel("pony"), *HEADER, [PAYLOAD])
    memories = {"queue": (104, queue.memory), "pony": (103, pony.memory), "lookup": (102, b"no recorder")}
    crash = CrashFile(str(write_crash_file(tmp_path, "pony", 103, "was killed by SIGSEGV", memories)))
    assert (crash.process, crash.pid, crash.ending) == ("pony", 103, "was killed by SIGSEGV")
    assert crash.last_words == "it was here" and crash.catalogue == CATALOGUE.digest()
    assert [each[:2] for each in crash.memories] == [("queue", 104), ("pony", 103), ("lookup", 102)]
    entries = crash.entries()
    assert [(process, entry.direction, entry.channel) for _, process, entry in entries] == [
        ("pony", "out", "queue"),
        ("queue", "in", "pony"),
    ]
    assert abs(entries[0][0] / 1e9 - crash.time) < 60
    assert [(seen.owner, seen.other, seen.payload) for seen in crash.sightings()] == [
        ("pony", "queue", PAYLOAD),
        ("queue", "pony", PAYLOAD),
    ]


def broken() -> list[Any]:
    whole = gzip.compress(json.dumps(HEAD).encode() + b"\n" + b"x" * 5000)
    heads = [b"", b"[]\n", b"no json\n", b"\xff\n", b"{}\n"]
    for change in (
        {"time": "soon"},
        {"time": float("inf")},
        {"pid": None},
        {"memories": [["pony"]]},
        {"memories": 5},
    ):
        heads.append(json.dumps(HEAD | change).encode() + b"\n")
    return [b"plain text", b"", whole[:-20], whole[:40], whole[:-8] + bytes(8), *map(gzip.compress, heads)]


@pytest.mark.parametrize("data", broken())
def test_broken_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "crash"
    path.write_bytes(data)
    with pytest.raises(CrashError, match="no crash file"):
        CrashFile(str(path))


def test_sizes_that_lie_and_memory_that_is_garbage(tmp_path: Path) -> None:
    path = tmp_path / "crash"
    head = HEAD | {"memories": [["pony", 1, 1 << 40], ["queue", 2, 10]]}
    path.write_bytes(gzip.compress(json.dumps(head).encode() + b"\n" + b"\xff" * 300_000))
    crash = CrashFile(str(path))
    assert [len(each.memory) for each in crash.memories] == [300_000, 0]
    assert crash.entries() == [] and crash.sightings() == []


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        CrashFile(str(tmp_path / "none"))
