"""smtpd/scheduler/reports.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from smtpd.messages.queue_scheduler import (
    DeliverEnvelopes,
    EnvelopeDone,
    EnvelopeHeld,
    EnvelopeRetry,
    EnvelopesHastened,
    EnvelopesReady,
    HoldReleased,
)


def test_new_mail_goes_to_queue_at_once_in_batches(bench: Any) -> None:
    bench.tell(
        "queue",
        EnvelopesReady([bench.times(1, "mda"), bench.times(2), bench.times(3), bench.times(4, "bounce")]),
    )
    assert bench.hear("queue") == [
        DeliverEnvelopes("mda", [bench.evpid(1)]),
        DeliverEnvelopes("mta", [bench.evpid(2), bench.evpid(3)]),
        DeliverEnvelopes("bounce", [bench.evpid(4)]),
    ]
    bench.tell("queue", *(EnvelopesReady([bench.times(number)]) for number in range(11, 23)))
    batches = bench.hear("queue")
    assert [len(batch.evpids) for batch in batches] == [5, 5, 2], "one batch for all that came in one read"
    assert bench.process.stat.get("scheduler.envelope") == 16
    assert bench.process.stat.get("scheduler.envelope.inflight") == 16


def test_the_results_of_tries(bench: Any) -> None:
    bench.tell("queue", EnvelopesReady([bench.times(number) for number in range(1, 6)]))
    bench.hear("queue")
    results = ("ok", "permfail", "loop", "corrupt")
    bench.tell(
        "queue", *(EnvelopeDone(bench.evpid(number), result) for number, result in enumerate(results, 1))
    )
    bench.tell("queue", EnvelopeRetry(bench.times(5, retry=1)))
    bench.tell("queue", EnvelopeDone(bench.evpid(99), "ok"), EnvelopeRetry(bench.times(98)))
    assert bench.hear("queue") == []
    stat = bench.process.stat
    assert [stat.get(f"scheduler.delivery.{name}") for name in ("ok", "permfail", "loop", "tempfail")] == [
        1
    ] * 4
    assert stat.get("scheduler.envelope") == 1
    assert stat.get("scheduler.envelope.inflight") == 0
    assert bench.process.ramqueue.delay(bench.START) == 400


def test_hold_queues(bench: Any) -> None:
    bench.tell("queue", EnvelopesReady([bench.times(1), bench.times(2)]))
    bench.hear("queue")
    bench.tell(
        "queue",
        EnvelopeHeld(bench.evpid(1), 7),
        EnvelopeHeld(bench.evpid(2), 7),
        EnvelopeHeld(bench.evpid(3), 7),
    )
    assert bench.hear("queue") == []
    assert bench.process.stat.get("scheduler.ramqueue.hold") == 2
    assert bench.standing()[1:] == (0, 0, 2)
    bench.tell("queue", HoldReleased("mta", 7, 1))
    assert bench.hear("queue") == [DeliverEnvelopes("mta", [bench.evpid(1)])]
    bench.tell("queue", HoldReleased("mta", 7, 0), HoldReleased("mda", 7, 0))
    assert bench.hear("queue") == [DeliverEnvelopes("mta", [bench.evpid(2)])]


def test_what_is_held_for_a_failed_relay_waits_for_its_back_off(bench: Any) -> None:
    bench.tell("queue", EnvelopesReady([bench.times(1)]))
    bench.hear("queue")
    bench.tell("queue", EnvelopeHeld(bench.evpid(1), 7), HoldReleased("mta", 7, 0, True))
    assert bench.hear("queue") == []
    assert bench.standing()[1:] == (1, 0, 0)
    bench.tell("queue", EnvelopesHastened([bench.evpid(9), bench.evpid(1)]))
    assert bench.hear("queue") == [DeliverEnvelopes("mta", [bench.evpid(1)])]


def test_traced(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    bench.hear("queue")
    bench.process.log.set_trace("scheduler", True)
    bench.tell("queue", EnvelopesReady([bench.times(1)]), EnvelopesReady([bench.times(1)]))
    bench.hear("queue")
    bench.tell("queue", EnvelopeHeld(bench.evpid(1), 5), HoldReleased("mta", 5, 0))
    bench.hear("queue")
    bench.tell("queue", EnvelopeRetry(bench.times(1, retry=1)), EnvelopeDone(bench.evpid(1), "ok"))
    bench.hear("queue")
    lines = [line.split("scheduler: ", 2)[-1] for line in capfd.readouterr().err.splitlines()]
    assert lines == [
        "evp:0000000100000001 inserted (mta)",
        "evp:0000000100000001 already scheduled",
        "evp:0000000100000001 scheduled (mta)",
        "sleeping",
        "evp:0000000100000001 held on 0000000000000005",
        "released 1 held on 0000000000000005",
        "evp:0000000100000001 scheduled (mta)",
        "sleeping",
        f"evp:0000000100000001 next try at {bench.START + 400}",
        "evp:0000000100000001 done (ok)",
        "sleeping",
    ]
