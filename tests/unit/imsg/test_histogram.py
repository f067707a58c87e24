"""imsg/histogram.py: percentiles are right to within a sixteenth, whatever the values."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg.histogram import MOST_VALUE, Histogram, bounds_of, index_of

values = st.integers(0, 100) | st.integers(0, 2**32) | st.integers(0, MOST_VALUE)


def filled(items: list[int]) -> Histogram:
    histogram = Histogram()
    for item in items:
        histogram.add(item)
    return histogram


def test_buckets_lie_side_by_side() -> None:
    end = -1
    for index in range(index_of(MOST_VALUE) + 1):
        low, high = bounds_of(index)
        assert low == end + 1 and index_of(low) == index_of(high) == index
        end = high
    assert end == MOST_VALUE and index_of(MOST_VALUE) < 1000


@given(values)
def test_a_bucket_is_narrow(value: int) -> None:
    low, high = bounds_of(index_of(value))
    assert low <= value <= high and (high - low) * 16 <= value


@given(st.lists(values, min_size=1, max_size=200), st.sampled_from([50, 90, 99, 100]))
def test_percentiles(items: list[int], percent: int) -> None:
    exact = sorted(items)[math.ceil(len(items) * percent / 100) - 1]
    found = filled(items).percentile(percent)
    assert exact <= found <= exact + exact // 16 and found <= max(items)


@given(st.lists(values, max_size=100), st.lists(values, max_size=100))
def test_merged_and_taken_apart(one: list[int], two: list[int]) -> None:
    both = filled(one)
    both.merge(filled(two))
    all_at_once = filled(one + two)
    assert (both.count, both.total, both.most) == (all_at_once.count, all_at_once.total, all_at_once.most)
    assert both.buckets == all_at_once.buckets
    later = both.since(filled(one))
    assert (later.count, later.total, later.buckets) == (len(two), sum(two), filled(two).buckets)
    assert later.most >= max(two, default=0)


def test_nothing() -> None:
    assert Histogram().percentile(99) == 0 and Histogram().mean == 0.0
    assert Histogram().since(Histogram()).most == 0


def test_odd_values() -> None:
    histogram = filled([-5, 2**70])
    assert (histogram.count, histogram.most) == (2, 2**70)
    assert histogram.buckets == {0: 1, index_of(MOST_VALUE): 1} and index_of(-1) == 0


@pytest.mark.parametrize(("items", "mean"), [([1, 2, 3], 2.0), ([0], 0.0)])
def test_mean(items: list[int], mean: float) -> None:
    assert filled(items).mean == mean
