"""A table whose entries are known: written in smtpd.conf, and what other backends have read into memory.

Holds `StaticTable`, which answers at once: `find` and `turn` besides the questions of every table. Must not
read anything.
"""

from collections.abc import Sequence

from smtpd.tables.entries import Entries, Entry, entries_of
from smtpd.tables.index import Index, lowered, make_index
from smtpd.tables.service import TemporaryFailure, key_fault


class StaticTable:
    """Entries, with an index made for each service when it is first asked for; `delimiter` is that of
    subaddresses (smtp sub-addr-delim)."""

    def __init__(self, name: str, entries: Sequence[Entry] | Entries, delimiter: str = "+") -> None:
        self.name = name
        self._delimiter = delimiter
        self._next = 0
        self._indexes: dict[str, Index] = {}
        self.entries = entries if isinstance(entries, Entries) else entries_of(_lowered(entries))

    def made_anew(self, entries: Entries) -> dict[str, Index]:
        """Indexes over other entries for the services asked for so far; may be called in a thread."""
        return {service: make_index(service, entries, self._delimiter) for service in list(self._indexes)}

    def replace(self, entries: Entries, indexes: dict[str, Index] | None = None) -> None:
        """Answer from other entries from now on; `indexes` are what `made_anew` made of them."""
        self.entries = entries
        self._indexes = indexes or {}

    def index(self, service: str) -> Index:
        """The index of a service."""
        index = self._indexes.get(service)
        if index is None:
            index = self._indexes[service] = make_index(service, self.entries, self._delimiter)
        return index

    def find(self, service: str, key: str) -> Entry | None:
        """The entry that matches a key by a service's rules, or None."""
        return self.index(service).find(lowered(key))

    def turn(self) -> str | None:
        """The keys in turn, for `source` and `relayhost` lists; None when there are none."""
        if not len(self.entries):
            return None
        key = self.entries.at(self._next % len(self.entries))[0]
        self._next += 1
        return key

    async def check(self, service: str, key: str) -> bool | TemporaryFailure:
        """See service.Table."""
        return key_fault(key) or self.find(service, key) is not None

    async def lookup(self, service: str, key: str) -> str | None | TemporaryFailure:
        """See service.Table."""
        if (fault := key_fault(key)) is not None:
            return fault
        found = self.find(service, key)
        return None if found is None else found[1] or ""

    async def fetch(self, service: str) -> str | None | TemporaryFailure:
        """See service.Table."""
        return self.turn()

    async def update(self) -> str:
        """See service.Table: what is in the configuration changes with it."""
        return ""

    async def close(self) -> None:
        """See service.Table."""


def _lowered(entries: Sequence[Entry]) -> list[Entry]:
    return [(lowered(key), value) for key, value in entries]
