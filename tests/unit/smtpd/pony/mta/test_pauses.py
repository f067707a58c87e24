"""Paused sources."""

import pytest

from smtpd.pony.mta import pauses
from smtpd.pony.mta.pauses import ALL, Pauses


def test_a_source_and_a_domain() -> None:
    paused = Pauses()
    assert not paused.holds("192.0.2.1", "example.org")
    paused.add("192.0.2.1", "Example.org")
    paused.add("192.0.2.1", "example.org")
    assert paused.holds("192.0.2.1", "EXAMPLE.org")
    assert not paused.holds("192.0.2.2", "example.org")
    assert not paused.holds("192.0.2.1", "example.net")
    assert list(paused) == [("192.0.2.1", "example.org")]
    paused.remove("192.0.2.1", "EXAMPLE.ORG")
    paused.remove("192.0.2.1", "example.org")
    assert not paused.holds("192.0.2.1", "example.org")


def test_all_domains() -> None:
    paused = Pauses()
    paused.add("192.0.2.1", ALL)
    assert paused.holds("192.0.2.1", "example.org")
    assert not paused.holds("192.0.2.2", "example.org")


def test_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses, "MOST", 2)
    paused = Pauses()
    for number in range(5):
        paused.add("192.0.2.1", f"{number}.example")
    assert len(list(paused)) == 2
