"""smtpd/scheduler/ramqueue.py by examples; test_ramqueue_model.py has any sequence of operations."""

import pytest

from smtpd.config.model import SchedulerLimits
from smtpd.messages.control_scheduler import EnvelopeState
from smtpd.scheduler import ramqueue
from smtpd.scheduler.ramqueue import (
    BOUNCE,
    CHANGES,
    DEFAULT_LIMITS,
    EVERY_EVPID,
    MDA,
    MTA,
    Batch,
    RamQueue,
    evpids_of,
)

NOW = 1_700_000_000
DAY = 86400
ALL = EVERY_EVPID


def evpid(msgid: int, low: int) -> int:
    return msgid << 32 | low


def filled(*kinds: int, limits: SchedulerLimits = DEFAULT_LIMITS) -> RamQueue:
    """A queue with an envelope of each kind, ids 1_00000001, 2_00000001, ..., due now."""
    queue = RamQueue(limits)
    for msgid, kind in enumerate(kinds, 1):
        assert queue.insert(evpid(msgid, 1), kind, NOW, DAY, 0, NOW)
    return queue


def states(queue: RamQueue) -> list[EnvelopeState]:
    return queue.page(*ALL, 1000)[0]


def test_a_new_envelope_is_due_at_once_and_goes_by_type() -> None:
    queue = filled(MDA, MTA, BOUNCE)
    batch = queue.batch(NOW)
    assert batch == Batch([evpid(1, 1)], [evpid(2, 1)], [evpid(3, 1)], [], [])
    assert queue.inflight == 3
    assert queue.batch(NOW) is None
    assert queue.delay(NOW) is None
    for msgid in (1, 2, 3):
        assert queue.finish(evpid(msgid, 1))
    assert len(queue) == queue.inflight == queue.messages == 0


def test_an_envelope_found_in_the_spool_waits_for_its_back_off() -> None:
    queue = RamQueue()
    queue.insert(evpid(1, 1), MTA, NOW - 1000, DAY, 2, NOW)
    assert queue.batch(NOW) is None
    assert queue.delay(NOW) == 600
    assert queue.batch(NOW + 599) is None
    assert queue.batch(NOW + 600) == Batch([], [evpid(1, 1)], [], [], [])


def test_a_second_insert_of_the_same_envelope_does_nothing() -> None:
    queue = filled(MDA)
    assert not queue.insert(evpid(1, 1), MTA, NOW, DAY, 0, NOW)
    assert queue.insert(evpid(2, 1), MTA, NOW, DAY, 0, NOW)
    assert queue.batch(NOW) == Batch([evpid(1, 1)], [evpid(2, 1)], [], [], [])
    assert len(queue) == 2


def test_a_slot_given_back_is_used_again_once() -> None:
    queue = filled(MDA, MDA, MDA)
    queue.finish(evpid(2, 1))
    queue.finish(evpid(1, 1))
    assert not queue.insert(evpid(3, 1), MDA, NOW, DAY, 0, NOW)
    for msgid in (11, 12, 13):
        assert queue.insert(evpid(msgid, 1), MDA, NOW, DAY, 0, NOW)
    batch = queue.batch(NOW)
    assert batch is not None
    assert batch.mda == [evpid(msgid, 1) for msgid in (3, 11, 12, 13)]


def test_retry_backs_off_quadratically_by_type() -> None:
    queue = filled(MDA, MTA, BOUNCE)
    queue.batch(NOW)
    assert queue.retry(evpid(1, 1), 1, NOW + 1) == NOW + 10
    assert queue.retry(evpid(2, 1), 1, NOW + 1) == NOW + 400
    assert queue.retry(evpid(3, 1), 1, NOW + 1) == NOW + 10
    assert queue.inflight == 0
    assert queue.delay(NOW + 1) == 9
    batch = queue.batch(NOW + 10)
    assert batch is not None
    assert (batch.mda, batch.bounce) == ([evpid(1, 1)], [evpid(3, 1)])
    assert queue.retry(evpid(1, 1), 2, NOW + 11) == NOW + 40
    assert queue.batch(NOW + 400) == Batch([evpid(1, 1)], [evpid(2, 1)], [], [], [])
    assert queue.retry(evpid(2, 1), 2, NOW + 3600) == NOW + 6400, "steps in the past are skipped"


