"""Sorted sets and maps of 64-bit keys in flat memory: the index by evpid, the order of pending envelopes.

Both keep their keys in a list of short sorted `array('Q')` blocks. A search is one bisection over the last
keys of the blocks and one inside a block; an insertion or removal moves at most one block's memory. A key
costs 8 bytes, a value 4, plus the free room of half-full blocks: a tenth of a dict of int objects.

Nothing here knows of envelopes.
"""

from array import array
from bisect import bisect_left, bisect_right

BLOCK = 512
"""Most keys in one block; a full block is split in two."""

SPARSE = BLOCK // 8
"""A block with fewer keys is joined with its neighbour when both fit in half a block."""


class SortedKeys:
    """A sorted set of unsigned 64-bit integers."""

    __slots__ = ("_blocks", "_lasts", "_length")

    def __init__(self) -> None:
        self._blocks: list[array[int]] = []
        self._lasts: list[int] = []  # the last key of each block
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def first(self) -> int | None:
        """The smallest key."""
        return self._blocks[0][0] if self._blocks else None

    def add(self, key: int) -> bool:
        """Put `key` in; False if it was there."""
        lasts = self._lasts
        i = bisect_left(lasts, key)
        if i == len(lasts):
            # Beyond the last key: keys often come in order, so fill the last block and then begin a new one.
            if lasts and len(self._blocks[-1]) < BLOCK:
                self._blocks[-1].append(key)
                lasts[-1] = key
            else:
                self._blocks.append(array("Q", (key,)))
                lasts.append(key)
            self._length += 1
            return True
        block = self._blocks[i]
        j = bisect_left(block, key)
        if block[j] == key:
            return False
        block.insert(j, key)
        self._length += 1
        if len(block) > BLOCK:
            half = len(block) // 2
            self._blocks.insert(i + 1, block[half:])
            # A slice is a copy of the right size; `del` would keep the room of the whole block.
            self._blocks[i] = block[:half]
            lasts.insert(i, block[half - 1])
        return True

    def discard(self, key: int) -> bool:
        """Take `key` out; False if it was not there."""
        lasts = self._lasts
        i = bisect_left(lasts, key)
        if i == len(lasts):
            return False
        block = self._blocks[i]
        j = bisect_left(block, key)
        if block[j] != key:
            return False
        del block[j]
        self._length -= 1
        self._settle(i)
        return True

    def take_until(self, limit: int, most: int) -> "array[int]":
        """Remove and return keys <= `limit` in order, at most `most` and at most one block of them."""
        if not self._blocks or self._blocks[0][0] > limit:
            return array("Q")
        block = self._blocks[0]
        end = min(len(block) if self._lasts[0] <= limit else bisect_right(block, limit), most)
        taken = block[:end]
        del block[:end]
        self._length -= end
        if not block:
            del self._blocks[0]
            del self._lasts[0]
        return taken

    def _settle(self, i: int) -> None:
        """Block `i` lost a key: drop it if it is empty, join it with the next if both are small."""
        block = self._blocks[i]
        if not block:
            del self._blocks[i]
            del self._lasts[i]
            return
        self._lasts[i] = block[-1]
        if len(block) < SPARSE and len(self._blocks) > 1:
            if i == len(self._blocks) - 1:
                i -= 1
            left, right = self._blocks[i], self._blocks[i + 1]
            if len(left) + len(right) <= BLOCK // 2:
                left.extend(right)
                self._lasts[i] = left[-1]
                del self._blocks[i + 1]
                del self._lasts[i + 1]


