"""smtpd/spool/durable.py."""

import errno
import os
from pathlib import Path

import pytest

from smtpd.spool import durable


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors that the system was asked to sync."""
    found: list[int] = []
    really = os.fsync

    def fsync(fd: int) -> None:
        found.append(fd)
        really(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_nobody_measures(synced: list[int], tmp_path: Path) -> None:
    assert durable.measured is None
    with (tmp_path / "file").open("wb") as file:
        durable.fsync(file.fileno())
        assert synced == [file.fileno()]


def test_a_folder_measured(synced: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    took: list[int] = []
    monkeypatch.setattr(durable, "measured", took.append)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        durable.fsync(fd)
    finally:
        os.close(fd)
    assert synced == [fd]
    assert len(took) == 1 and 0 <= took[0] < 10**10


def test_a_failure_is_raised_and_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    took: list[int] = []
    try:
        with pytest.raises(OSError):
            durable.fsync(writing)
        monkeypatch.setattr(durable, "measured", took.append)
        with pytest.raises(OSError):
            durable.fsync(writing)
    finally:
        os.close(reading)
        os.close(writing)
    assert len(took) == 1


class Fake:
    """An aio.Context that answers as it was told to."""

    def __init__(self, *answers: list[int] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[list[int]] = []

    def fsync(self, fds: list[int]) -> list[int]:
        self.asked.append(list(fds))
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer


def test_several_as_the_system_has_it(files: list[int]) -> None:
    assert durable.fsync_all(files) == [None] * 3
    assert durable.fsync_all([]) == []
    bad = durable.fsync_all([files[0], 10_000, files[1]])
    assert [error.errno if error else 0 for error in bad] == [0, errno.EBADF, 0]


def test_several_are_asked_for_at_once(
    files: list[int], synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake([0, errno.EIO, -1])
    took: list[int] = []
    monkeypatch.setattr(durable, "_contexts", [fake])
    monkeypatch.setattr(durable, "measured", took.append)
    results = durable.fsync_all(files)
    assert [error.errno if error else 0 for error in results] == [0, errno.EIO, 0]
    assert fake.asked == [files]
    assert synced == files[2:]  # the system did not take it
    assert len(took) == 3
    assert durable._contexts == [fake]


def test_one_alone_needs_no_context(
    files: list[int], synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake()
    monkeypatch.setattr(durable, "_contexts", [fake])
    assert durable.fsync_all(files[:1]) == [None]
    assert (synced, fake.asked) == (files[:1], [])


def test_many_go_in_parts(files: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    fake = Fake([0, 0], [errno.ENOSPC])
    monkeypatch.setattr(durable, "_contexts", [fake])
    monkeypatch.setattr(durable, "MOST", 2)
    results = durable.fsync_all(files)
    assert [error.errno if error else 0 for error in results] == [0, 0, errno.ENOSPC]
    assert fake.asked == [files[:2], files[2:]]


def test_answers_that_do_not_come_are_failures(
    files: list[int], synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake(OSError(errno.EINVAL, ""))
    monkeypatch.setattr(durable, "_contexts", [fake])
    monkeypatch.setattr(durable, "MOST", 2)
    results = durable.fsync_all(files)
    assert [error.errno if error else 0 for error in results] == [errno.EINVAL, errno.EINVAL, 0]
    assert synced == files[2:]
    assert durable._contexts == []


def test_a_system_without_does_one_after_the_other(
    files: list[int], synced: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> None:
        raise OSError(errno.ENOSYS, "")

    monkeypatch.setattr(durable, "_contexts", [])
    monkeypatch.setattr(durable, "Context", none)
    assert durable.fsync_all(files) == [None] * 3
    assert synced == files