def test_results_for_what_is_not_in_flight_are_refused() -> None:
    queue = filled(MDA)
    assert queue.retry(evpid(1, 1), 1, NOW) is None
    assert not queue.hold(evpid(1, 1), 7, NOW)
    assert queue.retry(evpid(9, 9), 1, NOW) is None
    assert not queue.hold(evpid(9, 9), 7, NOW)
    assert not queue.finish(evpid(9, 9))
    assert queue.finish(evpid(1, 1)), "gone from the spool, whatever we thought of it"
    assert queue.batch(NOW) is None


def test_limits_bound_a_batch_and_what_is_in_flight() -> None:
    queue = filled(*[MTA] * 20, limits=SchedulerLimits(max_inflight=15, max_schedule=10))
    sizes = []
    while batch := queue.batch(NOW):
        sizes.append(len(batch.mta))
    assert sizes == [10, 5]
    assert queue.inflight == 15
    queue.finish(evpid(1, 1))
    assert queue.batch(NOW) == Batch([], [evpid(16, 1)], [], [], [])


def test_one_type_does_not_starve_another() -> None:
    queue = filled(*[MTA] * 100, *[MDA] * 5, BOUNCE)
    batch = queue.batch(NOW)
    assert batch is not None
    assert sum(map(len, batch)) == 10
    assert len(batch.mda) >= 3
    assert len(batch.bounce) == 1


def test_ready_envelopes_go_first_in_first_out() -> None:
    queue = filled(*[MDA] * 9)
    queue.change("suspend", *evpids_of(evpid(5, 1)), NOW)
    batch = queue.batch(NOW)
    assert batch is not None
    assert batch.mda == [evpid(msgid, 1) for msgid in (1, 2, 3, 4, 6, 7, 8, 9)]


@pytest.mark.parametrize(("kind", "other"), [(MDA, MTA), (MTA, MDA)])
def test_a_paused_type_becomes_due_but_stays(kind: int, other: int) -> None:
    queue = filled(kind, other)
    queue.paused[kind] = True
    batch = queue.batch(NOW)
    assert batch is not None
    assert (batch[kind], batch[other]) == ([], [evpid(2, 1)])
    assert queue.batch(NOW) is None
    assert queue.delay(NOW) is None, "nothing to wake up for"
    queue.paused[kind] = False
    batch = queue.batch(NOW)
    assert batch is not None
    assert batch[kind] == [evpid(1, 1)]


def test_expiry() -> None:
    queue = RamQueue()
    queue.insert(evpid(1, 1), MTA, NOW - 100, 500, 1, NOW)
    queue.insert(evpid(2, 1), MTA, NOW - 1000, 500, 0, NOW)
    assert queue.batch(NOW) == Batch([], [], [], [evpid(2, 1)], [])
    assert queue.leaving == 1
    assert queue.delay(NOW) == 300, "the next try comes before the end"
    batch = queue.batch(NOW + 300)
    assert batch is not None
    assert batch.mta == [evpid(1, 1)]
    assert queue.retry(evpid(1, 1), 2, NOW + 301) == NOW + 1500
    assert queue.delay(NOW + 301) == 99, "the end comes before the next try"
    assert queue.batch(NOW + 400) == Batch([], [], [], [evpid(1, 1)], [])
    assert [state.evpid for state in states(queue)] == [], "what expires is not listed"
    assert queue.finish(evpid(1, 1))
    assert queue.finish(evpid(2, 1))
    assert queue.leaving == len(queue) == 0


def test_what_could_not_expire_expires_later() -> None:
    queue = RamQueue()
    queue.insert(evpid(1, 1), MTA, NOW - 1000, 500, 0, NOW)
    queue.batch(NOW)
    assert queue.leaving == 1
    assert queue.retry(evpid(1, 1), 1, NOW + 1) == NOW + 401
    assert queue.leaving == 0
    assert queue.batch(NOW + 400) is None
    assert queue.delay(NOW + 400) == 1
    assert len(states(queue)) == 1
    assert queue.batch(NOW + 401) == Batch([], [], [], [evpid(1, 1)], [])
    queue.finish(evpid(1, 1))
    assert queue.leaving == len(queue) == 0


