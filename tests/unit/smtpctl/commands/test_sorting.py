"""smtpctl/commands/sorting.py."""

import tempfile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpctl.commands import sorting
from smtpctl.commands.sorting import sort


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of three, merged by four."""
    monkeypatch.setattr(sorting, "RUN", 3)
    monkeypatch.setattr(sorting, "MERGED", 4)


NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=40)
TEXTS = st.lists(st.binary(max_size=6).map(lambda data: data.decode("utf-8", "surrogateescape")), max_size=40)


@given(NUMBERS | TEXTS, st.booleans(), st.integers(0, 45))
def test_as_sorted_does(keys: list[Any], backwards: bool, limit: int) -> None:
    def comparable(key: Any) -> Any:
        return key if isinstance(key, int) else key.encode("utf-8", "surrogateescape")

    lines = [(key, f"{number} {key}\n") for number, key in enumerate(keys)]
    expected = [line for _, line in sorted(lines, key=lambda one: comparable(one[0]), reverse=backwards)]
    assert list(sort(iter(lines), backwards=backwards, limit=limit)) == expected[: limit or None]


def test_files_are_there_only_when_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = tempfile.TemporaryFile

    def make() -> Any:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    lines = [(-number, f"{number}\n") for number in range(50)]
    assert list(sort(lines, limit=3)) == ["49\n", "48\n", "47\n"]
    assert made == []
    assert list(sort(lines))[0] == "49\n"
    assert len(made) > 17
    assert all(file.closed for file in made)


def test_nothing() -> None:
    assert list(sort([])) == []
