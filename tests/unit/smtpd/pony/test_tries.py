"""The last tries, and their bounds."""

import tracemalloc

from smtpd.messages.control_tries import Try
from smtpd.pony import tries
from smtpd.pony.tries import STATUS_MAX, TRIES_MOST, Tries


def test_tries_of_an_envelope() -> None:
    known = Tries()
    assert known.of(1) == []
    for n in range(TRIES_MOST + 3):
        known.failed(1, n, "192.0.2.1", "mx", f"451 {n}")
    assert known.of(1) == [Try(n, "192.0.2.1", "mx", f"451 {n}") for n in range(3, TRIES_MOST + 3)]
    known.forget(1)
    known.forget(2)
    assert known.of(1) == [] and len(known) == 0


def test_long_answers_are_cut() -> None:
    known = Tries()
    known.failed(1, 0, "", "", "é" * 1000)
    assert len(known.of(1)[0].status.encode()) <= STATUS_MAX


def test_the_one_that_failed_longest_ago_is_forgotten() -> None:
    known = Tries()
    for evpid in range(tries.MOST):
        known.failed(evpid, 0, "", "", "")
    known.failed(0, 1, "", "", "")
    known.failed(tries.MOST, 1, "", "", "")
    assert len(known) == tries.MOST
    assert known.of(1) == [] and len(known.of(0)) == 2


def test_memory() -> None:
    tracemalloc.start()
    known = Tries()
    for evpid in range(2 * tries.MOST):
        for n in range(TRIES_MOST):
            known.failed(evpid, n, "", "mx.example.org", f"451 4.3.0 {evpid} {n}" + "x" * STATUS_MAX)
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert size < 30_000_000, size
