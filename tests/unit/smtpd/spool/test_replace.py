"""smtpd/spool/replace.py, call by call."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smtpd.spool.backend import ERROR, Failure
from smtpd.spool.replace import replace
from smtpd.spool.rounds import Rounds
from tests.support.system_calls import SystemCalls

from .conftest import descriptors

MESSAGE = "ab000001"
NAME = "ab00000100000001"

type Replace = Callable[[bytes, bool], Failure | None]


@pytest.fixture
def replaced(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Replace]:
    """Replaces the envelope of a message by new content."""
    before = descriptors(tmp_path)
    (tmp_path / "incoming").mkdir()
    (tmp_path / "ab" / MESSAGE).mkdir(parents=True)
    incoming, queue = (os.open(tmp_path / name, os.O_RDONLY) for name in ("incoming", "ab"))
    rounds = Rounds(loop)

    def run(data: bytes, durable: bool) -> Failure | None:
        answer: asyncio.Future[Failure | None] = loop.create_future()
        replace(rounds, NAME, data, incoming, queue, durable, answer.set_result)
        return loop.run_until_complete(asyncio.wait_for(answer, 5))

    yield run
    loop.run_until_complete(rounds.close())
    os.close(incoming)
    os.close(queue)
    assert descriptors(tmp_path) <= before


def test_order(replaced: Replace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "ab" / MESSAGE / NAME
    file.write_text("old")
    calls = SystemCalls(monkeypatch)
    assert replaced(b"new", False) is None
    assert calls.names == ["open", "write", "fsync", "rename"]
    assert file.read_text() == "new"
    calls.names.clear()
    assert replaced(b"newer", True) is None
    assert calls.names == ["open", "write", "fsync", "rename", "open", "fsync"]
    assert file.read_text() == "newer"
    assert os.listdir(tmp_path / "incoming") == []


@pytest.mark.parametrize(("fail", "number"), [("open", 1), ("write", 1), ("fsync", 1), ("rename", 1)])
def test_a_failure_leaves_the_old(
    replaced: Replace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: str, number: int
) -> None:
    file = tmp_path / "ab" / MESSAGE / NAME
    file.write_text("old")
    SystemCalls(monkeypatch, fail, number)
    assert replaced(b"new", True) == Failure(ERROR, "write envelope: Input/output error")
    assert file.read_text() == "old"
    assert os.listdir(tmp_path / "incoming") == []


def test_what_is_of_that_name_already_is_left_alone(replaced: Replace, tmp_path: Path) -> None:
    (tmp_path / "incoming" / NAME).write_text("of somebody else")
    result = replaced(b"new", False)
    assert result is not None and result.text == "write envelope: File exists"
    assert (tmp_path / "incoming" / NAME).read_text() == "of somebody else"


@pytest.mark.parametrize(("fail", "number"), [("open", 2), ("fsync", 2)])
def test_a_new_one_whose_name_cannot_be_synced_is_taken_back(
    replaced: Replace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fail: str, number: int
) -> None:
    SystemCalls(monkeypatch, fail, number)
    assert replaced(b"new", True) == Failure(ERROR, "fsync of the message: Input/output error")
    assert os.listdir(tmp_path / "ab" / MESSAGE) == []
