"""The ramqueue: every envelope's id, type and times, and the queue it stands in. No I/O; time is an argument.

The order of things is that of OpenSMTPD's scheduler_ramqueue.c. An envelope is in exactly one state:

    PENDING     waits for its time, in the order of time; a suspended one is in no order and waits for resume
    SCHEDULED   due: in the ready list of its type, or in the list of expired or removed ones
    INFLIGHT    queue and pony work on it
    HELD        pony has enough of this kind for now: in a hold queue until that is released
    LEAVING     queue was told to expire or remove it; gone when queue says so

Memory: one row ("slot") of flat columns an envelope, a sorted index of evpids and a sorted set of due times
(sortedkeys.py): less than 100 bytes an envelope. Every operation on one envelope takes at most O(log n) time;
operations on many are done in steps of a bounded size, so that a million envelopes never hold the process.
"""

from array import array
from typing import NamedTuple

from smtpd.config.model import SchedulerLimits
from smtpd.messages.control_scheduler import EnvelopeState

from .slotlist import NONE, Links, SlotList
from .sortedkeys import SortedKeys, SortedMap
from .timing import BACKOFF_DELIVERY, BACKOFF_OVERFLOW, BACKOFF_TRANSFER, backoff, next_try

MDA, MTA, BOUNCE = 0, 1, 2
TYPES = ("mda", "mta", "bounce")
TYPE_NUMBERS = {name: number for number, name in enumerate(TYPES)}
_BASES = (BACKOFF_DELIVERY, BACKOFF_TRANSFER, BACKOFF_DELIVERY)

FREE, PENDING, SCHEDULED, INFLIGHT, HELD, LEAVING = range(6)
_STATE_NAMES = ("", "pending", "pending", "inflight", "held", "")

SUSPENDED = 1
REMOVED = 2
EXPIRED = 4

HOLDQ_MAXSIZE = 1000
"""Most envelopes in one hold queue; one more is put off by BACKOFF_OVERFLOW instead."""

PROMOTE_MOST = 1024
"""Most envelopes that one batch moves from pending to ready."""

LEAVE_AGAIN = 400
"""Seconds until queue is told once more of an envelope that it could not let go."""

GROW = 1024
"""How many slots are added to the columns at a time."""

LATEST = 1 << 40
"""Times beyond this second are taken for it: an envelope file may claim any number."""

EVERY_EVPID = (0, 0xFFFFFFFFFFFFFFFF)

CHANGES = ("schedule", "remove", "suspend", "resume")


DEFAULT_LIMITS = SchedulerLimits()


class Standing(NamedTuple):
    """Where an envelope stands: the first fields of control_scheduler.EnvelopeWaits, the type as a number."""

    state: str
    kind: int
    suspended: bool
    retry: int
    time: int
    expire: int
    holdq: int


class Batch(NamedTuple):
    """What queue must be told now: evpids, each list empty or at most max_schedule long in sum."""

    mda: list[int]
    mta: list[int]
    bounce: list[int]
    expire: list[int]
    remove: list[int]


def evpids_of(identifier: int) -> tuple[int, int]:
    """First and last evpid that an administrator's id means: an evpid, a msgid (32 bits), or 0 for all."""
    if identifier == 0:
        return EVERY_EVPID
    if identifier <= 0xFFFFFFFF:
        return identifier << 32, (identifier << 32) | 0xFFFFFFFF
    return identifier, identifier


