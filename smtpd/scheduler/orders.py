"""What the administrator wants of the scheduler, as control passes it on: lists, changes, pauses."""

import time
from typing import TYPE_CHECKING

from smtpd.messages.control_scheduler import (
    ChangeEnvelopes,
    EnvelopeFound,
    EnvelopesAffected,
    EnvelopesListed,
    FindEnvelope,
    ListEnvelopes,
    PauseDelivery,
    ResumeDelivery,
    Waits,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .ramqueue import CHANGES, TYPE_NUMBERS, TYPES, RamQueue, evpids_of
from .turns import Turns

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

MOST_STATES = 400
"""How many EnvelopeState surely fit one frame."""


class Orders:
    """The part that control talks to."""

    def __init__(self, process: "Process", ramqueue: RamQueue, turns: Turns) -> None:
        self._process = process
        self._ramqueue = ramqueue
        self._turns = turns

    @handles(ListEnvelopes)
    def list_envelopes(self, peer: Peer, reqid: int, message: ListEnvelopes) -> EnvelopesListed:
        """One page."""
        first, stop = evpids_of(message.msgid)
        rows, following = self._ramqueue.page(max(message.start, first), stop, min(message.most, MOST_STATES))
        return EnvelopesListed(reqid, following, rows)

    @handles(ChangeEnvelopes)
    def change_envelopes(self, peer: Peer, reqid: int, message: ChangeEnvelopes) -> EnvelopesAffected | None:
        """One batch."""
        if message.change not in CHANGES:
            self._process.violation(peer, f"a change {message.change!r}")
            return None
        first, stop = evpids_of(message.id)
        now = int(time.time())
        count, following = self._ramqueue.change(message.change, max(message.start, first), stop, now)
        if count:
            self._turns.wake()
        return EnvelopesAffected(reqid, count, following)

    @handles(FindEnvelope)
    def find_envelope(self, peer: Peer, reqid: int, message: FindEnvelope) -> EnvelopeFound:
        """Where it stands."""
        ramqueue = self._ramqueue
        most = ramqueue.limits.max_inflight
        found = ramqueue.find(message.evpid)
        if found is None:
            return EnvelopeFound(reqid, Waits("", "", False, 0, 0, 0, 0, False, ramqueue.inflight, most))
        state, kind, suspended, retry, when, expire, holdq = found
        paused = ramqueue.paused[kind]
        return EnvelopeFound(
            reqid,
            Waits(state, TYPES[kind], suspended, retry, when, expire, holdq, paused, ramqueue.inflight, most),
        )

    @handles(PauseDelivery)
    def pause_delivery(self, peer: Peer, message: PauseDelivery) -> None:
        """No more deliveries of the type; those under way go on."""
        self._set_paused(peer, message.type, True)

    @handles(ResumeDelivery)
    def resume_delivery(self, peer: Peer, message: ResumeDelivery) -> None:
        """Go on."""
        self._set_paused(peer, message.type, False)

    def _set_paused(self, peer: Peer, type_name: str, paused: bool) -> None:
        if type_name not in ("mda", "mta"):
            self._process.violation(peer, f"a pause of {type_name!r}")
            return
        self._ramqueue.paused[TYPE_NUMBERS[type_name]] = paused
        self._turns.wake()
