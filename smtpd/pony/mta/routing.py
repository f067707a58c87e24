"""What is known of the ways out: domains and their hosts, source addresses, and the routes between.

Rules, limits and delays are those of OpenSMTPD's mta.c (mta_find_route, mta_route_disable). Times are the
loop's seconds. Nothing here connects or asks; it keeps the books and says which route to try.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from itertools import islice
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from smtpd.config.model import MtaLimits
from smtpd.messages.pony_lookup import MxHost
from smtpd.mproc.log import Log
from smtpd.mproc.stat import Stat

from .places import Places, Waiter

DELAY_ROUTE_BASE = 15.0
DELAY_ROUTE_MAX = 3600.0
NEVER = float("-inf")

SUSPECT_SECONDS = 60.0
"""For so long the other family comes first among equals, after one could not be reached."""

# why a route is disabled
DISABLED_NET = "net"

LATE_TIMES = 5
"""Of a source's connections, so many times max-conn-per-source do not count while they are late."""

PATIENCE_SECONDS = 30.0
"""For so long a connection may be late, though there are too many such and others wait."""


class Late(Protocol):
    """A session that is late."""

    def abort(self) -> None:
        """End."""


class Source(Places):
    """A local address to connect from, "" for whatever the system takes. `late`: of its connections, those
    that take longer than they should to get as far as to take mail, and since when; the oldest first.
    """

    __slots__ = ("address", "lastconn", "late")

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        super().__init__(loop)
        self.address = address
        self.late: dict[Late, float] = {}
        self.lastconn = NEVER

    def taken(self, limit: int) -> int:
        """Connections that count: hosts that are dead or silent use up nothing at first."""
        return self.nconn - min(len(self.late), LATE_TIMES * limit)

    def make_room(self, now: float, wanted: int = 0) -> None:
        """While others wait because there are too many late connections, end as many of these. `wanted`: so
        many more wait because there are too many connections at all.
        """
        if self._lines:
            excess = len(self.late) - LATE_TIMES * min(self._lines)
            wanted = max(wanted, min(self.waiting, excess))
        for session, since in list(islice(self.late.items(), max(0, wanted))):
            if now - since < PATIENCE_SECONDS:
                break
            del self.late[session]
            session.abort()

    @property
    def family(self) -> str:
        """ "inet4", "inet6", or "" when the address leaves it open."""
        return family_of(self.address) if self.address else ""

    def __str__(self) -> str:
        return bracketed(self.address) if self.address else "[]"


class Host(Places):
    """An address to connect to. `own_name`: as reverse DNS has it, "" if there is none or it is not known
    yet; `found_as`: the name under which it was found last, and others may have found it under theirs.

    `ask_name`: from when on DNS is to be asked for its name.
    """

    __slots__ = ("address", "ask_name", "family", "found_as", "lastconn", "own_name")

    def __init__(self, loop: asyncio.AbstractEventLoop, address: str) -> None:
        super().__init__(loop)
        self.address = address
        self.found_as = ""
        self.own_name = ""
        self.ask_name = NEVER
        self.family = family_of(address)
        self.lastconn = NEVER

    @property
    def name(self) -> str:
        """For lists; "" if there is none."""
        return self.own_name or self.found_as

    def called(self, name: str) -> str:
        """As in log lines of who knows it by this name: `192.0.2.1 (mx.example.org)`."""
        text, name = bracketed(self.address), self.own_name or name
        return f"{text} ({name})" if name and name != self.address else text

    def __str__(self) -> str:
        return self.called(self.found_as)


class Mx(NamedTuple):
    """One host of a domain."""

    preference: int
    name: str
    host: Host


class Domain(Places):
    """A destination: a mail domain with its MXs, or (`as_host`) a host by name. `mxs` in the order of
    preference.

    `preferences`: of all MX names, also of those that have no address. `askers`: who asked for the hosts.
    `secure`: the answer was authenticated (the AD bit).
    """

    __slots__ = ("as_host", "askers", "lastconn", "mxs", "name", "preferences", "resolved", "secure")

    def __init__(self, loop: asyncio.AbstractEventLoop, name: str, as_host: bool) -> None:
        super().__init__(loop)
        self.name = name
        self.as_host = as_host
        self.mxs: tuple[Mx, ...] = ()
        self.preferences: dict[str, int] = {}
        self.secure = False
        self.resolved = NEVER
        self.askers: list[Callable[[str, str], None]] = []
        self.lastconn = NEVER


