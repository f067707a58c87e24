"""Connectors: when another connection is made, with a relay and an Mta that only keep books."""

import asyncio
import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from smtpd.config.model import MtaLimits
from smtpd.messages.pony_lookup import MxHost
from smtpd.mproc.stat import Stat
from smtpd.pony.mta import connect as module
from smtpd.pony.mta import routing
from smtpd.pony.mta.connect import Connector
from smtpd.pony.mta.pauses import Pauses
from smtpd.pony.mta.places import Places
from smtpd.pony.mta.routing import NEVER, Domain, Route, Routing

FREE = MtaLimits(conndelay_route=0, conndelay_relay=0, discdelay_route=0, maxconn_per_route=100)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, text: str) -> None:
        self.lines.append(text)


class Session:
    """What connectors look at."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.connecting = loop.create_future()
        self.settled = False


class Mta:
    """Collects the sessions it is asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.log = Log()
        self.routing = Routing(loop, self.log, Stat())  # type: ignore[arg-type]
        self.pauses = Pauses()
        self.stopping = False
        self.places = Places(loop)
        self.most_connections = 1000
        self.resume_at = NEVER
        self.begun: list[Route] = []
        self.relays: list[Relay] = []
        self.sessions: list[Any] = []

    def run_until(self, condition: Callable[[], object]) -> None:
        """Turn the loop until it is true."""

        async def wait() -> None:
            async with asyncio.timeout(20):
                while not condition():
                    await asyncio.sleep(0)

        self.loop.run_until_complete(wait())

    def settle(self) -> None:
        """Until whoever waits for a place that is free has it."""
        known = self.routing
        shared = [self.places, *known.sources.values(), *known.hosts.values(), *known, *self.relays]
        shared += [relay.domain for relay in self.relays]
        self.run_until(lambda: not any(places._planned for places in shared))

    def new_session(self, connector: Connector, route: Route, mx: object) -> Any:
        route.new = False
        self.begun.append(route)
        self.sessions.append(Session(self.loop))
        return self.sessions[-1]


class Relay(Places):
    """A relay with as many tasks as a test says."""

    def __init__(self, mta: Mta, limits: MtaLimits, tasks: int, addresses: list[str]) -> None:
        super().__init__(mta.loop)
        self.mta = mta
        self.limits = limits
        self.tasks = dict.fromkeys(range(tasks))
        self.idle: dict[Any, None] = {}
        self.domain = Domain(mta.loop, "y.example", False)
        self.domain.mxs = mta.routing.mxs([MxHost(1, "mx", addresses)])
        self.ready = 0
        self.late = 0
        self.lastconn = NEVER
        self.backup_preference = None
        self.failed = 0

    def connector_failed(self) -> None:
        self.failed += 1

    def __str__(self) -> str:
        return "[relay:y.example]"


@pytest.fixture
def make(loop: asyncio.AbstractEventLoop) -> Any:
    mta = Mta(loop)

    def make(limits: MtaLimits, tasks: int, addresses: tuple[str, ...] = ("192.0.2.1",)) -> Any:
        relay = Relay(mta, limits, tasks, list(addresses))
        mta.relays.append(relay)
        return relay, Connector(relay, mta.routing.source("")), mta  # type: ignore[arg-type]

    yield make
    mta.routing.close()


def test_no_more_than_there_is_work_for(make: Any) -> None:
    for tasks, connections in ((0, 0), (1, 1), (2, 2), (3, 3), (6, 3), (8, 4), (20, 10)):
        relay, connector, mta = make(FREE, tasks)
        mta.begun.clear()
        connector.connect()
        assert len(mta.begun) == relay.nconn == connections, tasks
        for route in mta.begun:
            connector.collect(route)
        assert relay.nconn == connector.nconn == relay.domain.nconn == 0


def test_a_source_that_is_paused(make: Any) -> None:
    relay, connector, mta = make(FREE, 1)
    mta.pauses.add("", "Y.example")
    connector.connect()
    assert (connector.error, relay.failed, mta.begun) == ("paused", 1, [])
    mta.pauses.remove("", "y.example")
    again = Connector(relay, mta.routing.source(""))
    again.connect()
    assert (again.error, len(mta.begun)) == ("", 1)


