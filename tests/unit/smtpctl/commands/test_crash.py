"""smtpctl/commands/crash.py: a file in words and as JSON, the newest, none."""

import json
from pathlib import Path
from typing import Any

import pytest

from imsg import Recorder
from imsg.layout import OUT
from smtpd import __version__
from smtpd.messages.catalogue import CATALOGUE
from smtpd.parent.crash import write_crash_file

NUMBER = CATALOGUE.by_name["CreateMessage"].number


@pytest.fixture
def crash(state: Path) -> Path:
    recorder = Recorder(bytearray(Recorder.size(8)), entries=8)
    recorder.note("File here, line 5\n\x1b[2J oh")
    channel = recorder.channel("queue")
    recorder.write(OUT, channel, [NUMBER] * 3, [17] * 3, [1, 2, 3], [103] * 3, [False] * 3)
    return write_crash_file(state / "crash", "pony", 103, "was killed", {"pony": (103, recorder.memory)})


def test_the_newest(smtpctl: Any, crash: Path) -> None:
    (crash.parent / "crash-00000000T000000-queue-1.gz").write_bytes(b"older")
    (crash.parent / "other").write_bytes(b"")
    status, out, err = smtpctl("show", "crash", "--last=2")
    lines = out.splitlines()
    assert (status, err, lines[0], len(lines)) == (0, "", str(crash), 6)
    assert lines[1].endswith(f"pony (pid 103) was killed; smtpd {__version__}")
    assert lines[2:4] == ["File here, line 5", r"\x1b[2J oh"]
    assert [line.split("pony")[1] for line in lines[4:]] == [
        f" → queue     CreateMessage      #{peerid} pid=103 (17 bytes)" for peerid in (2, 3)
    ]


def test_as_json(smtpctl: Any, crash: Path) -> None:
    head, *entries = map(json.loads, smtpctl("--json", "show", "crash", str(crash)).out.splitlines())
    assert (head["file"], head["process"], head["pid"], head["ending"]) == (
        str(crash),
        "pony",
        103,
        "was killed",
    )
    assert head["last_words"] == ["File here, line 5", "\x1b[2J oh"]
    assert [entry["peerid"] for entry in entries] == [1, 2, 3]


def test_no_crash(smtpctl: Any, state: Path) -> None:
    status, out, err = smtpctl("show", "crash")
    assert (status, out) == (64, "") and err == f"smtpctl: no crash file in {state / 'crash'}\n"


def test_files_that_are_none(smtpctl: Any, state: Path) -> None:
    (state / "text").write_text("text")
    assert smtpctl("show", "crash", str(state / "text")).err.endswith("text: no crash file (BadGzipFile)\n")
    assert smtpctl("show", "crash", str(state / "none")).err.endswith("none: No such file or directory\n")
