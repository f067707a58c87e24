"""The part of pony that control asks about relaying: lists of hosts, relays and routes, and a few orders.

Lists go out in pieces of one frame, by an order that stays: what comes or goes meanwhile may be in it or not.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from smtpd.messages.control_mta import (
    LISTS,
    ConnectorState,
    HostState,
    HostStatistic,
    ListMta,
    MtaListed,
    PausedSource,
    PauseSource,
    RelayState,
    ResumeRoute,
    ResumeSource,
    RouteState,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .routing import NEVER

if TYPE_CHECKING:
    import asyncio

    from smtpd.mproc.process import Process

    from .connect import Connector
    from .mta import Mta
    from .relay import Relay
    from .routing import Route

ROOM = 12_000
"""Bytes that the rows of a reply may take."""

CONNECTORS_MOST = 30
"""Connectors of a relay that are listed."""

_ERRORS = {
    "family": "ERROR_FAMILY",
    "source": "ERROR_SOURCE",
    "mx": "ERROR_MX",
    "net": "ERROR_ROUTE_NET",
    "paused": "ERROR_BLOCKED",
}


class Listing:
    """What there is, as rows."""

    def __init__(self, process: "Process", mta: "Mta") -> None:
        self._process = process
        self._mta = mta
        self._loop = process.loop

    @handles(ListMta)
    def list_mta(self, peer: Peer, reqid: int, message: ListMta) -> MtaListed | None:
        """A piece of a list."""
        if message.what not in LISTS:
            self._process.violation(peer, f"a list of {message.what!r}")
            return None
        keyed = _KEYED[message.what](self)
        names = sorted(keyed)
        first = bisect_left(names, message.start)
        rows: list[Any] = []
        room = ROOM
        following = ""
        for name in names[first:]:
            row = keyed[name]()
            room -= len(repr(row).encode("utf-8", "surrogatepass"))
            if room < 0 and rows:
                following = name
                break
            rows.append(row)
        lists: dict[str, list[Any]] = {what: [] for what in LISTS} | {message.what: rows}
        return MtaListed(reqid, following, **lists)

    @handles(ResumeRoute)
    def resume_route(self, peer: Peer, message: ResumeRoute) -> None:
        """Use it again."""
        for route in self._mta.routing:
            if message.id in (0, route.id) and route.disabled:
                self._process.log.info(f"smtp-out: Enabling route {route} per admin request")
                self._mta.routing.resume(route)
                self._mta.hasten(self._mta.deferred.take_by_address(route.dst.address))

    @handles(PauseSource)
    def pause_source(self, peer: Peer, message: PauseSource) -> None:
        """Connections that are there stay."""
        self._mta.pauses.add(message.source, message.domain)

    @handles(ResumeSource)
    def resume_source(self, peer: Peer, message: ResumeSource) -> None:
        """Envelopes that failed meanwhile, as far as they are remembered, are tried again at once."""
        self._mta.pauses.remove(message.source, message.domain)
        for relay in self._mta.relays:
            relay.recover("paused")
        self._mta.hasten(self._mta.deferred.take_by_name(message.domain.lower()))

    # rows by keys that sort

    def hosts(self) -> "dict[str, Callable[[], Any]]":
        """By address."""
        mta = self._mta
        references = Counter(route.dst.address for route in mta.routing)
        for domain in mta.routing.domains.values():
            references.update(mx.host.address for mx in domain.mxs)
        return {
            host.address: lambda host=host: HostState(  # type: ignore[misc]
                _bracketed(host.address),
                host.name,
                references[host.address],
                host.nconn,
                self._since(host.lastconn),
            )
            for host in mta.routing.hosts.values()
        }

    def hoststats(self) -> "dict[str, Callable[[], Any]]":
        """By domain."""
        return {row[0]: lambda row=row: HostStatistic(*row) for row in self._mta.hoststats}  # type: ignore[misc]

    def relays(self) -> "dict[str, Callable[[], Any]]":
        """By what the log calls them, and their number."""
        return {
            f"{relay} {relay.id:016x}": lambda relay=relay: self._relay(relay)  # type: ignore[misc]
            for relay in self._mta.relays
        }

    def routes(self) -> "dict[str, Callable[[], Any]]":
        """By number."""
        return {
            f"{route.id:020}": lambda route=route: self.route(route)  # type: ignore[misc]
            for route in self._mta.routing
        }

    def paused(self) -> "dict[str, Callable[[], Any]]":
        """By source and domain."""
        return {
            " ".join(pair): lambda pair=pair: PausedSource(*pair)  # type: ignore[misc]
            for pair in self._mta.pauses
        }

    def _relay(self, relay: "Relay") -> RelayState:
        connectors = list(relay.connectors.values())
        return RelayState(
            str(relay),
            len(relay.tasks) + relay.sessions + len(connectors) + 1,
            len(relay.tasks),
            relay.nconn,
            self._since(relay.lastconn),
            self._until([connector.timer for connector in connectors]),
            ",".join(relay.waits_for()),
            relay.holdq.onhold,
            [self._connector(connector) for connector in connectors[:CONNECTORS_MOST]],
            max(0, len(connectors) - CONNECTORS_MOST),
        )

    def _connector(self, connector: "Connector") -> ConnectorState:
        flags = ["NEW"] if connector.lastconn == NEVER else []
        flags += ["WAIT"] if connector.timer is not None else []
        flags += [_ERRORS.get(connector.error, "ERROR")] if connector.error else []
        return ConnectorState(
            str(connector.source),
            connector.nconn + 1,
            connector.nconn,
            self._since(connector.lastconn),
            self._until([connector.timer]),
            ",".join(flags),
        )

    def route(self, route: "Route") -> RouteState:
        """A route's row."""
        flags = (
            ("N" if route.new else "-")
            + ("D" if route.disabled else "-")
            + ("Q" if route.timer is not None else "-")
            + "-"
        )
        return RouteState(
            route.id,
            str(route.src),
            str(route.dst),
            flags,
            route.nconn,
            route.errors,
            route.penalty,
            self._until([route.timer]),
        )

    def _since(self, moment: float) -> int:
        return -1 if moment == NEVER else int(self._loop.time() - moment)

    def _until(self, timers: "Iterable[asyncio.TimerHandle | None]") -> int:
        moments = [timer.when() for timer in timers if timer is not None]
        return max(0, int(min(moments) - self._loop.time())) if moments else -1


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


_KEYED: dict[str, Callable[[Listing], dict[str, Callable[[], Any]]]] = {
    "hosts": Listing.hosts,
    "hoststats": Listing.hoststats,
    "relays": Listing.relays,
    "routes": Listing.routes,
    "paused": Listing.paused,
}
