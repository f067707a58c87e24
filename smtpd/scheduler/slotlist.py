"""Queues of slots: doubly linked lists whose links are two flat arrays, shared by all lists of one scheduler.

A slot is the row number of an envelope in the columns of ramqueue.py. A slot is in one list at most, so eight
bytes a slot are enough for any number of lists, and taking a slot out of the middle costs no search.
"""

from array import array
from collections.abc import Iterator

NONE = 0xFFFFFFFF
"""No slot."""


class Links:
    """The links of all slots: `after[slot]` and `before[slot]`."""

    __slots__ = ("after", "before")

    def __init__(self) -> None:
        self.after = array("I")
        self.before = array("I")

    def grow(self, count: int) -> None:
        """Room for `count` more slots."""
        self.after.extend((NONE,) * count)
        self.before.extend((NONE,) * count)


class SlotList:
    """First in, first out; any slot can be removed."""

    __slots__ = ("_head", "_links", "_tail", "count")

    def __init__(self, links: Links) -> None:
        self._links = links
        self._head = NONE
        self._tail = NONE
        self.count = 0

    def __len__(self) -> int:
        return self.count

    def append(self, slot: int) -> None:
        """Put `slot`, which is in no list, at the end."""
        tail = self._tail
        links = self._links
        links.after[slot] = NONE
        links.before[slot] = tail
        if tail == NONE:
            self._head = slot
        else:
            links.after[tail] = slot
        self._tail = slot
        self.count += 1

    def remove(self, slot: int) -> None:
        """Take `slot`, which must be in this list, out."""
        after = self._links.after[slot]
        before = self._links.before[slot]
        if before == NONE:
            self._head = after
        else:
            self._links.after[before] = after
        if after == NONE:
            self._tail = before
        else:
            self._links.before[after] = before
        self.count -= 1

    def take(self, most: int) -> list[int]:
        """Take the first `most` slots out."""
        after = self._links.after
        taken: list[int] = []
        slot = self._head
        while slot != NONE and len(taken) < most:
            taken.append(slot)
            slot = after[slot]
        self._head = slot
        if slot == NONE:
            self._tail = NONE
        else:
            self._links.before[slot] = NONE
        self.count -= len(taken)
        return taken

    def __iter__(self) -> Iterator[int]:
        after = self._links.after
        slot = self._head
        while slot != NONE:
            yield slot
            slot = after[slot]
