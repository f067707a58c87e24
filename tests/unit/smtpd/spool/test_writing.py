"""smtpd/spool/writing.py."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from smtpd.spool.backend import CORRUPT, ERROR, EXISTS, GONE
from smtpd.spool.writing import failure, open_folder, sync_folder, write_file, write_over


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """Descriptors of incoming/ and of queue/ab."""
    (tmp_path / "incoming").mkdir()
    (tmp_path / "ab").mkdir()
    fds = [os.open(tmp_path / name, os.O_RDONLY) for name in ("incoming", "ab")]
    yield tmp_path, *fds
    for fd in fds:
        os.close(fd)


def test_short_writes(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, incoming, _bucket = folders
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    os.close(write_file("file", b"0123456789", incoming))
    assert (path / "incoming" / "file").read_bytes() == b"0123456789"


def test_a_file_is_never_written_over(folders: Any) -> None:
    path, incoming, _bucket = folders
    (path / "incoming" / "file").write_text("old")
    with pytest.raises(FileExistsError):
        write_file("file", b"new", incoming)
    (path / "incoming" / "link").symlink_to(path / "outside")
    with pytest.raises(OSError, match="File exists|symbolic"):
        write_file("link", b"new", incoming)
    assert (path / "incoming" / "file").read_text() == "old"
    assert not (path / "outside").exists()


@pytest.mark.parametrize("text", [b"", b"new", b"newer, and longer than before" * 1000])
def test_in_place_of_one_that_is_of_no_use_any_more(folders: Any, text: bytes) -> None:
    path, incoming, _bucket = folders
    (path / "incoming" / "old").write_bytes(b"old text\n")
    (path / "incoming" / "old").chmod(0o600)
    inode = (path / "incoming" / "old").stat().st_ino
    os.close(write_over("old", "name", text, incoming))
    assert os.listdir(path / "incoming") == ["name"]
    assert (path / "incoming" / "name").read_bytes() == text
    assert (path / "incoming" / "name").stat().st_ino == inode


def test_what_somebody_else_has_is_not_written_over(folders: Any) -> None:
    path, incoming, _bucket = folders
    (path / "incoming" / "old").write_text("old")
    os.link(path / "incoming" / "old", path / "backup")
    os.close(write_over("old", "name", b"new", incoming))
    (path / "incoming" / "link").symlink_to(path / "backup")
    os.close(write_over("link", "other", b"new", incoming))
    os.close(write_over("missing", "third", b"new", incoming))
    (path / "incoming" / "theirs").write_text("old")
    (path / "incoming" / "theirs").chmod(0o644)
    os.close(write_over("theirs", "fourth", b"new", incoming))
    assert (path / "incoming" / "fourth").stat().st_mode & 0o777 == 0o600
    assert (path / "backup").read_text() == "old"
    assert {one.name: one.read_bytes() for one in (path / "incoming").iterdir()} == dict.fromkeys(
        ("name", "other", "third", "fourth"), b"new"
    )


@pytest.mark.parametrize("call", ["write", "ftruncate"])
def test_a_full_disk_while_writing_over(folders: Any, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    path, incoming, _bucket = folders
    (path / "incoming" / "old").write_text("old and long")
    (path / "incoming" / "old").chmod(0o600)
    before = len(os.listdir("/proc/self/fd"))

    def fail(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError):
        write_over("old", "name", b"new", incoming)
    assert len(os.listdir("/proc/self/fd")) == before


def test_sync_folder_of_none(folders: Any) -> None:
    _path, incoming, _bucket = folders
    with pytest.raises(FileNotFoundError):
        sync_folder("missing", incoming)


def test_a_folder_is_no_link(folders: Any) -> None:
    path, incoming, _bucket = folders
    sync_folder(".", incoming)
    (path / "incoming" / "link").symlink_to(path / "ab")
    with pytest.raises(OSError, match="Not a directory|symbolic"):
        open_folder("link", incoming)


def test_kinds() -> None:
    def kind(number: int) -> str:
        return failure(OSError(number, ""), "x").kind

    assert kind(errno.ENOENT) == GONE
    assert kind(errno.ENOTEMPTY) == kind(errno.EEXIST) == EXISTS
    assert kind(errno.ELOOP) == kind(errno.EISDIR) == kind(errno.ENOTDIR) == CORRUPT
    assert {kind(number) for number in (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EDQUOT)} == {ERROR}
    assert failure(OSError(errno.ENOSPC, ""), "write").text == "write: No space left on device"
    assert failure(OSError("odd"), "write").kind == ERROR
