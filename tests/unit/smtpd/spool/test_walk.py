"""Reading a whole spool, and clearing what a crash left."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smtpd.spool.backend import CORRUPT, ERROR, GONE, Failure, Stored
from smtpd.spool.walk import (
    LEAVE,
    PURGE,
    SET_ASIDE,
    Damaged,
    clear,
    is_evpid,
    is_msgid,
    open_regular,
    read_envelope,
    scan,
)


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name + "\n")


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield tmp_path, fd
    os.close(fd)


def test_names() -> None:
    assert (
        is_msgid("0123abcd")
        and not is_msgid("0123ABCD")
        and not is_msgid("0123abc")
        and not is_msgid("message")
    )
    assert is_evpid("0123abcd01234567") and not is_evpid("0123abcd0123456") and not is_evpid("g" * 16)


def test_scan(queue: tuple[Path, int]) -> None:
    path, fd = queue
    put(path, "01/01000001/message", "01/01000001/0100000100000001", "01/01000001/0100000100000002")
    put(path, "ff/ff000001/message", "ff/ff000001/ff00000100000001")
    found = list(scan(fd, ()))
    assert [sorted(one) for one in found] == [
        [
            Stored(0x0100000100000001, b"0100000100000001\n"),
            Stored(0x0100000100000002, b"0100000100000002\n"),
        ],
        [Stored(0xFF00000100000001, b"ff00000100000001\n")],
    ]
    assert list(scan(fd, {0x01000001, 0xFF000001})) == []


def test_names_that_are_none_are_passed_over(queue: tuple[Path, int]) -> None:
    path, fd = queue
    put(path, "readme", "1/x", "zz/zz000001/message", "01/01000001.bak/message", "01/02000001/message")
    put(path, "00/00000000/message", "01/file")
    put(path, "01/01000001/message", "01/01000001/0100000100000001")
    put(path, "01/01000001/0200000100000001", "01/01000001/notes", "01/01000001/0100000100000001.tmp")
    assert list(scan(fd, ())) == [[Stored(0x0100000100000001, b"0100000100000001\n")]]


def test_damage(queue: tuple[Path, int]) -> None:
    path, fd = queue
    put(path, "01/01000001/message")
    put(path, "02/02000001/0200000100000001")
    (path / "03" / "03000001").mkdir(parents=True)
    put(path, "04/04000001")
    assert list(scan(fd, ())) == [
        Damaged(0x01000001, PURGE, "a message without envelopes"),
        Damaged(0x02000001, SET_ASIDE, "envelopes without a message"),
        Damaged(0x03000001, PURGE, "a message without envelopes"),
        Damaged(0x04000001, LEAVE, "open: Not a directory"),
    ]


def test_what_cannot_be_read_now_is_left(queue: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    path, fd = queue
    put(path, "01/01000001/message", "01/01000001/0100000100000001")
    real = os.listdir

    def listdir(what: int) -> list[str]:
        if len(real(what)) == 2:
            raise OSError(5, "")
        return real(what)

    monkeypatch.setattr(os, "listdir", listdir)
    assert list(scan(fd, ())) == [Damaged(0x01000001, LEAVE, "list: Input/output error")]


def test_a_message_delivered_meanwhile(queue: tuple[Path, int]) -> None:
    path, fd = queue
    put(path, "01/01000001/message", "01/01000001/0100000100000001")
    put(path, "01/01000002/message", "01/01000002/0100000200000001")
    found = scan(fd, ())
    first = next(found)
    assert isinstance(first, list)
    other = 0x02000003 - (first[0].evpid >> 32)
    name = f"{other:08x}"
    for file in (path / "01" / name).iterdir():
        file.unlink()
    (path / "01" / name).rmdir()
    assert list(found) == []


def test_envelopes_that_are_not_files(queue: tuple[Path, int]) -> None:
    path, fd = queue
    (path / "folder").mkdir()
    (path / "link").symlink_to("/etc/passwd")
    os.mkfifo(path / "fifo")
    put(path, "file")
    # the FIFO must not make us wait for a writer
    for name, kind in (("folder", CORRUPT), ("link", CORRUPT), ("fifo", CORRUPT), ("missing", GONE)):
        result = read_envelope(name, fd)
        assert isinstance(result, Failure) and result.kind == kind
    assert read_envelope("file", fd) == b"file\n"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_a_message_that_is_no_file(queue: tuple[Path, int], make: Callable[[Path], None]) -> None:
    path, fd = queue
    make(path / "message")
    before = len(os.listdir("/proc/self/fd"))
    assert open_regular("message", fd, "open message") == Failure(CORRUPT, "open message: no regular file")
    assert len(os.listdir("/proc/self/fd")) <= before


def test_descriptors_run_out(queue: tuple[Path, int], monkeypatch: pytest.MonkeyPatch) -> None:
    _path, fd = queue

    def refuse(*_arguments: object, **_named: object) -> int:
        raise OSError(24, "")

    monkeypatch.setattr(os, "open", refuse)
    result = read_envelope("file", fd)
    assert isinstance(result, Failure) and result == Failure(ERROR, "read envelope: Too many open files")
    assert list(scan(fd, ())) == []


def test_clear(queue: tuple[Path, int]) -> None:
    path, fd = queue
    put(path, "a/b/c/file", "a/file", "file", "kept/file")
    (path / "a" / "link").symlink_to(path / "kept")
    os.chmod(path / "a" / "b", 0o500 if os.geteuid() == 0 else 0o700)
    for _ in clear(fd, ["a", "file", "missing"]):
        pass
    assert os.listdir(path) == ["kept"]
    assert (path / "kept" / "file").exists()


def test_clear_stops_in_between(queue: tuple[Path, int]) -> None:
    path, fd = queue
    put(path, *(f"m/{number}" for number in range(10)))
    steps = clear(fd, ["m"])
    for _ in range(4):
        next(steps)
    assert len(os.listdir(path / "m")) == 6
    assert stat.S_ISDIR(os.stat(path / "m").st_mode)
    steps.close()
