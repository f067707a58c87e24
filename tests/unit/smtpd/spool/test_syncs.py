"""smtpd/spool/syncs.py: with the system's asynchronous I/O, with some of it, and without."""

import asyncio
import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest

from smtpd.spool import durable, syncs
from smtpd.spool.syncs import Syncs


def run(loop: asyncio.AbstractEventLoop, one: Syncs, fds: list[int]) -> list[int]:
    """Error numbers, 0 for done."""
    ended: asyncio.Future[list[OSError | None]] = loop.create_future()
    one.run(fds, ended.set_result)
    results = loop.run_until_complete(asyncio.wait_for(ended, 10))
    return [error.errno or -1 if error is not None else 0 for error in results]


def close(loop: asyncio.AbstractEventLoop, one: Syncs) -> None:
    loop.run_until_complete(asyncio.wait_for(one.close(), 10))


class Without:
    """A system that has no asynchronous I/O."""

    def __init__(self) -> None:
        raise OSError(errno.ENOSYS, "")


@pytest.fixture(params=["as the system has it", "without"])
def one(
    request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Syncs]:
    loop.run_until_complete(asyncio.sleep(0))  # the loop has its own descriptors from then on
    before = len(os.listdir("/proc/self/fd"))
    if request.param == "without":
        monkeypatch.setattr(syncs, "Context", Without)
        monkeypatch.setattr(durable, "Context", Without)
        monkeypatch.setattr(durable, "_contexts", [])
    made = Syncs(loop)
    yield made
    close(loop, made)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_files_again_and_again(loop: asyncio.AbstractEventLoop, one: Syncs, files: list[int]) -> None:
    for count in (1, 2, 3, 1):
        for fd in files[:count]:
            os.write(fd, b"content")
        assert run(loop, one, files[:count]) == [0] * count


def test_what_cannot_be_synced(loop: asyncio.AbstractEventLoop, one: Syncs, files: list[int]) -> None:
    reading, writing = os.pipe()
    try:
        assert run(loop, one, [files[0], 10_000, writing, files[1]]) == [0, errno.EBADF, errno.EINVAL, 0]
        assert run(loop, one, [10_000]) == [errno.EBADF]
        assert run(loop, one, files[:3]) == [0] * 3
    finally:
        os.close(reading)
        os.close(writing)


def test_more_than_fit(
    loop: asyncio.AbstractEventLoop, one: Syncs, files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syncs, "MOST", 2)
    assert run(loop, one, files) == [0] * 3


def test_each_is_measured(
    loop: asyncio.AbstractEventLoop, one: Syncs, files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    took: list[int] = []
    monkeypatch.setattr(durable, "measured", took.append)
    run(loop, one, files[:2])
    assert len(took) == 2 and all(0 <= each < 10**10 for each in took)


def test_one_by_one_for_tests_that_count(
    loop: asyncio.AbstractEventLoop, one: Syncs, files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(durable, "one_by_one", True)
    monkeypatch.setattr(os, "fsync", synced.append)
    assert run(loop, one, files[:2]) == [0] * 2
    assert synced == files[:2]


def test_answers_that_do_not_come_are_failures(
    loop: asyncio.AbstractEventLoop, files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is used no more: a thread does the next."""

    class Silent:
        closed = False

        def submit(self, fds: list[int], event: int) -> int:
            os.eventfd_write(event, 1)
            return len(fds)

        def ended(self, _least: int, _most: int) -> Any:
            raise OSError(errno.EIO, "")

        def close(self) -> None:
            self.closed = True

    silent = Silent()
    monkeypatch.setattr(syncs, "Context", lambda: silent)
    one = Syncs(loop)
    assert run(loop, one, files[:3]) == [errno.EIO] * 3
    assert silent.closed
    assert run(loop, one, files[:3]) == [0] * 3
    close(loop, one)


def test_errors_and_late_answers(
    loop: asyncio.AbstractEventLoop, files: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own; the eventfd may say twice what was read at once, or nothing new."""

    class Slow:
        def __init__(self) -> None:
            self.answers: list[list[tuple[int, int]]] = [[(2, 0)], [], [(0, errno.ENOSPC), (1, 0)], []]

        def submit(self, fds: list[int], event: int) -> int:
            for delay in range(5):
                loop.call_later(delay / 100, os.eventfd_write, event, 1)
            return len(fds)

        def ended(self, _least: int, _most: int) -> Any:
            return self.answers.pop(0)

        def close(self) -> None:
            pass

    monkeypatch.setattr(syncs, "Context", Slow)
    one = Syncs(loop)
    assert run(loop, one, files[:3]) == [errno.ENOSPC, 0, 0]
    loop.run_until_complete(asyncio.sleep(0.1))
    close(loop, one)
