"""What holds an envelope; the books of MTA and MDA are written by the test, tests/system has real ones."""

from types import SimpleNamespace
from typing import Any

import pytest

from smtpd.messages.control_tries import FindHindrances, Hindered, Hindrance
from smtpd.pony.hindrances import Hindrances
from smtpd.pony.mta.deferred import Deferred
from smtpd.pony.mta.pauses import ALL
from smtpd.pony.mta.routing import Host, Route
from smtpd.pony.tries import Tries


class Source(SimpleNamespace):
    """Without late connections."""

    def taken(self, limit: int) -> int:
        return self.nconn  # type: ignore[no-any-return]


class NoUsers:
    """An MDA without mail, or with what a test says."""

    def __init__(self) -> None:
        self.tries = Tries()
        self.waiting: Any = None

    def waiting_for(self, evpid: int, holdq: int) -> Any:
        return self.waiting


def connector(error: str = "", timer: float | None = None, nconn: int = 0) -> Any:
    """One source of a relay."""
    due = None if timer is None else SimpleNamespace(when=lambda: timer)
    return SimpleNamespace(error=error, timer=due, nconn=nconn, source=Source(nconn=nconn), stands_at=[])


class World:
    """Books of an MTA that a test writes."""

    def __init__(self) -> None:
        limits = dict.fromkeys(("host", "route", "source", "connector", "relay", "domain"), 10)
        self.limits = SimpleNamespace(task_hiwat=50, **{f"maxconn_per_{k}": n for k, n in limits.items()})
        loop: Any = None
        self.host = Host(loop, "192.0.2.9")
        self.domain = SimpleNamespace(name="z.example", nconn=0, mxs=[SimpleNamespace(host=self.host)])
        self.relay = SimpleNamespace(
            id=77, domain=self.domain, limits=self.limits, nconn=0, tasks={}, connectors={}, waits_for=list
        )
        self.routes: list[Any] = []
        self.mta: Any = SimpleNamespace(
            tries=Tries(), relays=[self.relay], sessions=[], pauses=set(), routing=self, deferred=Deferred(9)
        )
        self.domains: dict[int, Any] = {}
        self.mda = NoUsers()
        process: Any = SimpleNamespace(loop=SimpleNamespace(time=lambda: 100.0))
        listing: Any = SimpleNamespace(route=lambda route: route)
        self.part = Hindrances(process, self.mta, self.mda, listing)  # type: ignore[arg-type]

    def __iter__(self) -> Any:
        return iter(self.routes)

    def add(self, one: Any) -> None:
        one.relay = self.relay
        self.relay.connectors[len(self.relay.connectors)] = one

    def ask(self, evpid: int = 5, holdq: int = 0, domain: str = "Z.example") -> Hindered:
        reply = self.part.find_hindrances(None, 9, FindHindrances(evpid, holdq, domain))  # type: ignore[arg-type]
        assert reply.reqid == 9
        return reply.hindered


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_known(world: World) -> None:
    world.mta.relays.clear()
    assert world.ask() == Hindered("", "", "", [], [], [], [])


def test_held(world: World) -> None:
    found = world.ask(holdq=77)
    assert (found.place, found.hindrances) == ("", [Hindrance("limit", "task-hiwat", 50)])


def test_waiting_at_a_relay(world: World) -> None:
    task = type("T", (), {"envelopes": [SimpleNamespace(evpid=5)]})()
    world.relay.tasks = {task: None}
    world.relay.waits_for = lambda: ["MX", "secret", "source", "connector"]
    world.add(connector(timer=104.5))
    world.add(connector(error="net"))
    found = world.ask()
    assert found.place == "relay"
    assert found.hindrances == [
        Hindrance("lookup", "mx", 0),
        Hindrance("lookup", "credentials", 0),
        Hindrance("lookup", "source", 0),
        Hindrance("delay", "", 4),
        Hindrance("error", "net", 0),
    ]


@pytest.mark.parametrize("name", ["host", "source", "connector", "relay", "domain"])
def test_limits(world: World, name: str) -> None:
    one = connector(timer=101)
    {
        "host": world.host,
        "source": one.source,
        "connector": one,
        "relay": world.relay,
        "domain": world.domain,
    }[name].nconn = 10
    one.stands_at = [world.host]
    world.add(one)
    assert world.ask(holdq=77).hindrances[1:] == [Hindrance("limit", f"max-conn-per-{name}", 10)]


