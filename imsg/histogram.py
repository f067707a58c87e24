"""Log-linear histograms: percentiles of any number of values in little memory, to within 1/16 of the value.

Values are whole numbers (nanoseconds, bytes, lengths of queues). Up to 31 each has a bucket of its own, above
that every power of two is cut into 16 equal ones; so buckets of different histograms fit together and can be
added.
"""

from collections.abc import Iterable, Sequence

MOST_VALUE = 2**64 - 1


def index_of(value: int) -> int:
    """The bucket of a value; negative ones count as 0, those over 2**64-1 as that."""
    if value < 32:
        return value if value > 0 else 0
    shift = min(value, MOST_VALUE).bit_length() - 5
    return (shift << 4) + (min(value, MOST_VALUE) >> shift)


def bounds_of(index: int) -> tuple[int, int]:
    """The least and the greatest value of a bucket."""
    if index < 32:
        return index, index
    shift = (index >> 4) - 1
    low = ((index & 15) + 16) << shift
    return low, low + (1 << shift) - 1


class Histogram:
    """Number, sum, greatest and distribution of values. `buckets`: index -> count."""

    __slots__ = ("buckets", "count", "most", "total")

    def __init__(
        self, count: int = 0, total: int = 0, most: int = 0, buckets: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.count = count
        self.total = total
        self.most = most
        self.buckets: dict[int, int] = dict(buckets)

    def add(self, value: int) -> None:
        """One more value."""
        if value < 0:
            value = 0
        self.count += 1
        self.total += value
        if value > self.most:
            self.most = value
        if value >= 32:  # index_of without the call: this runs for every message
            shift = value.bit_length() - 5
            value = (shift << 4) + (value >> shift) if shift < 60 else index_of(MOST_VALUE)
        buckets = self.buckets
        buckets[value] = buckets.get(value, 0) + 1

    def extend(self, values: Sequence[int]) -> None:
        """Many values, none negative: quicker than one by one."""
        if not values:
            return
        self.count += len(values)
        self.total += sum(values)
        self.most = max(self.most, max(values))
        buckets = self.buckets
        for value in values:
            if value >= 32:
                shift = value.bit_length() - 5
                value = (shift << 4) + (value >> shift) if shift < 60 else index_of(MOST_VALUE)
            buckets[value] = buckets.get(value, 0) + 1

    def merge(self, other: "Histogram") -> None:
        """All values of another one too."""
        self.count += other.count
        self.total += other.total
        self.most = max(self.most, other.most)
        for index, count in other.buckets.items():
            self.buckets[index] = self.buckets.get(index, 0) + count

    def since(self, earlier: "Histogram") -> "Histogram":
        """What came after an earlier state of this one; its greatest value is that of the last bucket."""
        buckets = {}
        for index, count in self.buckets.items():
            more = count - earlier.buckets.get(index, 0)
            if more > 0:
                buckets[index] = more
        most = min(self.most, bounds_of(max(buckets))[1]) if buckets else 0
        return Histogram(
            max(0, self.count - earlier.count), max(0, self.total - earlier.total), most, buckets.items()
        )

    def percentile(self, percent: float) -> int:
        """A value that so many percent of the values do not exceed; 0 if there are none."""
        wanted = self.count * percent / 100
        seen = 0
        for index in sorted(self.buckets):
            seen += self.buckets[index]
            if seen >= wanted:
                return min(bounds_of(index)[1], self.most)
        return self.most

    @property
    def mean(self) -> float:
        """The arithmetic mean, 0.0 if there are no values."""
        return self.total / self.count if self.count else 0.0
