"""Completion in real shells: keys typed at a terminal, and what stands there then."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree

STARTS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        "bind 'set bell-style none'; bind 'set page-completions off'; bind 'set completion-query-items 0'",
    ),
    "zsh": (["zsh", "-f", "-i"], "autoload -Uz compinit; compinit -D -u; unsetopt BEEP; LISTMAX=10000"),
}

_CONTROL = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|[=>78])|[\x07\r\x08]")
"""What moves the cursor, and the bell."""

_ENDED = re.compile(r"^end\n[^\n]*ready> ", re.M)


class Shell:
    """A shell at a terminal."""

    def __init__(self, name: str, folder: Path) -> None:
        command, prepare = STARTS[name]
        program = folder / "smtpctl"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m smtpctl "$@"\n')
        program.chmod(0o755)
        environment = {
            "PATH": f"{folder}:/usr/bin:/bin",
            "PYTHONPATH": str(tree.ROOT),
            "TERM": "xterm",
            "HOME": str(folder),
            "COLUMNS": "200",
            "LINES": "100",
        }
        self.end, its = pty.openpty()
        self.process = subprocess.Popen(
            command, stdin=its, stdout=its, stderr=its, env=environment, cwd=folder, start_new_session=True
        )
        os.close(its)
        self.run(f"stty cols 200 rows 100; PS1='ready> '; unset zle_bracketed_paste; {prepare}")
        self.run(f'eval "$(smtpctl completion {name})"')

    def run(self, line: str) -> str:
        """A line and its output, until the shell waits for the next one."""
        os.write(self.end, f"{line}; echo en''d\n".encode())
        return self.until(_ENDED)

    def until(self, pattern: str | re.Pattern[str], seconds: float = 20, again: str = "") -> str:
        """What comes until the pattern is there; `again`: keys for every second until then."""
        seen = ""
        until = time.monotonic() + seconds
        while not re.search(pattern, seen):
            assert time.monotonic() < until, f"{pattern!r} is not in {seen!r}"
            if select.select([self.end], [], [], 1)[0]:
                seen = _CONTROL.sub("", seen + os.read(self.end, 65536).decode("utf-8", "replace"))
            elif again:
                os.write(self.end, again.encode())
        return seen

    def complete(self, keys: str) -> str:
        """What the line is after keys and a tab."""
        os.write(self.end, f"{keys}\t".encode())
        # What is typed on waits until the completion is over: the line is put between quotes, and run.
        os.write(self.end, b"\x01printf '<%s>\\n' '\x05'; echo en''d\n")
        seen = self.until(_ENDED)
        (line,) = re.findall(r"^<(.*)>\n", seen, re.M)
        return str(line).rstrip()

    def candidates(self, keys: str, last: str) -> set[str]:
        """The words that are listed after some tabs, once the one that comes last is there."""
        os.write(self.end, f"{keys}\t".encode())
        seen = self.until(rf"[ \n]{last}\b", again="\t")
        os.write(self.end, b"\x15")
        self.run(":")
        return set(re.findall(r"[\w=<>-]+", seen))

    def close(self) -> None:
        os.close(self.end)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture(scope="module", params=list(STARTS))
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """Each of them."""
    if shutil.which(request.param) is None:
        pytest.skip(f"needs {request.param}: tools/system_needs installs it")
    one = Shell(request.param, tmp_path_factory.mktemp(request.param))
    yield one
    one.close()


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_more_tabs_list_what_is_possible(shell: Shell) -> None:
    """In bash, which prints a list once; zsh paints menus."""
    assert {"envelope", "mda", "mta", "smtp"} <= shell.candidates("smtpctl pause ", "smtp")
    listed = shell.candidates("smtpctl show queue --", "--watch")
    assert {"--sender=", "--sort=", "--by=", "--watch="} <= listed
    assert not {"<msgid>", "complete"} & (listed | shell.candidates("smtpctl ", "update"))


@pytest.mark.parametrize(
    ("typed", "becomes"),
    [
        ("smtpctl pau", "smtpctl pause"),
        ("smtpctl show ro", "smtpctl show routes"),
        ("smtpctl sh ro", "smtpctl sh routes"),
        ("smtpctl pause envelope a", "smtpctl pause envelope all"),
        ("smtpctl --state /tmp show sta", "smtpctl --state /tmp show stat"),
        ("smtpctl --json --state=/tmp show stats --w", "smtpctl --json --state=/tmp show stats --watch="),
        ("smtpctl show queue --sen", "smtpctl show queue --sender="),
        ("smtpctl encrypt --r", "smtpctl encrypt --rounds="),
        ("smtpctl nothing su", "smtpctl nothing su"),
    ],
)
def test_a_tab_completes(shell: Shell, typed: str, becomes: str) -> None:
    assert shell.complete(typed) == becomes
