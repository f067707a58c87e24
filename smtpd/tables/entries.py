"""Keys and values of a table, kept so that a million of them take little more than their own bytes.

Holds `Entries`: the bytes of all keys and values in one row, and a hash table of offsets into it. Building
takes one pass; a look-up takes the same time whatever the size. Keys are in lower case already. Must not know
files, services or wildcards.
"""

from array import array
from collections.abc import Iterable, Iterator

type Entry = tuple[str, str | None]
"""Key and value; None in a list."""

_NONE, _VALUE = b"\0", b"\1"

MAX_BYTES = 1 << 31
"""Largest sum of all keys and values."""


class Entries:
    """Keys with their values (neither with a NUL), in the order in which a key was first given; the last
    value of a key counts. ValueError when they are larger than MAX_BYTES."""

    def __init__(self, entries: Iterable[tuple[bytes, bytes | None]]) -> None:
        data = bytearray()
        offsets = array("I")
        for key, value in entries:
            offsets.append(len(data))
            if len(data) > MAX_BYTES:
                raise ValueError(f"a table cannot hold more than {MAX_BYTES} bytes")
            data += key
            data.append(0)
            if value is None:
                data += _NONE
            else:
                data += _VALUE
                data += value
                data.append(0)
        self._data = bytes(data)
        self._offsets = offsets
        self._slots = array("I")
        self._mask = 0
        self._index()

    def _index(self) -> None:
        """Make the hash table, and take entries out of the order whose key comes again."""
        data, offsets = self._data, self._offsets
        size = 8
        while size < 2 * len(offsets):
            size *= 2
        slots, mask = array("I", bytes(4 * size)), size - 1
        doubled = False
        find = data.find
        for number, offset in enumerate(offsets, 1):
            key = data[offset : find(b"\0", offset) + 1]
            slot = hash(key) & mask
            while slots[slot]:
                other = offsets[slots[slot] - 1]
                if data.startswith(key, other):
                    doubled = True
                    break
                slot = (slot + 1) & mask
            slots[slot] = number
        self._slots, self._mask = slots, mask
        if doubled:
            self._without_doubles()

    def _without_doubles(self) -> None:
        """Keep the last entry of each key, in the place of the first."""
        latest: dict[bytes, int] = {}
        for offset in self._offsets:
            latest[self._data[offset : self._data.find(b"\0", offset)]] = offset
        self._offsets = array("I", latest.values())
        self._index()

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Entry]:
        for offset in self._offsets:
            yield self._entry(offset)

    def find(self, key: str) -> Entry | None:
        """The entry of exactly this key, or None."""
        if "\0" in key:
            return None
        wanted = key.encode("utf-8", "surrogateescape") + b"\0"
        slots, mask, data = self._slots, self._mask, self._data
        slot = hash(wanted) & mask
        while number := slots[slot]:
            offset = self._offsets[number - 1]
            if data.startswith(wanted, offset):
                return self._entry(offset)
            slot = (slot + 1) & mask
        return None

    def at(self, number: int) -> Entry:
        """The entry of that number, counted from 0."""
        return self._entry(self._offsets[number])

    @property
    def size(self) -> int:
        """Bytes that all this takes, about."""
        return len(self._data) + 4 * (len(self._offsets) + len(self._slots))

    def _entry(self, offset: int) -> Entry:
        data = self._data
        middle = data.find(b"\0", offset)
        key = data[offset:middle].decode("utf-8", "surrogateescape")
        if data[middle + 1] == 0:
            return key, None
        return key, data[middle + 2 : data.find(b"\0", middle + 2)].decode("utf-8", "surrogateescape")


def entries_of(pairs: Iterable[Entry]) -> Entries:
    """The entries of a table that is in the text of the configuration."""
    return Entries(
        (_bytes(key), None if value is None else _bytes(value))
        for key, value in pairs
        if "\0" not in key and (value is None or "\0" not in value)
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
