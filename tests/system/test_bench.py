"""tools/bench works, on both sides; its figures are no matter of a test."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import tree

UNPACKED = tree.ROOT / ".cache/debian/postfix/usr/sbin/smtp-source"


def bench(*arguments: str) -> list[dict]:
    """The figures of a short run."""
    done = subprocess.run(
        [
            sys.executable,
            "tools/bench_mail.py",
            "--sessions",
            "2",
            "--messages",
            "60",
            "--json",
            "-",
            *arguments,
        ],
        cwd=tree.ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.stdout, done.stderr
    figures: list[dict] = json.loads(done.stdout)["figures"]
    return figures


@pytest.fixture(autouse=True)
def load() -> None:
    if not UNPACKED.exists() and shutil.which("smtp-source") is None:
        pytest.skip("no smtp-source: tools/system_needs brings it")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("scenario", ["accept", "relay", "drain", "maildir"])
def test_ours_is_measured(scenario: str) -> None:
    (figure,) = bench(scenario, "--only", "ours")
    assert figure["error"] == ""
    assert (figure["scenario"], figure["messages"]) == (scenario, 60)
    assert figure["rate"] > 0
    assert figure["processes"] >= 6
    assert figure["pss_after"] > 1000


@pytest.mark.root
@pytest.mark.timeout(120)
def test_others_are_measured_and_leave_the_machine_as_it_was() -> None:
    if not os.access("/usr/sbin/smtpd", os.X_OK):
        pytest.skip("no OpenSMTPD: tools/system_needs installs it")
    before = [os.path.exists(path) for path in ("/var/spool/smtpd/queue", "/run/smtpd.sock", "/home/bench")]
    figures = bench("maildir", "--only", "rival")
    assert [(figure["error"], figure["rate"] > 0) for figure in figures] == [("", True)] * len(figures)
    assert any(figure["daemon"].startswith("OpenSMTPD") for figure in figures)
    after = [os.path.exists(path) for path in ("/var/spool/smtpd/queue", "/run/smtpd.sock", "/home/bench")]
    assert after == before
