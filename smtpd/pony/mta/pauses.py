"""Sources that make no connections for some domains, as the administrator wants it (`pause mta from`)."""

from collections.abc import Iterator

ALL = "*"
"""In place of a domain: all of them."""

MOST = 10_000


class Pauses:
    """Pairs of a source's address and a domain."""

    def __init__(self) -> None:
        self._paused: set[tuple[str, str]] = set()

    def add(self, source: str, domain: str) -> None:
        """Pause. Beyond MOST nothing is taken."""
        if len(self._paused) < MOST:
            self._paused.add((source, domain.lower()))

    def remove(self, source: str, domain: str) -> None:
        """Go on."""
        self._paused.discard((source, domain.lower()))

    def holds(self, source: str, domain: str) -> bool:
        """Whether this source is paused for this domain."""
        paused = self._paused
        return bool(paused) and ((source, domain.lower()) in paused or (source, ALL) in paused)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._paused)
