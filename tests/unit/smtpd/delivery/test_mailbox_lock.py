"""The lock file of a mailbox, as a lock and as a journal."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from smtpd.delivery.mailbox_lock import STALE_SECONDS, LockFile, as_group, lock_now

FIRST = b"From a@b\nwhole\n\n"
HALF = b"From c@d\nha"


@pytest.fixture
def box(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "box").write_bytes(FIRST)
    fd = os.open(tmp_path / "box", os.O_RDWR | os.O_APPEND)
    yield fd
    os.close(fd)


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "box.lock"


def made(tmp_path: Path, needed: bool = True) -> LockFile:
    return LockFile(str(tmp_path / "box"), -1, needed)


def test_taken_once(box: int, lock: Path, tmp_path: Path) -> None:
    one, two = made(tmp_path), made(tmp_path)
    assert one.take(box)
    assert os.listdir(tmp_path) == ["box", "box.lock"] or os.listdir(tmp_path) == ["box.lock", "box"]
    lock.write_text("4711\n")  # the test is one process, to which the other lock is no lock
    assert not two.take(box)
    two.release()
    assert lock.exists()
    one.release()
    assert not lock.exists()
    assert two.take(box)
    two.release()


def journal(box: int, size: object, *, host: str = "", mark: str = "smtpd", inode: int = 0) -> str:
    status = os.fstat(box)
    name = host or socket.gethostname()
    return f"1 {mark} {name} {status.st_dev} {inode or status.st_ino} {size}\n"


def test_journal(box: int, lock: Path, tmp_path: Path) -> None:
    one = made(tmp_path)
    assert one.take(box)
    one.note(box, len(FIRST))
    assert lock.read_text().split()[1:] == journal(box, f"{len(FIRST):020}").split()[1:]
    os.write(box, HALF)
    # it dies here; the next one has the mailbox's other lock
    assert made(tmp_path).take(box)
    assert os.pread(box, 100, 0) == FIRST
    os.unlink(lock)


@pytest.mark.parametrize("tail", [b"From e@f\nx\n\nFrom other@mda\ny\n\n", b"not ours", b"\n"])
def test_what_others_wrote_is_not_taken_away(box: int, lock: Path, tmp_path: Path, tail: bytes) -> None:
    os.write(box, tail)
    lock.write_text(journal(box, len(FIRST)))
    assert made(tmp_path).take(box)
    assert os.pread(box, 100, 0) == FIRST + tail


@pytest.mark.parametrize(
    "wrong",
    [{"host": "elsewhere"}, {"mark": "other"}, {"inode": 1}, {"size": "-1"}, {"size": "²"}, {"size": "x y"}],
)
def test_locks_of_others_hold(box: int, lock: Path, tmp_path: Path, wrong: dict[str, object]) -> None:
    os.write(box, HALF)
    lock.write_text(journal(box, wrong.pop("size", len(FIRST)), **wrong))  # type: ignore[arg-type]
    assert not made(tmp_path).take(box)
    lock.write_bytes(b"\xff\0" * 500)
    assert not made(tmp_path).take(box)
    old = time.time() - STALE_SECONDS - 5
    os.utime(lock, (old, old))
    assert made(tmp_path).take(box)
    assert os.pread(box, 100, 0) == FIRST + HALF


def test_a_link_in_its_place(box: int, lock: Path, tmp_path: Path) -> None:
    lock.symlink_to(tmp_path / "victim")
    assert not made(tmp_path).take(box)
    assert not (tmp_path / "victim").exists()


def test_a_lock_that_was_replaced_is_not_removed(box: int, lock: Path, tmp_path: Path) -> None:
    one = made(tmp_path)
    assert one.take(box)
    lock.unlink()
    lock.write_text("somebody else's")
    one.release()
    assert lock.read_text() == "somebody else's"


def test_a_folder_that_is_not_ours(box: int, tmp_path: Path) -> None:
    strict, lax = LockFile("/proc/box", -1, True), LockFile("/dev/null/box", -1, False)
    with pytest.raises(OSError):
        strict.take(box)
    with pytest.raises(NotADirectoryError):
        lax.take(box)


def test_groups(tmp_path: Path) -> None:
    with as_group(-1):
        assert os.getegid() == os.getgid()
    if os.geteuid() == 0:
        with as_group(12345):
            assert os.getegid() == 12345
        with pytest.raises(ZeroDivisionError), as_group(12345):
            raise ZeroDivisionError
    assert os.getegid() == os.getgid()


def test_lock_now(box: int, tmp_path: Path) -> None:
    assert lock_now(box) and lock_now(box)
    with open(tmp_path / "box", "rb") as readable, pytest.raises(OSError):
        lock_now(readable.fileno())
