"""smtpd/scheduler/sortedkeys.py against a set and a dict."""

import random
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from smtpd.scheduler import sortedkeys
from smtpd.scheduler.sortedkeys import SortedKeys, SortedMap

FEW = st.integers(0, 60)
"""Keys close together, so that they are found again; the upper half changes every ten."""


def wide(key: int) -> int:
    return (key // 10 + 1) << 32 | key % 10


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sortedkeys, "BLOCK", 8)
    monkeypatch.setattr(sortedkeys, "SPARSE", 2)


def check_blocks(tree: SortedKeys | SortedMap) -> None:
    """No block empty or too long, keys ascending over all blocks, last keys right."""
    keys = [key for block in tree._blocks for key in block]
    assert keys == sorted(set(keys))
    assert all(0 < len(block) <= sortedkeys.BLOCK for block in tree._blocks)
    assert tree._lasts == [block[-1] for block in tree._blocks]
    assert len(tree) == len(keys)


class KeysMachine(RuleBasedStateMachine):
    """SortedKeys does what a set does."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = SortedKeys()
        self.model: set[int] = set()

    @rule(key=FEW)
    def add(self, key: int) -> None:
        assert self.keys.add(key) is (key not in self.model)
        self.model.add(key)

    @rule(start=FEW, count=st.integers(1, 40))
    def add_run(self, start: int, count: int) -> None:
        for key in range(start, start + count):
            assert self.keys.add(key) is (key not in self.model)
            self.model.add(key)

    @rule(key=FEW)
    def discard(self, key: int) -> None:
        assert self.keys.discard(key) is (key in self.model)
        self.model.discard(key)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def discard_known(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        assert self.keys.discard(key)
        self.model.discard(key)

    @rule(limit=FEW, most=st.integers(1, 20))
    def take_until(self, limit: int, most: int) -> None:
        due = sorted(key for key in self.model if key <= limit)
        taken = list(self.keys.take_until(limit, most))
        assert taken == due[: len(taken)]
        assert len(taken) <= most
        assert bool(taken) is bool(due)
        self.model -= set(taken)

    @invariant()
    def same(self) -> None:
        check_blocks(self.keys)
        assert {key for block in self.keys._blocks for key in block} == self.model
        assert self.keys.first() == (min(self.model) if self.model else None)


class MapMachine(RuleBasedStateMachine):
    """SortedMap does what a dict does."""

    def __init__(self) -> None:
        super().__init__()
        self.map = SortedMap()
        self.model: dict[int, int] = {}

    @rule(key=FEW, value=st.integers(0, 0xFFFFFFFF))
    def add(self, key: int, value: int) -> None:
        key = wide(key)
        assert self.map.add(key, value) is (key not in self.model)
        self.model.setdefault(key, value)

    @rule(start=FEW, count=st.integers(1, 40))
    def add_run(self, start: int, count: int) -> None:
        for key in map(wide, range(start, start + count)):
            assert self.map.add(key, count) is (key not in self.model)
            self.model.setdefault(key, count)

    @rule(key=FEW)
    def pop(self, key: int) -> None:
        assert self.map.pop(wide(key)) == self.model.pop(wide(key), None)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def pop_known(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.model)))
        assert self.map.pop(key) == self.model.pop(key)

    @rule(key=FEW)
    def get(self, key: int) -> None:
        assert self.map.get(wide(key)) == self.model.get(wide(key))

    @rule(start=FEW, stop=FEW, most=st.integers(0, 70))
    def items_from(self, start: int, stop: int, most: int) -> None:
        expected = sorted(pair for pair in self.model.items() if wide(start) <= pair[0] <= wide(stop))
        assert self.map.items_from(wide(start), wide(stop), most) == expected[:most]

    @invariant()
    def same(self) -> None:
        check_blocks(self.map)
        assert dict(self.map.items_from(0, 2**64 - 1, 1000)) == self.model
        assert self.map.groups == len({key >> 32 for key in self.model})


MACHINES = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestKeys = KeysMachine.TestCase
TestKeys.settings = MACHINES
TestMap = MapMachine.TestCase
TestMap.settings = MACHINES


def test_empty() -> None:
    assert SortedKeys().first() is None
    assert not SortedKeys().discard(1)
    assert not SortedKeys().take_until(2**64 - 1, 10)
    assert SortedMap().get(1) is None
    assert SortedMap().pop(1) is None
    assert SortedMap().items_from(0, 2**64 - 1, 10) == []


def test_the_whole_range_of_keys_and_values() -> None:
    keys, mapping = SortedKeys(), SortedMap()
    for key in (0, 2**64 - 1, 2**63):
        assert keys.add(key)
        assert mapping.add(key, 0xFFFFFFFF)
    assert list(keys.take_until(2**64 - 1, 10)) == [0, 2**63, 2**64 - 1]
    assert mapping.items_from(0, 2**64 - 1, 9) == [(key, 0xFFFFFFFF) for key in (0, 2**63, 2**64 - 1)]


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=60))
def test_any_order_of_insertion_gives_the_same_order(numbers: list[int]) -> None:
    keys = SortedKeys()
    for number in numbers:
        keys.add(number)
    taken: list[int] = []
    while part := keys.take_until(2**64 - 1, 5):
        taken.extend(part)
    assert taken == sorted(numbers)


def test_blocks_stay_few_when_most_keys_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sortedkeys, "BLOCK", 512)
    monkeypatch.setattr(sortedkeys, "SPARSE", 64)
    chosen = random.Random(2)
    mapping = SortedMap()
    numbers = chosen.sample(range(10**9), 20_000)
    for value, number in enumerate(numbers):
        mapping.add(number, value)
    for number in numbers[:19_900]:
        mapping.pop(number)
    check_blocks(mapping)
    assert len(mapping._blocks) <= 10
    left = sorted(numbers[19_900:])
    assert [key for key, _ in mapping.items_from(0, 2**64 - 1, 1000)] == left
    assert bisect_left(mapping._lasts, left[0]) == 0


def test_keys_in_order_fill_whole_blocks() -> None:
    mapping = SortedMap()
    for number in range(80):
        mapping.add(number, number)
    assert [len(block) for block in mapping._blocks] == [8] * 10