def test_what_could_not_be_removed_is_to_be_removed_again() -> None:
    queue = filled(MTA)
    queue.change("remove", *ALL, NOW)
    queue.batch(NOW)
    assert queue.retry(evpid(1, 1), 1, NOW) == NOW
    assert queue.batch(NOW) == Batch([], [], [], [], [evpid(1, 1)])
    assert (queue.leaving, queue.inflight) == (1, 0)


def test_removal_of_what_waits_and_of_what_is_in_flight() -> None:
    queue = filled(MTA, MTA, MTA)
    queue.limits = SchedulerLimits(max_schedule=1)
    queue.batch(NOW)
    assert queue.change("remove", *ALL, NOW) == (3, 0)
    assert queue.change("remove", *ALL, NOW) == (0, 0)
    assert states(queue) == []
    queue.limits = SchedulerLimits()
    assert queue.batch(NOW) == Batch([], [], [], [], [evpid(2, 1), evpid(3, 1)])
    assert queue.retry(evpid(1, 1), 1, NOW) == NOW
    assert queue.batch(NOW) == Batch([], [], [], [], [evpid(1, 1)])
    for msgid in (1, 2, 3):
        queue.finish(evpid(msgid, 1))
    assert len(queue) == queue.leaving == queue.inflight == 0


def test_removal_does_not_wait_for_deliveries() -> None:
    queue = filled(*[MTA] * 5, limits=SchedulerLimits(max_inflight=2))
    queue.batch(NOW)
    assert queue.batch(NOW) is None
    queue.change("remove", *ALL, NOW)
    batch = queue.batch(NOW)
    assert batch is not None
    assert batch.remove == [evpid(3, 1), evpid(4, 1)]
    assert queue.batch(NOW) is None, "queue has not said that they are gone"
    queue.finish(evpid(3, 1))
    batch = queue.batch(NOW)
    assert batch is not None
    assert batch.remove == [evpid(5, 1)]


def test_suspend_and_resume() -> None:
    queue = filled(MTA, MDA)
    assert queue.change("suspend", *evpids_of(1), NOW) == (1, 0)
    assert queue.change("suspend", *evpids_of(1), NOW) == (0, 0)
    batch = queue.batch(NOW)
    assert batch is not None
    assert (batch.mta, batch.mda) == ([], [evpid(2, 1)])
    assert queue.change("suspend", *evpids_of(2), NOW) == (1, 0)
    assert queue.retry(evpid(2, 1), 1, NOW) == NOW + 10
    assert queue.delay(NOW) is None
    assert [(state.suspended, state.state) for state in states(queue)] == [(True, "pending")] * 2
    assert queue.batch(NOW + 2 * DAY) is None, "a suspended one does not expire"
    assert queue.change("resume", *ALL, NOW + 5) == (2, 0)
    assert queue.change("resume", *ALL, NOW + 5) == (0, 0)
    batch = queue.batch(NOW + 5)
    assert batch is not None
    assert batch.mta == [evpid(1, 1)]
    assert queue.delay(NOW + 5) == 5


def test_schedule_now() -> None:
    queue = filled(MTA)
    queue.batch(NOW)
    assert queue.change("schedule", *ALL, NOW) == (0, 0), "it is in flight"
    queue.retry(evpid(1, 1), 3, NOW)
    assert queue.batch(NOW) is None
    assert queue.change("schedule", *evpids_of(evpid(1, 1)), NOW + 1) == (1, 0)
    assert queue.change("schedule", *evpids_of(evpid(1, 1)), NOW + 1) == (1, 0)
    assert queue.batch(NOW + 1) == Batch([], [evpid(1, 1)], [], [], [])
    assert queue.batch(NOW + 1) is None


def test_schedule_now_gives_a_suspended_envelope_one_try() -> None:
    queue = filled(MTA)
    queue.change("suspend", *ALL, NOW)
    assert queue.change("schedule", *ALL, NOW) == (1, 0)
    assert queue.batch(NOW) == Batch([], [evpid(1, 1)], [], [], [])
    queue.retry(evpid(1, 1), 1, NOW)
    assert queue.batch(NOW + 500) is None
    assert states(queue)[0].suspended


