"""Places and lines: whose turn it is, and that nobody is asked in vain."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mproc.loop import new_loop
from smtpd.pony.mta import places as module
from smtpd.pony.mta.places import Places, Presence
from smtpd.pony.mta.routing import Host, Route, Source


class Waiter:
    """Wants so many places under a limit."""

    def __init__(self, places: Places, name: str, limit: int, wanted: int = 1) -> None:
        self.places, self.name, self.limit, self.more = places, name, limit, wanted
        self.asked = 0
        self.begun: list[str] = []

    @property
    def wanted(self) -> bool:
        return bool(self.more)

    def connect(self, again: bool = False) -> None:
        self.asked += 1
        while self.more:
            if not self.places.is_free(self, self.limit):
                self.places.stand(self, self.limit)
                return
            self.places.leave(self, self.limit)
            self.more -= 1
            self.places.nconn += 1
            self.begun.append(self.name)
        self.places.leave(self, self.limit)


class Idler:
    """A session that keeps the order in which it was ended."""

    def __init__(self, places: Places, ended: list[Any]) -> None:
        self.places, self.ended = places, ended
        places.idlers[self] = None
        places.nconn += 1

    def give_way(self) -> None:
        del self.places.idlers[self]
        self.places.leaving.add(self)
        self.ended.append(self)

    def end(self) -> None:
        self.places.leaving.discard(self)
        self.places.nconn -= 1
        self.places.changed()


def until(loop: asyncio.AbstractEventLoop, condition: Callable[[], object]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0)

    loop.run_until_complete(wait())


def settle(places: Places) -> None:
    """All that has changed is seen to."""
    until(places._loop, lambda: not places._planned)


def end(places: Places) -> None:
    """One connection is over."""
    places.nconn -= 1
    places.changed()


def test_in_turn(loop: asyncio.AbstractEventLoop) -> None:
    """First come, first served; who wants another one goes to the end."""
    places = Places(loop)
    places.nconn = 1
    order: list[str] = []
    waiters = [Waiter(places, name, 1, wanted) for name, wanted in (("a", 2), ("b", 1), ("c", 1))]
    for waiter in waiters:
        waiter.begun = order
        waiter.connect()
    assert places.waiting == 3 and order == []
    for _ in range(4):
        end(places)
        newcomer = Waiter(places, "newcomer", 1)
        assert not newcomer.places.is_free(newcomer, 1), "others were there before"
        settle(places)
    assert order == ["a", "b", "c", "a"]
    assert places.waiting == 0
    end(places)
    assert places.is_free(waiters[0], 1)


def test_only_the_next_is_asked(loop: asyncio.AbstractEventLoop) -> None:
    places = Places(loop)
    places.nconn = 1
    waiters = [Waiter(places, str(number), 1) for number in range(1000)]
    for waiter in waiters:
        waiter.connect()
        waiter.asked = 0
    settle(places)
    assert sum(waiter.asked for waiter in waiters) == 0
    for number in range(1, 4):
        end(places)
        settle(places)
        assert sum(waiter.asked for waiter in waiters) == number


def test_many_free_places_are_given_in_portions(loop: asyncio.AbstractEventLoop, monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "SERVE_AT_ONCE", 10)
    places = Places(loop)
    places.nconn = 100
    waiters = [Waiter(places, "", 100) for number in range(35)]
    for waiter in waiters:
        waiter.connect()
    places.nconn = 0
    places._serve()
    assert places.nconn == 10
    settle(places)
    assert places.nconn == 35 and places.waiting == 0


def test_the_longest_idle_gives_way(loop: asyncio.AbstractEventLoop) -> None:
    places = Places(loop)
    ended: list[Any] = []
    first, second, third = (Idler(places, ended) for _ in range(3))
    waiters = [Waiter(places, "", 3) for _ in range(2)]
    settle(places)
    assert ended == [], "nobody waits"
    waiters[0].connect()
    settle(places)
    assert ended == [first]
    places.changed()
    settle(places)
    assert ended == [first], "one for each that waits"
    waiters[1].connect()
    settle(places)
    assert ended == [first, second]
    first.end()
    second.end()
    settle(places)
    assert places.nconn == 3 and places.waiting == 0 and list(places.idlers) == [third]


def test_nobody_gives_way_to_who_does_not_wait_for_a_connection_s_end(
    loop: asyncio.AbstractEventLoop,
) -> None:
    """But for what becomes of a connection that is late."""
    source = Source(loop, "")
    route = Route(loop, 1, source, Host(loop, "192.0.2.1"))
    ended: list[Any] = []
    session = Idler(route, ended)
    route.new, route.late, route.nconn = False, 1, 2
    Waiter(route, "few", 5).connect()
    settle(route)
    assert ended == [] and route.waiting == 1
    Waiter(route, "full", 2).connect()
    settle(route)
    assert ended == [session] and route.waiting == 2


def test_limits_of_ones_own(loop: asyncio.AbstractEventLoop) -> None:
    """A connector with a low limit does not hold up those with a higher one."""
    places = Places(loop)
    places.nconn = 4
    low, high, other = Waiter(places, "low", 1), Waiter(places, "high", 4), Waiter(places, "other", 4)
    for waiter in (low, high, other):
        waiter.connect()
    end(places)
    settle(places)
    assert (low.begun, high.begun, other.begun) == ([], ["high"], [])
    places.leave(other, 4)
    places.leave(other, 4)
    places.nconn = 0
    places.changed()
    settle(places)
    assert low.begun == ["low"] and places.waiting == 0


@given(st.lists(st.tuples(st.sampled_from(["come", "end", "leave"]), st.integers(1, 3)), max_size=60))
def test_no_place_stays_free_while_somebody_waits(steps: list[tuple[str, int]]) -> None:
    loop = new_loop()
    places = Places(loop)
    waiters: list[Waiter] = []
    try:
        for what, number in steps:
            if what == "come":
                waiters.append(Waiter(places, "", number, wanted=number))
                waiters[-1].connect()
            elif what == "end" and places.nconn:
                end(places)
            elif what == "leave" and waiters:
                waiter = waiters[number % len(waiters)]
                waiter.more = 0
                places.leave(waiter, waiter.limit)
            settle(places)
            assert all(places.nconn >= waiter.limit for waiter in waiters if waiter.more)
            assert places.waiting == sum(bool(waiter.more) for waiter in waiters)
        while places.nconn:
            end(places)
            settle(places)
        assert places.waiting == 0 and all(not waiter.more for waiter in waiters)
    finally:
        loop.close()


def test_who_has_nothing_to_do_any_more_ends_no_session(loop: asyncio.AbstractEventLoop) -> None:
    places = Places(loop)
    ended: list[Any] = []
    first = Idler(places, ended)
    waiter = Waiter(places, "", 1)
    waiter.connect()
    waiter.more = 0
    settle(places)
    assert ended == [] and places.waiting == 0 and list(places.idlers) == [first]


def test_those_that_wait_for_something_else_too_are_not_asked_all_at_once(
    loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or thousands would move from one full place to the other at every connection's end."""
    monkeypatch.setattr(module, "SERVE_AT_ONCE", 10)
    full, places = Places(loop), Places(loop)

    class Picky(Waiter):
        def connect(self, again: bool = False) -> None:
            if places.is_free(self, 1):
                full.stand(self, 1)
                places.leave(self, 1)
            else:
                places.stand(self, 1)

    def numbers() -> tuple[int, int]:
        return places.waiting, full.waiting

    places.nconn = full.nconn = 1
    for _ in range(25):
        Picky(places, "", 1).connect()
    monkeypatch.setattr(module, "IN_VAIN_SECONDS", 3600)
    end(places)
    until(loop, lambda: numbers() != (25, 0))
    assert numbers() == (15, 10)
    places.changed()
    until(loop, lambda: places._planned)
    assert numbers() == (15, 10), "the others have their time"
    monkeypatch.setattr(module, "IN_VAIN_SECONDS", 0.001)
    places._serve()
    assert numbers() == (5, 20)
    settle(places)
    assert numbers() == (0, 25)


def test_a_session_in_all_its_places(loop: asyncio.AbstractEventLoop) -> None:
    one, two = Places(loop), Places(loop)
    session = Idler(Places(loop), [])
    presence = Presence(session, one, two)
    presence.idle()
    assert list(one.idlers) == list(two.idlers) == [session]
    presence.busy()
    presence.leaving()
    assert not one.idlers and not two.idlers and one.leaving == two.leaving == {session}
    presence.left()
    assert not one.leaving and not two.leaving
