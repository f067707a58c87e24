"""What the committing threads do, call by call."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from smtpd.spool import durable
from smtpd.spool.backend import CORRUPT, ERROR, EXISTS, GONE
from smtpd.spool.commit import Commit, commit, failure, replace, sync_folder, write_file


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """Descriptors of incoming/ and of queue/ab."""
    (tmp_path / "incoming").mkdir()
    (tmp_path / "ab").mkdir()
    fds = [os.open(tmp_path / name, os.O_RDONLY) for name in ("incoming", "ab")]
    yield tmp_path, *fds
    for fd in fds:
        os.close(fd)


def incoming_message(path: Path, name: str, content: bytes = b"content\n") -> int:
    (path / "incoming" / name).mkdir()
    fd = os.open(path / "incoming" / name / "message", os.O_WRONLY | os.O_CREAT)
    os.write(fd, content)
    return fd


class Calls:
    """Records the calls to os in order; makes one of them fail."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fail: str = "", number: int = 0, error: int = errno.EIO
    ) -> None:
        self.names: list[str] = []
        monkeypatch.setattr(durable, "one_by_one", True)
        for name in ("open", "write", "fsync", "rename", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name), fail, number, error))

    def _wrap(self, name: str, real: Any, fail: str, number: int, error: int) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            self.names.append(name)
            if name == fail and self.names.count(name) == number:
                raise OSError(error, os.strerror(error))
            return real(*arguments, **named)

        return call


