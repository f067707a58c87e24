"""A process dies: what all of them said last, and where it was, is in a file that root alone can read."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from daemon import Daemon
from looking import Looking

from smtpd.parent.crash import KEPT


def die(daemon: Daemon, process: str, number: signal.Signals) -> Path:
    """Kill a process, wait for the daemon's end; the crash file."""
    folder = daemon.state / "crash"
    before = set(folder.glob("*"))
    os.kill(daemon.child(process), number)
    assert daemon.process is not None and daemon.process.wait(20) == 1
    (path,) = set(folder.iterdir()) - before
    assert f"see smtpctl show crash {path}" in daemon.log()
    return path


def test_where_it_was_and_what_was_said(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    watch = Looking(one, "trace", "imsg", "--watch", "--mail=NEXT")
    one.send("ann@client.test", "you@localhost")
    watch.end()
    (msgid,) = re.findall(r"message msgid=([0-9a-f]{8})", one.log())
    folder = one.state / "crash"
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(KEPT + 4):
        (folder / f"crash-20200101T0000{number:02}-old-1.gz").write_bytes(b"x")
    path = die(one, "queue", signal.SIGSEGV)
    assert (path.stat().st_mode & 0o777, folder.stat().st_mode & 0o777) == (0o600, 0o700)
    assert path.stat().st_uid == os.geteuid()
    assert len(list(folder.iterdir())) == KEPT and path == max(folder.iterdir())

    text = one.ctl("show", "crash")
    assert text.splitlines()[0] == str(path)
    assert re.search(r"queue \(pid \d+\) .*SIGSEGV.*; smtpd ", text)
    assert "Segmentation fault" in text and re.search(r'File ".*", line \d+ in ', text)
    head, *rows = map(json.loads, one.ctl("--json", "show", "crash", str(path)).splitlines())
    assert (head["process"], head["file"]) == ("queue", str(path))
    assert {row["process"] for row in rows} >= {"pony", "queue", "scheduler"}
    assert {row["kind"] for row in rows} >= {"DeliveryOk", "EnvelopeDone"}
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    # somebody watched, so the messages themselves are there too
    assert " EnvelopeDone " in one.ctl("show", "flow", msgid, f"--read={path}")


@pytest.mark.parametrize(
    ("process", "number", "words"),
    [
        ("scheduler", signal.SIGABRT, "Aborted"),
        ("control", signal.SIGKILL, "had no time to say where it was"),
    ],
)
def test_other_ends(daemon: Callable[..., Daemon], process: str, number: signal.Signals, words: str) -> None:
    one = daemon()
    path = die(one, process, number)
    text = one.ctl("show", "crash", str(path), "--last=5")
    assert f"{process} (pid " in text and number.name in text and words in text


def test_an_asked_for_end_leaves_no_file(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    assert one.stop() == 0
    assert not list((one.state / "crash").glob("*"))
    one.ctl("show", "crash", status=64)