def test_hold_and_release() -> None:
    queue = filled(MTA, MTA, MTA)
    queue.batch(NOW)
    for msgid in (1, 2, 3):
        assert queue.hold(evpid(msgid, 1), 77, NOW + 1)
    assert (queue.inflight, queue.held, queue.hold_queues) == (0, 3, 1)
    assert states(queue)[0] == EnvelopeState(evpid(1, 1), "mta", "held", False, 0, NOW + 1)
    assert queue.batch(NOW + 2) is None
    assert queue.release(MDA, 77, 0, NOW + 2) == 0, "another type's hold queues are others"
    assert queue.release(MTA, 77, 2, NOW + 2) == 2
    assert queue.batch(NOW + 2) == Batch([], [evpid(1, 1), evpid(2, 1)], [], [], [])
    assert queue.release(MTA, 77, 0, NOW + 3) == 1
    assert queue.release(MTA, 77, 0, NOW + 3) == 0
    assert (queue.held, queue.hold_queues) == (0, 0)
    assert queue.batch(NOW + 3) == Batch([], [evpid(3, 1)], [], [], [])


def test_released_to_wait_for_the_back_off() -> None:
    queue = filled(MTA)
    queue.batch(NOW)
    queue.hold(evpid(1, 1), 5, NOW)
    assert queue.release(MTA, 5, 0, NOW + 10, later=True) == 1
    assert queue.updates == 1
    assert queue.batch(NOW + 10) is None
    assert queue.delay(NOW + 10) == 390


def test_hastened_is_what_waits_for_its_time_and_nothing_else() -> None:
    queue = filled(MTA, MTA, MTA, MTA)
    queue.batch(NOW)
    assert not queue.hasten(evpid(1, 1), NOW), "in flight"
    for msgid in (1, 2, 3):
        queue.retry(evpid(msgid, 1), 1, NOW)
    queue.hold(evpid(4, 1), 5, NOW)
    queue.change("suspend", evpid(2, 1), evpid(2, 1), NOW)
    queue.change("remove", evpid(3, 1), evpid(3, 1), NOW)
    assert [queue.hasten(evpid(msgid, 1), NOW + 1) for msgid in (1, 2, 3, 4, 5)] == [True] + [False] * 4
    assert queue.batch(NOW + 1) == Batch([], [evpid(1, 1)], [], [], [evpid(3, 1)])


def test_what_expired_in_a_hold_queue_expires_at_its_release() -> None:
    queue = filled(MTA)
    queue.batch(NOW)
    queue.hold(evpid(1, 1), 5, NOW)
    queue.release(MTA, 5, 0, NOW + DAY)
    assert queue.batch(NOW + DAY) == Batch([], [], [], [evpid(1, 1)], [])


def test_a_full_hold_queue_puts_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ramqueue, "HOLDQ_MAXSIZE", 2)
    queue = filled(MTA, MTA, MTA)
    queue.batch(NOW)
    for msgid in (1, 2, 3):
        assert queue.hold(evpid(msgid, 1), 5, NOW)
    assert (queue.held, queue.overflows, queue.updates) == (2, 1, 1)
    assert queue.delay(NOW) == 3
    assert queue.batch(NOW + 3) == Batch([], [evpid(3, 1)], [], [], [])


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_finds_what_is_held(change: str) -> None:
    queue = filled(MTA)
    queue.batch(NOW)
    queue.hold(evpid(1, 1), 5, NOW)
    count, _ = queue.change(change, *ALL, NOW)
    assert count == (change != "resume")
    assert queue.held == (change == "resume")
    expected = {"schedule": "mta", "remove": "remove"}.get(change)
    batch = queue.batch(NOW)
    assert (batch and [name for name in Batch._fields if getattr(batch, name)]) == (expected and [expected])


def test_removed_or_suspended_while_in_flight_is_not_held() -> None:
    queue = filled(MTA, MTA)
    queue.batch(NOW)
    queue.change("remove", *evpids_of(1), NOW)
    queue.change("suspend", *evpids_of(2), NOW)
    assert queue.hold(evpid(1, 1), 5, NOW)
    assert queue.hold(evpid(2, 1), 5, NOW)
    assert queue.held == 0
    assert queue.batch(NOW) == Batch([], [], [], [], [evpid(1, 1)])
    queue.change("resume", *ALL, NOW)
    assert queue.batch(NOW) == Batch([], [evpid(2, 1)], [], [], [])


