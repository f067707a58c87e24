"""Connectors: one relay seen from one source address, and when another connection may be made.

As OpenSMTPD's mta_connect: no more connections than there is work for, none beyond the limits, none too soon.
Other than there, a connection that does not come about within seconds is late: it goes on, but the next route
is tried beside it, so that a dead host or a dead family costs seconds and not the time-out. A host that
accepts and then does not get as far as to take mail is late too, for the source's limit; to go round it to
the next host would be rude, as some let everybody wait. And who waits for a limit stands in line for the next
place there (places.py).
"""

import asyncio
import errno
from typing import TYPE_CHECKING

from .places import Places
from .routing import NEVER, Mx, Route, Source

if TYPE_CHECKING:
    from .relay import Relay
    from .session import MtaSession

DELAY_CHECK_LIMIT = 5.0
"""Seconds until a reached limit is looked at again, whatever the lines say."""

LATE_SECONDS = 3.0
"""Seconds until a connection that has not come about is late: SYN was sent three times by then. Hosts that
are well have greeted and answered EHLO too."""

_SCARCE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""What is wrong with ourselves and says nothing of a route."""

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}


class Connector:
    """`error`: what is wrong with it, "" if nothing; then it is not used any more while its relay lasts.
    `trouble`: with which host TLS or AUTH came to nothing last, and why.

    "mx", "family", "net" as find_route says; "source": the address cannot be used here; "paused": by the
    administrator.
    """

    __slots__ = ("_lines", "error", "lastconn", "nconn", "relay", "source", "timer", "trouble")

    def __init__(self, relay: "Relay", source: Source) -> None:
        self.relay = relay
        self.source = source
        self.error = ""
        self.trouble = ""
        self.nconn = 0
        self.lastconn = NEVER
        self.timer: asyncio.TimerHandle | None = None
        self._lines: tuple[tuple[Places, int], ...] = ()  # where it stands in line, for which limit

    def __str__(self) -> str:
        return f"[connector:{self.source}->{self.relay}]"

    @property
    def stands_at(self) -> list[Places]:
        """Where it waits for a place."""
        return [places for places, _ in self._lines]

    def connect(self, again: bool = False) -> None:
        """Make the connections that are useful and allowed now; see to the next if it has to wait.

        `again`: something has changed, so a wait that was decided before is over. Who was first in a line
        where places are free never comes out of here still first in it with nothing taken: it has begun a
        connection, or left the line, by _wait() or _stand_in(). Places._serve relies on that: it asks the
        first in line, and would ask the same one for ever.
        """
        if self.timer is not None:
            if not again:
                return
            self.timer.cancel()
            self.timer = None
        if not self.error and self.relay.mta.pauses.holds(self.source.address, self.relay.domain.name):
            self.fail("paused")
        while not self.error and self.wanted:
            if not self._connect():
                return
        self._stand_in()

    def close(self) -> None:
        """The relay is gone."""
        self._stand_in()
        if self.timer is not None:
            self.timer.cancel()

    @property
    def wanted(self) -> bool:
        """Is there work for one more? OpenSMTPD's rule, and one of ours: not if enough are coming already."""
        relay = self.relay
        waiting = len(relay.tasks)
        connections = relay.nconn - relay.late
        coming = connections - relay.ready + len(relay.idle)
        if not waiting or relay.ready >= waiting or coming >= waiting or relay.mta.stopping:
            return False
        return not (connections > 2 and connections >= waiting // 2)

    def _connect(self) -> bool:
        """One connection; False when there is none to be had now."""
        relay = self.relay
        limits = relay.limits
        domain = relay.domain
        now = relay.mta.loop.time()
        until = max(
            domain.lastconn + limits.conndelay_domain,
            self.source.lastconn + limits.conndelay_source,
            self.lastconn + limits.conndelay_connector,
            relay.lastconn + limits.conndelay_relay,
            relay.mta.resume_at,
        )
        if self.nconn >= limits.maxconn_per_connector:
            return self._wait(now + DELAY_CHECK_LIMIT)  # the end of any of them is told
        for places, limit in (
            (domain, limits.maxconn_per_domain),
            (relay, limits.maxconn_per_relay),
        ):
            if not places.is_free(self, limit):
                return self._wait(now + DELAY_CHECK_LIMIT, (places, limit))
        if until > now:
            return self._wait(until)
        if not self.source.is_free(self, limits.maxconn_per_source):
            return self._wait(now + DELAY_CHECK_LIMIT, (self.source, limits.maxconn_per_source))
        if not relay.mta.places.is_free(self, relay.mta.most_connections):
            return self._wait(now + DELAY_CHECK_LIMIT, (relay.mta.places, relay.mta.most_connections))
        choice = relay.mta.routing.find_route(
            domain.mxs, self.source, limits, now, self, relay.backup_preference
        )
        if choice.route is None or choice.mx is None:
            if choice.error:
                self.fail(choice.error)
                return False
            return self._wait(now + DELAY_CHECK_LIMIT if choice.wait else choice.until, *choice.wait)
        self._begin(choice.route, choice.mx, now)
        return True

    def _begin(self, route: Route, mx: Mx, now: float) -> None:
        relay = self.relay
        self._stand_in()  # for another one it goes to the end
        for book in (self, relay, relay.domain):
            book.nconn += 1
            book.lastconn = now
        relay.mta.places.nconn += 1
        relay.mta.routing.connected(route, now)
        session = relay.mta.new_session(self, route, mx)
        relay.mta.loop.call_later(LATE_SECONDS, self._look_after, session, route)

    def _look_after(self, session: "MtaSession", route: Route) -> None:
        connecting = session.connecting
        now = self.relay.mta.loop.time()
        if connecting is None or session.settled or self.relay.mta.stopping:
            return
        self.source.late[session] = now
        self.source.changed()
        if connecting.done():
            return
        books = (self.relay, route)
        for book in books:
            book.late += 1

        def settled(_: object) -> None:
            for book in books:
                book.late -= 1
            route.changed()

        connecting.add_done_callback(settled)
        self.relay.mta.routing.unreached(route.dst.family, now)
        self.connect(again=True)

    def unreached(self, route: Route, error: int | None) -> bool:
        """There is no connection, and this is what the system says. Was it tried at all?"""
        if error in _SCARCE:
            self.relay.mta.resume_at = self.relay.mta.loop.time() + DELAY_CHECK_LIMIT
            return False
        if error == errno.EADDRNOTAVAIL and route.src.address:
            self.fail("source")
        elif error in _UNREACHABLE:
            self.relay.mta.routing.unreached(route.dst.family, self.relay.mta.loop.time())
        return True

    def collect(self, route: Route, *, failed: bool = False, blameless: bool = False) -> None:
        """A session is over. `failed`: it never took mail; `blameless`: the host was asked for nothing."""
        relay = self.relay
        self.nconn -= 1
        for book in (relay, relay.domain):
            book.nconn -= 1
            book.changed()
        relay.mta.places.nconn -= 1
        relay.mta.places.changed()
        relay.mta.routing.disconnected(route, relay.mta.loop.time(), failed=failed, blameless=blameless)

    def fail(self, error: str) -> None:
        """Nothing more is to be had of it."""
        self._stand_in()
        if not self.error:
            self.error = error
            self.relay.mta.log.info(f"smtp-out: {_ERRORS[error]} {self}")
            self.relay.connector_failed()

    def recover(self, error: str) -> None:
        """That is not wrong with it any more."""
        if self.error == error:
            self.error = ""

    def _stand_in(self, *lines: tuple[Places, int]) -> None:
        """In these lines, and no other; where it stands already it keeps its place."""
        before, self._lines = self._lines, lines
        for line in before:
            if line not in lines:
                line[0].leave(self, line[1])
        for places, limit in lines:
            places.stand(self, limit)

    def _wait(self, until: float, *lines: tuple[Places, int]) -> bool:
        self._stand_in(*lines)
        self.timer = self.relay.mta.loop.call_at(until, self._wait_over)
        return False

    def _wait_over(self) -> None:
        self.timer = None
        self.connect()


_ERRORS = {
    "mx": "No MX found for",
    "family": "Address family mismatch on",
    "net": "No valid route for",
    "source": "The source address cannot be used by",
    "paused": "The administrator has paused",
}
