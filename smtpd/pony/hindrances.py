"""The part of pony that says what holds one envelope: the relay or user it waits for, limits, routes, tries.

Looks at what mta and mda keep, and changes nothing.
"""

from typing import TYPE_CHECKING

from smtpd.config.settings import KEYS_MTA
from smtpd.messages.control_mta import PausedSource
from smtpd.messages.control_tries import (
    MOST_ROUTES,
    FindHindrances,
    Hindered,
    Hindrance,
    HindrancesFound,
    Try,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .mda.mda import Mda
from .mta.listing import Listing
from .mta.mta import Mta
from .mta.pauses import ALL
from .mta.routing import Host, Route, address_literal

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

    from .mta.connect import Connector
    from .mta.relay import Relay

_NAMES = {field: key for key, field in KEYS_MTA.items()}


class Hindrances:
    """What smtpctl's explain wants to know of pony."""

    def __init__(self, process: "Process", mta: Mta, mda: Mda, listing: Listing) -> None:
        self._loop = process.loop
        self._mta = mta
        self._mda = mda
        self._listing = listing

    @handles(FindHindrances)
    def find_hindrances(self, peer: Peer, reqid: int, message: FindHindrances) -> HindrancesFound:
        """Everything that is known here."""
        evpid, holdq, domain = message
        tries = self._mta.tries.of(evpid) or self._mda.tries.of(evpid)
        place, relay, host = self._in_relay(evpid, holdq)
        name = str(relay) if relay is not None else ""
        held = [Hindrance(*found) for found in self.of_relay(relay)] if relay is not None else []
        if relay is not None and holdq:
            held.insert(0, Hindrance("limit", "task-hiwat", relay.limits.task_hiwat))
        if relay is None:
            waiting = self._mda.waiting_for(evpid, holdq)
            if waiting is not None:
                place, name = "" if holdq else "user", waiting[0]
                held = [Hindrance("limit", *limit) for limit in waiting[1]]
        names = {domain.lower(), *(each.host for each in tries)}
        if relay is not None:
            names.add(relay.domain.name)
        routes = [self._listing.route(route) for route in self._disabled(relay, names, tries)]
        pauses = [
            PausedSource(source, to) for source, to in sorted(self._mta.pauses) if to == ALL or to in names
        ]
        found = Hindered(
            place, name, host, held[:MOST_ROUTES], routes[:MOST_ROUTES], pauses[:MOST_ROUTES], tries
        )
        return HindrancesFound(reqid, found)

    def _in_relay(self, evpid: int, holdq: int) -> "tuple[str, Relay | None, str]":
        """Where it is in the MTA: place, relay, host."""
        for relay in self._mta.relays:
            if relay.id == holdq:
                return "", relay, ""
            if any(envelope.evpid == evpid for task in relay.tasks for envelope in task.envelopes):
                return "relay", relay, ""
        for session in self._mta.sessions:
            if evpid in session.evpids():
                return "session", session.relay, session.host
        return "", None, ""

    def _disabled(self, relay: "Relay | None", names: set[str], tries: list[Try]) -> "list[Route]":
        """Routes to hosts of its destination that are not to be used now. By address: relay and domain go
        when there is nothing left to do, and what a host is called changes when DNS has answered."""
        addresses = {mx.host.address for mx in relay.domain.mxs} if relay is not None else set()
        addresses |= self._mta.deferred.addresses(names)
        for found in self._mta.routing.domains.values():
            if found.name in names:
                addresses |= {mx.host.address for mx in found.mxs}
        for each in tries:  # `192.0.2.1 (mx.example.org)`, or the name of what it was to go to
            addresses.add(address_literal(each.host.partition(" ")[0], bare=True))
        return [route for route in self._mta.routing if route.disabled and route.dst.address in addresses]

    def of_relay(self, relay: "Relay") -> list[tuple[str, str, int]]:
        """What a relay waits for: what, name and number of each Hindrance."""
        words = {"MX": "mx", "secret": "credentials", "source": "source"}
        found = [("lookup", words[word], 0) for word in relay.waits_for() if word in words]
        for connector in relay.connectors.values():
            found += self._of_connector(connector)
        return list(dict.fromkeys(found))

    def _of_connector(self, connector: "Connector") -> list[tuple[str, str, int]]:
        if connector.error:
            return [("error", connector.error, 0)]
        if connector.timer is None:
            return []
        relay, limits = connector.relay, connector.relay.limits
        stands_at = connector.stands_at
        routes = [place for place in stands_at if isinstance(place, Route)]
        hosts = [place for place in stands_at if isinstance(place, Host)]
        counts = {
            "maxconn_per_domain": relay.domain.nconn,
            "maxconn_per_source": connector.source.taken(limits.maxconn_per_source),
            "maxconn_per_connector": connector.nconn,
            "maxconn_per_relay": relay.nconn,
            "maxconn_per_host": max((host.nconn for host in hosts), default=0),
            "maxconn_per_route": max((route.nconn for route in routes), default=0),
        }
        reached = [
            ("limit", _NAMES[name], getattr(limits, name))
            for name, count in counts.items()
            if count >= getattr(limits, name)
        ]
        first = [("first", str(route.dst), 0) for route in routes if route.new and route.nconn]
        left = max(0, int(connector.timer.when() - self._loop.time()))
        return reached or first or [("delay", "", left)]