def test_changes_and_pages_go_in_steps() -> None:
    limits = SchedulerLimits(max_evp_batch_size=3, max_msg_batch_size=4)
    queue = RamQueue(limits)
    ids = [evpid(msgid, low) for msgid in (1, 2) for low in (1, 2, 3, 0xFFFFFFFF)]
    for number in reversed(ids):
        queue.insert(number, MDA, NOW + 100, DAY, 0, NOW)
    assert queue.messages == 2
    assert queue.change("suspend", *ALL, NOW) == (4, ids[3] + 1)
    assert queue.change("suspend", ids[3] + 1, ALL[1], NOW) == (4, ids[7] + 1)
    assert queue.change("suspend", ids[7] + 1, ALL[1], NOW) == (0, 0)
    first, following = queue.page(*evpids_of(2), 100)
    assert ([row.evpid for row in first], following) == (ids[4:7], ids[6] + 1)
    rest, following = queue.page(following, evpids_of(2)[1], 100)
    assert ([row.evpid for row in rest], following) == (ids[7:], 0)
    assert queue.page(*evpids_of(2), 4)[1] == ids[6] + 1


def test_a_full_step_that_ends_at_the_last_id_is_the_end() -> None:
    queue = RamQueue(SchedulerLimits(max_evp_batch_size=1, max_msg_batch_size=1))
    queue.insert(evpid(1, 0xFFFFFFFF), MDA, NOW, DAY, 0, NOW)
    queue.insert(evpid(2, 1), MDA, NOW, DAY, 0, NOW)
    assert queue.change("suspend", *evpids_of(1), NOW) == (1, 0)
    assert queue.page(*evpids_of(1), 5)[1] == 0


def test_ids() -> None:
    assert evpids_of(0) == (0, 2**64 - 1)
    assert evpids_of(0x6C472DE9) == (0x6C472DE900000000, 0x6C472DE9FFFFFFFF)
    assert evpids_of(0x6C472DE90A0B0C0D) == (0x6C472DE90A0B0C0D, 0x6C472DE90A0B0C0D)


def test_what_was_in_flight_returns_when_a_peer_is_replaced() -> None:
    queue = filled(MTA, MTA, MTA, MTA)
    queue.batch(NOW)
    queue.change("suspend", *evpids_of(2), NOW)
    queue.change("remove", *evpids_of(3), NOW)
    queue.retry(evpid(4, 1), 1, NOW)
    queue.change("remove", *evpids_of(4), NOW)
    queue.batch(NOW)
    assert (queue.inflight, queue.leaving) == (3, 1)
    assert queue.requeue_inflight(NOW) == 4
    assert (queue.inflight, queue.leaving) == (0, 0)
    batch = queue.batch(NOW)
    assert batch is not None
    assert batch.mta == [evpid(1, 1)]
    assert sorted(batch.remove) == [evpid(3, 1), evpid(4, 1)]


@pytest.mark.parametrize("ctime", [-(2**63), -1, 0, 2**31, 2**32, 2**63 - 1])
@pytest.mark.parametrize("ttl", [-(2**63), 0, 1, 2**63 - 1])
@pytest.mark.parametrize("retry", [0, 65535])
def test_any_number_in_an_envelope_file_is_survived(ctime: int, ttl: int, retry: int) -> None:
    queue = RamQueue()
    assert queue.insert(evpid(1, 1), MTA, ctime, ttl, retry, NOW)
    queue.change("suspend", *ALL, NOW)
    queue.change("resume", *ALL, NOW)
    if queue.batch(NOW) is None:
        assert (queue.delay(NOW) or 0) > 0
        queue.change("schedule", *ALL, NOW)
        assert queue.batch(NOW) is not None
    queue.retry(evpid(1, 1), 65535, NOW)
    assert queue.finish(evpid(1, 1))


def test_an_hour_late_wakes_up_with_everything() -> None:
    queue = RamQueue(SchedulerLimits(max_schedule=5000))
    for low in range(1, 3001):
        queue.insert(evpid(1, low), MTA, NOW - 100, DAY, 1, NOW)
    sizes = []
    while batch := queue.batch(NOW + 3600):
        sizes.append(len(batch.mta))
    assert sum(sizes) == 3000
    assert max(sizes) <= ramqueue.PROMOTE_MOST
