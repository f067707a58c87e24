"""smtpd/scheduler/turns.py, in a whole process whose peers the test holds (conftest.py)."""

import asyncio
from typing import Any

from smtpd.config.model import SchedulerLimits
from smtpd.messages.queue_scheduler import (
    MOST_TIMES,
    DeliverEnvelopes,
    EnvelopeDone,
    EnvelopesReady,
    ExpireEnvelopes,
)
from smtpd.scheduler.turns import TURN_ENVELOPES, Turns


def test_the_timer_wakes_for_what_becomes_due(bench: Any) -> None:
    bench.tell(
        "queue",
        EnvelopesReady([bench.times(1, "mda", age=9, retry=1), bench.times(2, age=86400 - 1, retry=100)]),
    )
    assert bench.hear("queue") == []
    bench.loop.run_until_complete(asyncio.sleep(0.5))
    bench.now = bench.START + 1
    bench.loop.run_until_complete(asyncio.sleep(0.7))
    assert bench.hear("queue") == [
        DeliverEnvelopes("mda", [bench.evpid(1)]),
        ExpireEnvelopes([bench.evpid(2)]),
    ]
    bench.tell("queue", EnvelopeDone(bench.evpid(2), "expired"))
    bench.hear("queue")
    assert bench.process.stat.get("scheduler.envelope.expired") == 1


def test_queue_that_does_not_read_is_waited_for(bench: Any) -> None:
    limits = SchedulerLimits(max_schedule=1000, max_inflight=10**6)
    bench.process.ramqueue.limits = limits
    total = 0
    for start in range(0, 60_000, MOST_TIMES):
        bench.tell("queue", EnvelopesReady([bench.times(start + i + 1) for i in range(MOST_TIMES)]))
        for _ in range(5):
            bench.loop.run_until_complete(asyncio.sleep(0))
    assert bench.process.peer("queue").full
    assert bench.process.ramqueue.inflight < 60_000
    while batches := bench.hear("queue"):
        total += sum(len(batch.evpids) for batch in batches)
    assert total == 60_000


def inflight_by_round(bench: Any, rounds: int) -> list[int]:
    """How many envelopes are in flight after each round of the loop."""
    seen = []

    async def look() -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)
            seen.append(bench.process.ramqueue.inflight)

    bench.loop.run_until_complete(look())
    return seen


def test_what_is_due_together_is_told_together(bench: Any) -> None:
    """A message has more recipients than a batch has room for: queue hears of all of them in one turn."""
    most = bench.process.ramqueue.limits.max_schedule
    bench.tell("queue", EnvelopesReady([bench.times(n) for n in range(1, 20 * most + 1)]))
    assert set(inflight_by_round(bench, 10)) == {0, 20 * most}
    assert [len(batch.evpids) for batch in bench.hear("queue")] == [most] * 20


def test_a_turn_has_an_end(bench: Any) -> None:
    ready = [bench.times(n) for n in range(1, 3 * MOST_TIMES + 1)]
    bench.tell(
        "queue", *(EnvelopesReady(ready[n : n + MOST_TIMES]) for n in range(0, len(ready), MOST_TIMES))
    )
    seen = inflight_by_round(bench, 20)
    assert {TURN_ENVELOPES, 2 * TURN_ENVELOPES, 3 * TURN_ENVELOPES} <= set(seen), seen
    assert sum(len(batch.evpids) for batch in bench.hear("queue")) == len(ready)


def test_a_stopped_scheduler_starts_nothing(bench: Any) -> None:
    bench.loop.run_until_complete(bench.process.stop())
    bench.tell("queue", EnvelopesReady([bench.times(1)]))
    assert bench.hear("queue") == []
    assert isinstance(bench.process.turns, Turns)
