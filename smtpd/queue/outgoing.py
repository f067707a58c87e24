"""The part that hands due envelopes out: to pony with their content, or to our own bounces.

An envelope that is due but cannot be read is reported to scheduler as corrupt, so that it does not stay in
flight for ever; if it can be used again, the next start finds it.
"""

import time
from typing import TYPE_CHECKING

from smtpd.mail.envelope import BOUNCE, MDA, Envelope
from smtpd.messages.pony_queue import (
    DeliverMda,
    HastenEnvelopes,
    HoldEnvelope,
    MessageOpened,
    OpenMessage,
    RelayMta,
    ReleaseHold,
)
from smtpd.messages.queue_scheduler import (
    DeliverEnvelopes,
    EnvelopeDone,
    EnvelopeHeld,
    EnvelopesHastened,
    HoldReleased,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.spool.backend import CORRUPT, GONE, Failure

if TYPE_CHECKING:
    from .process import Process

LEASE_SECONDS = 24 * 3600.0
"""How long an envelope in flight is ours in a spool that several nodes share."""


class OutgoingEnvelopes:
    """Envelopes on their way out."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._spool = process.spool

    @handles(DeliverEnvelopes)
    def deliver_envelopes(self, peer: Peer, message: DeliverEnvelopes) -> None:
        """These are due."""
        evpids = message.evpids
        self._spool.take(
            evpids,
            time.time() + LEASE_SECONDS,
            lambda taken: self._process.envelopes.get_many(taken, self._due),
        )

    def _due(self, found: list[tuple[int, Envelope | None]]) -> None:
        now = int(time.time())
        pony = self._process.peer("pony")
        for evpid, envelope in found:
            if envelope is None:
                self._process.log.warn(f"queue: deliver: failed to load envelope {evpid:016x}")
                self._process.peer("scheduler").send(EnvelopeDone(evpid, "corrupt"))
            elif envelope.type == BOUNCE:
                self._process.bounces.due(envelope)
            elif envelope.type == MDA:
                pony.send(DeliverMda(envelope._replace(last_try=now)))
            else:
                pony.send(RelayMta(envelope._replace(last_try=now)))

    @handles(OpenMessage)
    def open_message(self, peer: Peer, reqid: int, message: OpenMessage) -> None:
        """The content, for a delivery."""
        msgid = message.msgid

        def opened(result: int | Failure) -> None:
            if not isinstance(result, Failure):
                peer.send(MessageOpened(reqid, ""), result)
                return
            self._process.log.warn(f"queue: message {msgid:08x}: {result.text}")
            peer.send(MessageOpened(reqid, result.text))
            if result.kind in (GONE, CORRUPT):
                self._set_aside(msgid)

        self._spool.open_message(msgid, opened)

    def _set_aside(self, msgid: int) -> None:
        """A message without content never can be delivered. Its envelopes are found gone when due."""

        def done(result: Failure | None) -> None:
            if result is None:
                self._process.envelopes.forget(msgid)
                self._process.log.warn(f"queue: message {msgid:08x} moved to corrupt/")
            elif result.kind != GONE:
                self._process.log.warn(f"queue: message {msgid:08x}: {result.text}")

        self._spool.set_aside_message(msgid, done)

    @handles(HoldEnvelope)
    def hold_envelope(self, peer: Peer, message: HoldEnvelope) -> None:
        """pony has enough of these."""
        self._process.peer("scheduler").send(EnvelopeHeld(message.evpid, message.holdq))

    @handles(ReleaseHold)
    def release_hold(self, peer: Peer, message: ReleaseHold) -> None:
        """pony can take some of these again."""
        self._process.peer("scheduler").send(HoldReleased(*message))

    @handles(HastenEnvelopes)
    def hasten_envelopes(self, peer: Peer, message: HastenEnvelopes) -> None:
        """What these waited for works again."""
        self._process.peer("scheduler").send(EnvelopesHastened(message.evpids))
