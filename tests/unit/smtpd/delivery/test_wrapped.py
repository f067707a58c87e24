"""The program inside of a wrapper: its statuses, whatever is wrong with it."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from smtpd.delivery import as_command
from smtpd.delivery.maildir import Maildir
from smtpd.delivery.wrapped import EX_TEMPFAIL, EX_UNAVAILABLE, main
from smtpd.parent.delivery_command import PACKAGES

FILES = ("__init__.py", "delivery/__init__.py", "delivery/wrapped.py")


def run(packages: Path, home: Path, *words: str) -> tuple[int, str]:
    """Status and last line, in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "smtpd.delivery.wrapped", *words],
        input=b"Subject: x\n\n",
        stderr=subprocess.PIPE,
        env={"HOME": str(home), "PYTHONPATH": str(packages)},
        check=False,
    )
    return ended.returncode, ended.stderr.decode()


def test_statuses(tmp_path: Path) -> None:
    assert run(PACKAGES, tmp_path, "maildir") == (0, "")
    assert run(PACKAGES, tmp_path, "maildir", "here") == (EX_UNAVAILABLE, "maildir: not an absolute path\n")
    status, reason = run(PACKAGES, tmp_path, "lmtp", "-d", str(tmp_path / "nobody"), "-u")
    assert (status, reason) == (EX_TEMPFAIL, "lmtp: No such file or directory\n")
    assert len(list((tmp_path / "Maildir/new").iterdir())) == 1


@pytest.mark.parametrize(
    "broken", ["", "import sys; sys.exit(69)", "raise KeyboardInterrupt", "def deliver("]
)
def test_only_half_of_it_is_there(tmp_path: Path, broken: str) -> None:
    """As while another version is being installed."""
    for name in FILES:
        file = tmp_path / "site/smtpd" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes((PACKAGES / "smtpd" / name).read_bytes())
    if broken:
        (tmp_path / "site/smtpd/delivery/as_command.py").write_text(broken)
    status, reason = run(tmp_path / "site", tmp_path, "maildir")
    assert status == EX_TEMPFAIL and reason.count("\n") == 1 and "Traceback" not in reason


@pytest.mark.parametrize("error", [RuntimeError, AssertionError, MemoryError, RecursionError, SystemExit])
def test_a_fault_of_ours(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Callable[[str], BaseException],
) -> None:
    def fails(*_: object) -> NoReturn:
        raise error("why")

    monkeypatch.setattr(Maildir, "write", fails)
    reading, writing = os.pipe()
    os.write(writing, b"Subject: x\n\n")
    os.close(writing)
    try:
        assert main(["maildir"], {"HOME": str(tmp_path)}, reading) == EX_TEMPFAIL
    finally:
        os.close(reading)
    assert capsys.readouterr().err.endswith(
        "Error: why\n" if error is not SystemExit else "SystemExit: why\n"
    )


@pytest.mark.parametrize("nowhere", ["closed", "none"])
def test_nobody_hears_why(monkeypatch: pytest.MonkeyPatch, nowhere: str) -> None:
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream if nowhere == "closed" else None)
    monkeypatch.setattr(as_command, "deliver", None)
    assert main(["maildir"], {}, 0) == EX_TEMPFAIL
