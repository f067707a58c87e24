"""The programs that setup installs, and the tools a newcomer starts with, as they are called."""

import configparser
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tree

BIN = Path(sys.executable).parent


def programs() -> dict[str, str]:
    """name -> what it does, as setup.cfg declares them: an entry point, or a text of our own."""
    config = configparser.ConfigParser()
    config.read(tree.ROOT / "setup.cfg")
    lines = config["options.entry_points"]["console_scripts"].strip().splitlines()
    points = dict(tuple(part.strip() for part in line.split("=")) for line in lines)
    files = config["options"]["scripts"].split()
    return points | {Path(file).name: (tree.ROOT / file).read_text() for file in files}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        arguments,
        cwd=tree.ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_all_programs_are_declared() -> None:
    assert set(programs()) == {"smtpd", "smtpctl", "mailq", "sendmail", "newaliases", "makemap"}


def test_smtpd_leads_to_a_function() -> None:
    module, _, function = programs()["smtpd"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize("name", sorted(set(programs()) - {"smtpd"}))
def test_a_program_is_there_and_loads_little(name: str) -> None:
    """What a call costs is the loading: what is slow to load is not needed for one word to the daemon."""
    arguments = {"smtpctl": ["show", "status"], "sendmail": ["-bp"], "makemap": ["-Z"], "newaliases": ["-Z"]}
    environment = {"SMTPD_SOCKET": "/nonexistent/smtpd.sock", "PYTHONPROFILEIMPORTTIME": "1"}
    done = run(str(BIN / name), *arguments.get(name, []), **environment)
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode in (1, os.EX_USAGE, os.EX_UNAVAILABLE)
    assert said and not any("Traceback" in line for line in said)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line not in said}
    assert "smtpctl.__main__" in loaded
    if name != "newaliases":  # which reads smtpd.conf
        assert not {"asyncio", "dataclasses", "inspect"} & loaded
    if name == "smtpctl":
        messages = {"smtpd.messages.control_lookup", "smtpd.messages.control_mta"}
        assert not (messages | {"re", "pathlib", "hashlib", "json", "tempfile"}) & loaded


def test_smtpd_tells_its_version() -> None:
    done = run(sys.executable, "-m", "smtpd", "-h")
    assert done.returncode == 1
    assert done.stderr.startswith("version: ")


def test_smtpd_refuses_a_wrong_configuration_with_its_place(tmp_path) -> None:
    conf = tmp_path / "smtpd.conf"
    conf.write_text('action "local" maildir\nmatch from any for local action "lokal"\n')
    done = run(sys.executable, "-m", "smtpd", "-n", "-f", str(conf))
    assert done.returncode == 1
    assert f"{conf}:2:" in done.stderr


def test_smtpd_without_rights_and_state_says_what_to_do(tmp_path) -> None:
    conf = tmp_path / "smtpd.conf"
    conf.write_text('action "local" maildir\nmatch from any for local action "local"\n')
    done = run(sys.executable, "-m", "smtpd", "-d", "-f", str(conf), SMTPD_ALONE="1")
    assert done.returncode == 1
    assert "--state" in done.stderr


def test_a_child_is_not_started_by_hand() -> None:
    done = run(sys.executable, "-m", "smtpd", "-x", "queue")
    assert done.returncode != 0
    assert "only smtpd itself" in done.stderr
    assert "Traceback" not in done.stderr


def test_smtpctl_has_help_and_answers_mistakes() -> None:
    done = run(sys.executable, "-m", "smtpctl", "help")
    assert done.returncode == 0
    assert "show queue" in done.stdout
    wrong = run(sys.executable, "-m", "smtpctl", "shwo", "queue")
    assert wrong.returncode != 0
    assert "show" in wrong.stderr


@pytest.mark.parametrize("tool", ["setup", "run", "test", "check", "bench", "system_needs"])
def test_a_tool_is_a_program_that_the_shell_can_read(tool: str) -> None:
    path = tree.ROOT / "tools" / tool
    assert os.access(path, os.X_OK)
    assert run("bash", "-n", str(path)).returncode == 0


def test_setup_is_quick_when_nothing_changed() -> None:
    if not (tree.ROOT / ".venv/.stamp").exists():
        pytest.skip("this tree was not set up by tools/setup")
    done = run(str(tree.ROOT / "tools/setup"))
    assert done.returncode == 0, done.stderr
    assert "nothing changed" in done.stdout or "ready" in done.stdout


def test_setup_without_an_interpreter_says_in_one_line_what_to_install(tmp_path) -> None:
    (tmp_path / "tools").mkdir()
    setup = tmp_path / "tools/setup"
    setup.write_bytes((tree.ROOT / "tools/setup").read_bytes())
    setup.chmod(0o755)
    (tmp_path / "setup.cfg").touch()
    # A machine whose python3 runs but is too old, with a shim that leads nowhere before it.
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (
        ("python3", "exit 1"),
        ("python3.13", "echo 'pyenv: command not found' >&2; exit 127"),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    for name in ("bash", "dirname", "flock", "cat", "env"):
        for folder in ("/usr/bin", "/bin"):
            if os.path.exists(f"{folder}/{name}") and not (programs / name).exists():
                (programs / name).symlink_to(f"{folder}/{name}")
    done = subprocess.run(
        [str(setup)],
        env={"PATH": str(programs), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "Python 3.12" in line
    assert "apt install" in line


@pytest.mark.parametrize(
    "closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-", "1>/dev/full", ">/dev/full 2>&1"]
)
@pytest.mark.parametrize("command", ["--json help", "help", "encrypt", "spf walk", "shwo"])
def test_streams_that_are_closed_or_full(command: str, closed: str, tmp_path: Path) -> None:
    """Nothing falls over: what cannot be written is said, or there is nobody to say it to."""
    errors = tmp_path / "errors"
    line = f"({BIN}/smtpctl {command} {closed}) 2>{errors} >{tmp_path}/out </dev/null"
    done = run("sh", "-c", line, SMTPD_SOCKET="/nonexistent/smtpd.sock", PYTHONUNBUFFERED="")
    said = errors.read_text()
    assert "Traceback" not in said and "Exception" not in said
    full = os.EX_IOERR if "full" in closed else 0
    if "help" in command:
        assert done.returncode == full
        assert ("No space left on device" in said) == (closed == "1>/dev/full")
    elif command == "shwo":
        assert done.returncode == (full if "2>" in closed and full else os.EX_USAGE)
    else:
        assert done.returncode == 0


def test_sendmail_with_streams_that_are_closed_or_full() -> None:
    for streams in ("0<&-", "0<&- 1>&- 2>&-", ">/dev/full", "2>/dev/full"):
        line = f"{BIN}/sendmail -v -Z {streams}"
        done = run("sh", "-c", line, SMTPD_SOCKET="/nonexistent/smtpd.sock")
        assert done.returncode == (os.EX_IOERR if streams == "2>/dev/full" else os.EX_USAGE), streams
        assert "Traceback" not in done.stderr


def test_a_reader_that_has_gone_is_told_nothing() -> None:
    for words in (("--json", "help"), ("help",)):
        reading, writing = os.pipe()
        os.close(reading)
        try:
            done = subprocess.run(
                [f"{BIN}/smtpctl", *words], stdout=writing, stderr=subprocess.PIPE, cwd=tree.ROOT, timeout=50
            )
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (os.EX_IOERR, b"")
