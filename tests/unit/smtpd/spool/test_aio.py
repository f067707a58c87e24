"""smtpd/spool/aio.py, on a system that has it."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from smtpd.spool import aio


@pytest.fixture
def context() -> aio.Context:
    try:
        return aio.Context()
    except OSError as error:
        pytest.skip(f"no asynchronous I/O here: {error}")


def test_files_and_folders(context: aio.Context, tmp_path: Path) -> None:
    fds = [os.open(tmp_path / str(number), os.O_WRONLY | os.O_CREAT) for number in range(20)]
    fds.append(os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY))
    try:
        for fd in fds[:-1]:
            os.write(fd, b"content")
        for _ in range(3):
            assert context.fsync(fds) == [0] * 21
        assert context.fsync([]) == []
        assert context.fsync(fds[:1] * aio.MOST) == [0] * aio.MOST
    finally:
        for fd in fds:
            os.close(fd)


def test_what_the_system_does_not_take_is_said(context: aio.Context, tmp_path: Path) -> None:
    """It stops at the first that is no descriptor; a pipe cannot be synced either."""
    reading, writing = os.pipe()
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        assert context.fsync([fd, 10_000, fd]) == [0, -1, -1]
        assert context.fsync([10_000]) == [-1]
        assert context.fsync([fd, writing, fd]) == [0, -1, -1]
        assert context.fsync([fd, fd]) == [0, 0]
    finally:
        for one in (fd, reading, writing):
            os.close(one)


def test_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="pdp11"))
    with pytest.raises(OSError) as caught:
        aio.Context()
    assert caught.value.errno == errno.ENOSYS


def test_a_kernel_without_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aio, "_NUMBERS", dict.fromkeys(("x86_64", "aarch64"), (9999,) * 4))
    with pytest.raises(OSError) as caught:
        aio.Context()
    assert caught.value.errno == errno.ENOSYS


def test_an_answer_that_does_not_come_is_an_error(
    context: aio.Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "file").open("wb") as file:
        monkeypatch.setattr(context, "_get", 9999)
        with pytest.raises(OSError, match="not implemented"):
            context.fsync([file.fileno()])
