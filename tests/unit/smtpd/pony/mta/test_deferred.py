"""What waits for a destination to work again."""

import pytest

from smtpd.pony.mta import deferred as module
from smtpd.pony.mta.deferred import Deferred

A, B, SMART = ("a.example", False), ("b.example", False), ("a.example", True)


def test_each_destination_has_its_own() -> None:
    deferred = Deferred(10)
    for evpid in (3, 1, 2, 1):
        deferred.add(A, evpid, {"192.0.2.1"})
    deferred.add(B, 4, {"192.0.2.2"})
    deferred.add(SMART, 5, {"192.0.2.1"})
    assert deferred.take(A) == [3, 1, 2]
    assert deferred.take(A) == []
    assert deferred.take(SMART) == [5] and deferred.take(B) == [4]


def test_by_address_and_by_name() -> None:
    deferred = Deferred(10)
    deferred.add(A, 1, {"192.0.2.9"})
    deferred.add(A, 2, {"192.0.2.1", "2001:db8::1"})  # the hosts of the last try count
    deferred.add(B, 3, {"2001:db8::1"})
    deferred.add(SMART, 4, {"192.0.2.4"})
    assert deferred.take_by_address("192.0.2.9") == []
    assert deferred.take_by_address("2001:db8::1") == [1, 2, 3]
    deferred.add(B, 5, set())
    assert deferred.take_by_name("a.example") == [4]
    deferred.add(A, 6, set())
    assert deferred.take_by_name("*") == [5, 6]


def test_hosts_that_were_tried() -> None:
    deferred = Deferred(10)
    deferred.add(A, 1, {"192.0.2.1"})
    deferred.add(SMART, 4, {"192.0.2.4"})
    deferred.add(B, 5, {"192.0.2.5"})
    assert deferred.addresses({"a.example", "z.example"}) == {"192.0.2.1", "192.0.2.4"}
    deferred.take(A)
    assert deferred.addresses({"a.example"}) == {"192.0.2.4"}


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    deferred = Deferred(2)
    for evpid in range(5):
        deferred.add(A, evpid, set())
    assert deferred.take(A) == [0, 1]
    monkeypatch.setattr(module, "MOST", 2)
    for number in range(4):
        deferred.add((f"{number}.example", False), number, set())
    assert deferred.take_by_name("*") == [2, 3]
    none = Deferred(0)
    none.add(A, 1, set())
    assert none.take(A) == []
