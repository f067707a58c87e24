"""smtpctl/running.py."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from smtpctl.client import Incompatible, NoPermission
from smtpctl.commands import switches
from smtpd.messages.client_control import ClientPause


def test_a_command_is_run_and_its_status_returned(smtpctl: Any, daemon: Any, state: Path) -> None:
    assert smtpctl("pause", "mta") == (0, "command succeeded\n", "")
    assert daemon.asked == [ClientPause("mta")]
    assert daemon.path is None, "the connection is closed at the end"
    daemon.error = "mta is already paused"
    assert smtpctl("pause", "mta") == (1, "command failed: mta is already paused\n", "")


def test_a_daemon_that_does_not_run(smtpctl: Any, daemon: Any) -> None:
    daemon.running = False
    assert smtpctl("show", "stats") == (69, "", "smtpctl: smtpd doesn't seem to be running\n")
    status, out, err = smtpctl("--json", "show", "stats")
    assert (status, json.loads(out)["done"]) == (69, False)
    assert err


@pytest.mark.parametrize("error", [NoPermission("/x: permission denied"), Incompatible("another version")])
def test_other_errors(smtpctl: Any, monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    def client(_path: Path) -> None:
        raise error

    monkeypatch.setattr("smtpctl.client.Client", client)
    assert smtpctl("show", "status") == (error.status, "", f"smtpctl: {error}\n")


def test_nothing_or_nonsense_is_explained(smtpctl: Any, daemon: Any) -> None:
    status, out, err = smtpctl()
    assert (status, out) == (os.EX_USAGE, "")
    assert "possibilities are:\ncheck\ndiscover\nencrypt\n" in err
    assert "\nlog\nmonitor\npause\n" in err
    assert "complete\n" not in err, "that is the shell's"
    status, out, err = smtpctl("show", "quee")
    assert status == os.EX_USAGE
    assert "did you mean: show queue?\n" in err
    assert daemon.asked == []


@pytest.mark.parametrize(
    "words", [["show", "quee"], ["show", "queue", "--nope"], ["show", "queue", "--sort=x"]]
)
def test_nonsense_is_an_object_where_objects_are_wanted(smtpctl: Any, daemon: Any, words: list[str]) -> None:
    status, out, err = smtpctl("--json", *words)
    assert status == os.EX_USAGE
    assert json.loads(out).keys() == {"done", "error"}
    assert err.startswith(f"smtpctl: {json.loads(out)['error']}\n")


@pytest.mark.parametrize("words", [["--state"], ["show", "queue", "--state"]])
def test_a_missing_folder(smtpctl: Any, words: list[str]) -> None:
    status, _, err = smtpctl(*words)
    assert status == os.EX_USAGE
    assert "--state needs a folder" in err
    assert "usage: smtpctl" in err


@pytest.mark.parametrize(
    "words",
    [["--state", "X", "pause", "mta"], ["pause", "--state=X", "mta"], ["pause", "mta", "--state", "X"]],
)
def test_the_state_folder_may_be_named_anywhere(
    smtpctl: Any, daemon: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    seen: list[Path] = []

    def client(path: Path) -> Any:
        seen.append(path)
        return daemon.client(path)

    monkeypatch.setattr("smtpctl.client.Client", client)
    assert smtpctl(*(word.replace("X", str(tmp_path / "there")) for word in words)).status == 0
    assert seen == [str(tmp_path / "there" / "smtpd.sock")]


def test_interrupted(smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("smtpctl.client.Client", interrupted)
    assert smtpctl("monitor") == (130, "", "")


def test_a_reader_that_goes_away_is_no_error_to_shout_about(state: Path) -> None:
    script = "import sys; from smtpctl.__main__ import main; sys.exit(main(['help'] * 1))"
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", script], stdout=writing, stderr=subprocess.PIPE, timeout=20, check=False
    )
    os.close(writing)
    assert done.returncode == os.EX_IOERR
    assert done.stderr == b""


def test_every_action_says_succeeded(smtpctl: Any, daemon: Any) -> None:
    for words in (("log", "brief"), ("resume", "smtp"), ("trace", "imsg")):
        assert smtpctl(*words) == (0, "command succeeded\n", "")
    assert switches.pause_mta is not switches.pause_mda
