"""A long queue: listing it, whole or in parts, makes no process grow with it, whoever reads or does not.

A spool is written beforehand; 50,000 with `tools/test -m soak tests/system/test_long_queue.py`.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree
from bench_smtpctl import resident, write_spool
from daemon import RELAY, Daemon

PROCESSES = ("control", "queue", "scheduler", "pony", "lookup")

MOST_GROWN = 8192
"""KiB. 5,000 envelopes with their values take more than 16 MiB in an interpreter, 50,000 ten times that."""

MOST_OF_SMTPCTL = 48 * 1024
"""KiB; the interpreter and what is loaded are half of it."""

MEASURED = """
import re, sys
from smtpctl.__main__ import main
status = main()
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(status)
"""
"""smtpctl, which tells how many KiB of memory it had at most."""


class Long:
    """A daemon that delivers nothing, with so many envelopes."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.daemon = Daemon(RELAY, sink=9, arguments=("-P", "mta", "-P", "mda"))
        self.daemon.state.mkdir()
        write_spool(self.daemon.state / "spool", count)
        self.before: dict[str, int] = {}

    def start(self) -> None:
        self.daemon.start(60)
        until = time.monotonic() + 60 + self.count / 100
        while f"scheduler.envelope={self.count}\n" not in self.daemon.ctl("show", "stats"):
            assert time.monotonic() < until, self.daemon.log()
            time.sleep(0.1)
        self.run("show", "queue")  # what is allocated once
        self.run("show", "queue", "--by=domain")
        self.before = self.memory()

    def memory(self) -> dict[str, int]:
        return {name: resident(self.daemon.child(name)) for name in PROCESSES}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "smtpctl", "--state", str(self.daemon.state), *words]

    def run(self, *words: str) -> list[str]:
        """The lines of a command, which needs no more memory than it may."""
        arguments = ["--state", str(self.daemon.state), *words]
        with open(self.daemon.folder / "out", "wb+") as out:
            command = [sys.executable, "-c", MEASURED, *arguments]
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, cwd=tree.ROOT, text=True)
            out.seek(0)
            lines = out.read().decode().splitlines()
        assert done.returncode == 0, (words, lines[-3:], done.stderr)
        assert int(done.stderr) < MOST_OF_SMTPCTL
        return lines

    def assert_not_grown(self) -> None:
        grown = {name: kib - self.before[name] for name, kib in self.memory().items()}
        assert max(grown.values()) < MOST_GROWN, grown


@pytest.fixture(
    scope="module",
    params=[5_000, pytest.param(50_000, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])],
)
def long(request: pytest.FixtureRequest) -> Iterator[Long]:
    queue = Long(request.param)
    with contextlib.closing(queue.daemon):
        queue.start()
        yield queue


def test_all_of_it(long: Long) -> None:
    evpids = [line.partition("|")[0] for line in long.run("show", "queue")]
    assert len(evpids) == long.count
    assert evpids == sorted(set(evpids))
    long.assert_not_grown()


def test_sorted_and_selected(long: Long) -> None:
    lines = [line.split("|") for line in long.run("show", "queue", "--sort=recipient")]
    assert len(lines) == long.count
    assert [line[5] for line in lines] == sorted(line[5] for line in lines)
    found = long.run("show", "queue", "--domain=domain7.test", "--error=timeout")
    assert found and len(found) < long.count / 1000
    (summary,) = [line for line in long.run("show", "queue", "--by=domain") if line.split()[0] == "TOTAL"]
    assert str(long.count) in summary.split()
    long.assert_not_grown()


def test_page_by_page(long: Long) -> None:
    seen: list[str] = []
    page = long.run("show", "queue", "--limit=700")
    while page:
        seen += [line.partition("|")[0] for line in page]
        page = long.run("show", "queue", "--limit=700", f"--after={seen[-1]}")
        if len(seen) >= 3500:
            break
    assert seen == [line.partition("|")[0] for line in long.run("show", "queue")][: len(seen)]
    assert len(seen) >= 3500
    long.assert_not_grown()


def test_nobody_reads_it(long: Long) -> None:
    """Several begin to list and stop: what they do not take waits where it is, and others are answered."""
    stuck = [
        subprocess.Popen(long.command("show", "queue"), stdout=subprocess.PIPE, cwd=tree.ROOT)
        for _ in range(6)
    ]
    try:
        for each in stuck:
            assert each.stdout is not None
            assert each.stdout.readline().count(b"|") == 13
        assert long.daemon.ctl("show", "status").startswith("MDA paused\n")
        long.assert_not_grown()
    finally:
        for each in stuck:
            assert each.stdout is not None
            each.stdout.close()  # as `head` ends
    assert [each.wait(60) for each in stuck] == [os.EX_IOERR] * len(stuck)


def test_changed_and_removed_one_by_one_and_all(long: Long) -> None:
    """Last: nothing is left after it."""
    evpids = [line.partition("|")[0] for line in long.run("show", "queue", "--limit=20")]
    for evpid in evpids:
        assert long.run("remove", evpid) == ["1 envelope removed"]
    assert long.run("pause", "envelope", "all") == [f"{long.count - len(evpids)} envelopes paused"]
    flags = Counter("suspend" in line.split("|")[3] for line in long.run("show", "queue"))
    assert flags == {True: long.count - len(evpids)}
    assert long.run("resume", "envelope", "all") == [f"{long.count - len(evpids)} envelopes resumed"]
    assert long.run("remove", "all") == [f"{long.count - len(evpids)} envelopes removed"]
    until = time.monotonic() + 30 + long.count / 200
    spool = Path(long.daemon.state, "spool/queue")
    while any(spool.glob("*/*")):
        assert time.monotonic() < until, long.daemon.log()[-2000:]
        time.sleep(0.2)
    assert long.run("show", "queue") == []
    long.assert_not_grown()
