"""Routes: which is taken, and for how long one that failed is left alone."""

import asyncio
import gc
from typing import Any

import pytest

from smtpd.config.model import MtaLimits
from smtpd.messages.pony_lookup import MxHost
from smtpd.mproc.stat import Stat
from smtpd.pony.mta import routing as module
from smtpd.pony.mta.routing import Choice, Mx, Routing, bracketed, family_of

LIMITS = MtaLimits(maxconn_per_host=3, maxconn_per_route=2, conndelay_route=5, discdelay_route=3)
HOSTS = [MxHost(20, "b", ["192.0.2.2"]), MxHost(10, "a", ["192.0.2.1", "2001:db8::1"])]


class Nobody:
    """Is never asked, or it is a fault."""

    wanted = True

    def connect(self, again: bool = False) -> None:
        raise AssertionError


NOBODY = Nobody()


class NoLog:
    lines: list[str]

    def __init__(self) -> None:
        self.lines = []

    def info(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def routing(loop: asyncio.AbstractEventLoop) -> Any:
    made = Routing(loop, NoLog(), Stat())  # type: ignore[arg-type]
    yield made
    made.close()


def find(routing: Routing, mxs: tuple[Mx, ...], now: float = 1000, source: str = "", **more: Any) -> Choice:
    limits = more.pop("limits", LIMITS)
    waiter = more.pop("waiter", NOBODY)
    return routing.find_route(mxs, routing.source(source), limits, now, waiter, **more)


def use(routing: Routing, choice: Choice, now: float, valid: bool = True) -> None:
    assert choice.route is not None
    routing.connected(choice.route, now)
    if valid:
        choice.route.new = False


def test_the_best_preference_first(routing: Routing) -> None:
    mxs = routing.mxs(HOSTS)
    assert [(mx.preference, mx.host.address) for mx in mxs] == [
        (10, "192.0.2.1"),
        (10, "2001:db8::1"),
        (20, "192.0.2.2"),
    ]
    choice = find(routing, mxs)
    assert choice.mx is mxs[0] and choice.route is not None and choice.route.dst is mxs[0].host
    # the one with fewer connections among equals
    use(routing, choice, 1000)
    assert find(routing, mxs).mx is mxs[1]


def test_a_route_is_tried_by_one_connection_first(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"])])
    choice = find(routing, mxs)
    use(routing, choice, 1000, valid=False)
    assert find(routing, mxs, 2000) == Choice(wait=((choice.route, 2),))  # type: ignore[arg-type]
    choice.route.new = False  # type: ignore[union-attr]
    assert find(routing, mxs, 1001) == Choice(until=1005)
    use(routing, find(routing, mxs, 1005), 1005)
    assert find(routing, mxs, 1020) == Choice(wait=((choice.route, 2),))  # type: ignore[arg-type]


def test_delays_and_limits_do_not_lead_to_a_worse_preference(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"]), MxHost(2, "b", ["192.0.2.2"])])
    use(routing, find(routing, mxs), 1000)
    assert find(routing, mxs, 1001) == Choice(until=1005)
    mxs[0].host.nconn = 3
    assert find(routing, mxs, 1010) == Choice(wait=((mxs[0].host, 3),))


def test_after_a_disconnection(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"])])
    choice = find(routing, mxs)
    use(routing, choice, 1000)
    assert choice.route is not None
    routing.disconnected(choice.route, 1010)
    assert choice.route.nconn == choice.route.src.nconn == choice.route.dst.nconn == 0
    assert not choice.route.disabled
    assert find(routing, mxs, 1011) == Choice(until=1013)
    assert find(routing, mxs, 1013).route is choice.route


def test_a_failed_route_leads_to_the_next_preference(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"]), MxHost(2, "b", ["192.0.2.2"])])
    for wanted in mxs:
        choice = find(routing, mxs)
        assert choice.mx is wanted and choice.route is not None
        use(routing, choice, 1000, valid=False)
        routing.disconnected(choice.route, 1001)
        assert choice.route.disabled == "net"
    assert find(routing, mxs) == Choice(error="net")


def test_families(routing: Routing) -> None:
    mxs = routing.mxs(HOSTS)
    assert find(routing, mxs, source="2001:db8::5").mx is mxs[1]
    assert find(routing, mxs, limits=MtaLimits(family="inet6")).mx is mxs[1]
    only4 = routing.mxs([MxHost(1, "a", ["192.0.2.1"])])
    assert find(routing, only4, source="2001:db8::5") == Choice(error="family")


def test_nothing_there(routing: Routing) -> None:
    assert find(routing, ()) == Choice(error="mx")
    assert routing.mxs([MxHost(1, "a", []), MxHost(1, "b", ["no address"])]) == ()


def test_below_our_own_preference(routing: Routing) -> None:
    mxs = routing.mxs(HOSTS)
    assert find(routing, mxs, below=20).mx is mxs[0]
    assert find(routing, mxs, below=10) == Choice(error="mx")


def test_penalties_grow_and_fade(
    routing: Routing, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DELAY_ROUTE_BASE", 0.02)
    mxs = routing.mxs([MxHost(1, "mx", ["192.0.2.1"])])
    route = find(routing, mxs).route
    assert route is not None

    def wait() -> None:
        async def until_enabled() -> None:
            async with asyncio.timeout(5):
                while route.disabled:
                    await asyncio.sleep(0.005)

        loop.run_until_complete(until_enabled())

    routing.disable(route)
    wait()
    assert route.new and route.penalty == 0 and route.timer is None
    routing.disable(route)
    routing.disable(route)
    assert route.penalty == 2
    wait()
    assert route.penalty == 1 and route.timer is not None
    loop.run_until_complete(asyncio.sleep(0.05))
    assert route.penalty == 0 and route.timer is None


def test_a_route_is_disabled_an_hour_at_most(routing: Routing) -> None:
    route = find(routing, routing.mxs([MxHost(1, "mx", ["192.0.2.1"])])).route
    assert route is not None
    route.penalty = 1000
    routing.disable(route)
    assert routing._log.lines == ["smtp-out: Disabling route [] <-> 192.0.2.1 (mx) for 3600s"]  # type: ignore[attr-defined]
    routing.enable(route)
    assert routing._log.lines[-1] == "smtp-out: Enabling route [] <-> 192.0.2.1 (mx)"  # type: ignore[attr-defined]


def test_nothing_is_kept_for_ever(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"])])
    domain = routing.domain("Y.example", False)
    assert routing.domain("y.EXAMPLE", False) is domain
    assert routing.domain("y.example", True) is not domain
    choice = find(routing, mxs)
    use(routing, choice, 1000)
    assert choice.route is not None
    routing.sweep(LIMITS, 2000)
    assert list(routing) == [choice.route]
    routing.disconnected(choice.route, 2000)
    routing.sweep(LIMITS, 2001)
    assert list(routing) == [choice.route]
    routing.sweep(LIMITS, 2010)
    assert list(routing) == []
    del domain, mxs, choice
    gc.collect()
    routing.count()
    counters = dict(routing._stat.items())
    assert counters == {"mta.domain": 0, "mta.host": 0, "mta.source": 0, "mta.route": 0}


def test_names_and_families() -> None:
    assert (family_of("192.0.2.1"), family_of("::1"), family_of("fe80::1%lo"), family_of("mx")) == (
        "inet4",
        "inet6",
        "inet6",
        "",
    )
    assert (bracketed("192.0.2.1"), bracketed("::1")) == ("192.0.2.1", "[::1]")


def test_a_late_connection_leads_on_to_a_worse_preference(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"]), MxHost(2, "b", ["192.0.2.2"])])
    first = find(routing, mxs)
    use(routing, first, 1000, valid=False)
    assert find(routing, mxs, 2000) == Choice(wait=((first.route, 2),))  # type: ignore[arg-type]
    first.route.late = 1  # type: ignore[union-attr]
    second = find(routing, mxs, 2000)
    assert second.mx is mxs[1]
    second.route.late = 1  # type: ignore[union-attr]
    both = ((first.route, 2), (second.route, 2))
    assert find(routing, mxs, 2000) == Choice(wait=both), "they may come about yet"  # type: ignore[arg-type]


def test_who_waits_longer_for_a_host_or_a_route_goes_first(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"])])
    first = find(routing, mxs, waiter=NOBODY)
    assert first.route is not None
    for places, limit in ((mxs[0].host, 3), (first.route, 2)):
        places.stand(NOBODY, limit)
        assert find(routing, mxs, waiter=Nobody()) == Choice(wait=((places, limit),))
        assert find(routing, mxs, waiter=NOBODY).route is first.route
        places.leave(NOBODY, limit)


class Silent:
    """A session with a host that says nothing."""

    ended = False

    def abort(self) -> None:
        self.ended = True


def test_too_many_late_connections_end_after_a_while(routing: Routing) -> None:
    source = routing.source("")
    sessions = [Silent() for _ in range(7)]
    source.nconn = 8
    source.late = {session: 1000.0 + number for number, session in enumerate(sessions)}
    assert source.taken(1) == 3 and source.taken(2) == 1
    source.make_room(2000)
    assert not any(session.ended for session in sessions), "nobody waits"
    source.stand(NOBODY, 2)
    source.make_room(2000)
    assert not any(session.ended for session in sessions), "they take nobody's place"
    source.stand(Nobody(), 1)
    source.make_room(1000 + module.PATIENCE_SECONDS)
    assert [session.ended for session in sessions] == [True] + 6 * [False], "not before their time"
    source.make_room(2000)
    assert [session.ended for session in sessions] == 2 * [True] + 5 * [False], "no more than too many"
    source.make_room(2000, 2)
    assert [session.ended for session in sessions] == 4 * [True] + 3 * [False], "but others may wait as well"
    source.make_room(1004 + module.PATIENCE_SECONDS - 1, 2)
    assert len(source.late) == 3


def test_a_family_that_does_not_answer_comes_last_among_equals(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["2001:db8::1", "192.0.2.1"]), MxHost(1, "b", ["2001:db8::2"])])
    assert find(routing, mxs).mx is mxs[0]
    routing.unreached("inet6", 1000)
    choice = find(routing, mxs, 1001)
    assert choice.mx is mxs[1]
    use(routing, choice, 1001)
    assert find(routing, mxs, 1010).mx is mxs[1], "more connections are better than none"
    use(routing, find(routing, mxs, 1010), 1010)
    assert find(routing, mxs, 1020).mx is mxs[0], "nothing else is left"
    assert not routing.suspects("inet6", 1000 + module.SUSPECT_SECONDS)
    routing.unreached("inet6", 1000)
    routing.reached("inet6")
    assert not routing.suspects("inet6", 1001)


def test_a_route_that_worked_once_is_disabled_when_it_does_no_more(routing: Routing) -> None:
    mxs = routing.mxs([MxHost(1, "a", ["192.0.2.1"]), MxHost(2, "b", ["192.0.2.2"])])
    route = find(routing, mxs).route
    assert route is not None
    routing.connected(route, 1000)
    route.new, route.ready = False, 1
    routing.connected(route, 1010)
    routing.disconnected(route, 1011, failed=True)
    assert not route.disabled, "another connection is doing well"
    route.ready = 0
    routing.disconnected(route, 1012)
    assert not route.disabled
    routing.connected(route, 1020)
    routing.disconnected(route, 1021, failed=True)
    assert route.disabled and find(routing, mxs, 2000).mx is mxs[1]


@pytest.mark.parametrize(
    ("name", "bare", "address"),
    [
        ("[192.0.2.1]", False, "192.0.2.1"),
        ("[IPv6:2001:db8::1]", False, "2001:db8::1"),
        ("[ipv6:2001:db8::1]", False, "2001:db8::1"),
        ("[2001:db8::1]", False, "2001:db8::1"),
        ("[ipv6:192.0.2.1]", False, ""),
        ("192.0.2.1", False, ""),
        ("192.0.2.1", True, "192.0.2.1"),
        ("2001:db8::1", True, "2001:db8::1"),
        ("[mx.example]", False, ""),
        ("mx.example", True, ""),
        ("[]", False, ""),
        ("", True, ""),
    ],
)
def test_address_literals(name: str, bare: bool, address: str) -> None:
    assert module.address_literal(name, bare=bare) == address