class Route(Places):
    """A source and a host together. `new`: no session of it has got as far as to take mail yet.

    `ready`: sessions that take mail; `late`: connections that take longer to come about than they should.
    """

    # fmt: off
    __slots__ = (
        "disabled", "dst", "errors", "id", "lastconn", "lastdisc", "late", "new", "penalty", "ready", "src",
        "timer",
    )
    # fmt: on

    def __init__(self, loop: asyncio.AbstractEventLoop, number: int, src: Source, dst: Host) -> None:
        super().__init__(loop)
        self.id = number
        self.src = src
        self.dst = dst
        self.new = True
        self.disabled = ""
        self.penalty = 0
        self.errors = 0
        self.ready = 0
        self.late = 0
        self.lastconn = NEVER
        self.lastdisc = NEVER
        self.timer: asyncio.TimerHandle | None = None

    def taken(self, limit: int) -> int:
        """All, while a first connection shows whether it is good, or one is late."""
        return limit if self.late or (self.new and self.nconn) else self.nconn

    def __str__(self) -> str:
        return f"{self.src} <-> {self.dst}"


class Choice(NamedTuple):
    """What find_route says. Without a route either `wait` (for places where a limit is reached), `until` (too
    early), or `error`.

    `error`: "mx", "family" or "net", as connectors call what is wrong with them.
    """

    route: Route | None = None
    mx: Mx | None = None
    wait: tuple[tuple[Places, int], ...] = ()
    until: float = NEVER
    error: str = ""


