"""What control is told of relaying, and what it may order."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from smtpd.config.model import MtaLimits
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_mta import (
    ConnectorState,
    HostState,
    ListMta,
    MtaListed,
    PausedSource,
    PauseSource,
    RelayState,
    ResumeRoute,
    ResumeSource,
    RouteState,
)
from smtpd.messages.pony_lookup import MxHost
from smtpd.mproc.stat import Stat
from smtpd.pony.mta import listing
from smtpd.pony.mta.connect import Connector
from smtpd.pony.mta.deferred import Deferred
from smtpd.pony.mta.hoststats import HostStats
from smtpd.pony.mta.listing import Listing
from smtpd.pony.mta.pauses import Pauses
from smtpd.pony.mta.relay import Relay, RelayKey
from smtpd.pony.mta.routing import Routing


class Bench:
    """The books of an MTA that sends nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.lines: list[str] = []
        self.faults: list[str] = []
        self.hastened: list[int] = []
        log = SimpleNamespace(info=self.lines.append, debug=self.lines.append)
        self.routing = Routing(loop, log, Stat())  # type: ignore[arg-type]
        self.relays: list[Relay] = []
        self.mta: Any = SimpleNamespace(
            loop=loop,
            log=log,
            stat=Stat(),
            routing=self.routing,
            relays=self.relays,
            pauses=Pauses(),
            hoststats=HostStats(),
            deferred=Deferred(10),
            hasten=self.hastened.extend,
            stopping=False,
        )
        process = SimpleNamespace(loop=loop, log=log, violation=lambda _peer, text: self.faults.append(text))
        self.part = Listing(process, self.mta)  # type: ignore[arg-type]
        self.kept: list[Any] = []

    def route(self, address: str, name: str = "mx.example") -> Any:
        """A new route to a host."""
        (mx,) = self.routing.mxs([MxHost(0, name, [address])])
        self.kept.append(mx)
        return self.routing.route(self.routing.source(""), mx.host)

    def relay(self, domain: str, number: int = 1) -> Relay:
        """A relay without work."""
        fields = dict.fromkeys(RelayKey._fields, "")
        flags = dict.fromkeys(("host", "lmtp", "tls_required", "tls_verify", "srs"), False)
        key = RelayKey(**(fields | flags | {"domain": domain, "port": 0}))  # type: ignore[arg-type]
        relay = Relay(
            self.mta,
            number,
            key,
            None,
            self.routing.domain(domain, False),
            MtaLimits(),  # type: ignore[arg-type]
        )
        self.relays.append(relay)
        return relay

    def list(self, what: str) -> tuple[list[Any], int]:
        """All rows, and how many replies it took."""
        rows: list[Any] = []
        start, replies = "", 0
        while start or not replies:
            reply = self.part.list_mta(None, 5, ListMta(what, start))  # type: ignore[arg-type]
            assert isinstance(reply, MtaListed)
            CATALOGUE.encode(reply)
            others = set(MtaListed._fields) - {"reqid", "next", what}
            assert all(getattr(reply, other) == [] for other in others)
            rows += getattr(reply, what)
            start, replies = reply.next, replies + 1
        return rows, replies


@pytest.fixture
def bench() -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    bench = Bench(loop)
    yield bench
    bench.routing.close()
    for relay in bench.relays:
        relay.close()
    loop.close()


def test_nothing(bench: Bench) -> None:
    for what in listing.LISTS:
        assert bench.list(what) == ([], 1)


def test_hosts_and_routes(bench: Bench) -> None:
    route = bench.route("192.0.2.1", "mx1.example")
    other = bench.route("2001:db8::1", "mx2.example")
    now = bench.loop.time()
    bench.routing.connected(route, now - 7.5)
    bench.routing.connected(other, now - 100)
    bench.routing.disconnected(other, now)
    assert bench.list("hosts")[0] == [
        HostState("192.0.2.1", "mx1.example", 1, 1, 7),
        HostState("[2001:db8::1]", "mx2.example", 1, 0, 100),
    ]
    first, second = bench.list("routes")[0]
    assert first == RouteState(route.id, "[]", "192.0.2.1 (mx1.example)", "N---", 1, 0, 0, -1)
    assert second[:7] == (other.id, "[]", "[2001:db8::1] (mx2.example)", "NDQ-", 0, 1, 1)
    assert 10 <= second.timeout <= 15


def test_a_host_is_as_often_referred_to_as_domains_have_it(bench: Bench) -> None:
    domain = bench.routing.domain("x.example", False)
    domain.mxs = bench.routing.mxs([MxHost(0, "a", ["192.0.2.1"]), MxHost(5, "b", ["192.0.2.1"])])
    assert bench.list("hosts")[0] == [HostState("192.0.2.1", "b", 2, 0, -1)]