class SortedMap:
    """A sorted map of unsigned 64-bit keys to unsigned 32-bit values.

    `groups` is the number of different upper halves among the keys.
    """

    __slots__ = ("_blocks", "_lasts", "_length", "_values", "groups")

    def __init__(self) -> None:
        self._blocks: list[array[int]] = []
        self._values: list[array[int]] = []  # the values of each block's keys
        self._lasts: list[int] = []  # the last key of each block
        self._length = 0
        self.groups = 0

    def __len__(self) -> int:
        return self._length

    def get(self, key: int) -> int | None:
        """The value of `key`."""
        i = bisect_left(self._lasts, key)
        if i == len(self._lasts):
            return None
        block = self._blocks[i]
        j = bisect_left(block, key)
        return self._values[i][j] if block[j] == key else None

    def add(self, key: int, value: int) -> bool:
        """Map `key` to `value`; False, with nothing changed, if it is mapped already."""
        lasts = self._lasts
        i = bisect_left(lasts, key)
        if i == len(lasts):
            if not lasts or lasts[-1] >> 32 != key >> 32:
                self.groups += 1
            if lasts and len(self._blocks[-1]) < BLOCK:
                self._blocks[-1].append(key)
                self._values[-1].append(value)
                lasts[-1] = key
            else:
                self._blocks.append(array("Q", (key,)))
                self._values.append(array("I", (value,)))
                lasts.append(key)
            self._length += 1
            return True
        block = self._blocks[i]
        j = bisect_left(block, key)
        following = block[j]
        if following == key:
            return False
        group = key >> 32
        if following >> 32 != group and self._group_before(i, j) != group:
            self.groups += 1
        values = self._values[i]
        block.insert(j, key)
        values.insert(j, value)
        self._length += 1
        if len(block) > BLOCK:
            half = len(block) // 2
            self._blocks.insert(i + 1, block[half:])
            self._values.insert(i + 1, values[half:])
            self._blocks[i] = block[:half]
            self._values[i] = values[:half]
            lasts.insert(i, block[half - 1])
        return True

    def pop(self, key: int) -> int | None:
        """Remove `key` and return its value."""
        lasts = self._lasts
        i = bisect_left(lasts, key)
        if i == len(lasts):
            return None
        block = self._blocks[i]
        j = bisect_left(block, key)
        if block[j] != key:
            return None
        group = key >> 32
        if self._group_before(i, j) != group and self._group_from(i, j + 1) != group:
            self.groups -= 1
        values = self._values[i]
        value = values[j]
        del block[j]
        del values[j]
        self._length -= 1
        if not block:
            del self._blocks[i]
            del self._values[i]
            del lasts[i]
            return value
        lasts[i] = block[-1]
        if len(block) < SPARSE and len(self._blocks) > 1:
            self._join(i if i < len(self._blocks) - 1 else i - 1)
        return value

    def items_from(self, start: int, stop: int, most: int) -> list[tuple[int, int]]:
        """The first `most` pairs with start <= key <= stop, in the order of the keys."""
        found: list[tuple[int, int]] = []
        i = bisect_left(self._lasts, start)
        if i == len(self._lasts):
            return found
        j = bisect_left(self._blocks[i], start)
        while i < len(self._blocks) and len(found) < most:
            block = self._blocks[i]
            end = min(len(block), j + most - len(found))
            if block[end - 1] > stop:
                end = bisect_right(block, stop, j, end)
                found.extend(zip(block[j:end], self._values[i][j:end], strict=True))
                break
            found.extend(zip(block[j:end], self._values[i][j:end], strict=True))
            i += 1
            j = 0
        return found

    def _group_before(self, i: int, j: int) -> int | None:
        """The upper half of the key before place `j` of block `i`."""
        if j:
            return self._blocks[i][j - 1] >> 32
        return self._lasts[i - 1] >> 32 if i else None

    def _group_from(self, i: int, j: int) -> int | None:
        """The upper half of the key at place `j` of block `i`, which may be one past its end."""
        if j < len(self._blocks[i]):
            return self._blocks[i][j] >> 32
        return self._blocks[i + 1][0] >> 32 if i + 1 < len(self._blocks) else None

    def _join(self, i: int) -> None:
        """Make one block of blocks `i` and `i` + 1 if they fit in half a block."""
        left, right = self._blocks[i], self._blocks[i + 1]
        if len(left) + len(right) > BLOCK // 2:
            return
        left.extend(right)
        self._values[i].extend(self._values[i + 1])
        self._lasts[i] = left[-1]
        del self._blocks[i + 1]
        del self._values[i + 1]
        del self._lasts[i + 1]