class Routing:
    """Every domain, host, source and route there is. What nothing refers to any more goes by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, stat: Stat) -> None:
        self.domains: WeakValueDictionary[tuple[str, bool], Domain] = WeakValueDictionary()
        self.hosts: WeakValueDictionary[str, Host] = WeakValueDictionary()
        self.sources: WeakValueDictionary[str, Source] = WeakValueDictionary()
        self.routes: dict[tuple[Source, Host], Route] = {}
        self._loop = loop
        self._log = log
        self._stat = stat
        self._last = 0
        self._suspects: dict[str, float] = {}

    def domain(self, name: str, as_host: bool) -> Domain:
        """The domain of that name, made if need be."""
        key = (name.lower(), as_host)
        domain = self.domains.get(key)
        if domain is None:
            domain = self.domains[key] = Domain(self._loop, *key)
        return domain

    def source(self, address: str) -> Source:
        """The source of that address."""
        source = self.sources.get(address)
        if source is None:
            source = self.sources[address] = Source(self._loop, address)
        return source

    def host(self, address: str, name: str) -> Host:
        """The host of that address."""
        host = self.hosts.get(address)
        if host is None:
            host = self.hosts[address] = Host(self._loop, address)
        host.found_as = name
        return host

    def mxs(self, found: Iterable[MxHost]) -> tuple[Mx, ...]:
        """Lookup's answer, best preference first; names without an address are left out."""
        mxs = [
            Mx(preference, name, self.host(address, name))
            for preference, name, addresses in found
            for address in addresses
            if family_of(address)
        ]
        return tuple(sorted(mxs, key=lambda mx: mx.preference))

    def route(self, src: Source, dst: Host) -> Route:
        """The route between two."""
        route = self.routes.get((src, dst))
        if route is None:
            self._last += 1
            route = self.routes[src, dst] = Route(self._loop, self._last, src, dst)
        return route

    def find_route(
        self,
        mxs: Iterable[Mx],
        source: Source,
        limits: MtaLimits,
        now: float,
        waiter: Waiter,
        below: int | None = None,
    ) -> Choice:
        """The route for `waiter` to connect by: of the best preference that has one, the route with the
        fewest connections, and sooner of a family that works than of one that does not.

        A host that is slow to accept a connection holds up nobody: meanwhile the others are tried, also those
        of a worse preference. `below`: our own preference where we are a backup for the domain.
        """
        best: Route | None = None
        best_mx: Mx | None = None
        level = -1
        best_rank = (True, 0)
        seen = family_mismatch = suspended = False
        limited: list[tuple[Places, int]] = []
        late: list[tuple[Places, int]] = []
        until = NEVER
        for mx in mxs:
            if mx.preference > level:
                # a worse preference is looked at only if nothing of the better ones can be used, now or soon
                if best is not None or limited or until != NEVER:
                    break
                if below is not None and mx.preference >= below:
                    break
                level = mx.preference
            seen = True
            host = mx.host
            if (source.family and source.family != host.family) or (
                limits.family and limits.family != host.family
            ):
                family_mismatch = True
                continue
            if not host.is_free(waiter, limits.maxconn_per_host):
                limited.append((host, limits.maxconn_per_host))
                continue
            if (early := host.lastconn + limits.conndelay_host) > now:
                until = _sooner(until, early)
                continue
            route = self.route(source, host)
            if route.disabled:
                suspended = True
                continue
            if not route.is_free(waiter, limits.maxconn_per_route):
                (late if route.late else limited).append((route, limits.maxconn_per_route))
                continue
            early = max(route.lastconn + limits.conndelay_route, route.lastdisc + limits.discdelay_route)
            if early > now:
                until = _sooner(until, early)
                continue
            rank = (self.suspects(host.family, now), route.nconn)
            if best is None or rank < best_rank:
                best, best_mx, best_rank = route, mx, rank
        if best is not None:
            return Choice(best, best_mx)
        if not seen:
            return Choice(error="mx")
        if limited:
            return Choice(wait=(*limited, *late))
        if until != NEVER:
            return Choice(until=until)
        if late:
            return Choice(wait=tuple(late))
        if suspended:
            return Choice(error="net")
        assert family_mismatch
        return Choice(error="family")

    def connected(self, route: Route, now: float) -> None:
        """A connection begins."""
        for end in (route, route.src, route.dst):
            end.nconn += 1
            end.lastconn = now

    def disconnected(
        self, route: Route, now: float, *, failed: bool = False, blameless: bool = False
    ) -> None:
        """A connection is over. If none on this route ever worked, or this one did not (`failed`) and there
        is no other, the route is left alone for a while, unless it was not even tried (`blameless`).
        """
        for end in (route, route.src, route.dst):
            end.nconn -= 1
            end.changed()
        route.lastdisc = now
        if not blameless and (route.new or (failed and not route.ready)):
            self.disable(route)

    def unreached(self, family: str, now: float) -> None:
        """An address of this family does not answer, or there is no way to it."""
        self._suspects[family] = now + SUSPECT_SECONDS

    def reached(self, family: str) -> None:
        """One does."""
        self._suspects.pop(family, None)

    def suspects(self, family: str, now: float) -> bool:
        """Is this family better left alone where there is another?"""
        return self._suspects.get(family, NEVER) > now

    def disable(self, route: Route) -> None:
        """Not to be used for a while: 15 s times the square of the penalty, at most an hour."""
        route.penalty += 1
        route.errors += 1
        delay = min(DELAY_ROUTE_BASE * route.penalty**2, DELAY_ROUTE_MAX)
        self._log.info(f"smtp-out: Disabling route {route} for {delay:.0f}s")
        route.disabled = DISABLED_NET
        if route.timer is not None:
            route.timer.cancel()
        route.timer = self._loop.call_later(delay, self._enable, route)

    def _enable(self, route: Route) -> None:
        route.timer = None
        self.enable(route)
        if route.penalty:
            # forgotten step by step
            route.penalty -= 1
        if route.penalty:
            delay = min(DELAY_ROUTE_BASE * route.penalty**2, DELAY_ROUTE_MAX)
            route.timer = self._loop.call_later(delay, self._enable, route)

    def enable(self, route: Route) -> None:
        """To be tried again."""
        if route.disabled:
            self._log.info(f"smtp-out: Enabling route {route}")
            route.disabled = ""
            route.new = True

    def resume(self, route: Route) -> None:
        """The administrator knows better: use it, and forget what was."""
        if route.timer is not None:
            route.timer.cancel()
            route.timer = None
        route.penalty = route.errors = 0
        route.disabled = ""
        route.new = True

    def sweep(self, limits: MtaLimits, now: float) -> None:
        """Forget routes that nothing holds up any more: no connection, no penalty, no delay."""
        keep = now - max(limits.conndelay_route, limits.discdelay_route)
        for key, route in list(self.routes.items()):
            if (
                not (route.nconn or route.waiting)
                and route.timer is None
                and max(route.lastconn, route.lastdisc) <= keep
            ):
                del self.routes[key]
        self.count()

    def count(self) -> None:
        """Put the numbers into the counters."""
        self._stat.set("mta.domain", len(self.domains))
        self._stat.set("mta.host", len(self.hosts))
        self._stat.set("mta.source", len(self.sources))
        self._stat.set("mta.route", len(self.routes))

    def close(self) -> None:
        """Cancel what is planned."""
        for route in self.routes.values():
            if route.timer is not None:
                route.timer.cancel()

    def __iter__(self) -> Iterator[Route]:
        return iter(self.routes.values())


def family_of(address: str) -> str:
    """ "inet4" or "inet6"; "" for what is no address."""
    try:
        return "inet6" if ip_address(address.partition("%")[0]).version == 6 else "inet4"
    except ValueError:
        return ""


def address_literal(name: str, *, bare: bool) -> str:
    """The address in a literal, `[192.0.2.1]` or `[IPv6:2001:db8::1]` (RFC 5321 4.1.3); "" if it is none.

    `bare`: an address without brackets is one too.
    """
    inner = name
    if name.startswith("[") and name.endswith("]"):
        inner = name[1:-1]
        if inner[:5].lower() == "ipv6:":
            inner = inner[5:]
            if family_of(inner) != "inet6":
                return ""
    elif not bare:
        return ""
    return inner if family_of(inner) else ""


def bracketed(address: str) -> str:
    """An address as OpenSMTPD writes it: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def _sooner(until: float, early: float) -> float:
    return early if until == NEVER else min(until, early)
