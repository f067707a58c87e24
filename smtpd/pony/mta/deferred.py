"""Envelopes that failed because there was no way to their destination, so that they go when there is one.

Each has its place in scheduler and its next try; this only hastens it. As OpenSMTPD's `mta max-deferred`, but
kept by destination (domain, or smart host) and not by the recipient's domain.
"""

from typing import NamedTuple

Destination = tuple[str, bool]
"""A name, and whether it is a host's (else a mail domain's)."""

MOST = 10_000
"""Destinations that are remembered; the one that came first is forgotten first."""


class _Waiting(NamedTuple):
    evpids: dict[int, None]
    addresses: set[str]


class Deferred:
    """`most`: envelopes that are remembered for each destination; the others wait for their time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: dict[Destination, _Waiting] = {}

    def add(self, destination: Destination, evpid: int, addresses: set[str]) -> None:
        """One failed. `addresses`: of the hosts that were tried."""
        waiting = self._waiting.get(destination)
        if waiting is None:
            if self._most < 1:
                return
            if len(self._waiting) >= MOST:
                del self._waiting[next(iter(self._waiting))]
            waiting = self._waiting[destination] = _Waiting({}, set())
        waiting.addresses.clear()
        waiting.addresses.update(addresses)
        if len(waiting.evpids) < self._most:
            waiting.evpids[evpid] = None

    def addresses(self, names: set[str]) -> set[str]:
        """Of the hosts that were tried for destinations of these names. They are known here longer than
        anywhere else: until something works."""
        found: set[str] = set()
        for name in names:
            for as_host in (False, True):
                if waiting := self._waiting.get((name, as_host)):
                    found |= waiting.addresses
        return found

    def take(self, destination: Destination) -> list[int]:
        """Those of a destination, in the order they came."""
        waiting = self._waiting.pop(destination, None)
        return list(waiting.evpids) if waiting is not None else []

    def take_by_address(self, address: str) -> list[int]:
        """Those of all destinations that have a host with this address."""
        names = [name for name, waiting in self._waiting.items() if address in waiting.addresses]
        return [evpid for name in names for evpid in self.take(name)]

    def take_by_name(self, name: str) -> list[int]:
        """Those of all destinations of this name, "*" for all."""
        names = [one for one in self._waiting if name in ("*", one[0])]
        return [evpid for one in names for evpid in self.take(one)]