def test_a_first_connection(world: World) -> None:
    loop: Any = None
    one = connector(timer=101)
    route = Route(loop, 1, one.source, world.host)
    one.stands_at = [world.host, route]
    world.add(one)
    route.nconn = 1
    assert world.ask(holdq=77).hindrances[1:] == [Hindrance("first", "192.0.2.9", 0)]
    route.nconn = 0  # it is over, and the next is asked in a moment
    assert world.ask(holdq=77).hindrances[1:] == [Hindrance("delay", "", 1)]


def test_one_of_two_hosts_is_full(world: World) -> None:
    """The other cannot be used: there is none that is tried for the first time."""
    loop: Any = None
    one = connector(timer=101)
    route = Route(loop, 1, one.source, world.host)
    route.new, route.nconn = False, 10
    one.stands_at = [route]
    world.domain.mxs.append(SimpleNamespace(host=Host(loop, "192.0.2.10")))
    world.add(one)
    assert world.ask(holdq=77).hindrances[1:] == [Hindrance("limit", "max-conn-per-route", 10)]
    one.stands_at = [world.host]
    world.host.nconn = 10
    assert world.ask(holdq=77).hindrances[1:] == [Hindrance("limit", "max-conn-per-host", 10)]
    world.host.nconn, route.nconn, route.late = 1, 1, 1
    one.stands_at = [route]
    assert world.ask(holdq=77).hindrances[1:] == [Hindrance("delay", "", 1)]


def test_in_a_session(world: World) -> None:
    world.mta.sessions.append(SimpleNamespace(evpids=lambda: {5}, relay=world.relay, host="192.0.2.9 (mx)"))
    found = world.ask()
    assert (found.place, found.host) == ("session", "192.0.2.9 (mx)")


def test_routes_and_pauses(world: World) -> None:
    def route(address: str, disabled: str) -> Any:
        return SimpleNamespace(dst=SimpleNamespace(address=address), disabled=disabled, nconn=0, src=None)

    world.routes = [route("192.0.2.9", "net"), route("192.0.2.9", ""), route("192.0.2.8", "net")]
    world.domains[1] = world.domain
    world.mta.pauses |= {("192.0.2.1", "z.example"), ("192.0.2.1", "other.example"), ("192.0.2.2", ALL)}
    found = world.ask()
    assert found.routes == [world.routes[0]]
    assert [pause.source for pause in found.paused] == ["192.0.2.1", "192.0.2.2"]


@pytest.mark.parametrize(
    ("tried", "address"),
    [
        ("192.0.2.9", "192.0.2.9"),  # a smart host: what its relay was called
        ("[192.0.2.9]", "192.0.2.9"),
        ("[ipv6:2001:db8::9]", "2001:db8::9"),
        ("2001:db8::9", "2001:db8::9"),
        ("192.0.2.9 (found.example)", "192.0.2.9"),  # a session, before the host had its own name
        ("[2001:db8::9] (found.example)", "2001:db8::9"),
        ("mail.example", "192.0.2.9"),  # a host by name, an MX's domain
    ],
)
def test_a_route_is_found_when_all_else_is_gone(world: World, tried: str, address: str) -> None:
    """The relay, the domain; and its host has a name of its own by now."""
    world.mta.relays.clear()
    loop: Any = None
    host = Host(loop, address)
    host.own_name = "its.own.example"
    route = SimpleNamespace(dst=host, disabled="net", nconn=0, src=None)
    other = SimpleNamespace(dst=Host(loop, "192.0.2.77"), disabled="net", nconn=0, src=None)
    world.routes = [other, route]
    world.mta.tries.failed(5, 1, "", tried, "no")
    world.mta.deferred.add(("mail.example", tried == "mail.example"), 5, {"192.0.2.9"})
    world.mta.deferred.add(("other.example", False), 6, {"192.0.2.77"})
    assert world.ask().routes == [route]


def test_deliveries_to_a_user(world: World) -> None:
    world.mda.waiting = ("ann", [("max-session-per-user", 7)])
    found = world.ask()
    assert (found.place, found.name) == ("user", "ann")
    assert found.hindrances == [Hindrance("limit", "max-session-per-user", 7)]
    assert world.ask(holdq=3).place == ""


def test_tries(world: World) -> None:
    world.mda.tries.failed(5, 1, "", "", "locked")
    assert [each.status for each in world.ask().tries] == ["locked"]
    world.mta.tries.failed(5, 2, "s", "h", "451")
    assert [each.status for each in world.ask().tries] == ["451"]
