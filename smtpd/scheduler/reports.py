"""What queue reports: new envelopes, and what became of those it was told to work on."""

import time
from typing import TYPE_CHECKING

from smtpd.messages.queue_scheduler import (
    EnvelopeDone,
    EnvelopeHeld,
    EnvelopeRetry,
    EnvelopesHastened,
    EnvelopesReady,
    HoldReleased,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .ramqueue import TYPE_NUMBERS, RamQueue
from .turns import Turns

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

_COUNTERS = {
    "ok": "scheduler.delivery.ok",
    "permfail": "scheduler.delivery.permfail",
    "loop": "scheduler.delivery.loop",
    "expired": "scheduler.envelope.expired",
    "removed": "scheduler.envelope.removed",
}
"""Counter of each result of EnvelopeDone; a corrupt one was never counted by OpenSMTPD."""


class Reports:
    """The part that queue talks to."""

    def __init__(self, process: "Process", ramqueue: RamQueue, turns: Turns) -> None:
        self._process = process
        self._ramqueue = ramqueue
        self._turns = turns

    @handles(EnvelopesReady)
    def envelopes_ready(self, peer: Peer, message: EnvelopesReady) -> None:
        """Committed envelopes. One that is known already (queue read its spool again) stays as it is."""
        now = int(time.time())
        for evpid, type_name, ctime, ttl, _last_try, _last_bounce, retry in message.envelopes:
            kind = TYPE_NUMBERS.get(type_name)
            if kind is None:
                self._process.violation(peer, f"an envelope of type {type_name!r}")
                return
            known = not self._ramqueue.insert(evpid, kind, ctime, ttl, retry, now)
            if self._process.log.tracing_scheduler:
                what = "already scheduled" if known else f"inserted ({type_name})"
                self._process.log.trace("scheduler", f"evp:{evpid:016x} {what}")
        self._turns.wake()

    @handles(EnvelopeDone)
    def envelope_done(self, peer: Peer, message: EnvelopeDone) -> None:
        """It left the spool."""
        if not self._ramqueue.finish(message.evpid):
            self._process.log.debug(f"evp:{message.evpid:016x} done ({message.result}) but not known")
            return
        counter = _COUNTERS.get(message.result)
        if counter is not None:
            self._process.stat.add(counter)
        if self._process.log.tracing_scheduler:
            self._process.log.trace("scheduler", f"evp:{message.evpid:016x} done ({message.result})")
        self._turns.wake()

    @handles(EnvelopeRetry)
    def envelope_retry(self, peer: Peer, message: EnvelopeRetry) -> None:
        """A try failed for now."""
        times = message.envelope
        following = self._ramqueue.retry(times.evpid, times.retry, int(time.time()))
        if following is None:
            self._process.log.warn(f"evp:{times.evpid:016x} to be tried again was not in flight")
            return
        self._process.stat.add("scheduler.delivery.tempfail")
        if self._process.log.tracing_scheduler:
            self._process.log.trace("scheduler", f"evp:{times.evpid:016x} next try at {following}")
        self._turns.wake()

    @handles(EnvelopeHeld)
    def envelope_held(self, peer: Peer, message: EnvelopeHeld) -> None:
        """pony has enough of that kind."""
        if not self._ramqueue.hold(message.evpid, message.holdq, int(time.time())):
            self._process.log.warn(f"evp:{message.evpid:016x} to be held was not in flight")
            return
        if self._process.log.tracing_scheduler:
            self._process.log.trace("scheduler", f"evp:{message.evpid:016x} held on {message.holdq:016x}")
        self._turns.wake()

    @handles(HoldReleased)
    def hold_released(self, peer: Peer, message: HoldReleased) -> None:
        """pony can take some of them."""
        type_name, holdq, count, later = message
        kind = TYPE_NUMBERS.get(type_name)
        if kind is None:
            self._process.violation(peer, f"a hold queue of type {type_name!r}")
            return
        released = self._ramqueue.release(kind, holdq, count, int(time.time()), later=later)
        if self._process.log.tracing_scheduler:
            self._process.log.trace("scheduler", f"released {released} held on {holdq:016x}")
        self._turns.wake()

    @handles(EnvelopesHastened)
    def envelopes_hastened(self, peer: Peer, message: EnvelopesHastened) -> None:
        """A destination works again."""
        now = int(time.time())
        hastened = sum(self._ramqueue.hasten(evpid, now) for evpid in message.evpids)
        if self._process.log.tracing_scheduler:
            self._process.log.trace("scheduler", f"hastened {hastened} of {len(message.evpids)}")
        self._turns.wake()
