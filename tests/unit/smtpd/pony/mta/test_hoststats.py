"""The last delivery to each domain."""

import pytest

from smtpd.pony.mta import hoststats
from smtpd.pony.mta.hoststats import HostStats


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1_700_000_000.9
        monkeypatch.setattr(hoststats.time, "time", lambda: self.now)  # type: ignore[attr-defined]


def test_the_last_one_counts_for_four_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    stats = HostStats()
    stats.note("Example.org", "451 later")
    stats.note("example.net", "250 ok")
    clock.now += 100
    stats.note("example.ORG", "250 ok\x00" + "x" * 1000)
    rows = list(stats)
    assert [row[:2] for row in rows] == [("example.net", 1_700_000_000), ("example.org", 1_700_000_100)]
    assert len(rows[1][2]) == hoststats.STATUS_MAX
    clock.now += hoststats.EXPIRE_SECONDS - 50
    assert [domain for domain, _, _ in stats] == ["example.org"]
    clock.now += 100
    assert list(stats) == []


def test_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hoststats, "MOST", 3)
    stats = HostStats()
    for number in range(5):
        stats.note(f"{number}.example", "250 ok")
        stats.note("often.example", "250 ok")
    assert [domain for domain, _, _ in stats] == ["3.example", "4.example", "often.example"]
