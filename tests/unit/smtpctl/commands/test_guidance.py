"""smtpctl/commands/guidance.py."""

import json
import shutil
import subprocess
from typing import Any

import pytest
import tree

from smtpctl.commands.table import COMMANDS
from smtpctl.output import Output


def test_all_commands(smtpctl: Any, daemon: Any) -> None:
    status, out, _ = smtpctl("help")
    assert status == 0
    patterns = [command.pattern for command in COMMANDS if not command.hidden]
    assert sorted(line.split("  ")[0] for line in out.splitlines()) == sorted(patterns)
    assert daemon.asked == []


def test_some_commands_with_their_options(smtpctl: Any) -> None:
    lines = smtpctl("help", "show", "q").out.splitlines()
    assert lines[0].startswith("show queue  ")
    assert lines[1].startswith("show queue <msgid>"), "the same options are said once"
    assert lines[2].split()[0] == "--sender=ADDRESS"
    rows = [json.loads(line) for line in smtpctl("--json", "help", "show", "queue").out.splitlines()]
    assert rows[0]["command"] == "show queue"
    assert rows[0]["options"][0]["option"] == "--sender=ADDRESS"


def test_at_a_terminal_help_is_folded(smtpctl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Output.__init__

    def init(self: Output, **options: Any) -> None:
        real(self, **options)
        self.width = 60

    monkeypatch.setattr(Output, "__init__", init)
    lines = smtpctl("help", "show", "queue").out.splitlines()
    assert all(len(line) <= 60 for line in lines)
    start = next(line for line in lines if "--after" in line).index("only")
    following = lines[next(i for i, line in enumerate(lines) if "--after" in line) + 1]
    assert following[:start].isspace()
    assert not following[start].isspace()


def test_help_for_what_does_not_exist(smtpctl: Any) -> None:
    status, out, err = smtpctl("help", "shwo")
    assert (status, out) == (64, "")
    assert "did you mean: show?" in err


def test_the_words_that_may_follow(smtpctl: Any) -> None:
    assert smtpctl("complete", "--", "log").out.split() == ["brief", "verbose"]
    assert "--sender=" in smtpctl("complete", "--", "show", "queue").out.split()
    first = smtpctl("complete", "--").out.split()
    assert "show" in first and "complete" not in first
    assert "route" in smtpctl("complete", "--", "--state", "/tmp", "resume", "--json").out.split()
    assert smtpctl("complete", "--", "--state").out == ""
    assert smtpctl("complete", "--", "zzz").out == ""
    assert "complete" not in smtpctl("complete", "--", "show").out


@pytest.mark.parametrize(("shell", "file"), [("bash", "bash/smtpctl"), ("zsh", "zsh/_smtpctl")])
def test_what_is_installed_for_a_shell_is_what_is_printed(smtpctl: Any, shell: str, file: str) -> None:
    text = smtpctl("completion", shell).out
    said = f"smtpctl completion {shell} >completions/{file} makes it"
    assert (tree.ROOT / "completions" / file).read_text() == text, said


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_scripts_are_accepted_by_their_shells(smtpctl: Any, shell: str) -> None:
    status, script, _ = smtpctl("completion", shell)
    assert status == 0
    if shutil.which(shell) is not None:
        done = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_bash_completes(smtpctl: Any, tmp_path: Any) -> None:
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    answers = tmp_path / "smtpctl"
    answers.write_text('#!/bin/sh\n[ "$*" = "complete -- log" ] && printf "brief\\nverbose\\n"\n')
    answers.chmod(0o755)
    script = smtpctl("completion", "bash").out
    words = 'COMP_WORDS=(smtpctl log v); COMP_CWORD=2; COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}'
    words += '; _smtpctl; echo "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"PATH={tmp_path}:$PATH\n{script}\n{words}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "verbose\n"


def test_no_script_for_another_shell(smtpctl: Any) -> None:
    assert smtpctl("completion", "fish") == (1, "command failed: no completion for fish; for bash, zsh\n", "")
