"""smtpd/scheduler/orders.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

from smtpd.config.model import SchedulerLimits
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_scheduler import (
    ChangeEnvelopes,
    EnvelopeFound,
    EnvelopesAffected,
    EnvelopesListed,
    EnvelopeState,
    FindEnvelope,
    ListEnvelopes,
    PauseDelivery,
    ResumeDelivery,
    Waits,
)
from smtpd.messages.queue_scheduler import (
    MOST_EVPIDS,
    MOST_TIMES,
    DeliverEnvelopes,
    EnvelopeDone,
    EnvelopeHeld,
    EnvelopeRetry,
    EnvelopesReady,
    RemoveEnvelopes,
)
from smtpd.scheduler.orders import MOST_STATES


def test_pause_and_resume(bench: Any) -> None:
    bench.tell("control", PauseDelivery("mta"))
    bench.hear("control")
    bench.tell("queue", EnvelopesReady([bench.times(1), bench.times(2, "mda")]))
    assert bench.hear("queue") == [DeliverEnvelopes("mda", [bench.evpid(2)])]
    assert bench.standing() == ([False, True], 1, 1, 0)
    bench.tell("control", PauseDelivery("mda"), ResumeDelivery("mta"))
    assert bench.hear("queue") == [DeliverEnvelopes("mta", [bench.evpid(1)])]
    assert bench.standing()[0] == [True, False]


def test_changes_by_the_administrator(bench: Any) -> None:
    bench.tell("queue", EnvelopesReady([bench.times(number, age=1, retry=9) for number in range(1, 4)]))
    assert bench.hear("queue") == []
    assert bench.ask(ChangeEnvelopes("suspend", 2))[1] == 1
    assert bench.ask(ChangeEnvelopes("schedule", bench.evpid(1)))[1] == 1
    assert bench.hear("queue") == [DeliverEnvelopes("mta", [bench.evpid(1)])]
    assert bench.ask(ChangeEnvelopes("resume", 0))[1] == 1
    assert bench.ask(ChangeEnvelopes("remove", 0))[1] == 3
    assert bench.hear("queue") == [RemoveEnvelopes([bench.evpid(2), bench.evpid(3)])]
    bench.tell("queue", EnvelopeDone(bench.evpid(2), "removed"), EnvelopeDone(bench.evpid(3), "removed"))
    bench.tell("queue", EnvelopeRetry(bench.times(1, retry=10)))
    assert bench.hear("queue") == [RemoveEnvelopes([bench.evpid(1)])]
    assert bench.process.stat.get("scheduler.envelope.removed") == 2
    assert bench.ask(ChangeEnvelopes("schedule", 77)) == EnvelopesAffected(bench.ends["control"]._next - 1, 0)


def test_a_change_of_many_leaves_room_for_others(bench: Any) -> None:
    bench.process.ramqueue.limits = SchedulerLimits(max_msg_batch_size=10, max_schedule=1000)
    numbers = range(1, 1001)
    for start in range(0, 1000, MOST_TIMES):
        part = numbers[start : start + MOST_TIMES]
        bench.tell("queue", EnvelopesReady([bench.times(number, age=1, retry=9) for number in part]))
        bench.hear("queue")
    total, start, rounds = 0, 0, 0
    while start or not rounds:
        reply = bench.ask(ChangeEnvelopes("suspend", 0, start))
        total, start, rounds = total + reply.number, reply.next, rounds + 1
        assert reply.number <= 10, "a batch at a time"
    assert (total, rounds) == (1000, 101)


def test_lists_in_pages(bench: Any) -> None:
    bench.process.ramqueue.limits = SchedulerLimits(max_evp_batch_size=10_000)
    for start in range(0, 1000, MOST_TIMES):
        bench.tell(
            "queue",
            EnvelopesReady([bench.times(start + i, age=1, retry=9) for i in range(1, MOST_TIMES + 1)]),
        )
        bench.hear("queue")
    first = bench.ask(ListEnvelopes(0, 0, 65535))
    assert isinstance(first, EnvelopesListed)
    assert [row.evpid for row in first.envelopes] == [
        bench.evpid(number) for number in range(1, MOST_STATES + 1)
    ]
    second = bench.ask(ListEnvelopes(first.next, 0, 65535))
    assert second.envelopes[0].evpid == bench.evpid(MOST_STATES + 1)
    last = bench.ask(ListEnvelopes(bench.evpid(1000), 0, 7))
    assert (len(last.envelopes), last.next) == (1, 0)
    assert [row.evpid for row in bench.ask(ListEnvelopes(0, 5, 7)).envelopes] == [bench.evpid(5)]
    assert bench.ask(ListEnvelopes(0, 5000, 7)).envelopes == []
    assert bench.ask(ListEnvelopes(2**64 - 1, 0, 7)).envelopes == []


def test_the_longest_page_fits_a_frame() -> None:
    row = (2**64 - 1, "bounce", "inflight", True, 65535, 2**40)
    CATALOGUE.encode(EnvelopesListed(2**32 - 1, 2**64 - 1, [EnvelopeState(*row)] * MOST_STATES))
    CATALOGUE.encode(DeliverEnvelopes("bounce", [2**64 - 1] * MOST_EVPIDS))


def standing(bench: Any, number: int) -> Waits:
    found = bench.ask(FindEnvelope(bench.evpid(number)))
    assert isinstance(found, EnvelopeFound)
    return found.waits


def test_where_an_envelope_stands(bench: Any) -> None:
    assert standing(bench, 1).state == ""
    bench.tell("queue", EnvelopesReady([bench.times(1), bench.times(2, age=1, retry=9), bench.times(3)]))
    bench.hear("queue")
    one, two = standing(bench, 1), standing(bench, 2)
    assert (one.state, one.type, one.paused, one.inflight) == ("inflight", "mta", False, 2)
    assert (two.state, two.retry, two.suspended, two.holdq) == ("pending", 9, False, 0)
    assert one.time < two.time < two.expire
    bench.tell("queue", EnvelopeHeld(bench.evpid(1), 77))
    bench.ask(ChangeEnvelopes("suspend", bench.evpid(2)))
    bench.tell("control", PauseDelivery("mta"))
    assert (standing(bench, 1).state, standing(bench, 1).holdq) == ("held", 77)
    assert standing(bench, 2).suspended and standing(bench, 2).paused
    bench.ask(ChangeEnvelopes("remove", bench.evpid(2)))
    assert standing(bench, 2).state == "leaving"
    bench.ask(ChangeEnvelopes("schedule", bench.evpid(1)))
    assert standing(bench, 1).state == "due"
