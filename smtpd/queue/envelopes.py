"""Queued envelopes: the spool's, and a bounded number of them in memory.

A new mail is delivered at once as a rule, so the youngest envelopes are kept as values and need not be read
back. What is in memory is always what the spool has: memory changes when the spool has changed. Envelopes
that cannot be used are set aside here and nowhere else.
"""

from collections.abc import Callable, Sequence

from smtpd.config.model import Config
from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import EnvelopeError, decode, encode
from smtpd.messages.queue_scheduler import EnvelopeTimes
from smtpd.mproc.log import Log
from smtpd.mproc.stat import Stat
from smtpd.spool.backend import CORRUPT, ERROR, GONE, Backend, Failure, Stored, Then

CACHED = 4096
"""Envelopes in memory; as many as are in flight at a time, if the scheduler's limit is as it comes."""

type ThenEnvelope = Callable[[Envelope | None], None]
type ThenEnvelopes = Callable[[list[tuple[int, Envelope | None]]], None]


class Envelopes:
    """The envelopes of a spool."""

    def __init__(self, spool: Backend, config: Config, log: Log, stat: Stat) -> None:
        self._spool = spool
        self._config = config
        self._log = log
        self._stat = stat
        self._cache: dict[int, Envelope] = {}
        """In the order of use, the one used last at the end."""

    def committed(self, envelope: Envelope) -> None:
        """Take one whose message was just committed."""
        self._keep(envelope)

    def cached(self, evpid: int) -> Envelope | None:
        """The envelope if it is in memory."""
        envelope = self._cache.pop(evpid, None)
        if envelope is not None:
            self._cache[evpid] = envelope
            self._stat.add("queue.evpcache.load.hit")
        return envelope

    def get(self, evpid: int, then: ThenEnvelope) -> None:
        """The envelope, from memory at once; None when it is not there or not to be used."""
        envelope = self.cached(evpid)
        if envelope is not None:
            then(envelope)
        else:
            self._spool.load((evpid,), lambda stored: then(self._loaded(stored[0])))

    def get_many(self, evpids: Sequence[int], then: ThenEnvelopes, keep: bool = True) -> None:
        """As `get`, for several at once, in the order asked for.

        `keep`: have them in memory afterwards. Not for who only looks: that would drive out what is in use.
        """
        find = self.cached if keep else self._cache.get
        found = {evpid: find(evpid) for evpid in evpids}
        missing = [evpid for evpid, envelope in found.items() if envelope is None]
        if not missing:
            then(list(found.items()))
            return

        def loaded(stored: list[Stored]) -> None:
            for one in stored:
                found[one.evpid] = self._loaded(one) if keep else self.decoded(one)
            then(list(found.items()))

        self._spool.load(missing, loaded)

    def _loaded(self, stored: Stored) -> Envelope | None:
        envelope = self.decoded(stored)
        if self._log.tracing_queue:
            self._log.trace("queue", f"load evp:{stored.evpid:016x}: {'no' if envelope is None else 'ok'}")
        if envelope is not None:
            self._stat.add("queue.evpcache.load.missed")
            self._keep(envelope)
        return envelope

    def decoded(self, stored: Stored) -> Envelope | None:
        """The value of a stored envelope, None if it is not to be used. What never can be is set aside."""
        evpid, data = stored
        if isinstance(data, Failure):
            if data.kind == CORRUPT:
                self._set_aside(evpid, data.text)
            elif data.kind == ERROR:
                self._log.warn(f"queue: envelope {evpid:016x}: {data.text}")
            return None
        try:
            envelope = decode(evpid, data)
        except EnvelopeError as error:
            self._set_aside(evpid, str(error))
            return None
        if envelope.dispatcher not in self._config.actions:
            # A change of the configuration took its action away, another one may bring it back.
            self._log.warn(f"invalid envelope {evpid:016x}: unknown dispatcher {envelope.dispatcher!r}")
            return None
        return envelope if envelope.ttl else envelope._replace(ttl=self.ttl(envelope))

    def ttl(self, envelope: Envelope) -> int:
        """Seconds after which the envelope expires, by its action or else by the queue's own.

        The one in its text is for those who read it: OpenSMTPD writes 0 there, and takes what the
        configuration says at the time.
        """
        action = self._config.actions.get(envelope.dispatcher)
        return (action.ttl if action is not None else 0) or self._config.queue.ttl

    def times(self, envelope: Envelope) -> EnvelopeTimes:
        """What scheduler is told of an envelope."""
        return EnvelopeTimes(
            envelope.evpid,
            envelope.type,
            envelope.ctime,
            self.ttl(envelope),
            envelope.last_try,
            envelope.last_bounce,
            envelope.retry,
        )

    def _set_aside(self, evpid: int, reason: str) -> None:
        self._log.warn(f"invalid envelope {evpid:016x}: {reason}; moved to corrupt/")
        self._spool.set_aside(evpid, lambda result: self._log_failure(evpid, result))

    def _log_failure(self, evpid: int, result: Failure | None) -> None:
        if result is not None and result.kind != GONE:
            self._log.warn(f"queue: envelope {evpid:016x}: {result.text}")

    def add(self, envelope: Envelope, then: Then) -> None:
        """One more envelope for a queued message."""

        def added(result: Failure | None) -> None:
            self._trace("add", envelope.evpid, result)
            if result is None:
                self._keep(envelope)
            then(result)

        try:
            text = encode(envelope)
        except EnvelopeError as error:
            then(Failure(ERROR, str(error)))
            return
        self._spool.add(envelope.evpid, text, added)

    def update(self, envelope: Envelope, then: Then) -> None:
        """New values for an envelope."""

        def updated(result: Failure | None) -> None:
            self._trace("update", envelope.evpid, result)
            if result is None:
                hit = envelope.evpid in self._cache
                self._stat.add("queue.evpcache.update.hit" if hit else "queue.evpcache.update.missed")
                self._keep(envelope)
            then(result)

        try:
            text = encode(envelope)
        except EnvelopeError as error:
            then(Failure(ERROR, str(error)))
            return
        self._spool.update(envelope.evpid, text, updated)

    def delete(self, evpid: int, then: Then) -> None:
        """Remove an envelope. When this fails, it is still there and will be found at the next start."""
        if self._cache.pop(evpid, None) is not None:
            self._stat.set("queue.evpcache.size", len(self._cache))
        if not self._log.tracing_queue:
            self._spool.delete(evpid, then)
            return

        def deleted(result: Failure | None) -> None:
            self._trace("delete", evpid, result)
            then(result)

        self._spool.delete(evpid, deleted)

    def _trace(self, what: str, evpid: int, result: Failure | None) -> None:
        if self._log.tracing_queue:
            self._log.trace("queue", f"{what} evp:{evpid:016x}: {'ok' if result is None else result.text}")

    def forget(self, msgid: int) -> None:
        """A message was set aside: nothing of it is there any more."""
        for evpid in [evpid for evpid in self._cache if evpid >> 32 == msgid]:
            del self._cache[evpid]
        self._stat.set("queue.evpcache.size", len(self._cache))

    def _keep(self, envelope: Envelope) -> None:
        cache = self._cache
        cache.pop(envelope.evpid, None)
        if len(cache) >= CACHED:
            del cache[next(iter(cache))]
        cache[envelope.evpid] = envelope
        self._stat.set("queue.evpcache.size", len(cache))
