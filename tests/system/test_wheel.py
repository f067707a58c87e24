"""What an installation brings: programs, manual pages and completions, each where it is looked for."""

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tree

PROGRAMS = {"makemap", "mailq", "newaliases", "sendmail", "smtpctl"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix of an installation from a wheel, without what it depends on."""
    pytest.importorskip("setuptools", reason="tools/setup installs it")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=tree.ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    for name in names.strip("\0").split("\0"):
        if (tree.ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(tree.ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    build = [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder), "."]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    # What is installed where the tests run from stays as it is.
    install = [*pip, "install", "-q", "--no-deps", "--ignore-installed", "--prefix", str(folder / "prefix")]
    done = subprocess.run([*install, str(wheel)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "prefix"


def test_programs(installed: Path) -> None:
    assert {path.name for path in (installed / "bin").iterdir()} == {*PROGRAMS, "smtpd"}
    (packages,) = installed.glob("lib*/python*/site-packages")
    environment = {**os.environ, "PYTHONPATH": str(packages), "SMTPD_SOCKET": "/nonexistent/smtpd.sock"}
    for name in PROGRAMS:
        done = subprocess.run(
            [installed / "bin" / name, "-Z"], cwd="/", env=environment, capture_output=True, text=True
        )
        assert done.returncode in (1, os.EX_USAGE) and "Traceback" not in done.stderr, (name, done.stderr)
    done = subprocess.run(
        [installed / "bin/smtpctl", "help"], cwd="/", env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0 and "show queue" in done.stdout


def test_manual_pages_and_completions(installed: Path) -> None:
    found = {str(path.relative_to(installed)) for path in (installed / "share").rglob("*") if path.is_file()}
    pages = {f"share/man/man{page.suffix[1:]}/{page.name}" for page in (tree.ROOT / "man").iterdir()}
    completions = {"share/bash-completion/completions/smtpctl", "share/zsh/site-functions/_smtpctl"}
    assert found == pages | completions
    config = configparser.ConfigParser()
    config.read(tree.ROOT / "setup.cfg")
    assert len(config["options.data_files"]) == len({path.rpartition("/")[0] for path in found})


def test_the_pages_are_shown(installed: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("needs man")
    for page in sorted((installed / "share/man").glob("*/*")):
        done = subprocess.run(
            ["man", "--warnings=w", "-l", page],
            env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "TERM": "dumb"},
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), (page, done.stderr)
        assert "NAME" in done.stdout and "DESCRIPTION" in done.stdout
