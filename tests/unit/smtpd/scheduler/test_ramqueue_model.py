"""smtpd/scheduler/ramqueue.py: any sequence of operations, against a naive model."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from smtpd.config.model import SchedulerLimits
from smtpd.messages.control_scheduler import EnvelopeState
from smtpd.scheduler.ramqueue import (
    BOUNCE,
    CHANGES,
    EVERY_EVPID,
    MDA,
    MTA,
    Batch,
    RamQueue,
    evpids_of,
)

NOW = 1_700_000_000
ALL = EVERY_EVPID


def evpid(msgid: int, low: int) -> int:
    return msgid << 32 | low


@dataclass
class Known:
    """An envelope as the naive model knows it."""

    kind: int
    ctime: int
    expire: int
    sched: int
    state: str = "pending"
    suspended: bool = False
    removed: bool = False
    expired: bool = False
    holdq: int = 0


IDS = st.integers(1, 4).flatmap(lambda msgid: st.integers(1, 6).map(lambda low: evpid(msgid, low)))


KINDS = st.sampled_from((MDA, MTA, BOUNCE))


class QueueMachine(RuleBasedStateMachine):
    """RamQueue against a dict of everything and sets built anew each time."""

    def __init__(self) -> None:
        super().__init__()
        limits = SchedulerLimits(max_inflight=8, max_schedule=4, max_evp_batch_size=3, max_msg_batch_size=3)
        self.queue = RamQueue(limits)
        self.model: dict[int, Known] = {}
        self.now = NOW

    def base(self, known: Known) -> int:
        return 400 if known.kind == MTA else 10

    def next_try(self, known: Known, base: int, step: int) -> int:
        while known.ctime + base * step * step <= self.now:
            step += 1
        return known.ctime + base * step * step

    def make_due(self, known: Known) -> None:
        known.expired = known.expire <= self.now
        known.state = "scheduled"

    def members(self, state: str) -> set[int]:
        return {number for number, known in self.model.items() if known.state == state}

    @rule(number=IDS, kind=KINDS, age=st.integers(-50, 2000), retry=st.integers(0, 3))
    def insert(self, number: int, kind: int, age: int, retry: int) -> None:
        ctime = self.now - age
        assert self.queue.insert(number, kind, ctime, 1500, retry, self.now) is (number not in self.model)
        if number not in self.model:
            known = Known(kind, ctime, ctime + 1500, 0)
            known.sched = ctime + self.base(known) * retry * retry
            if min(known.sched, known.expire) <= self.now:
                self.make_due(known)
            self.model[number] = known

    @rule(seconds=st.sampled_from((1, 10, 100, 400)))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def batch(self) -> None:
        for known in self.model.values():
            if known.state == "pending" and not known.suspended:
                if min(known.sched, known.expire) <= self.now:
                    self.make_due(known)
        batch = self.queue.batch(self.now) or Batch([], [], [], [], [])
        inflight, leaving = len(self.members("inflight")), len(self.members("leaving"))
        ready = {number for number in self.members("scheduled") if not self.gone(number)}
        free = {number for number in ready if not self.queue.paused[self.model[number].kind]}
        sent = {*batch.mda, *batch.mta, *batch.bounce}
        assert sent <= free
        assert len(sent) == min(len(free), 4, 8 - inflight)
        for kind, part in enumerate(batch[:3]):
            assert all(self.model[number].kind == kind for number in part)
            self.move(part, "inflight")
        removed = {number for number in self.members("scheduled") if self.model[number].removed}
        expired = {number for number in self.members("scheduled") if self.gone(number)} - removed
        assert set(batch.remove) <= removed
        assert set(batch.expire) <= expired
        assert len(batch.remove) + len(batch.expire) == min(len(removed | expired), 4, 8 - leaving)
        self.move(batch.remove + batch.expire, "leaving")

    def gone(self, number: int) -> bool:
        return self.model[number].removed or self.model[number].expired

    def move(self, numbers: list[int], state: str) -> None:
        assert len(set(numbers)) == len(numbers)
        for number in numbers:
            self.model[number].state = state

    @precondition(lambda self: self.members("inflight") | self.members("leaving"))
    @rule(data=st.data(), retry=st.integers(1, 4))
    def retry(self, data: st.DataObject, retry: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.members("inflight") | self.members("leaving"))))
        known = self.model[number]
        if known.removed:
            known.state = "scheduled"
        elif known.expired:
            known.sched = known.expire = self.now + 400
            known.expired = False
            known.state = "pending"
        else:
            known.sched = self.next_try(known, self.base(known), retry)
            known.state = "pending"
        assert self.queue.retry(number, retry, self.now) == (self.now if known.removed else known.sched)

    @precondition(lambda self: self.members("inflight"))
    @rule(data=st.data(), holdq=st.integers(1, 2))
    def hold(self, data: st.DataObject, holdq: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.members("inflight"))))
        known = self.model[number]
        assert self.queue.hold(number, holdq, self.now)
        known.holdq = holdq
        known.state = "scheduled" if known.removed else "pending" if known.suspended else "held"

    @rule(kind=KINDS, holdq=st.integers(1, 2), count=st.integers(0, 3), later=st.booleans())
    def release(self, kind: int, holdq: int, count: int, later: bool) -> None:
        held = {
            number
            for number in self.members("held")
            if (self.model[number].kind, self.model[number].holdq) == (kind, holdq)
        }
        released = self.queue.release(kind, holdq, count, self.now, later=later)
        assert released == min(len(held), count or len(held))
        # Which of them went is the queue's choice: it is asked.
        left = {row.evpid for row in self.everything() if row.state == "held"}
        for number in held - left:
            known = self.model[number]
            if later:
                known.sched = self.next_try(known, self.base(known), 0)
                known.state = "pending"
            else:
                self.make_due(known)
        assert len(held - left) == released

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.model)))
        assert self.queue.finish(number)
        del self.model[number]

    @rule()
    def requeue(self) -> None:
        active = self.members("inflight") | self.members("leaving")
        assert self.queue.requeue_inflight(self.now) == len(active)
        for known in (self.model[number] for number in active):
            if known.removed or known.expired:
                known.state = "scheduled"
            elif known.suspended:
                known.state = "pending"
            else:
                self.make_due(known)

    @rule(kind=st.sampled_from((MDA, MTA)), paused=st.booleans())
    def pause(self, kind: int, paused: bool) -> None:
        self.queue.paused[kind] = paused

    @rule(change=st.sampled_from(CHANGES), identifier=st.one_of(st.just(0), st.integers(1, 4), IDS))
    def change(self, change: str, identifier: int) -> None:
        start, stop = evpids_of(identifier)
        concerned = 0
        for number, known in self.model.items():
            if start <= number <= stop:
                concerned += self.change_one(change, known)
        count = 0
        while True:
            done, start = self.queue.change(change, start, stop, self.now)
            count += done
            if not start:
                break
        assert count == concerned

    def change_one(self, change: str, known: Known) -> bool:
        if known.removed or known.expired:
            return False
        if change == "schedule":
            if known.state == "inflight":
                return False
            known.state = "scheduled"
            return True
        if change == "remove":
            known.removed = True
            if known.state != "inflight":
                known.state = "scheduled"
            return True
        if known.suspended is (change == "suspend"):
            return False
        known.suspended = change == "suspend"
        if known.suspended and known.state != "inflight":
            known.state = "pending"
        return True

    def everything(self) -> list[EnvelopeState]:
        rows: list[EnvelopeState] = []
        start: int = 0
        while True:
            page, start = self.queue.page(start, ALL[1], 5)
            assert len(page) <= 3
            rows.extend(page)
            if not start:
                return rows

    @invariant()
    def same(self) -> None:
        rows = self.everything()
        shown = {"scheduled": "pending"}
        assert [(row.evpid, row.state, row.suspended) for row in rows] == [
            (number, shown.get(known.state, known.state), known.suspended)
            for number, known in sorted(self.model.items())
            if not known.removed and not known.expired
        ]
        for row in rows:
            if self.model[row.evpid].state == "pending":
                assert row.time == self.model[row.evpid].sched
        assert len(self.queue) == len(self.model)
        assert self.queue.messages == len({number >> 32 for number in self.model})
        assert self.queue.inflight == len(self.members("inflight"))
        assert self.queue.leaving == len(self.members("leaving"))
        assert self.queue.held == len(self.members("held"))
        waiting = [
            max(0, min(known.sched, known.expire) - self.now)
            for known in self.model.values()
            if known.state == "pending" and not known.suspended
        ]
        assert self.queue.delay(self.now) == (min(waiting) if waiting else None)


def test_any_sequence_of_operations() -> None:
    run_state_machine_as_test(
        QueueMachine, settings=settings(max_examples=80, stateful_step_count=50, deadline=None)
    )
