"""smtpd/spool/commit.py, call by call."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.spool import commit
from smtpd.spool.backend import ERROR, EXISTS, Failure
from smtpd.spool.commit import Commit, Commits
from smtpd.spool.rounds import Rounds
from smtpd.spool.workers import Workers
from tests.support.system_calls import SystemCalls

from .conftest import descriptors


class Place:
    """incoming/ and queue/ab in a folder, and commits between them."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.path = path
        self._loop = loop
        for name in ("incoming", "ab"):
            (path / name).mkdir()
        self.incoming, self.ab = (os.open(path / name, os.O_RDONLY) for name in ("incoming", "ab"))
        self.rounds = Rounds(loop)
        self.workers = Workers(loop, 1, "test")
        self.bucket: Callable[[str], int | None] = lambda _name: self.ab
        self.make_bucket: Callable[[str], int] = pytest.fail

    def message(self, name: str, content: bytes = b"content\n", envelopes: int = 1) -> Commit:
        (self.path / "incoming" / name).mkdir()
        fd = os.open(self.path / "incoming" / name / "message", os.O_WRONLY | os.O_CREAT)
        os.write(fd, content)
        return Commit(name, fd, [(f"{name}{number:08x}", b"e") for number in range(1, envelopes + 1)])

    def commit(self, *messages: Commit) -> list[Failure | None]:
        commits = Commits(self.rounds, self.workers, self.incoming, self.bucket, self.make_bucket)
        results: dict[int, Failure | None] = {}
        for index, one in enumerate(messages):
            commits.run(one, lambda result, index=index: results.__setitem__(index, result))  # type: ignore[misc]

        async def settle() -> None:
            while commits.running:
                await self.workers.settle()
                await self.rounds.settle()

        self._loop.run_until_complete(asyncio.wait_for(settle(), 10))
        return [results[index] for index in range(len(messages))]

    def close(self) -> None:
        self._loop.run_until_complete(self.rounds.close())
        self._loop.run_until_complete(self.workers.close())
        os.close(self.incoming)
        os.close(self.ab)


@pytest.fixture
def place(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Place]:
    before = descriptors(tmp_path)
    made = Place(tmp_path, loop)
    yield made
    made.close()
    assert descriptors(tmp_path) <= before


def test_order(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No name under queue/ before everything behind it is synced, no answer before the name is."""
    one = place.message("ab000001", envelopes=2)
    calls = SystemCalls(monkeypatch)
    assert place.commit(one) == [None]
    # the envelopes and the folder; content, both envelopes, the folder; the name; its folder
    assert calls.names == "open write open write open fsync fsync fsync fsync rename fsync".split()
    assert sorted(os.listdir(place.path / "ab" / "ab000001")) == [
        "ab00000100000001",
        "ab00000100000002",
        "message",
    ]
    assert os.listdir(place.path / "incoming") == []


def test_order_of_a_large_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, but that content and envelopes, so many at a time, have no round."""
    monkeypatch.setattr(commit, "MANY", 2)
    one = place.message("ab000001", envelopes=3)
    calls = SystemCalls(monkeypatch)
    assert place.commit(one) == [None]
    expected = "fsync open write open write fsync fsync open write fsync open fsync rename fsync"
    assert calls.names == expected.split()
    assert len(os.listdir(place.path / "ab" / "ab000001")) == 4


def test_a_large_content_is_synced_before_its_round(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "LARGE", 10)
    large, small = place.message("ab000001", b"x" * 11), place.message("ab000002", b"x" * 10)
    calls = SystemCalls(monkeypatch)
    assert place.commit(large) == [None]
    assert calls.names == "fsync open write fsync open fsync rename fsync".split()
    calls.names.clear()
    assert place.commit(small) == [None]
    assert calls.names == "open write open fsync fsync fsync rename fsync".split()


def test_several_share_the_last_sync(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [place.message(name) for name in ("ab000001", "ab000002", "ab000003")]
    calls = SystemCalls(monkeypatch)
    assert place.commit(*messages) == [None] * 3
    assert calls.names.count("fsync") == 3 * 3 + 1
    assert len(os.listdir(place.path / "ab")) == 3


@pytest.mark.parametrize("large", [False, True])
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
    place: Place, monkeypatch: pytest.MonkeyPatch, fail: str, number: int, text: str, large: bool
) -> None:
    bad, good = place.message("ab000001"), place.message("ab000002")
    monkeypatch.setattr(commit, "LARGE", 0 if large else 1000)
    if large:
        SystemCalls(monkeypatch, fail, number, errno.ENOSPC)
        [result] = place.commit(bad)
        monkeypatch.undo()
        assert place.commit(good) == [None]
    else:
        SystemCalls(monkeypatch, fail, number, errno.ENOSPC)
        result, other = place.commit(bad, good)
        assert other is None
    assert result == Failure(ERROR, text)
    assert os.listdir(place.path / "ab") == ["ab000002"]
    assert os.listdir(place.path / "incoming") == ["ab000001"]  # the caller deletes it


def test_the_folder_of_a_large_one_cannot_be_opened(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "LARGE", 0)
    one = place.message("ab000001")
    SystemCalls(monkeypatch, "open", 2, errno.EMFILE)
    assert place.commit(one) == [Failure(ERROR, "fsync: Too many open files")]


def test_a_name_that_cannot_be_synced_is_taken_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    one = place.message("ab000001")
    SystemCalls(monkeypatch, "fsync", 4)
    assert place.commit(one) == [Failure(ERROR, "fsync of the queue: Input/output error")]
    assert os.listdir(place.path / "ab") == []
    assert os.listdir(place.path / "incoming") == ["ab000001"]


def test_a_bucket_that_is_to_be_made(place: Place) -> None:
    place.bucket = lambda _name: None
    made: list[str] = []

    def make(name: str) -> int:
        made.append(name)
        return place.ab

    place.make_bucket = make
    assert place.commit(place.message("ab000001")) == [None]
    assert made == ["ab000001"]
    assert os.listdir(place.path / "ab") == ["ab000001"]


@pytest.mark.parametrize("known", [False, True])
def test_no_bucket(place: Place, known: bool) -> None:
    def fails(_name: str) -> Any:
        raise OSError(errno.EMFILE, "")

    place.bucket = fails if known else lambda _name: None
    place.make_bucket = fails
    expected = Failure(ERROR, "rename into the queue: Too many open files")
    assert place.commit(place.message("ab000001")) == [expected]


def test_the_name_is_taken(place: Place) -> None:
    (place.path / "ab" / "ab000001").mkdir()
    (place.path / "ab" / "ab000001" / "message").write_text("the first\n")
    [result] = place.commit(place.message("ab000001"))
    assert result is not None and result.kind == EXISTS
    assert (place.path / "ab" / "ab000001" / "message").read_text() == "the first\n"
