"""smtpd/parent/start.py: what is made and checked before anything is started, and what is said of it."""

import argparse
import fcntl
import os
import resource
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd import __main__ as main_module
from smtpd.config.model import Config
from smtpd.mproc.loop import new_loop
from smtpd.parent import process as process_module
from smtpd.parent import start as start_module
from smtpd.parent.places import ALONE_VARIABLE, CALLER, Places
from smtpd.parent.start import EXIT_FAILED, StartError, main

CONFIGURATION = """\
listen on 127.0.0.1 port {port}
action "local" maildir
match from any for domain "example.org" action "local"
"""


class Parent:
    """In the place of the parent process: keeps what it was made with."""

    made: list["Parent"] = []
    status = 0

    def __init__(self, loop: Any, log: Any, **fields: Any) -> None:
        self.loop, self.log, self.fields = loop, log, fields
        self.paused: frozenset[str] = frozenset()
        Parent.made.append(self)

    def serve(self) -> int:
        self.locked = not can_lock(self.fields["places"].spool)
        self.bound = [each.socket.getsockname() for each in self.fields["listeners"]]
        for each in self.fields["listeners"]:
            each.socket.close()
        self.fields["control"].close()
        self.loop.close()
        return self.status


def can_lock(folder: Path) -> bool:
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No title, no signals, no limits of the test's own process are changed; nothing is left open."""
    monkeypatch.setattr(start_module.setproctitle, "setproctitle", lambda _title: None)
    monkeypatch.setattr(process_module, "Process", Parent)
    monkeypatch.setattr(start_module.Log, "_write", lambda *_arguments: None)
    monkeypatch.setenv(ALONE_VARIABLE, "1")
    Parent.made.clear()
    Parent.status = 0
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    new_loop().close()  # libuv makes a pipe with its first loop and keeps it
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def start(
    tmp_path: Path, free_port: int, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """`smtpd -d --state ... ARGUMENTS`: its status, and what it printed."""
    path = tmp_path / "test.conf"
    path.write_text(CONFIGURATION.format(port=free_port))

    def start(*arguments: str, debug: bool = True) -> tuple[int, str]:
        options = main_module._arguments().parse_args(
            [*(["-d"] if debug else []), "-f", str(path), "--state", str(tmp_path / "state"), *arguments]
        )
        status = main(options)
        printed = capsys.readouterr()
        assert printed.out == ""
        return status, printed.err

    return start


# a start


def test_a_start(start: Callable[..., tuple[int, str]], tmp_path: Path, free_port: int) -> None:
    Parent.status = 3
    assert start("-v", "-P", "mta", "-P", "smtp", "-T", "smtp", "-T", "transfer") == (3, "")
    (parent,) = Parent.made
    assert parent.bound == [("127.0.0.1", free_port)]
    assert parent.locked, "nobody else works on the spool"
    assert parent.paused == {"mta", "smtp"}
    assert parent.log.verbose and parent.log.traces == {"smtp", "mta"}
    assert parent.fields["log_to"] == "stderr"
    assert isinstance(parent.fields["config"], Config)
    assert parent.fields["places"].spool == tmp_path / "state" / "spool"
    state = tmp_path / "state"
    assert sorted(os.listdir(state)) == ["empty", "home", "smtpd.sock", "spool"]
    assert os.listdir(state / "empty") == []
    assert stat.S_IMODE((state / "spool" / "queue").stat().st_mode) == 0o700
    assert can_lock(state / "spool"), "until we end"


def test_a_second_start(start: Callable[..., tuple[int, str]]) -> None:
    """What is there already is used."""
    assert start() == (0, "")
    assert start() == (0, "")


@pytest.mark.parametrize(
    ("arguments", "debug", "expected"),
    [([], True, "stderr"), (["-F"], False, "stderr"), (["-F"], True, "stderr")],
)
def test_where_the_log_goes(
    start: Callable[..., tuple[int, str]], arguments: list[str], debug: bool, expected: str
) -> None:
    """In the foreground of somebody who tries it out: to the terminal."""
    start(*arguments, debug=debug)
    assert Parent.made[0].fields["log_to"] == expected


# checking only


def test_checking_prints_the_configuration_when_asked_to(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    path = tmp_path / "test.conf"
    path.write_bytes(
        b'queue encryption "0123456789abcdef0123456789abcdef"\nmatch mail-from "\xff\xfe" for any reject\n'
    )
    options = main_module._arguments().parse_args(["-n", "-v", "-f", str(path)])
    assert main(options) == 0
    out, err = capfdbinary.readouterr()
    assert err == b"configuration OK\n"
    assert b'match from local for any mail-from "\xff\xfe" reject\n' in out
    assert b"0123456789abcdef" not in out and Parent.made == []
    path.write_bytes(out)
    assert main(options) == 0
    assert capfdbinary.readouterr().out == out


def test_listeners_on_interfaces_are_followed(start: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    path = tmp_path / "test.conf"
    path.write_text(path.read_text().replace("listen on 127.0.0.1", "listen on lo inet4"))
    assert start() == (0, "")
    assert Parent.made[0].fields["following"] == {0}


# what an operator has to mend


def test_an_address_in_use(start: Callable[..., tuple[int, str]], tmp_path: Path, free_port: int) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", free_port))
        other.listen()
        status, said = start()
    assert status == EXIT_FAILED and Parent.made == []
    assert f"cannot listen on 127.0.0.1:{free_port}: Address already in use\n" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "state" / "smtpd.sock").exists(), "the control socket comes last"
    assert can_lock(tmp_path / "state" / "spool")


def test_another_daemon(start: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    start()
    with Locked(tmp_path / "state" / "spool"):
        status, said = start()
    assert status == EXIT_FAILED and len(Parent.made) == 1
    assert said == f"smtpd: {tmp_path}/state/spool: another daemon is working on this spool\n"


class Locked:
    """The folder is locked by somebody else."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder, os.O_RDONLY)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __enter__(self) -> None: ...

    def __exit__(self, *_error: object) -> None:
        os.close(self._fd)


def test_an_empty_folder_that_is_not(start: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "state" / "empty").mkdir(parents=True)
    (tmp_path / "state" / "empty" / "secret").write_text("")
    status, said = start()
    assert (status, said) == (
        EXIT_FAILED, f"smtpd: {tmp_path}/state/empty is not empty: processes are locked into it\n",
    )  # fmt: skip


def test_a_spool_that_others_could_write(start: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    start()
    (tmp_path / "state" / "spool" / "queue").chmod(0o777)
    status, said = start()
    assert status == EXIT_FAILED and len(Parent.made) == 1
    assert said.startswith(f"smtpd: {tmp_path}/state/spool/queue") and len(said.splitlines()) == 1


def test_a_state_that_is_a_file(start: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    status, said = start()
    assert status == EXIT_FAILED and said.startswith("smtpd: ") and str(tmp_path) in said


def test_a_control_socket_that_is_none(start: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "smtpd.sock").write_text("kept")
    status, said = start()
    assert status == EXIT_FAILED and "smtpd.sock: is there, and no socket" in said
    assert (tmp_path / "state" / "smtpd.sock").read_text() == "kept"


def test_neither_root_nor_a_state(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test.conf").write_text(CONFIGURATION.format(port=2525))
    options = main_module._arguments().parse_args(["-d", "-f", str(tmp_path / "test.conf")])
    assert main(options) == EXIT_FAILED
    assert capsys.readouterr().err == "smtpd: need root, or --state DIR to run as yourself\n"


@pytest.mark.parametrize("word", ["", "x", "=x", "="])
def test_macros_that_are_none(word: str) -> None:
    with pytest.raises(StartError, match="could not parse macro definition"):
        start_module._macros(["a=b", word])
    assert start_module._macros(["a=b", "c=", "d=e=f"]) == {"a": "b", "c": "", "d": "e=f"}


@pytest.mark.parametrize("name", ["", "butler", "SMTP", "imsg,smtp"])
def test_traces_that_are_none(name: str) -> None:
    with pytest.raises(StartError, match=f'unknown trace flag "{name}"'):
        start_module._check_traces(["imsg", "all", "transfer", name])


# the pieces


def test_places_are_made(tmp_path: Path) -> None:
    base = tmp_path / "a" / "b"
    places = Places(
        False, base / "spool", base / "s", base / "empty", f"{base}/home", base / "crash", CALLER, CALLER
    )
    before = os.umask(0o027)
    try:
        start_module._make_places(places)
        start_module._make_places(places)
    finally:
        os.umask(before)
    assert sorted(os.listdir(base)) == ["empty", "home", "spool"]
    assert stat.S_IMODE(places.spool.stat().st_mode) == 0o711, "whatever the umask"
    assert stat.S_IMODE(base.stat().st_mode) == 0o750, "who runs it alone decides who may look"


def test_other_users_reach_the_socket_whatever_the_umask(tmp_path: Path) -> None:
    base = tmp_path / "a" / "b"
    places = Places(True, base / "spool", base / "s", base / "empty", "", base / "crash", CALLER, CALLER)
    before = os.umask(0o077)
    try:
        start_module._make_places(places)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (base, base.parent, places.empty)} == {0o755}


def test_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    start_module._raise_descriptors()
    now, still = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert still == hard and now >= min(soft, 65536)
    assert hard == resource.RLIM_INFINITY or now == min(hard, 65536)


def test_into_the_background(tmp_path: Path) -> None:
    """The one that was started ends at once, well; the other has a session of its own and no terminal."""
    answer, writing = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            start_module._daemonize()
            links = [os.readlink(f"/proc/self/fd/{fd}") for fd in (0, 1, 2)]
            own = os.getsid(0) == os.getpid()
            os.write(writing, f"{links} {own}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    assert os.waitpid(first, 0)[1] == 0
    with open(answer, "rb") as said:
        assert said.read().decode() == "['/dev/null', '/dev/null', '/dev/null'] True"


def test_options_of_the_command_line_are_those_used_here() -> None:
    """What start.py reads of the options is what __main__ gives."""
    options = main_module._arguments().parse_args([])
    assert isinstance(options, argparse.Namespace)
    used = {"file", "state", "macros", "check", "verbose", "debug", "foreground", "traces", "paused"}
    assert used <= set(vars(options))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            FileNotFoundError(2, "No such file or directory", "/nowhere"),
            "/nowhere: No such file or directory",
        ),
        (
            OSError(98, "cannot listen on 127.0.0.1:25: Address already in use"),
            "cannot listen on 127.0.0.1:25: Address already in use",
        ),
        (OSError("another daemon is listening there"), "another daemon is listening there"),
        (StartError("not empty"), "not empty"),
    ],
)
def test_the_reason_of_a_failed_start(error: Exception, said: str) -> None:
    assert start_module.reason(error) == said
