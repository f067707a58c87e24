"""smtpd/spool/rounds.py."""

import asyncio
import errno
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace

import pytest

from smtpd.spool import rounds as under_test
from smtpd.spool.rounds import Rounds


class Disk:
    """Takes the place of Syncs: what each round was asked for, and the descriptors that fail."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop
        self.rounds: list[list[int]] = []
        self.bad: dict[int, OSError] = {}

    def __call__(self, loop: asyncio.AbstractEventLoop) -> "Disk":
        self.loop = loop
        return self

    def run(self, fds: Sequence[int], then: Callable[[list[OSError | None]], None]) -> None:
        self.rounds.append(list(fds))
        self.loop.call_later(0, then, [self.bad.get(fd) for fd in fds])

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(under_test, "Syncs", made)
    return made


@pytest.fixture
def rounds(loop: asyncio.AbstractEventLoop, disk: Disk) -> Iterator[Rounds]:
    made = Rounds(loop)
    yield made
    loop.run_until_complete(made.close())


def settle(loop: asyncio.AbstractEventLoop, rounds: Rounds) -> None:
    loop.run_until_complete(asyncio.wait_for(rounds.settle(), 5))


def test_one_turn_is_one_round(loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds) -> None:
    told: list[object] = []
    for fds in ((5,), (6, 7), (7, 5)):
        rounds.sync(lambda fds=fds: fds, told.append)  # type: ignore[misc]
    assert disk.rounds == [] and told == []
    settle(loop, rounds)
    assert disk.rounds == [[5, 6, 7]]
    assert told == [None] * 3


def test_what_is_asked_for_meanwhile_is_the_next_round(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds
) -> None:
    order: list[str] = []

    def opened() -> Sequence[int]:
        order.append("open")
        return (7,)

    def again(_error: object) -> None:
        order.append("first")
        for _ in range(2):
            rounds.sync(opened, lambda _error: order.append("done"))

    rounds.sync(lambda: (5,), again)
    settle(loop, rounds)
    assert disk.rounds == [[5], [7]]
    assert order == ["first", "open", "open", "done", "done"]


def test_errors_are_told_to_those_who_asked(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds
) -> None:
    disk.bad = {5: OSError(errno.EIO, ""), 6: OSError(errno.ENOSPC, "")}
    told: list[int] = []
    for fds in ((4, 6, 5), (5,), (4,), ()):
        rounds.sync(
            lambda fds=fds: fds,  # type: ignore[misc]
            lambda error: told.append(error.errno if error else 0),  # type: ignore[arg-type]
        )
    settle(loop, rounds)
    assert told == [errno.ENOSPC, errno.EIO, 0, 0]


def test_a_round_has_its_end(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "MOST", 4)
    told: list[object] = []
    for number in range(10):
        rounds.sync(lambda number=number: (3 * number, 3 * number + 1, 3 * number + 2), told.append)  # type: ignore[misc]
    settle(loop, rounds)
    assert [len(one) for one in disk.rounds] == [6] * 5
    assert len(told) == 10


def test_nothing_to_sync_is_no_round(loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds) -> None:
    told: list[object] = []
    rounds.sync(lambda: (), told.append)
    settle(loop, rounds)
    assert (disk.rounds, told) == ([], [None])


def test_between_rounds(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never during one: at once, or after it; some of them before the next one, the others after that."""
    monkeypatch.setattr(under_test, "BETWEEN_LEAST", 2)
    monkeypatch.setattr(under_test, "time", SimpleNamespace(monotonic=lambda: 0.0))  # rounds take no time
    order: list[str] = []
    rounds.between(lambda: order.append("now"))
    assert order == ["now"]

    def opened() -> Sequence[int]:
        for number in range(5):
            loop.call_soon(lambda number=number: rounds.between(lambda: order.append(f"later {number}")))  # type: ignore[misc]
        loop.call_soon(lambda: rounds.sync(lambda: (8,), lambda _error: order.append("second")))
        return (7,)

    rounds.sync(opened, lambda _error: order.append("first"))
    rounds.between(lambda: order.append("before"))
    settle(loop, rounds)
    assert order == [
        *["now", "before", "first", "later 0", "later 1", "second", "later 2", "later 3", "later 4"]
    ]
    assert disk.rounds == [[7], [8]]


def test_the_end_waits_for_what_comes_between(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_test, "BETWEEN_LEAST", 1)
    called: list[int] = []

    def opened() -> Sequence[int]:
        for number in range(4):
            loop.call_soon(lambda number=number: rounds.between(lambda: called.append(number)))  # type: ignore[misc]
        return (7,)

    rounds.sync(opened, lambda _error: None)
    settle(loop, rounds)
    assert called == [0, 1, 2, 3]


def test_between_rounds_as_long_as_one_takes(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a slow disk more than the least is done, so that nothing piles up while rounds never end."""
    now = 0.0
    order: list[str] = []
    monkeypatch.setattr(under_test, "BETWEEN_LEAST", 1)
    monkeypatch.setattr(under_test, "time", SimpleNamespace(monotonic=lambda: now))

    def takes(seconds: float, name: str) -> None:
        nonlocal now
        now += seconds
        order.append(name)

    def opened() -> Sequence[int]:
        loop.call_soon(takes, 0.2, "disk")
        for number in range(50):
            loop.call_soon(rounds.between, partial(takes, 0.001, f"{number}"))
        for name in ("slow", "after"):
            loop.call_soon(rounds.between, partial(takes, 0.3, name))
        loop.call_soon(rounds.sync, lambda: (8,), lambda _error: order.append("second"))
        return (7,)

    rounds.sync(opened, lambda _error: order.append("first"))
    settle(loop, rounds)
    assert order == ["disk", "first", *map(str, range(50)), "slow", "second", "after"]


def test_between_keeps_the_order(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of what is asked for while the next round is only planned."""
    monkeypatch.setattr(under_test, "BETWEEN_LEAST", 1)
    order: list[int] = []

    def opened() -> Sequence[int]:
        loop.call_soon(rounds.between, lambda: (rounds.between(lambda: order.append(3)), order.append(1)))
        loop.call_soon(rounds.between, lambda: order.append(2))
        loop.call_soon(rounds.sync, lambda: (8,), lambda _error: None)
        return (7,)

    rounds.sync(opened, lambda _error: None)
    settle(loop, rounds)
    assert order == [1, 2, 3]


def test_along_goes_with_the_next_round_but_makes_none(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds
) -> None:
    told: list[str] = []
    rounds.along(lambda: (5,), lambda error: told.append(f"along {error}"))
    settle(loop, rounds)
    loop.run_until_complete(asyncio.sleep(0.01))
    assert (disk.rounds, told) == ([], [])
    rounds.sync(lambda: (7, 5), lambda error: told.append(f"asked {error}"))
    settle(loop, rounds)
    assert disk.rounds == [[7, 5]]
    assert told == ["asked None", "along None"]


def test_the_end_does_not_wait_for_what_goes_along(
    loop: asyncio.AbstractEventLoop, disk: Disk, rounds: Rounds
) -> None:
    rounds.along(lambda: (5,), lambda _error: pytest.fail("there was no round"))
    loop.run_until_complete(asyncio.wait_for(rounds.close(), 5))