def test_order(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name under queue/ before everything behind it is synced, no answer before the name is."""
    path, incoming, bucket = folders
    content = incoming_message(path, "ab000001")
    calls = Calls(monkeypatch)
    envelopes = [("ab00000100000001", b"e1"), ("ab00000100000002", b"e2")]
    assert commit([Commit("ab000001", content, envelopes)], incoming, lambda _: bucket, pytest.fail) == [None]
    # the envelopes and the folder; content, both envelopes, the folder; the name; its folder
    assert calls.names == "open write open write open fsync fsync fsync fsync rename fsync".split()
    assert sorted(os.listdir(path / "ab" / "ab000001")) == ["ab00000100000001", "ab00000100000002", "message"]
    assert os.listdir(path / "incoming") == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(content)


def test_several_share_the_last_sync(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, incoming, bucket = folders
    commits = [
        Commit(name, incoming_message(path, name), [(f"{name}00000001", b"e")])
        for name in ("ab000001", "ab000002", "ab000003")
    ]
    calls = Calls(monkeypatch)
    assert commit(commits, incoming, lambda _: bucket, pytest.fail) == [None] * 3
    assert calls.names.count("fsync") == 3 * 3 + 1
    assert len(os.listdir(path / "ab")) == 3


@pytest.mark.parametrize(
    ("fail", "number", "text"),
    [
        ("open", 1, "write envelope: No space left on device"),
        ("write", 1, "write envelope: No space left on device"),
        ("fsync", 1, "fsync: No space left on device"),
        ("fsync", 2, "fsync: No space left on device"),
        ("fsync", 3, "fsync: No space left on device"),
        ("rename", 1, "rename into the queue: No space left on device"),
    ],
)
def test_one_fails_alone(
    folders: Any, monkeypatch: pytest.MonkeyPatch, fail: str, number: int, text: str
) -> None:
    path, incoming, bucket = folders
    commits = [
        Commit(name, incoming_message(path, name), [(f"{name}00000001", b"e")])
        for name in ("ab000001", "ab000002")
    ]
    before = len(os.listdir("/proc/self/fd"))
    Calls(monkeypatch, fail, number, errno.ENOSPC)
    bad, good = commit(commits, incoming, lambda _: bucket, pytest.fail)
    assert good is None
    assert bad is not None and (bad.kind, bad.text) == (ERROR, text)
    assert os.listdir(path / "ab") == ["ab000002"]
    assert os.listdir(path / "incoming") == ["ab000001"]  # the caller deletes it
    assert len(os.listdir("/proc/self/fd")) <= before - 2


def test_a_name_that_cannot_be_synced_is_taken_back(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, incoming, bucket = folders
    one = Commit("ab000001", incoming_message(path, "ab000001"), [("ab00000100000001", b"e")])
    Calls(monkeypatch, "fsync", 4)
    undone: list[str] = []
    [result] = commit([one], incoming, lambda _: bucket, undone.append)
    assert result is not None and result.text == "fsync of the queue: Input/output error"
    assert undone == ["ab000001"]


def test_no_bucket(folders: Any) -> None:
    path, incoming, _bucket = folders

    def bucket(_name: str) -> int:
        raise OSError(errno.EMFILE, "")

    one = Commit("ab000001", incoming_message(path, "ab000001"), [("ab00000100000001", b"e")])
    [result] = commit([one], incoming, bucket, pytest.fail)
    assert result is not None and "Too many open files" in result.text


def test_the_name_is_taken(folders: Any) -> None:
    path, incoming, bucket = folders
    (path / "ab" / "ab000001").mkdir()
    (path / "ab" / "ab000001" / "message").write_text("the first\n")
    one = Commit("ab000001", incoming_message(path, "ab000001"), [("ab00000100000001", b"e")])
    [result] = commit([one], incoming, lambda _: bucket, pytest.fail)
    assert result is not None and result.kind == EXISTS
    assert (path / "ab" / "ab000001" / "message").read_text() == "the first\n"


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


def test_replace(folders: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, incoming, bucket = folders
    (path / "ab" / "ab000001").mkdir()
    file = path / "ab" / "ab000001" / "ab00000100000001"
    file.write_text("old")
    calls = Calls(monkeypatch)
    name, target = "ab00000100000001", "ab000001/ab00000100000001"
    assert replace(name, b"new", incoming, target, bucket, durable=False) is None
    assert calls.names == ["open", "write", "fsync", "rename"]
    assert file.read_text() == "new"
    calls.names.clear()
    assert replace(name, b"newer", incoming, target, bucket, durable=True) is None
    assert calls.names == ["open", "write", "fsync", "rename", "open", "fsync"]
    assert os.listdir(path / "incoming") == []


@pytest.mark.parametrize(("fail", "number"), [("open", 1), ("write", 1), ("fsync", 1), ("rename", 1)])
def test_replace_leaves_the_old(
    folders: Any, monkeypatch: pytest.MonkeyPatch, fail: str, number: int
) -> None:
    path, incoming, bucket = folders
    (path / "ab" / "ab000001").mkdir()
    file = path / "ab" / "ab000001" / "ab00000100000001"
    file.write_text("old")
    Calls(monkeypatch, fail, number)
    result = replace("ab00000100000001", b"new", incoming, "ab000001/ab00000100000001", bucket, durable=True)
    assert result is not None and result.kind == ERROR
    assert file.read_text() == "old"
    assert os.listdir(path / "incoming") == []


def test_a_new_envelope_whose_name_cannot_be_synced_is_taken_back(
    folders: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, incoming, bucket = folders
    (path / "ab" / "ab000001").mkdir()
    Calls(monkeypatch, "fsync", 2)
    result = replace("ab00000100000001", b"new", incoming, "ab000001/ab00000100000001", bucket, durable=True)
    assert result is not None and result.kind == ERROR
    assert os.listdir(path / "ab" / "ab000001") == []


def test_sync_folder_of_none(folders: Any) -> None:
    _path, incoming, _bucket = folders
    with pytest.raises(FileNotFoundError):
        sync_folder("missing", incoming)


def test_kinds() -> None:
    def kind(number: int) -> str:
        return failure(OSError(number, ""), "x").kind

    assert kind(errno.ENOENT) == GONE
    assert kind(errno.ENOTEMPTY) == kind(errno.EEXIST) == EXISTS
    assert kind(errno.ELOOP) == kind(errno.EISDIR) == kind(errno.ENOTDIR) == CORRUPT
    assert {kind(number) for number in (errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EDQUOT)} == {ERROR}
    assert failure(OSError(errno.ENOSPC, ""), "write").text == "write: No space left on device"
    assert failure(OSError("odd"), "write").kind == ERROR
