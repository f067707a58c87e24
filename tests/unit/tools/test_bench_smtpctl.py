"""tools/bench smtpctl: its arguments, its table, the spool it writes; not what it measures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bench_smtpctl
import pytest
import tree
from bench_smtpctl import Long, Timing

from smtpctl import offline
from smtpctl.commands.table import TABLE
from smtpd.mail.envelope import Envelope


def test_arguments() -> None:
    options = bench_smtpctl.arguments([])
    assert (options.envelopes, options.only, options.spool) == (10_000, None, None)
    assert bench_smtpctl.arguments(["--spool", "7"]).spool == 7
    with pytest.raises(SystemExit):
        bench_smtpctl.arguments(["--only", "both"])


def test_every_step_is_a_command() -> None:
    for step in bench_smtpctl.STEPS:
        TABLE.match(step.words("0123456789abcdef"))
    for words in bench_smtpctl.LONG:
        TABLE.match([word for word in words if word != "--json"])


def test_the_table_has_a_row_a_command_and_the_ratio_of_both() -> None:
    text = bench_smtpctl.table(
        [
            Timing("show stats", "ours", 5, 0.06),
            Timing("show queue --by=domain", "ours", 2, 0.5),
            Timing("remove all", "ours", 1, 0.1),
            Timing("show stats", "theirs", 5, 0.03),
            Timing("remove all", "theirs", 0, 0.0, "status 1"),
        ]
    )
    rows = [row.split() for row in text.splitlines()[1:]]
    assert rows == [
        ["show", "stats", "60.0", "30.0", "2.0x"],
        ["show", "queue", "--by=domain", "500.0", "-"],
        ["remove", "all", "100.0", "-"],
    ]
    assert "failed: status 1" in bench_smtpctl.line_of(Timing("remove all", "theirs", 0, 0.0, "status 1"))
    assert bench_smtpctl.line_of(Timing("show stats", "ours", 5, 0.06)).endswith("60.0 ms")


def test_a_line_of_a_long_list() -> None:
    line = bench_smtpctl.line_of_long(Long("show queue", 1.5, 9, 20000, {"control": 12, "queue": -4}))
    assert line.split()[:6] == ["show", "queue", "1.5", "s", "9", "lines"]
    assert line.endswith("control +12, queue -4")


def test_a_written_spool_can_be_read(tmp_path: Path) -> None:
    bench_smtpctl.write_spool(tmp_path / "spool", 25)
    found = list(offline.envelopes(tmp_path / "spool"))
    assert len(found) == 25
    assert all(isinstance(each, Envelope) for each in found)
    assert [message.bad for message in offline.check(tmp_path / "spool")] == [[], [], []]


def test_memory_is_that_of_the_process() -> None:
    assert bench_smtpctl.resident(os.getpid()) > 5000


@pytest.mark.timeout(120)
def test_ours_is_measured() -> None:
    if (
        not (tree.ROOT / ".cache/debian/postfix/usr/sbin/smtp-source").exists()
        and shutil.which("smtp-source") is None
    ):
        pytest.skip("no smtp-source: tools/system_needs brings it")
    done = subprocess.run(
        [sys.executable, "tools/bench_smtpctl.py", "--envelopes", "12", "--only", "ours", "--json", "-"],
        cwd=tree.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    timings = json.loads(done.stdout)["timings"]
    assert [each["step"] for each in timings] == [step.name for step in bench_smtpctl.STEPS]
    assert [each["error"] for each in timings if each["error"]] == []
    assert next(each for each in timings if each["step"] == "remove EVPID")["calls"] == 12
