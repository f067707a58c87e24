"""The scheduler's turns: when to look for due envelopes, and telling queue of them.

A turn comes right after every change (new mail goes out at once) and when the next envelope is due. One turn
takes a few batches, each as bounded by `scheduler limit`, so that what is due together reaches pony together:
a message's recipients then go in one transaction. While there is more, turns follow each other and everything
else of the loop has its say in between. While queue does not read, there are no turns.
"""

import asyncio
import time
from typing import TYPE_CHECKING

from smtpd.messages.links import QUEUE
from smtpd.messages.queue_scheduler import (
    MOST_EVPIDS,
    DeliverEnvelopes,
    ExpireEnvelopes,
    RemoveEnvelopes,
)

from .ramqueue import TYPES, Batch, RamQueue

if TYPE_CHECKING:
    from smtpd.mproc.peer import Peer
    from smtpd.mproc.process import Process

TURN_ENVELOPES = 200
"""Envelopes from which on a turn takes no further batch."""

LONGEST_SLEEP = 60
"""Seconds: the wall clock may be set, so it is looked at now and then."""


class Turns:
    """The timer of the scheduler. `wake` after every change."""

    def __init__(self, process: "Process", ramqueue: RamQueue) -> None:
        self._process = process
        self._ramqueue = ramqueue
        self._soon: asyncio.Handle | None = None
        self._later: asyncio.TimerHandle | None = None
        self._stopped = False

    def wake(self) -> None:
        """Have a turn in this round of the loop, however often this is called in it."""
        if self._soon is None and not self._stopped:
            self._soon = self._process.loop.call_soon(self._turn)

    def stop(self) -> None:
        """No turns any more."""
        self._stopped = True
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._soon = self._later = None

    def _turn(self) -> None:
        for handle in (self._soon, self._later):
            if handle is not None:
                handle.cancel()
        self._soon = self._later = None
        queue = self._process.peer(QUEUE)
        if queue.lost:
            return  # a new link wakes us
        if queue.full:
            queue.when_drained(self.wake)
            return
        now = int(time.time())
        taken = 0
        while taken < TURN_ENVELOPES and not queue.full:
            batch = self._ramqueue.batch(now)
            if batch is None:
                self._rest(now)
                return
            self._tell(queue, batch)
            count = sum(map(len, batch))
            if count < self._ramqueue.limits.max_schedule:
                self._rest(now)
                return
            taken += count
        self.wake()

    def _tell(self, queue: "Peer", batch: Batch) -> None:
        for kind, name in enumerate(TYPES):
            for part in _parts(batch[kind]):
                queue.send(DeliverEnvelopes(name, part))
        for part in _parts(batch.expire):
            queue.send(ExpireEnvelopes(part))
        for part in _parts(batch.remove):
            queue.send(RemoveEnvelopes(part))
        if self._process.log.tracing_scheduler:
            self._trace(batch)

    def _rest(self, now: int) -> None:
        """There was no more: until the next envelope is due."""
        self._count()
        delay = self._ramqueue.delay(now)
        if delay == 0:
            self.wake()
            return
        if self._process.log.tracing_scheduler:
            self._process.log.trace("scheduler", "sleeping" if delay is None else f"waiting for {delay} s")
        if delay is not None:
            self._later = self._process.loop.call_later(min(delay, LONGEST_SLEEP), self._turn)

    def _count(self) -> None:
        """Counters of what is there, for `show stats`."""
        ramqueue, stat = self._ramqueue, self._process.stat
        stat.set("scheduler.envelope", len(ramqueue))
        stat.set("scheduler.envelope.updated", ramqueue.updates)
        stat.set("scheduler.envelope.inflight", ramqueue.inflight + ramqueue.leaving)
        stat.set("scheduler.ramqueue.envelope", len(ramqueue))
        stat.set("scheduler.ramqueue.message", ramqueue.messages)
        stat.set("scheduler.ramqueue.hold", ramqueue.held)
        stat.set("scheduler.ramqueue.holdq", ramqueue.hold_queues)
        stat.set("scheduler.ramqueue.hold-overflow", ramqueue.overflows)
        # OpenSMTPD's scheduler hears of envelopes before their message is committed, and counts them here
        stat.set("scheduler.envelope.incoming", 0)
        stat.set("scheduler.ramqueue.update", 0)

    def _trace(self, batch: Batch) -> None:
        for what, evpids in zip((*TYPES, "expire", "remove"), batch, strict=True):
            for evpid in evpids:
                self._process.log.trace("scheduler", f"evp:{evpid:016x} scheduled ({what})")


def _parts(evpids: list[int]) -> list[list[int]]:
    """As many lists as frames are needed; none for none."""
    return [evpids[i : i + MOST_EVPIDS] for i in range(0, len(evpids), MOST_EVPIDS)]
