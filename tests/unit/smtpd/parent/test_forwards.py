"""smtpd/parent/forwards.py: which .forward files are opened (forward(5), OpenSMTPD's secure_file)."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smtpd.messages.parent_lookup import ForwardOpened, OpenForward
from smtpd.parent.forwards import Forwards, Insecure, open_forward

ME = os.geteuid()
SOMEBODY = 54321

need_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")


@pytest.fixture(autouse=True)
def no_leak() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    return home


def write(home: Path, mode: int = 0o644) -> Path:
    path = home / ".forward"
    path.write_text("bob\n")
    path.chmod(mode)
    return path


def outcome(directory: Path | str, uid: int = ME) -> str:
    """The content that can be read, or what was raised."""
    try:
        fd = open_forward(str(directory), uid)
    except Insecure as error:
        return f"insecure: {error}"
    except FileNotFoundError:
        return "none"
    except OSError as error:
        return f"later: {errno.errorcode[error.errno or 0]}"
    assert not os.get_inheritable(fd)
    with open(fd, "rb") as file:
        return file.read().decode()


# files


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o400, 0o755, 0o444])
def test_a_file_of_its_user(home: Path, mode: int) -> None:
    write(home, mode)
    assert outcome(home) == "bob\n"


def test_nothing_there(home: Path) -> None:
    assert outcome(home) == "none"
    assert outcome(home / "nowhere") == "none"


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o620, 0o602, 0o777])
def test_a_file_that_others_may_write(home: Path, mode: int) -> None:
    write(home, mode)
    assert outcome(home) == "insecure: writable by others"


def test_a_file_of_somebody_else(home: Path) -> None:
    write(home)
    assert outcome(home, SOMEBODY).startswith("insecure: ")


@pytest.mark.root
@need_root
def test_owners(home: Path) -> None:
    path = write(home)
    os.chown(home, SOMEBODY, SOMEBODY)
    os.chown(path, SOMEBODY, SOMEBODY)
    assert outcome(home, SOMEBODY) == "bob\n"
    os.chown(path, 0, 0)
    assert outcome(home, SOMEBODY) == "insecure: not owned by its user", "root's own is not the user's"
    os.chown(path, SOMEBODY, SOMEBODY)
    os.chown(home, 0, 0)
    assert outcome(home, SOMEBODY) == "bob\n", "a home may be root's"
    os.chown(home, SOMEBODY + 1, 0)
    assert outcome(home, SOMEBODY).startswith("insecure: the home")


# what is no regular file


def test_a_symbolic_link(home: Path) -> None:
    (home / "elsewhere").write_text("root\n")
    (home / ".forward").symlink_to("elsewhere")
    assert outcome(home) == "insecure: a symbolic link"
    (home / "elsewhere").unlink()
    assert outcome(home) == "insecure: a symbolic link"


def test_a_folder(home: Path) -> None:
    (home / ".forward").mkdir(mode=0o700)
    assert outcome(home) == "insecure: no regular file"


def test_a_pipe_is_not_waited_for(home: Path) -> None:
    os.mkfifo(home / ".forward", 0o600)
    done: list[str] = []
    thread = threading.Thread(target=lambda: done.append(outcome(home)), daemon=True)
    thread.start()
    thread.join(5)
    assert done == ["insecure: no regular file"]


def test_a_socket(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"/proc/self/cwd/{os.path.relpath(home)}/.forward")
        assert outcome(home) == "later: ENXIO"


# the home


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o720])
def test_a_home_that_others_may_write(home: Path, mode: int) -> None:
    write(home)
    home.chmod(mode)
    assert outcome(home).startswith("insecure: the home")


def test_a_home_that_others_may_write_without_a_file(home: Path) -> None:
    """Nothing is wrong then."""
    home.chmod(0o777)
    assert outcome(home) == "none"


@pytest.mark.parametrize("there", [False, True])
def test_a_sticky_home_is_being_worked_on(home: Path, there: bool) -> None:
    if there:
        write(home)
    home.chmod(0o1755)
    assert outcome(home) == "later: EAGAIN"


def test_a_home_that_is_a_link(home: Path, tmp_path: Path) -> None:
    """To a folder it is as good as that one."""
    write(home)
    (tmp_path / "link").symlink_to(home)
    assert outcome(tmp_path / "link") == "bob\n"


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert outcome(tmp_path / "file") == "later: ENOTDIR"


@pytest.mark.parametrize("directory", ["", "relative", "./x", "~alice", "/tmp\0/x", "\0"])
def test_no_path_at_all(directory: str) -> None:
    assert outcome(directory) == "insecure: the home is no absolute path"


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/" + "x" * 5000, "later: ENAMETOOLONG"),
        ("/" + "x/" * 3000, "later: ENAMETOOLONG"),
        ("/\udcff", "none"),
    ],
    ids=["a long name", "a long path", "no text"],
)
def test_paths_that_cannot_be(directory: str, expected: str) -> None:
    assert outcome(directory) == expected


# the answers


class Peer:
    def __init__(self) -> None:
        self.sent: list[tuple[Any, int | None]] = []

    def send(self, message: Any, fd: int | None = None) -> None:
        self.sent.append((message, fd))


@pytest.fixture
def warned() -> list[str]:
    return []


def ask(directory: Path, warned: list[str]) -> tuple[ForwardOpened | None, list[tuple[Any, int | None]]]:
    part = Forwards(SimpleNamespace(log=SimpleNamespace(warn=warned.append)))  # type: ignore[arg-type]
    peer = Peer()
    reply = part.open_forward(peer, 7, OpenForward("alice", ME, str(directory)))  # type: ignore[arg-type]
    return reply, peer.sent


def test_answers(home: Path, warned: list[str]) -> None:
    assert ask(home, warned) == (ForwardOpened(7, "none"), []) and warned == []
    path = write(home)
    reply, ((message, fd),) = ask(home, warned)
    assert reply is None and message == ForwardOpened(7, "ok") and fd is not None and warned == []
    os.close(fd)
    path.chmod(0o666)
    assert ask(home, warned) == (ForwardOpened(7, "permfail"), [])
    home.chmod(0o1755)
    assert ask(home, warned) == (ForwardOpened(7, "tempfail"), [])
    assert warned == [".forward of alice: writable by others", ".forward of alice: the home is sticky"]
