"""smtpd/spool/durable.py."""

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
