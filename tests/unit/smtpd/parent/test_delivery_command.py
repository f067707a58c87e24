"""Commands: what is run and with what, and the process itself."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd.config.model import Config, LocalAction, RelayAction
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.messages.parent_pony import OpenCommand
from smtpd.parent.delivery_command import (
    PACKAGES,
    CommandError,
    Runner,
    RunningCommand,
    command_line,
    environment,
)

REQUEST = OpenCommand(
    "local",
    "",
    "tag",
    MailAddress("some", "sender.example"),
    MailAddress("User+tag", "example.org"),
    MailAddress("user", "host.example"),
    "user",
    1000,
    1000,
    "/home/user",
)
CONFIG = Config(
    actions={
        "local": LocalAction(
            name="local", method="mda", argument="deliver %{rcpt:lowercase} %{user.directory}"
        ),
        "maildir": LocalAction(name="maildir", method="maildir"),
        "wrapped": LocalAction(name="wrapped", method="mda", argument="deliver '%{sender}'", wrapper="nice"),
        "wrapped maildir": LocalAction(name="", method="maildir", wrapper="nice"),
        "wrapped place": LocalAction(
            name="", method="maildir", argument="~/it's %{rcpt.user}", junk=True, wrapper="nice"
        ),
        "wrapped lmtp": LocalAction(name="", method="lmtp", argument="/run/lmtp", wrapper="nice"),
        "wrapped lmtp rcpt-to": LocalAction(
            name="", method="lmtp", argument="h:24", rcpt_to=True, wrapper="nice"
        ),
        "wrapped mbox": LocalAction(name="", method="mbox", wrapper="nice"),
        "lost": LocalAction(name="lost", method="mda", argument="x", wrapper="nowhere"),
        "broken": LocalAction(name="broken", method="mda", argument="x %{nothing}"),
        "out": RelayAction(name="out"),
    },
    mda_wrappers={"nice": "nice -n 5 %{mda}"},
)


def test_command_lines() -> None:
    forward = REQUEST._replace(mda_exec="procmail -a %{rcpt.user}")
    for request, text in {
        REQUEST: "deliver user+tag@example.org /home/user",
        REQUEST._replace(dispatcher="wrapped"): "nice -n 5 deliver 'some@sender.example'",
        forward: "procmail -a User+tag",
        forward._replace(dispatcher="maildir"): "procmail -a User+tag",
        forward._replace(dispatcher="wrapped"): "nice -n 5 procmail -a User+tag",
        forward._replace(dispatcher="wrapped maildir"): "nice -n 5 procmail -a User+tag",
    }.items():
        assert command_line(CONFIG, request) == (text, False)


@pytest.mark.parametrize(
    ("dispatcher", "mda_exec", "words"),
    [
        ("wrapped maildir", "", "maildir"),
        ("wrapped place", "", "maildir -j '/home/user/it'\"'\"'s User+tag'"),
        ("wrapped lmtp", "", "lmtp -d /run/lmtp -u"),
        ("wrapped lmtp rcpt-to", "", "lmtp -d h:24 -r"),
        (
            "wrapped mbox",
            "/usr/libexec/mail.mboxfile -f %{mbox.from} /home/user/a file",
            "mboxfile -f some@sender.example '/home/user/a file'",
        ),
    ],
)
def test_a_wrapper_around_what_is_no_command(dispatcher: str, mda_exec: str, words: str) -> None:
    """Our own program is, as simple as any: a wrapper may run it without a shell."""
    line = command_line(CONFIG, REQUEST._replace(dispatcher=dispatcher, mda_exec=mda_exec))
    own = f"nice -n 5 /usr/bin/env PYTHONPATH={PACKAGES} {sys.executable} -P -m smtpd.delivery.wrapped"
    assert line == (f"{own} {words}", True)


@pytest.mark.parametrize("dispatcher", ["maildir", "broken", "out", "wrapped mbox"])
def test_no_command(dispatcher: str) -> None:
    with pytest.raises(CommandError):
        command_line(CONFIG, REQUEST._replace(dispatcher=dispatcher))


@pytest.mark.parametrize("dispatcher", ["gone", "lost"])
def test_not_in_the_configuration(dispatcher: str) -> None:
    with pytest.raises(KeyError):
        command_line(CONFIG, REQUEST._replace(dispatcher=dispatcher))


def test_environment() -> None:
    assert environment(REQUEST, "/home/other") == {
        "PATH": "/usr/bin:/bin",
        "DOMAIN": "example.org",
        "HOME": "/home/other",
        "ORIGINAL_RECIPIENT": "User+tag@example.org",
        "RECIPIENT": "user@host.example",
        "SHELL": "/bin/sh",
        "LOCAL": "User+tag",
        "LOGNAME": "user",
        "USER": "user",
        "SENDER": "some@sender.example",
        "EXTENSION": "tag",
    }
    bounce = environment(REQUEST._replace(sender=EMPTY, mda_subaddress=""), "/")
    assert bounce["SENDER"] == "" and "EXTENSION" not in bounce


@pytest.fixture
def commands() -> Iterator[list[RunningCommand]]:
    commands: list[RunningCommand] = []
    yield commands
    for command in commands:
        command.kill(signal.SIGKILL)
        command.process.wait()
        command.close()
        os.close(command.pidfd)


def start(
    commands: list[RunningCommand], line: str, directory: str = "/", **variables: str
) -> RunningCommand:
    command = RunningCommand(line, {"PATH": "/usr/bin:/bin", **variables}, Runner(None, None, directory))
    commands.append(command)
    return command


def read_all(fd: int) -> bytes:
    data = b""
    while piece := os.read(fd, 4096):
        data += piece
    return data


def test_a_command_reads_and_speaks(commands: list[RunningCommand], tmp_path: Path) -> None:
    command = start(commands, "pwd; echo $X; umask; cat; echo error > /dev/stderr", str(tmp_path), X="y")
    os.write(command.input, b"mail\n")
    os.close(command.input)
    command.input = -1
    assert read_all(command.output) == f"{tmp_path}\ny\n0077\nmail\nerror\n".encode()
    assert command.process.wait(10) == 0


def test_no_home(commands: list[RunningCommand]) -> None:
    command = start(commands, "pwd", "/nowhere/at/all")
    assert read_all(command.output) == b"/\n"


def test_nothing_of_ours_is_inherited(commands: list[RunningCommand]) -> None:
    os.environ["SMTPD_TEST"] = "x"
    command = start(
        commands, "env; ls /proc/self/fd | wc -l; ps -o pid=,sid= -p $$ | awk '{print ($1 == $2)}'"
    )
    lines = read_all(command.output).decode().splitlines()
    assert not [line for line in lines if "SMTPD_TEST" in line or line.startswith("HOME=")]
    assert lines[-2:] == ["4", "1"]  # 0, 1, 2 and ls's own; a session of its own


def test_written_before_it_is_read_even_when_the_command_has_gone(commands: list[RunningCommand]) -> None:
    command = start(commands, "exit 3")
    assert command.process.wait(10) == 3
    assert os.write(command.input, b"x" * 60000) == 60000


def test_the_whole_group_is_killed(commands: list[RunningCommand]) -> None:
    command = start(commands, "sleep 100 & sleep 100")
    time.sleep(0.05)
    command.kill(signal.SIGTERM)
    assert command.process.wait(10) == -signal.SIGTERM
    os.close(command.input)
    command.input = -1
    assert read_all(command.output) == b""  # nobody holds it any more
    command.kill(signal.SIGTERM)  # nobody there: no error


def test_nul_in_a_line(commands: list[RunningCommand]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ValueError):
        start(commands, "a\0b")
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
def test_as_another_user(commands: list[RunningCommand], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    os.chown(home, 65534, 65534)
    command = RunningCommand(
        "id -u; id -g; id -G; grep -c CapEff:.0000000000000000 /proc/self/status",
        {"PATH": "/usr/bin:/bin"},
        Runner(65534, 65534, str(home)),
    )
    commands.append(command)
    assert read_all(command.output) == b"65534\n65534\n65534\n1\n"
