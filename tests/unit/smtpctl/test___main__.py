"""smtpctl/__main__.py: the programs by their names."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smtpctl import __main__ as program
from smtpd.messages.client_queue import ClientShowQueue


def test_mailq_is_show_queue(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl(main=program.mailq) == (0, "", "")
    assert smtpctl("6c472de9", main=program.mailq).status == 0
    assert daemon.asked == [ClientShowQueue(0), ClientShowQueue(0x6C472DE9)]


def test_bytes_that_are_no_text_come_out_as_they_are_in_any_locale(state: Path) -> None:
    script = "import sys; from smtpctl.__main__ import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", script, "show", b"\xff\xc3\xa9"],
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == os.EX_USAGE
    assert done.stderr.startswith(b"smtpctl: show \xff\xc3\xa9: no such command\n")


def test_without_arguments_they_are_those_of_the_process(
    smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["mailq", "6c472de9"])
    assert program.mailq() == 0
    assert daemon.asked == [ClientShowQueue(0x6C472DE9)]


@pytest.mark.parametrize(
    ("name", "not_needed"),
    [
        ("sendmail", {"smtpctl.running", "smtpctl.newaliases", "smtpd.config.parse", "asyncio"}),
        ("makemap", {"smtpctl.running", "smtpctl.sendmail", "smtpd.config.parse", "asyncio"}),
    ],
)
def test_each_loads_what_it_needs(name: str, not_needed: set[str]) -> None:
    script = (
        f"import sys; from smtpctl.__main__ import {name}; {name}(['-Z']); print(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    loaded = set(done.stdout.splitlines())
    assert f"smtpctl.{name}" in loaded
    assert not not_needed & loaded
