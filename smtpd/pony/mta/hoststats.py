"""How the last delivery to each domain ended, for `smtpctl show hoststats`; forgotten after some hours."""

import time
from collections.abc import Iterator

EXPIRE_SECONDS = 4 * 3600
MOST = 10_000
"""Domains that are remembered; the one that was quiet for longest is forgotten first."""

STATUS_MAX = 512


class HostStats:
    """Domains in the order of their last delivery."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str]] = {}

    def note(self, domain: str, status: str) -> None:
        """A delivery ended."""
        domain = domain.lower()
        self._known.pop(domain, None)
        self._known[domain] = (int(time.time()), status[:STATUS_MAX])
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def __iter__(self) -> Iterator[tuple[str, int, str]]:
        """Domain, Unix time, status."""
        oldest = int(time.time()) - EXPIRE_SECONDS
        for domain in [domain for domain, (when, _) in self._known.items() if when < oldest]:
            del self._known[domain]
        return ((domain, when, status) for domain, (when, status) in self._known.items())
