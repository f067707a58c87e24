"""smtpd/mproc/spawn.py: what a child is started with, and with what not."""

import errno
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imsg import Channel
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.parent_child import ChildHello
from smtpd.mproc import spawn as spawn_module
from smtpd.mproc.spawn import (
    DESCRIPTOR_VARIABLE,
    Child,
    describe_status,
    environment,
    socketpair,
    spawn,
)

pytestmark = pytest.mark.usefixtures("no_leak")


def test_socketpair() -> None:
    one, two = socketpair()
    with one, two:
        for end in (one, two):
            assert end.family == socket.AF_UNIX and end.type == socket.SOCK_STREAM
            assert not end.getblocking() and not end.get_inheritable()
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) >= 128 * 1024
        one.send(b"there")
        assert two.recv(10) == b"there"


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name in ("SECRET", "LD_PRELOAD", "PYTHONSTARTUP", "PYTHONINSPECT", "NOTIFY_SOCKET", "HOME"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/authorities.pem")
    monkeypatch.setenv("PYTHONPATH", f"/one{os.pathsep}{os.pathsep}/two")
    packages = os.path.dirname(os.path.dirname(os.path.dirname(spawn_module.__file__)))
    assert environment() == {
        "TZ": "Europe/Berlin",
        "SSL_CERT_FILE": "/etc/authorities.pem",
        "PYTHONPATH": os.pathsep.join((packages, "/one", "/two")),
    }
    monkeypatch.delenv("PYTHONPATH")
    assert environment()["PYTHONPATH"] == packages


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with status 0"),
        (70, "exited with status 70"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-200, "was killed by signal 200"),
    ],
)
def test_describe_status(status: int, words: str) -> None:
    assert describe_status(status) == words


# a real child


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Child]]:
    """Starts children that are gone after the test."""
    monkeypatch.setenv("SMTPD_TEST_SECRET", "hunter2")
    started: list[Child] = []

    def start(name: str) -> Child:
        started.append(spawn(name))
        return started[-1]

    yield start
    for child in started:
        child.socket.close()
        if child.process.poll() is None:
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            child.process.wait()
        os.close(child.pidfd)


def wait_for(fd: int) -> None:
    assert select.select([fd], [], [], 10)[0], "nothing within 10 s"


def test_a_child_that_was_started(start: Callable[[str], Child], capfd: pytest.CaptureFixture[str]) -> None:
    child = start("scheduler")
    wait_for(child.socket.fileno())
    ((_number, hello, _peerid, fd),) = Channel(child.socket, CATALOGUE).receive()
    assert hello == ChildHello(child.pid, CATALOGUE.digest()) and fd is None

    assert child.name == "scheduler"
    assert os.getsid(child.pid) == child.pid  # a session of its own: no signals from our terminal
    assert Path(f"/proc/{child.pid}/cmdline").read_text().startswith("smtpd: scheduler")
    assert os.readlink(f"/proc/{child.pid}/fd/0") == os.devnull
    sockets = [
        fd
        for fd in os.listdir(f"/proc/{child.pid}/fd")
        if int(fd) > 2 and os.readlink(f"/proc/{child.pid}/fd/{fd}").startswith("socket:")
    ]
    assert len(sockets) == 1, "only the one to parent is handed down"

    assert not select.select([child.pidfd], [], [], 0)[0]
    child.socket.close()
    wait_for(child.pidfd)
    child.process.wait()
    assert describe_status(child.process.returncode) == "exited with status 70"
    assert "setup: " in capfd.readouterr().err


def test_what_is_executed(
    start: Callable[[str], Child], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen by a program in the interpreter's place."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/arguments\nexec env >{tmp_path}/environment\n')
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    child = start("pony")
    assert child.process.wait(10) == 0
    assert (tmp_path / "arguments").read_text() == "-P -m smtpd -x pony\n"
    lines = (tmp_path / "environment").read_text().splitlines()
    seen = dict(line.partition("=")[::2] for line in lines)
    assert int(seen[DESCRIPTOR_VARIABLE]) > 2
    assert "SMTPD_TEST_SECRET" not in seen
    made_by_the_shell = {"PWD", "OLDPWD", "SHLVL", "_"}
    assert set(seen) - made_by_the_shell <= {*environment(), DESCRIPTOR_VARIABLE}


def test_a_child_nobody_knows(start: Callable[[str], Child], capfd: pytest.CaptureFixture[str]) -> None:
    child = start("butler")
    wait_for(child.pidfd)
    assert child.process.wait() == 2
    assert "butler" in capfd.readouterr().err


def test_an_interpreter_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(OSError) as caught:
        spawn("lookup")
    assert caught.value.errno == errno.ENOENT


def test_the_folder_it_starts_in_is_not_searched(
    start: Callable[[str], Child],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A file called msgpack.py where the daemon was started must not become part of it."""
    (tmp_path / "msgpack.py").write_text("import os; os.write(2, b'trapped')")
    monkeypatch.chdir(tmp_path)
    child = start("scheduler")
    wait_for(child.socket.fileno())
    assert Channel(child.socket, CATALOGUE).receive()[0][1].pid == child.pid
    assert "trapped" not in capfd.readouterr().err