def test_those_that_are_coming_count(make: Any) -> None:
    relay, connector, mta = make(FREE, 2)
    relay.idle = {"one": None, "two": None}
    connector.connect()
    assert mta.begun == []
    relay.idle = {}
    mta.stopping = True
    connector.connect()
    assert mta.begun == []


@pytest.mark.parametrize(
    "limit",
    [
        "maxconn_per_host",
        "maxconn_per_route",
        "maxconn_per_source",
        "maxconn_per_connector",
        "maxconn_per_relay",
    ],
)
def test_limits(
    make: Any, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(module, "DELAY_CHECK_LIMIT", 0.02)
    relay, connector, mta = make(replace(FREE, **{limit: 2}), 20)
    connector.connect()
    assert len(mta.begun) == 2
    assert connector.timer is not None
    # looked at again, in vain until one has gone
    before = connector.timer
    mta.run_until(lambda: connector.timer not in (before, None))
    assert len(mta.begun) == 2
    connector.collect(mta.begun.pop())
    connector.connect()  # its time has not come
    assert len(mta.begun) == 1
    mta.run_until(lambda: len(mta.begun) == 2)
    connector.collect(mta.begun.pop())
    connector.connect(again=True)
    assert len(mta.begun) == 2
    connector.close()


@pytest.mark.parametrize(
    "delay", ["conndelay_domain", "conndelay_source", "conndelay_connector", "conndelay_relay"]
)
def test_delays(make: Any, loop: asyncio.AbstractEventLoop, delay: str) -> None:
    relay, connector, mta = make(replace(FREE, **{delay: 0.05}), 20)
    connector.connect()
    assert len(mta.begun) == 1
    began = mta.loop.time()
    mta.run_until(lambda: len(mta.begun) > 1)
    assert mta.loop.time() - began > 0.04
    connector.close()


def test_an_error_is_final_and_told_once(make: Any) -> None:
    relay, connector, mta = make(FREE, 1, ())
    connector.connect()
    assert connector.error == "mx" and relay.failed == 1
    connector.connect(again=True)
    connector.fail("source")
    assert connector.error == "mx" and relay.failed == 1
    assert mta.log.lines == ["smtp-out: No MX found for [connector:[]->[relay:y.example]]"]


def test_a_connection_that_takes_long_holds_up_nobody(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_SECONDS", 0.001)
    relay, connector, mta = make(FREE, 1, ("192.0.2.1", "192.0.2.2", "192.0.2.3"))
    connector.connect()
    (first,) = mta.begun
    mta.run_until(lambda: len(connector.source.late) == 3)
    assert [route.dst.address for route in mta.begun] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert (relay.late, first.late, len(connector.source.late)) == (3, 1, 3)
    assert connector.error == "" and connector.timer is not None, "and waited for"
    for session in mta.sessions:
        session.connecting.set_result(None)
    mta.run_until(lambda: not (relay.late or first.late))
    assert len(connector.source.late) == 3, "they have taken no mail yet"
    mta.settle()
    assert len(mta.begun) == 3, "every route is tried once"


def test_a_connection_in_time_is_all_there_is(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_SECONDS", 0.001)
    relay, connector, mta = make(FREE, 1, ("192.0.2.1", "192.0.2.2"))
    connector.connect()
    mta.sessions[0].connecting.set_result(None)
    mta.run_until(lambda: connector.source.late)  # looked at, and without mail
    mta.settle()
    assert len(mta.begun) == 1 and relay.late == 0


def test_late_connections_do_not_use_up_the_source(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_SECONDS", 0.001)
    limits = replace(FREE, maxconn_per_source=2)
    relay, connector, mta = make(limits, 1, tuple(f"192.0.2.{number}" for number in range(1, 6)))
    connector.connect()
    mta.run_until(lambda: relay.late == 5)
    assert len(mta.begun) == 5
    monkeypatch.setattr(routing, "LATE_TIMES", 1)
    other, another, _ = make(limits, 1, ("192.0.2.9",))
    another.connect()
    assert len(mta.begun) == 5, "but not without end"
    another.close()


def test_all_relays_and_sources_share_what_the_process_can_hold(make: Any) -> None:
    """Whoever waits longest has what any other gives up."""
    made = [make(FREE, 1, (f"192.0.2.{number}",)) for number in range(1, 4)]
    mta = made[0][2]
    mta.most_connections = 1
    connectors = [
        Connector(relay, mta.routing.source(f"192.0.2.10{i}")) for i, (relay, _, _) in enumerate(made)
    ]
    for connector in connectors:
        connector.connect()
    assert len(mta.begun) == 1 and mta.places.waiting == 2
    for number in range(2):
        made[number][0].tasks.clear()
        connectors[number].collect(mta.begun[number])
        mta.run_until(lambda number=number: len(mta.begun) == number + 2)
    assert [route.dst.address for route in mta.begun] == ["192.0.2.1", "192.0.2.2", "192.0.2.3"]
    assert mta.places.nconn == 1 and mta.places.waiting == 0
    for connector in connectors:
        connector.close()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_no_descriptor_is_no_fault_of_the_route(
    make: Any, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    """Nobody connects for a while, then goes on where he was."""
    relay, connector, mta = make(FREE, 1)
    connector.connect()
    (route,) = mta.begun
    route.new = True
    assert not connector.unreached(route, error)
    connector.collect(route, failed=True, blameless=True)
    connector.connect(again=True)
    _, other, _ = make(FREE, 1, ("192.0.2.2",))
    other.connect()
    assert len(mta.begun) == 1 and not route.disabled and connector.error == other.error == ""
    for each in (connector, other):
        assert each.timer.when() == pytest.approx(mta.resume_at, abs=0.5)
    assert mta.resume_at > mta.loop.time()
    mta.resume_at = NEVER
    connector.connect(again=True)
    assert mta.begun == [route, route]
    connector.collect(route, failed=True)
    assert route.disabled
    for each in (connector, other):
        each.close()


@pytest.mark.parametrize(
    ("error", "source", "suspect", "failed"),
    [
        (errno.ENETUNREACH, "", True, ""),
        (errno.EHOSTUNREACH, "", True, ""),
        (errno.EADDRNOTAVAIL, "", True, ""),
        (errno.EADDRNOTAVAIL, "192.0.2.77", False, "source"),
        (errno.ECONNREFUSED, "", False, ""),
        (None, "", False, ""),
    ],
)
def test_what_the_system_says(make: Any, error: int | None, source: str, suspect: bool, failed: str) -> None:
    relay, _, mta = make(FREE, 1)
    connector = Connector(relay, mta.routing.source(source))
    route = mta.routing.route(connector.source, relay.domain.mxs[0].host)
    assert connector.unreached(route, error)
    assert mta.routing.suspects("inet4", mta.loop.time()) is suspect
    assert connector.error == failed
    connector.recover("net")
    assert connector.error == failed
    connector.recover("source")
    assert connector.error == ""


def test_the_next_in_line_has_what_another_gave_up(make: Any, loop: asyncio.AbstractEventLoop) -> None:
    """At once and in turn; those whose mail is gone, or whose relay is, do not stand in the way."""
    limits = replace(FREE, maxconn_per_source=1)
    made = [make(limits, 1, (f"192.0.2.{number}",)) for number in range(1, 6)]
    connectors = [connector for _, connector, _ in made]
    mta = made[0][2]
    for connector in connectors:
        connector.connect()
    source = connectors[0].source
    assert len(mta.begun) == 1 and source.waiting == 4
    made[1][0].tasks.clear()
    connectors[2].close()
    connectors[0].collect(mta.begun[0])
    connectors[0].connect(again=True)
    mta.settle()
    assert [route.dst.address for route in mta.begun] == ["192.0.2.1", "192.0.2.4"]
    assert source.waiting == 2
    connectors[4].fail("source")
    assert source.waiting == 1
    connectors[3].collect(mta.begun[1])
    mta.settle()
    assert [route.dst.address for route in mta.begun][2:] == ["192.0.2.1"], "behind those before it"
    assert source.waiting == 0
    for connector in connectors:
        connector.close()


def test_who_has_to_wait_anyway_does_not_stand_in_line(make: Any) -> None:
    limits = replace(FREE, maxconn_per_source=1)
    _, other, mta = make(limits, 1)
    other.connect()
    delayed, connector, _ = make(replace(limits, conndelay_relay=60), 1, ("192.0.2.2",))
    connector.connect()
    assert connector.source.waiting == 1
    delayed.lastconn = mta.loop.time()
    other.collect(mta.begun[0])
    mta.settle()
    assert connector.source.waiting == 0 and len(mta.begun) == 1
    assert connector.timer is not None
    connector.close()


def test_a_silent_host_uses_up_nothing_and_is_not_gone_round(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepted: the next host of the domain is left alone, but others have the source's place."""
    monkeypatch.setattr(module, "LATE_SECONDS", 0.001)
    limits = replace(FREE, maxconn_per_source=1)
    relay, connector, mta = make(limits, 1, ("192.0.2.1", "192.0.2.2"))
    connector.connect()
    mta.sessions[0].connecting.set_result(None)
    other, waiting, _ = make(limits, 1, ("192.0.2.3",))
    waiting.connect()
    assert len(mta.begun) == 1
    mta.run_until(lambda: len(connector.source.late) == 2)
    mta.settle()
    assert [route.dst.address for route in mta.begun] == ["192.0.2.1", "192.0.2.3"]
    assert relay.late == mta.begun[0].late == 0
    assert list(connector.source.late) == mta.sessions
    waiting.close()
    connector.close()


@pytest.mark.parametrize("limit", ["maxconn_per_host", "maxconn_per_route", "maxconn_per_domain"])
def test_what_relays_share_goes_to_the_next_at_once(make: Any, limit: str) -> None:
    limits = replace(FREE, **{limit: 1})
    made = [make(limits, 1) for _ in range(4)]
    mta = made[0][2]
    for relay, _, _ in made[1:]:
        relay.domain = made[0][0].domain
    for _, connector, _ in made:
        connector.connect()
    mta.settle()
    assert len(mta.begun) == 1
    made[2][0].tasks.clear()
    for giving, taking in ((0, 1), (1, 3)):
        made[giving][0].tasks.clear()
        made[giving][1].collect(mta.begun[0])
        made[giving][1].connect(again=True)
        mta.settle()
        assert [connector.nconn for _, connector, _ in made] == [number == taking for number in range(4)]
    for _, connector, _ in made:
        connector.close()


def test_a_relay_s_place_goes_to_another_source(make: Any) -> None:
    relay, connector, mta = make(replace(FREE, maxconn_per_relay=1), 3)
    other = Connector(relay, mta.routing.source("192.0.2.200"))
    connector.connect()
    other.connect()
    assert len(mta.begun) == 1 and relay.waiting == 2
    for sources in (["", ""], ["", "", "192.0.2.200"]):
        connector.collect(mta.begun[0])
        connector.connect(again=True)
        mta.settle()
        assert [route.src.address for route in mta.begun] == sources, "each in its turn"
    for each in (connector, other):
        each.close()
    assert relay.waiting == 0


def test_who_waits_for_a_first_connection_hears_of_it(make: Any) -> None:
    relay, connector, mta = make(FREE, 1)
    other, waiting, _ = make(FREE, 1)
    connector.connect()
    (route,) = mta.begun
    route.new = True
    waiting.connect()
    assert waiting.nconn == 0 and route.waiting == 1
    route.new = False
    route.changed()  # as relay.session_ready does
    mta.settle()
    assert waiting.nconn == 1 and route.waiting == 0
    waiting.close()
