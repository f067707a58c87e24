"""The part that hears what became of envelopes: delivered, to be tried again, failed, expired, removed.

The disk changes first, then scheduler hears of it. A crash in between repeats something (a delivery, a
bounce) and loses nothing.
"""

import time
from typing import TYPE_CHECKING

from smtpd.mail.envelope import DSN_SUCCESS, MDA, Envelope, errorline
from smtpd.mail.status import (
    DELIVERY_TIME_EXPIRED,
    OTHER_STATUS,
    ROUTING_LOOP_DETECTED,
    STATUS_OK,
    STATUS_PERMFAIL,
    STATUS_TEMPFAIL,
)
from smtpd.messages.pony_queue import DeliveryLoop, DeliveryOk, DeliveryPermfail, DeliveryTempfail
from smtpd.messages.queue_scheduler import EnvelopeDone, EnvelopeRetry, ExpireEnvelopes, RemoveEnvelopes
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.spool.backend import GONE, Failure

if TYPE_CHECKING:
    from .process import Process


class Results:
    """What pony and scheduler say about envelopes in flight."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._log = process.log
        self._envelopes = process.envelopes

    # pony

    @handles(DeliveryOk)
    def delivery_ok(self, peer: Peer, message: DeliveryOk) -> None:
        """Delivered, or relayed."""
        evpid, without_dsn = message

        def loaded(envelope: Envelope | None) -> None:
            if envelope is None:
                self._log.warn(f"queue: ok: failed to load envelope {evpid:016x}")
                self._delete(evpid, "ok")
            elif envelope.dsn_notify & DSN_SUCCESS and (envelope.type == MDA or without_dsn):
                delivered = envelope._replace(esc_class=STATUS_OK, esc_code=OTHER_STATUS)
                # A sender who is not told of a success is no reason to deliver it again.
                self._process.bounces.delivered(delivered, lambda _told: self._delete(evpid, "ok"))
            else:
                self._delete(evpid, "ok")

        self._envelopes.get(evpid, loaded)

    @handles(DeliveryTempfail)
    def delivery_tempfail(self, peer: Peer, message: DeliveryTempfail) -> None:
        """Not now."""
        evpid, error, _esc_class, esc_code = message

        def loaded(envelope: Envelope | None) -> None:
            if envelope is None:
                self._lost(evpid, "tempfail")
                return
            now = int(time.time())
            failed = envelope._replace(
                errorline=errorline(error), esc_class=STATUS_TEMPFAIL, esc_code=esc_code
            )
            self._process.bounces.delayed(failed, now, lambda told: self.retry(told, now))

        self._envelopes.get(evpid, loaded)

    @handles(DeliveryPermfail)
    def delivery_permfail(self, peer: Peer, message: DeliveryPermfail) -> None:
        """Never."""
        evpid, error, _esc_class, esc_code = message
        self._fail(evpid, "permfail", error, esc_code)

    @handles(DeliveryLoop)
    def delivery_loop(self, peer: Peer, message: DeliveryLoop) -> None:
        """It has been here too often."""
        self._fail(message.evpid, "loop", "Loop detected", ROUTING_LOOP_DETECTED)

    # scheduler

    @handles(ExpireEnvelopes)
    def expire_envelopes(self, peer: Peer, message: ExpireEnvelopes) -> None:
        """Their time is over."""
        for evpid in message.evpids:
            self._fail(evpid, "expired", "Envelope expired", DELIVERY_TIME_EXPIRED)

    @handles(RemoveEnvelopes)
    def remove_envelopes(self, peer: Peer, message: RemoveEnvelopes) -> None:
        """The administrator does not want them."""

        def loaded(found: list[tuple[int, Envelope | None]]) -> None:
            for evpid, envelope in found:
                if envelope is not None:
                    self._log.info(log_line(envelope, "Remove", "Removed by administrator"))
                self._delete(evpid, "removed")

        self._envelopes.get_many(message.evpids, loaded)

    # the steps

    def retry(self, envelope: Envelope, now: int) -> None:
        """Store that a try failed, then have scheduler find the time of the next."""
        again = envelope._replace(retry=min(envelope.retry + 1, 0xFFFF), last_try=now)

        def updated(result: Failure | None) -> None:
            if result is not None:
                self._log.warn(f"could not update envelope {again.evpid:016x}: {result.text}")
            self._process.peer("scheduler").send(EnvelopeRetry(self._envelopes.times(again)))

        self._envelopes.update(again, updated)

    def _fail(self, evpid: int, result: str, error: str, esc_code: int) -> None:
        def loaded(envelope: Envelope | None) -> None:
            if envelope is None:
                self._lost(evpid, result)
                return
            failed = envelope._replace(
                errorline=errorline(error), esc_class=STATUS_PERMFAIL, esc_code=esc_code
            )
            self._process.bounces.failed(failed, lambda told: bounced(failed, told))

        def bounced(failed: Envelope, told: bool) -> None:
            if not told:
                # The bounce is not on disk, so its cause must stay there.
                self.retry(failed, int(time.time()))
                return
            if result == "expired":
                self._log.info(log_line(failed, "Expire", "Envelope expired"))
            self._delete(evpid, result)

        self._envelopes.get(evpid, loaded)

    def _delete(self, evpid: int, result: str) -> None:
        def deleted(failure: Failure | None) -> None:
            if failure is not None and failure.kind != GONE:
                self._log.warn(f"queue: envelope {evpid:016x}: {failure.text}")
            self._process.peer("scheduler").send(EnvelopeDone(evpid, result))

        self._envelopes.delete(evpid, deleted)

    def _lost(self, evpid: int, result: str) -> None:
        self._log.warn(f"queue: {result}: failed to load envelope {evpid:016x}")
        self._process.peer("scheduler").send(EnvelopeDone(evpid, "corrupt"))


def log_line(envelope: Envelope, prefix: str, status: str) -> str:
    """The line about an envelope that leaves the queue without a delivery, as OpenSMTPD writes it."""
    kind = "delivery" if envelope.type == MDA else "relay"
    rcpt = "-" if envelope.rcpt == envelope.dest else str(envelope.rcpt)
    return (
        f"{kind}: {prefix} for {envelope.evpid:016x}: from=<{envelope.sender}>, to=<{envelope.dest}>, "
        f"rcpt=<{rcpt}>, delay={duration(int(time.time()) - envelope.ctime)}, stat={status}"
    )


def duration(seconds: int) -> str:
    """A time span in a log line: "1d2h3m4s", without the parts that are 0; "0s"."""
    if seconds == 0:
        return "0s"
    sign, left = ("-", -seconds) if seconds < 0 else ("", seconds)
    minutes, s = divmod(left, 60)
    hours, m = divmod(minutes, 60)
    d, h = divmod(hours, 24)
    return sign + "".join(
        f"{count}{unit}" for count, unit in ((d, "d"), (h, "h"), (m, "m"), (s, "s")) if count
    )
