"""Telling senders: bounce envelopes, and the messages that are made of them.

A result that the sender is to know of first becomes an envelope of type "bounce" of the same message, on
disk before its cause is removed. Scheduler has it due like any other. Bounce envelopes of one message that
are due together become one new message to the sender, without a sender of its own, so that nothing ever
answers it.
"""

import os
import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from smtpd.config.model import RelayAction
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import (
    BOUNCE,
    BOUNCE_TTL,
    DELAYED,
    DELIVERED,
    DSN_DELAY,
    DSN_FAILURE,
    DSN_NEVER,
    FAILED,
    FLAG_AUTHENTICATED,
    FLAG_BOUNCE,
    MTA,
    Envelope,
)
from smtpd.messages.lookup_queue import BounceExpanded, ExpandBounce
from smtpd.messages.queue_scheduler import EnvelopeDone
from smtpd.protocol.dsn import RELAYED, Notice, notification, returns_full
from smtpd.spool.backend import GONE, Failure

if TYPE_CHECKING:
    from .process import Process

GATHER_SECONDS = 1.0
"""How long the first bounce envelope of a message waits for others."""

RUNNING_MOST = 10
"""Notifications that are made at a time; the others wait."""

ENVELOPES_MOST = 1000
"""Recipients in one notification."""

_PIECE = 65536


class _Group(NamedTuple):
    """What bounce envelopes have in common that go into one notification."""

    msgid: int
    kind: str
    smtpname: str
    to: MailAddress
    dsn_ret: str
    envid: str
    delay: int
    ttl: int


