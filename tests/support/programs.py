"""mailq, sendmail, newaliases and makemap as a user runs them beside a daemon."""

import os
import subprocess
import sys
from pathlib import Path

import tree
from daemon import Daemon

_CALL = "import sys; from smtpctl.__main__ import {name}; sys.exit({name}(sys.argv[1:]))"

_AS_USER = """\
import os, sys
from smtpctl import __main__, enqueue
from smtpctl.commands import table
enqueue.load()
table.load()
uid = int(sys.argv[1])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
sys.exit(__main__.{name}(sys.argv[2:]))
"""


def command(name: str) -> list[str]:
    """argv of a program, whether it is installed or not."""
    return [sys.executable, "-c", _CALL.format(name=name)]


def environment(daemon: Daemon | Path) -> dict[str, str]:
    """So that a program finds the daemon, or the state folder, that is meant, and leaves nothing at home."""
    state = daemon if isinstance(daemon, Path) else daemon.state
    places = {"SMTPD_SOCKET": str(state / "smtpd.sock"), "DEAD": str(state / "dead.letter")}
    return {**os.environ, **places, "PYTHONPATH": str(tree.ROOT)}


def run(
    daemon: Daemon | Path, name: str, *words: str, data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """A program with `data` as standard input."""
    return subprocess.run(
        [*command(name), *words], input=data, env=environment(daemon), capture_output=True, timeout=30
    )


def run_as(
    daemon: Daemon, uid: int, name: str, *words: str, data: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """The same in the name of a user that a privileged daemon's passwd knows.

    The user may not be able to enter the interpreter's folder: all is loaded before the switch.
    """
    enter = (
        ["nsenter", f"--mount=/proc/{daemon.pid}/ns/mnt"]
        if daemon.process is not None and daemon.process.poll() is None
        else []
    )
    return subprocess.run(
        [*enter, sys.executable, "-c", _AS_USER.format(name=name), str(uid), *words],
        input=data,
        env=environment(daemon),
        capture_output=True,
        timeout=30,
    )
