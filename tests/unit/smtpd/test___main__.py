"""smtpd/__main__.py: the command line, and that only the process asked for is imported."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import smtpd
from smtpd import __main__ as main_module
from smtpd import __version__
from smtpd.messages.links import CHILDREN, PROCESSES

PACKAGES = Path(smtpd.__file__).parent.parent


def run(*arguments: str, code: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -P -m smtpd ARGUMENTS`, or code in its place."""
    program = ["-c", code] if code else ["-m", "smtpd"]
    return subprocess.run(
        [sys.executable, "-P", *program, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(PACKAGES)},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


# argv


def parsed(*arguments: str) -> argparse.Namespace:
    return main_module._arguments().parse_args(arguments)


def test_defaults() -> None:
    assert vars(parsed()) == {
        "debug": False, "foreground": False, "check": False, "verbose": 0, "macros": [], "file": None,
        "paused": [], "traces": [], "show_version": False, "state": None, "child": None,
    }  # fmt: skip


def test_flags_as_in_the_manual() -> None:
    """smtpd(8): flags may stand together, arguments may touch their flag."""
    options = parsed(
        "-dFnv", "-v", "-Da=b", "-D", "c=d", "-f/etc/x.conf", "-P", "mda", "-Psmtp", "-T", "imsg",
        "--state", "s",
    )  # fmt: skip
    assert options.debug and options.foreground and options.check and options.verbose == 2
    assert options.macros == ["a=b", "c=d"] and options.file == "/etc/x.conf"
    assert options.paused == ["mda", "smtp"] and options.traces == ["imsg"] and options.state == "s"
    for name in CHILDREN:
        assert parsed("-x", name).child == name


@pytest.mark.parametrize(
    "arguments",
    [
        ["-x", "parent"],
        ["-x", "butler"],
        ["-x", "../evil"],
        ["-x"],
        ["-P", "queue"],
        ["-Z"],
        ["word"],
        ["-f"],
    ],
    ids=" ".join,
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parsed(*arguments)
    assert caught.value.code == 2
    assert "usage: smtpd" in capsys.readouterr().err


def test_version_and_usage() -> None:
    done = run("-h")
    assert done.returncode == 1 and done.stdout == ""
    first, second, *_ = done.stderr.splitlines()
    assert first == f"version: {__version__}" and second.startswith("usage: smtpd ")
    assert "-x" not in done.stderr, "how children are started is nobody's business"


def test_help() -> None:
    done = run("--help")
    assert done.returncode == 0 and "--state DIR" in done.stdout and "-x" not in done.stdout


# which code is loaded

LOADED = """
import json, runpy, sys
import smtpd.mproc.child
def main(process_class):
    print(json.dumps([process_class.__module__, process_class.NAME, sorted(sys.modules)]))
    sys.exit(7)
smtpd.mproc.child.main = main
sys.argv[0] = "smtpd"
runpy.run_module("smtpd", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("name", CHILDREN)
def test_a_child_imports_no_other_process(name: str) -> None:
    done = run("-x", name, code=LOADED)
    assert done.returncode == 7, done.stderr
    module, process, loaded = json.loads(done.stdout)
    assert (module, process) == (f"smtpd.{name}.process", name)
    others = {f"smtpd.{other}" for other in PROCESSES if other != name}
    assert others.isdisjoint(loaded)
    assert not {"smtpctl", "logging.handlers"} & set(loaded)


def test_parent_imports_no_child(tmp_path: Path) -> None:
    (tmp_path / "smtpd.conf").write_text(CONFIGURATION)
    code = """
import atexit, json, runpy, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules))))
sys.argv[0] = "smtpd"
runpy.run_module("smtpd", run_name="__main__", alter_sys=True)
"""
    done = run("-n", "-f", str(tmp_path / "smtpd.conf"), code=code)
    assert done.returncode == 0, done.stderr
    loaded = json.loads(done.stdout)
    assert {f"smtpd.{child}" for child in CHILDREN}.isdisjoint(loaded)
    assert "smtpd.parent.start" in loaded and "smtpd.parent.process" not in loaded  # checking starts nothing


# -n

CONFIGURATION = """\
listen on 127.0.0.1 port 2525
action "local" maildir
match from any for domain "example.org" action "local"
"""


def test_a_good_configuration(tmp_path: Path) -> None:
    (tmp_path / "good.conf").write_text(CONFIGURATION)
    done = run("-nf", "good.conf", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "configuration OK\n")
    assert os.listdir(tmp_path) == ["good.conf"]


def test_a_bad_configuration(tmp_path: Path) -> None:
    (tmp_path / "bad.conf").write_text("listen on 127.0.0.1\nmatch from nowhere\n")
    done = run("-n", "-f", str(tmp_path / "bad.conf"))
    assert done.returncode == 1 and done.stdout == ""
    assert "bad.conf:2" in done.stderr and "Traceback" not in done.stderr


def test_macros(tmp_path: Path) -> None:
    path = tmp_path / "macro.conf"
    path.write_text(CONFIGURATION.replace("127.0.0.1", "$where"))
    assert run("-n", "-D", "where=127.0.0.1", "-f", str(path)).returncode == 0
    assert run("-n", "-f", str(path)).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "/nowhere/smtpd.conf"], "/nowhere/smtpd.conf"),
        (["-D", "word"], "could not parse macro definition word"),
        (["-D", "=x"], "could not parse macro definition =x"),
        (["-T", "butler"], 'unknown trace flag "butler"'),
        (["--state", ""], "--state wants a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_begun(arguments: list[str], said: str) -> None:
    """In one line, and nothing is started."""
    done = run("-n", *arguments)
    assert done.returncode == 1 and said in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