class Bounces:
    """Bounce envelopes and notifications."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._log = process.log
        self._groups: dict[_Group, list[Envelope]] = {}
        self._waiting: deque[tuple[_Group, list[Envelope]]] = deque()
        self._running = 0

    # making bounce envelopes

    def failed(self, envelope: Envelope, then: Callable[[bool], None]) -> None:
        """Its recipient cannot be reached. `then(False)`: the bounce that is due cannot be stored."""
        if envelope.dsn_notify and not envelope.dsn_notify & DSN_FAILURE:
            then(True)
        else:
            self._add(envelope, FAILED, 0, then)

    def delivered(self, envelope: Envelope, then: Callable[[bool], None]) -> None:
        """The sender asked to be told of success (RFC 3461 4.1)."""
        self._add(envelope, DELIVERED, 0, then)

    def delayed(self, envelope: Envelope, now: int, then: Callable[[Envelope], None]) -> None:
        """A try failed for now: warn the sender when one of the `bounce warn-interval` times is over.

        `then` gets the envelope with the time of its last warning.
        """
        notify = envelope.dsn_notify
        if envelope.type != BOUNCE and (not notify or notify & DSN_DELAY) and envelope.sender.user:
            passed = [delay for delay in self._process.config.bounce_warn if envelope.ctime + delay <= now]
            if passed and envelope.ctime + max(passed) > envelope.last_bounce:
                warned = envelope._replace(last_bounce=envelope.ctime + max(passed))
                self._add(envelope, DELAYED, max(passed), lambda told: then(warned if told else envelope))
                return
        then(envelope)

    def _add(self, cause: Envelope, kind: str, delay: int, then: Callable[[bool], None]) -> None:
        if cause.dsn_notify & DSN_NEVER:
            then(True)
            return
        if cause.type == BOUNCE:
            self._log.warn("queue: double bounce!")
            then(True)
            return
        if not cause.sender.user:
            self._log.warn("queue: no return path!")
            then(True)
            return
        now = int(time.time())
        bounce = cause._replace(
            evpid=self._process.spool.new_evpid(cause.evpid >> 32),
            type=BOUNCE,
            retry=0,
            last_try=0,
            ctime=now,
            ttl=BOUNCE_TTL,
            mda_exec="",
            mda_subaddress="",
            mda_user="",
            bounce_type=kind,
            bounce_delay=delay,
            bounce_ttl=self._process.envelopes.ttl(cause) if kind == DELAYED else 0,
        )

        def added(result: Failure | None) -> None:
            if result is not None:
                self._log.warn(f"queue: cannot bounce! {cause.evpid:016x}: {result.text}")
                then(False)
                return
            self._log.debug(f"queue: bouncing evp:{cause.evpid:016x} as evp:{bounce.evpid:016x}")
            self._process.stat.add("queue.bounce")
            self._process.announce([bounce])
            then(True)

        self._process.envelopes.add(bounce, added)

    # making notifications

    def due(self, envelope: Envelope) -> None:
        """A bounce envelope is in flight: gather it with others of its kind."""
        group = _Group(
            envelope.evpid >> 32,
            self._kind(envelope),
            envelope.smtpname,
            envelope.sender,
            envelope.dsn_ret,
            envelope.dsn_envid,
            envelope.bounce_delay,
            envelope.bounce_ttl,
        )
        self._process.stat.add("bounce.envelope")
        gathered = self._groups.get(group)
        if gathered is None:
            gathered = self._groups[group] = []
            self._process.stat.add("bounce.message")
            self._process.loop.call_later(GATHER_SECONDS, self._gathered, group, gathered)
        gathered.append(envelope)
        if len(gathered) >= ENVELOPES_MOST:
            self._gathered(group, gathered)

    def _kind(self, envelope: Envelope) -> str:
        if envelope.bounce_type == DELIVERED:
            # The text of a bounce envelope does not say what type its cause had, but its action does.
            action = self._process.config.actions.get(envelope.dispatcher)
            return RELAYED if isinstance(action, RelayAction) else DELIVERED
        return envelope.bounce_type

    def _gathered(self, group: _Group, envelopes: list[Envelope]) -> None:
        if self._groups.get(group) is envelopes:  # not when it was full before its time was over
            del self._groups[group]
            self._waiting.append((group, envelopes))
            self._run()

    def _run(self) -> None:
        while self._waiting and self._running < RUNNING_MOST:
            self._running += 1
            self._process.stat.add("bounce.session")
            _Notification(self._process, *self._waiting.popleft(), self._ended).open()

    def _ended(self, count: int) -> None:
        self._running -= 1
        self._process.stat.sub("bounce.session")
        self._process.stat.sub("bounce.message")
        self._process.stat.sub("bounce.envelope", count)
        self._run()


class _Notification:
    """One notification on its way into the queue. Ends with each of its envelopes deleted or due again."""

    def __init__(
        self, process: "Process", group: _Group, envelopes: list[Envelope], ended: Callable[[int], None]
    ) -> None:
        self._process = process
        self._group = group
        self._envelopes = envelopes
        self._ended = ended
        self._msgid = 0

    def open(self) -> None:
        """Begin: the original's content is needed."""
        self._msgid = self._process.incoming.create()
        if not self._msgid:
            self._try_again("too many incoming messages")
            return
        self._process.spool.open_message(self._group.msgid, self._original_open)

    def _original_open(self, original: int | Failure) -> None:
        if isinstance(original, Failure):
            self._try_again(f"Could not open message: {original.text}")
            return

        def opened(content: int | Failure) -> None:
            if isinstance(content, Failure):
                os.close(original)
                self._try_again(content.text)
            else:
                self._write(original, content)

        self._process.incoming.open(self._msgid, opened)

    def _write(self, original: int, content: int) -> None:
        try:
            size = os.fstat(original).st_size
            pieces = notification(self._notice(size), self._envelopes, _pieces_of(original))
            with open(content, "wb", buffering=_PIECE, closefd=False) as file:
                file.writelines(pieces)
        except OSError as error:
            self._try_again(f"Error writing message: {os.strerror(error.errno or 0)}")
            return
        finally:
            os.close(original)
            os.close(content)
        self._trace(f"{len(self._envelopes)} recipients, asking for the way to <{self._group.to}>")
        self._process.peer("lookup").ask(ExpandBounce(self._envelope()), self._expanded)

    def _notice(self, size: int) -> Notice:
        group = self._group
        now = int(time.time())
        return Notice(
            kind=group.kind,
            id=self._msgid,
            smtpname=group.smtpname,
            to=str(group.to),
            now=now,
            zone=time.localtime(now).tm_gmtoff,
            boundary=f"{random.getrandbits(96):024x}/{group.smtpname}",
            unique=f"{random.getrandbits(64):016x}",
            envid=group.envid,
            full=returns_full(group.kind, group.dsn_ret, size),
            delay=group.delay,
            ttl=group.ttl,
        )

    def _envelope(self) -> Envelope:
        """What lookup expands: mail from this machine to the sender of the original."""
        return Envelope(
            self._msgid << 32,
            MTA,
            smtpname=self._group.smtpname,
            helo=self._group.smtpname,
            hostname=self._process.config.hostname,
            sockaddr="local",
            sender=EMPTY,
            rcpt=self._group.to,
            dest=self._group.to,
            ctime=int(time.time()),
            ttl=self._process.config.queue.ttl,
            flags=FLAG_AUTHENTICATED | FLAG_BOUNCE,
        )

    def _trace(self, text: str) -> None:
        if self._process.log.tracing_bounce:
            kind = self._group.kind
            self._process.log.trace(
                "bounce", f"msg:{self._msgid:08x} {kind} on {self._group.msgid:08x}: {text}"
            )

    def _expanded(self, reply: BounceExpanded | None) -> None:
        self._trace("no answer" if reply is None else f"{reply.status} {reply.error}")
        if reply is None:
            self._try_again("lookup is gone")
        elif reply.status == "ok":
            self._process.incoming.commit(self._msgid, self._committed)
        elif reply.status == "tempfail":
            self._try_again(reply.error)
        else:
            self._warn("PermFail", reply.error)
            self._process.incoming.rollback(self._msgid)
            self._delete("permfail")

    def _committed(self, result: Failure | None) -> None:
        if result is not None:
            self._try_again(result.text)
            return
        self._trace("queued")
        self._delete("ok")

    def _try_again(self, why: str) -> None:
        self._warn("TempFail", why)
        self._process.incoming.rollback(self._msgid)
        now = int(time.time())
        for envelope in self._envelopes:  # their error lines stay: they are what the sender has to know
            self._process.results.retry(envelope, now)
        self._ended(len(self._envelopes))

    def _delete(self, outcome: str) -> None:
        for envelope in self._envelopes:
            self._process.envelopes.delete(envelope.evpid, self._deleted(envelope.evpid, outcome))
        self._ended(len(self._envelopes))

    def _deleted(self, evpid: int, outcome: str) -> Callable[[Failure | None], None]:
        def deleted(result: Failure | None) -> None:
            if result is not None and result.kind != GONE:
                self._process.log.warn(f"queue: envelope {evpid:016x}: {result.text}")
            self._process.peer("scheduler").send(EnvelopeDone(evpid, outcome))

        return deleted

    def _warn(self, what: str, why: str) -> None:
        count = len(self._envelopes)
        self._process.log.warn(
            f"{what} injecting failure report on message {self._group.msgid:08x} to <{self._group.to}> "
            f"for {count} envelope{'s' if count > 1 else ''}: {why}"
        )


def _pieces_of(fd: int) -> Iterator[bytes]:
    while piece := os.read(fd, _PIECE):
        yield piece