def test_relays_with_their_connectors(bench: Bench) -> None:
    relay = bench.relay("b.example")
    connector = relay.connectors[""] = Connector(relay, bench.routing.source(""))
    connector.timer = bench.loop.call_later(30, print)
    bad = relay.connectors["192.0.2.9"] = Connector(relay, bench.routing.source("192.0.2.9"))
    bad.error, bad.nconn, bad.lastconn = "net", 2, bench.loop.time() - 3
    relay.nconn, relay.sessions = 2, 2
    bench.relay("a.example", 2)
    first, second = bench.list("relays")[0]
    assert first == RelayState("[relay:a.example,smtp+tls]", 1, 0, 0, -1, -1, "", False, [], 0)
    assert second._replace(connectors=[], timeout=0) == RelayState(
        "[relay:b.example,smtp+tls]", 5, 0, 2, -1, 0, "connector", False, [], 0
    )
    assert 28 <= second.timeout <= 30
    assert [each._replace(timeout=0) for each in second.connectors] == [
        ConnectorState("[]", 1, 0, -1, 0, "NEW,WAIT"),
        ConnectorState("192.0.2.9", 3, 2, 3, 0, "ERROR_ROUTE_NET"),
    ]


def test_a_relay_with_very_many_connectors(bench: Bench) -> None:
    relay = bench.relay("b.example")
    for number in range(200):
        relay.connectors[str(number)] = Connector(relay, bench.routing.source(f"192.0.2.{number}"))
    (row,) = bench.list("relays")[0]
    assert (len(row.connectors), row.more) == (listing.CONNECTORS_MOST, 200 - listing.CONNECTORS_MOST)


@pytest.mark.parametrize("what", listing.LISTS)
def test_a_long_list_comes_in_pieces(bench: Bench, what: str) -> None:
    for number in range(500):
        bench.route(f"2001:db8::{number:x}", "x" * 200)
        bench.relay(f"{number}.{'y' * 200}.example", number)
        bench.mta.hoststats.note(f"{number}.example", "é" * 400)
        bench.mta.pauses.add("192.0.2.1", f"{number}.example")
    rows, replies = bench.list(what)
    assert len(set(map(repr, rows))) == len(rows) == 500
    assert replies > 1


def test_hoststats(bench: Bench) -> None:
    bench.mta.hoststats.note("b.example", "250 ok")
    bench.mta.hoststats.note("a.example", "451 later")
    assert [(row.domain, row.status) for row in bench.list("hoststats")[0]] == [
        ("a.example", "451 later"),
        ("b.example", "250 ok"),
    ]


def test_sources_are_paused_and_resumed(bench: Bench) -> None:
    peer: Any = None
    bench.part.pause_source(peer, PauseSource("192.0.2.1", "b.example"))
    bench.part.pause_source(peer, PauseSource("192.0.2.1", "A.example"))
    assert bench.list("paused")[0] == [
        PausedSource("192.0.2.1", "a.example"),
        PausedSource("192.0.2.1", "b.example"),
    ]
    bench.part.resume_source(peer, ResumeSource("192.0.2.1", "a.example"))
    assert bench.list("paused")[0] == [PausedSource("192.0.2.1", "b.example")]


def test_what_waited_for_a_source_goes_when_it_is_resumed(bench: Bench) -> None:
    relay = bench.relay("a.example")
    connector = relay.connectors[""] = Connector(relay, bench.routing.source(""))
    connector.error, relay.failure = "paused", ("tempfail", "All routes to destination blocked")
    bench.mta.deferred.add(("a.example", False), 7, set())
    bench.mta.deferred.add(("b.example", False), 8, set())
    bench.part.resume_source(None, ResumeSource("", "A.example"))  # type: ignore[arg-type]
    assert bench.hastened == [7]
    assert connector.error == "" and relay.failure == ("", "")
    relay.failure, connector.error = ("tempfail", "Network error on destination MXs"), "net"
    bench.part.resume_source(None, ResumeSource("", "*"))  # type: ignore[arg-type]
    assert bench.hastened == [7, 8]
    assert connector.error == "net" and relay.failure[0], "that is another matter"


def test_a_route_is_resumed_or_all_are(bench: Bench) -> None:
    peer: Any = None
    routes = [bench.route(f"192.0.2.{number}") for number in range(1, 4)]
    for route in routes[:2]:
        bench.routing.disable(route)
    for number, route in enumerate(routes):
        bench.mta.deferred.add((f"{number}.example", False), number, {"192.0.2.99", route.dst.address})
    bench.part.resume_route(peer, ResumeRoute(routes[1].id))
    assert [row.flags for row in bench.list("routes")[0]] == ["NDQ-", "N---", "N---"]
    assert (routes[1].penalty, routes[1].errors) == (0, 0)
    assert bench.hastened == [1]
    bench.part.resume_route(peer, ResumeRoute(0))
    assert bench.hastened == [1, 0]
    assert [row.flags for row in bench.list("routes")[0]] == ["N---"] * 3
    assert [line for line in bench.lines if "admin" in line] == [
        f"smtp-out: Enabling route {route} per admin request" for route in (routes[1], routes[0])
    ]


def test_no_such_list(bench: Bench) -> None:
    assert bench.part.list_mta(None, 5, ListMta("people", "")) is None  # type: ignore[arg-type]
    assert bench.faults == ["a list of 'people'"]