class RamQueue:
    """All envelopes the scheduler knows."""

    def __init__(self, limits: SchedulerLimits = DEFAULT_LIMITS) -> None:
        self.limits = limits
        self.paused = [False, False, False]  # by type: its envelopes become due but are not handed out
        self.inflight = 0
        self.leaving = 0
        self.held = 0
        self.overflows = 0  # how often a hold queue was full
        self.updates = 0  # how often one was put off that had not been tried
        self._evpid = array("Q")
        self._ctime = array("q")
        self._sched = array("q")
        self._expire = array("q")
        self._since = array("q")  # when it became SCHEDULED, INFLIGHT or HELD
        self._holdq = array("Q")
        self._retry = array("H")
        self._state = bytearray()
        self._type = bytearray()
        self._flags = bytearray()
        self._links = Links()
        self._used = 0  # slots from here on were never used
        self._free = NONE  # the first slot given back; Links.after leads to the next
        self._index = SortedMap()  # evpid -> slot
        self._pending = SortedKeys()  # (second it becomes due or expires) << 32 | slot
        self._ready = (SlotList(self._links), SlotList(self._links), SlotList(self._links))  # by type
        self._expired = SlotList(self._links)
        self._removed = SlotList(self._links)
        self._holdqs: dict[tuple[int, int], SlotList] = {}  # (type, holdq)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, evpid: int) -> bool:
        return self._index.get(evpid) is not None

    @property
    def messages(self) -> int:
        """How many messages have envelopes here."""
        return self._index.groups

    @property
    def hold_queues(self) -> int:
        """How many hold queues hold something."""
        return len(self._holdqs)

    # envelopes come, are tried, and go: queue's side

    def insert(self, evpid: int, kind: int, ctime: int, ttl: int, retry: int, now: int) -> bool:
        """A committed envelope; it is due at once if its time has come. False, nothing done, if known."""
        slot = self._free
        if slot == NONE:
            slot = self._used
            if slot == len(self._state):
                self._grow()
        if not self._index.add(evpid, slot):
            return False
        if slot == self._used:
            self._used += 1
        else:
            self._free = self._links.after[slot]
        if not 0 <= ctime <= LATEST:
            ctime = min(max(ctime, 0), LATEST)
        expire = ctime + (ttl if 0 <= ttl <= LATEST else min(max(ttl, 0), LATEST))
        sched = backoff(ctime, _BASES[kind], retry)
        self._evpid[slot] = evpid
        self._ctime[slot] = ctime
        self._expire[slot] = expire
        self._sched[slot] = sched
        self._retry[slot] = retry
        self._type[slot] = kind
        self._flags[slot] = 0
        if sched <= now or expire <= now:
            self._make_due(slot, now)
        else:
            self._state[slot] = PENDING
            self._pending.add(min(sched, expire, 0xFFFFFFFF) << 32 | slot)
        return True

    def retry(self, evpid: int, retry: int, now: int) -> int | None:
        """An envelope in flight failed for now. Returns the time of its next try; None: it was not in flight.

        One that was removed meanwhile is not tried again but leaves (and its next try is now). One that was
        to expire, but could not (there was no room for its bounce), expires LEAVE_AGAIN seconds later.
        """
        slot = self._index.get(evpid)
        if slot is None or self._state[slot] not in (INFLIGHT, LEAVING):
            return None
        expired = self._flags[slot] & EXPIRED
        self._leave(slot)
        self._retry[slot] = retry
        if expired and not self._flags[slot] & REMOVED:
            self._flags[slot] &= ~EXPIRED
            self._sched[slot] = self._expire[slot] = now + LEAVE_AGAIN
            self._wait(slot)
            return now + LEAVE_AGAIN
        if self._flags[slot] & REMOVED:
            self._settle(slot, self._removed, now)
            return now
        self._sched[slot] = next_try(self._ctime[slot], _BASES[self._type[slot]], retry, now)
        self._wait(slot)
        return self._sched[slot]

    def finish(self, evpid: int) -> bool:
        """The envelope is gone from the spool, whatever its state here; False if it was not known."""
        slot = self._index.pop(evpid)
        if slot is None:
            return False
        self._leave(slot)
        self._state[slot] = FREE
        self._links.after[slot] = self._free
        self._free = slot
        return True

    def hold(self, evpid: int, holdq: int, now: int) -> bool:
        """Put an envelope in flight into hold queue `holdq` of its type; False if it was not in flight."""
        slot = self._index.get(evpid)
        if slot is None or self._state[slot] != INFLIGHT:
            return False
        self.inflight -= 1
        flags = self._flags[slot]
        if flags & REMOVED:
            self._settle(slot, self._removed, now)
            return True
        if flags & SUSPENDED:
            self._wait(slot)
            return True
        name = (self._type[slot], holdq)
        queue = self._holdqs.get(name)
        if queue is None:
            queue = self._holdqs[name] = SlotList(self._links)
        if queue.count >= HOLDQ_MAXSIZE:
            self.overflows += 1
            self.updates += 1
            self._sched[slot] = next_try(self._ctime[slot], BACKOFF_OVERFLOW, 0, now)
            self._wait(slot)
            return True
        self._holdq[slot] = holdq
        self._settle(slot, queue, now)
        self._state[slot] = HELD
        self.held += 1
        return True

    def release(self, kind: int, holdq: int, count: int, now: int, *, later: bool = False) -> int:
        """Let the first `count` envelopes of a hold queue go (0: all); returns how many went.

        They are due at once, or with `later` (the relay they waited for failed) at the next time of their
        back-off.
        """
        name = (kind, holdq)
        queue = self._holdqs.get(name)
        if queue is None:
            return 0
        slots = queue.take(count or queue.count)
        if not queue.count:
            del self._holdqs[name]
        self.held -= len(slots)
        self.updates += len(slots) if later else 0
        for slot in slots:
            if later:
                self._sched[slot] = next_try(self._ctime[slot], _BASES[kind], 0, now)
                self._wait(slot)
            else:
                self._make_due(slot, now)
        return len(slots)

    def hasten(self, evpid: int, now: int) -> bool:
        """Make an envelope that waits for its next try due now; False if it does not, or is suspended."""
        slot = self._index.get(evpid)
        if slot is None or self._state[slot] != PENDING or self._flags[slot]:
            return False
        return self._schedule(slot, now)

    def requeue_inflight(self, now: int) -> int:
        """A peer was replaced: what was in flight is due again, what was leaving is told again. How many."""
        count = 0
        for state in (INFLIGHT, LEAVING):
            slot = self._state.find(state)
            while slot >= 0:
                count += 1
                flags = self._flags[slot]
                if flags & (REMOVED | EXPIRED):
                    self._settle(slot, self._removed if flags & REMOVED else self._expired, now)
                elif flags & SUSPENDED:
                    self._wait(slot)
                else:
                    self._make_due(slot, now)
                slot = self._state.find(state, slot + 1)
        self.inflight = self.leaving = 0
        return count

    # what goes out

    def batch(self, now: int) -> Batch | None:
        """The next envelopes to tell queue of, within the limits; None if there is nothing to tell now."""
        self._promote(now)
        limits = self.limits
        room = min(limits.max_schedule, limits.max_inflight - self.inflight)
        ready = [kind for kind in (BOUNCE, MDA, MTA) if self._ready[kind].count and not self.paused[kind]]
        taken: tuple[list[int], list[int], list[int]] = ([], [], [])
        while room > 0 and ready:
            share = max(1, room // len(ready))
            for kind in ready:
                slots = self._ready[kind].take(min(share, room))
                room -= len(slots)
                taken[kind].extend(self._hand_out(slots, INFLIGHT, now))
            ready = [kind for kind in ready if self._ready[kind].count]
        self.inflight += sum(map(len, taken))
        # The administrator's removals and the end of an envelope's time do not wait for deliveries in flight.
        room = min(limits.max_schedule, limits.max_inflight - self.leaving)
        remove = self._hand_out(self._removed.take(max(room, 0)), LEAVING, now)
        expire = self._hand_out(self._expired.take(max(room - len(remove), 0)), LEAVING, now)
        self.leaving += len(remove) + len(expire)
        if not (remove or expire or any(taken)):
            return None
        return Batch(*taken, expire, remove)

    def delay(self, now: int) -> int | None:
        """Seconds until an envelope becomes due or expires (0: now), None if none waits for a time."""
        key = self._pending.first()
        return None if key is None else max(0, (key >> 32) - now)

    # the administrator's side

    def change(self, change: str, start: int, stop: int, now: int) -> tuple[int, int]:
        """Do `change` (one of CHANGES) to the first max_msg_batch_size envelopes in `start`..`stop`.

        Returns how many it concerned, and the evpid to go on from (0: all done).
        """
        act = {
            "schedule": self._schedule,
            "remove": self._remove,
            "suspend": self._suspend,
            "resume": self._resume,
        }[change]
        most = self.limits.max_msg_batch_size
        found = self._index.items_from(start, stop, most)
        count = 0
        for _, slot in found:
            count += act(slot, now)
        return count, found[-1][0] + 1 if len(found) == most and found[-1][0] < stop else 0

    def page(self, start: int, stop: int, most: int) -> tuple[list[EnvelopeState], int]:
        """The first `most` envelopes in `start`..`stop` by evpid, and the evpid to go on from (0: end)."""
        most = max(1, min(most, self.limits.max_evp_batch_size))
        found = self._index.items_from(start, stop, most)
        rows: list[EnvelopeState] = []
        for evpid, slot in found:
            flags = self._flags[slot]
            if flags & (REMOVED | EXPIRED):
                continue
            state = self._state[slot]
            rows.append(
                EnvelopeState(
                    evpid,
                    TYPES[self._type[slot]],
                    _STATE_NAMES[state],
                    bool(flags & SUSPENDED),
                    self._retry[slot],
                    self._sched[slot] if state == PENDING else self._since[slot],
                )
            )
        return rows, found[-1][0] + 1 if len(found) == most and found[-1][0] < stop else 0

    def find(self, evpid: int) -> Standing | None:
        """Where an envelope stands; None if it is not known."""
        slot = self._index.get(evpid)
        if slot is None:
            return None
        state, flags = self._state[slot], self._flags[slot]
        leaving = state == LEAVING or flags & (REMOVED | EXPIRED)
        return Standing(
            "leaving" if leaving else "due" if state == SCHEDULED else _STATE_NAMES[state],
            self._type[slot],
            bool(flags & SUSPENDED),
            self._retry[slot],
            self._sched[slot] if state == PENDING else self._since[slot],
            self._expire[slot],
            self._holdq[slot] if state == HELD else 0,
        )

    def _schedule(self, slot: int, now: int) -> bool:
        """Ready now; a suspended one too, for this one try."""
        state = self._state[slot]
        if state == INFLIGHT or self._flags[slot] & (REMOVED | EXPIRED):
            return False
        if state != SCHEDULED:
            self._leave(slot)
            self._settle(slot, self._ready[self._type[slot]], now)
        return True

    def _remove(self, slot: int, now: int) -> bool:
        if self._flags[slot] & (REMOVED | EXPIRED):
            return False
        if self._state[slot] != INFLIGHT:
            self._leave(slot)
            self._settle(slot, self._removed, now)
        # One in flight leaves when its try has ended without success.
        self._flags[slot] |= REMOVED
        return True

    def _suspend(self, slot: int, _now: int) -> bool:
        flags = self._flags[slot]
        if flags & (SUSPENDED | REMOVED | EXPIRED):
            return False
        if self._state[slot] != INFLIGHT:
            self._leave(slot)
            self._state[slot] = PENDING
        self._flags[slot] = flags | SUSPENDED
        return True

    def _resume(self, slot: int, _now: int) -> bool:
        flags = self._flags[slot]
        if not flags & SUSPENDED or flags & (REMOVED | EXPIRED):
            return False
        self._flags[slot] = flags & ~SUSPENDED
        if self._state[slot] == PENDING:
            self._pending.add(self._key(slot))
        return True

    # from one place to another

    def _key(self, slot: int) -> int:
        """Place in the order of pending envelopes."""
        return min(self._sched[slot], self._expire[slot], 0xFFFFFFFF) << 32 | slot

    def _promote(self, now: int) -> None:
        """Make the pending envelopes due whose time has come."""
        limit = min(now, 0xFFFFFFFF) << 32 | 0xFFFFFFFF
        left = PROMOTE_MOST
        while left:
            keys = self._pending.take_until(limit, left)
            if not keys:
                return
            left -= len(keys)
            for key in keys:
                self._make_due(key & 0xFFFFFFFF, now)

    def _make_due(self, slot: int, now: int) -> None:
        """Put a slot that is in no list into the list it is due in."""
        if self._expire[slot] <= now:
            self._flags[slot] |= EXPIRED
            self._settle(slot, self._expired, now)
        else:
            self._settle(slot, self._ready[self._type[slot]], now)

    def _settle(self, slot: int, where: SlotList, now: int) -> None:
        """Put a slot that is in no list into `where`."""
        self._state[slot] = SCHEDULED
        self._since[slot] = now
        where.append(slot)

    def _wait(self, slot: int) -> None:
        """Make a slot that is in no list pending."""
        self._state[slot] = PENDING
        if not self._flags[slot] & SUSPENDED:
            self._pending.add(self._key(slot))

    def _leave(self, slot: int) -> None:
        """Take a slot out of the list or count its state means."""
        state = self._state[slot]
        flags = self._flags[slot]
        if state == PENDING:
            if not flags & SUSPENDED:
                self._pending.discard(self._key(slot))
        elif state == SCHEDULED:
            if flags & REMOVED:
                self._removed.remove(slot)
            elif flags & EXPIRED:
                self._expired.remove(slot)
            else:
                self._ready[self._type[slot]].remove(slot)
        elif state == INFLIGHT:
            self.inflight -= 1
        elif state == LEAVING:
            self.leaving -= 1
        elif state == HELD:
            name = (self._type[slot], self._holdq[slot])
            queue = self._holdqs[name]
            queue.remove(slot)
            if not queue.count:
                del self._holdqs[name]
            self.held -= 1

    def _hand_out(self, slots: list[int], state: int, now: int) -> list[int]:
        """Note that queue works on `slots` from now on; their evpids."""
        for slot in slots:
            self._state[slot] = state
            self._since[slot] = now
        return [self._evpid[slot] for slot in slots]

    def _grow(self) -> None:
        """Room for more slots."""
        times = (self._ctime, self._sched, self._expire, self._since)
        for column in (self._evpid, *times, self._holdq, self._retry):
            column.frombytes(bytes(GROW * column.itemsize))
        for flags in (self._state, self._type, self._flags):
            flags.extend(bytes(GROW))
        self._links.grow(GROW)
