"""One session with a host: what is said on a connection, around the SMTP client core, task after task.

The order of commands is the core's (smtpd/protocol/smtp/client.py), the connection is connection.py's.  Here
the relay's tasks become mails, with one more opened while a mail is under way, so that its MAIL can follow
the last dot; and here is decided whether there is TLS, and what it means when there is none.  Log lines are
OpenSMTPD's.
"""

import asyncio
import os
from typing import TYPE_CHECKING, cast

from smtpd.mail.status import OK
from smtpd.pony.tls_stream import TlsError, TlsStream
from smtpd.protocol.relayhost import NO_TLS, OPPORTUNISTIC, SMTPS, STARTTLS
from smtpd.protocol.smtp.client import Client
from smtpd.protocol.smtp.client_events import (
    Closed,
    Event,
    MailDone,
    RcptDone,
    Ready,
    SendContent,
    Settings,
    StartTls,
)

from .connect import Connector
from .connection import CONNECT_SECONDS, Connection
from .job import Job, NextJob
from .places import Presence
from .routing import Mx, Route, bracketed
from .shown import shown_output
from .task import MAX_AGAIN

if TYPE_CHECKING:
    from .mta import Mta

HANDSHAKE_SECONDS = 60.0
"""How long the other host may take for all of the TLS handshake, however it comes in."""

GIVE_WAY_SECONDS = 5.0
"""How long a session that is ended for others waits for the reply to QUIT."""

LINGER_SECONDS = 1.0
"""An idle connection beside others stays this long; the last one as the limit session-keepalive says."""

MAX_TRIES = 10
"""Mails in a row that a host takes for nobody before the session ends (OpenSMTPD)."""

_SCHEMES = {OPPORTUNISTIC: "smtp", STARTTLS: "smtp+tls", SMTPS: "smtps", NO_TLS: "smtp+notls"}
_WISHES = {OPPORTUNISTIC: "opportunistic", STARTTLS: "required", SMTPS: "required", NO_TLS: "no"}


class MtaSession:
    """A session is `ready` once it takes mail. It tells its relay, in session_over, when it is over."""

    def __init__(self, mta: "Mta", connector: Connector, route: Route, mx: Mx) -> None:
        self.mta = mta
        self.relay = connector.relay
        self.id = int.from_bytes(os.urandom(8))
        self.deadline = mta.loop.time() + CONNECT_SECONDS
        self.connecting: asyncio.Task[None] | None = None
        self.messages = 0
        self._connector = connector
        self._route = route
        self._presence = Presence(self, route.src, route.dst, route, self.relay.domain, mta.places)
        self._mx = mx
        self._tls = self.relay.key.tls  # as the relay wants it, NO_TLS once that came to nothing
        self._handshaking = False
        self._helo = ""
        self._client: Client | None = None
        self._connection = Connection(mta.loop, self)
        self._next = NextJob(mta, self.relay, self._takes_job, self._advance)
        self._sending: Job | None = None
        self._has_content = False  # what is written may hold content
        self._idle = False
        self._idle_since = 0.0
        self._resume_at = 0.0
        self._tries = 0
        self._failures = 0
        self._announce = False
        self._ready = False
        self._quitting = False
        self._stopping = False
        self._over = self._blameless = False  # blameless: the host, though it came to nothing

    # connection

    async def connect(self, helo: str) -> None:
        """Connect, and lead the session from there on. Never raises what the network is to blame for."""
        host, port = self._route.dst, self.relay.key.port
        scheme = "lmtp" if self.relay.key.lmtp else _SCHEMES[self._tls]
        address = f"{scheme}://{bracketed(host.address)}:{port}"
        name = host.own_name or self._mx.name
        self.mta.log.info(f"{self.id:016x} mta connecting address={address} host={name}")
        self._helo = helo
        self._client = Client(self._settings())
        try:
            await self._connection.open(self._route, port)
            return
        except TimeoutError:
            reason = "Connection timeout"
        except OSError as error:
            self._blameless = not self._connector.unreached(self._route, error.errno)
            reason = f"Connection failed: {os.strerror(error.errno) if error.errno else error}"
        except asyncio.CancelledError:
            reason = "Connection given up"
        self._failed(reason)

    def _settings(self) -> Settings:
        key = self.relay.key
        user, password = self.relay.credentials or ("", "")
        return Settings(
            self._helo,
            lmtp=key.lmtp,
            tls=_WISHES[self._tls],
            secure=self._tls == SMTPS,
            auth_user=user,
            auth_password=password,
            ahead=not self.relay.limits.sessdelay_transaction,
        )

    def no_helo(self) -> None:
        """There is no name for the source address."""
        self._connector.fail("source")
        self._failed("Failed to retrieve helo string")

    def _failed(self, reason: str) -> None:
        """There is no connection."""
        self.mta.log.info(f"{self.id:016x} mta error reason={reason}")
        self._connector.trouble = ""
        self._end()

    def connected(self) -> None:
        """The other host accepted."""
        self.mta.log.info(f"{self.id:016x} mta connected")
        if self._tls == SMTPS:
            self._start_tls()
        self._progress()

    def received(self, data: bytes) -> None:
        """Replies."""
        client = self._client
        assert client is not None
        if self.mta.log.tracing_io:
            self.mta.log.trace("io", f"{self.id:016x} read {len(data)} bytes")
        if self.mta.log.tracing_mta:
            for line in client.masked(data.decode("utf-8", "surrogateescape")).splitlines():
                self.mta.log.trace("mta", f"{self.id:016x} <<< {line}")
        self._handle(client.receive(data))
        self._advance()

    def lost(self, error: Exception | None) -> None:
        """It is over, by either side."""
        if self._client is not None and not self._over:
            reason = "Connection closed unexpectedly"
            if isinstance(error, TlsError):
                reason = f"IO Error: {error}"
            elif isinstance(error, OSError) and error.errno:
                reason = f"IO Error: {os.strerror(error.errno)}"
            self._handle(self._client.lost(reason))
        self._end()

    def writable(self) -> None:
        """The other host has read on."""
        if self._sending is not None:
            self._send_content(self._sending)
            self._advance()
        else:
            self._progress()

    # TLS

    def _start_tls(self) -> None:
        """The other host waits for the handshake. A certificate is checked where TLS must be, unless the
        action says otherwise (OpenSMTPD: mta_tls_init).
        """
        self._handshaking = True
        self.deadline = self.mta.loop.time() + HANDSHAKE_SECONDS
        context = self.mta.contexts.find(self.relay.action, self.relay.key.verify)
        self._connection.start_tls(context, self._mx.name)

    def tls_started(self, stream: TlsStream) -> None:
        """The handshake is done; with smtps the greeting comes now, else all begins anew."""
        assert self._client is not None
        self._handshaking = False
        self.mta.log.info(f"{self.id:016x} mta tls ciphers={stream}")
        if fingerprint := stream.fingerprint:
            result = "valid" if self.relay.key.verify else "unverified"
            self.mta.log.info(f'{self.id:016x} mta cert-check result="{result}" fingerprint="{fingerprint}"')
        else:
            self.mta.log.info(f'{self.id:016x} mta cert-check result="no certificate presented"')
        if self._tls == SMTPS:
            self._progress()
        else:
            self._handle(self._client.tls_started())
            self._advance()

    def tls_failed(self, reason: str) -> None:
        """There is no TLS: where it need not be, the same host is tried without."""
        assert self._client is not None
        self._handshaking = False
        if self._tls == OPPORTUNISTIC and not self._client.closed:
            self.mta.log.info(
                f"smtp-out: Error on session {self.id:016x}: opportunistic TLS failed, downgrading to plain: "
                f"{reason}"
            )
            self._tls = NO_TLS
            self._connection = Connection(self.mta.loop, self)
            self.deadline = self.mta.loop.time() + CONNECT_SECONDS
            self.mta.connect(self, self._helo)
        else:
            self._handle(self._client.lost(f"IO Error: {reason}"))
            self._end()

    # the course

    def evpids(self) -> set[int]:
        """The envelopes that this session has."""
        jobs = [] if self._next.job is None else [self._next.job]
        if self._client is not None:
            jobs += [cast(Job, mail.tag) for mail in self._client.mails]
        return {envelope.evpid for job in jobs for envelope in job.task.envelopes}

    @property
    def settled(self) -> bool:
        """Has it got as far as to take mail, or ended?"""
        return self._ready or self._over

    @property
    def host(self) -> str:
        """The other end, as in the log: by its own name, or as this session's domain has it."""
        return self._route.dst.called(self._mx.name)

    def wake(self) -> None:
        """The relay has a task."""
        self._busy()
        self._advance()

    def check(self, now: float) -> None:
        """Looked at now and then: is it too late for something?"""
        if now < self.deadline or self._client is None or not self._connection.made:
            return
        if self._handshaking:
            self._connection.drop()
            self.tls_failed("Connection timeout")
        elif self._idle:
            if self._lingers(now):
                return
            self._quit()
        else:
            self._handle(self._client.timed_out())
            self._connection.abort()

    def stop(self) -> None:
        """The daemon stops: finish the mail that is under way, begin no other."""
        self._stopping = True
        if self._idle:
            self._quit()
        elif self._client is None or not self._client.ready:
            self.abort()

    def abort(self) -> None:
        """Now."""
        if not self._connection.made and self.connecting is not None:
            self.connecting.cancel()
        elif self._connection.made and self._client is not None:
            self._handle(self._client.lost("Connection given up"))
            self._connection.abort()

    def _advance(self) -> None:
        """Whatever can be done next, then one write."""
        client = self._client
        if client is None or self._over:
            return
        if self.mta.loop.time() >= self._resume_at:
            if self._next.job is not None and client.takes_mail and self._may_go_on():
                self._send(self._next.take())
            if (client.idle or (client.accepted and not client.closed)) and self._may_go_on():
                self._next.ask()
            if client.idle and not self._next.opening and (self._next.job is None or not self._may_go_on()):
                self._wait_or_quit()
        self._write()
        if self._announce:
            # it has its first task by now: more connections are made for the others only
            self._announce = False
            self._ready = True
            self._route.src.late.pop(self, None)
            self._connector.trouble = ""
            self.relay.session_ready(self._route, self._connector)

    def _resume(self) -> None:
        """The delay between two transactions is over."""
        self._resume_at = 0.0
        self._advance()

    def _may_go_on(self) -> bool:
        """Is this session to take another mail?"""
        limits = self.relay.limits
        return (
            self.messages < limits.max_mail_per_session
            and self._tries < MAX_TRIES
            and (not limits.max_failures_per_session or self._failures < limits.max_failures_per_session)
            and not self._stopping
        )

    def _takes_job(self) -> bool:
        return not (self._over or self._stopping or self._client is None or self._client.closed)

    def _send(self, job: Job) -> None:
        assert self._client is not None
        self._busy()
        self._tries += 1
        self.messages += 1
        self.mta.stat.add("mta.task.running")
        self._handle(self._client.send(job.mail()))

    def _send_content(self, job: Job) -> None:
        """As much content as the transport takes."""
        client = self._client
        assert client is not None
        self._sending = job
        self._has_content = True
        last = False
        try:
            while not last and not self._connection.paused:
                chunk, last = job.content.read()
                self._handle(client.content(chunk, last))
                if not last:
                    self._write()
        except OSError as error:
            # without the dot, the host takes nothing
            self.mta.log.warn(f"message {job.task.msgid:08x}: {error.strerror or error}")
            self._sending = None
            self._handle(client.lost("Error reading content file"))
            self._connection.abort()
            return
        if last:
            self._sending = None
        self._progress()

    def _wait_or_quit(self) -> None:
        if not self._may_go_on():
            if self._tries >= MAX_TRIES:
                self.mta.log.info(f"{self.id:016x} mta host-rejects-all-mails")
            self._next.give_back()
            self._quit()
        elif not self._idle:
            self._idle = True
            now = self.mta.loop.time()
            self.deadline = now + LINGER_SECONDS
            self._idle_since = now
            self.relay.idle[self] = None
            if not self.relay.holdq.coming:
                # else its next task is on its way from scheduler
                self._presence.idle()

    def _busy(self) -> None:
        if self._idle:
            self._idle = False
            self._presence.busy()

    def give_way(self) -> None:
        """Others need the connection that this one does not."""
        self._quit()
        self.deadline = min(self.deadline, self.mta.loop.time() + GIVE_WAY_SECONDS)

    def _lingers(self, now: float) -> bool:
        """Does an idle session stay a while longer? The last one of a relay does."""
        until = self._idle_since + self.relay.limits.sessdelay_keepalive
        if self.relay.nconn - self.relay.quitting > 1 or now >= until:
            return False
        self.deadline = until
        return True

    def _quit(self) -> None:
        assert self._client is not None
        self._busy()
        self._quitting = True
        self._presence.leaving()
        self.relay.quitting += 1
        self.relay.idle.pop(self, None)
        self._handle(self._client.quit())
        self._write()

    def _write(self) -> None:
        client = self._client
        if client is None:
            return
        data = client.take_output()
        if data:
            if self.mta.log.tracing_mta:
                for line in shown_output(data, client.awaiting, self._has_content):
                    self.mta.log.trace("mta", f"{self.id:016x} >>> {line}")
            if self.mta.log.tracing_io:
                self.mta.log.trace("io", f"{self.id:016x} wrote {len(data)} bytes")
            self._has_content = self._sending is not None
            self._connection.write(data)
            self._progress()

    def _progress(self) -> None:
        if self._client is not None and not self._idle and not self._handshaking:
            self.deadline = self.mta.loop.time() + self._client.timeout

    # events

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            kind = type(event)
            if kind is RcptDone:
                self._rcpt_done(cast(RcptDone, event))
            elif kind is MailDone:
                self._mail_done(cast(MailDone, event))
            elif kind is SendContent:
                self._send_content(cast(Job, cast(SendContent, event).mail.tag))
            elif kind is Ready:
                self._announce = True
            elif kind is StartTls:
                self._start_tls()
            elif kind is Closed:
                self._closed(cast(Closed, event))
        if events:
            self._progress()

    def _rcpt_done(self, event: RcptDone) -> None:
        job = cast(Job, event.mail.tag)
        envelope = job.task.envelopes[event.rcpt]
        if event.result == OK:
            self._failures = 0
        elif event.unjudged and job.task.again < MAX_AGAIN and self._client and self._client.accepted:
            # this host has taken mail in this session: another connection may do at once
            job.left.append(envelope)
            return
        elif event.command == "RCPT":
            self._failures += 1
        assert self._client is not None
        self.mta.result(
            self.id,
            job.task.sender,
            envelope,
            event.result,
            event.status,
            event.esc,
            self._connection.source,
            self.host,
            "DSN" not in self._client.extensions,
        )

    def _mail_done(self, event: MailDone) -> None:
        job = cast(Job, event.mail.tag)
        job.content.close()
        if self._sending is job:
            self._sending = None
        if event.accepted:
            self._tries = 0
        if delay := self.relay.limits.sessdelay_transaction:
            self._resume_at = self.mta.loop.time() + delay
            self.mta.loop.call_at(self._resume_at, self._resume)
        self.mta.stat.sub("mta.task.running")
        if job.left:
            job.task.envelopes = job.left
            job.task.again += 1
            self.relay.put_back(job.task)
        else:
            self.mta.stat.sub("mta.task")

    def _closed(self, event: Closed) -> None:
        client = self._client
        assert client is not None
        self._busy()
        if event.reason == "quit":
            self.mta.log.info(f"{self.id:016x} mta disconnected reason=quit messages={client.accepted}")
        elif client.accepted:
            many = "s" if client.accepted > 1 else ""
            self.mta.log.info(
                f"smtp-out: Error on session {self.id:016x} after {client.accepted} message{many} sent: "
                f"{event.reason}"
            )
        else:
            self.mta.log.info(f"{self.id:016x} mta error reason={event.reason}")
        if not event.ready and self.relay.key.secure:
            self._connector.trouble = f"{self.host}: {event.reason}"
        self._write()
        self._connection.close()

    def _end(self) -> None:
        """The connection is gone: the relay takes back what is left."""
        if self._over:
            return
        self._over = True
        self._route.src.late.pop(self, None)
        self._busy()
        self.relay.idle.pop(self, None)
        if self._quitting:
            self._presence.left()
            self.relay.quitting -= 1
        self._next.give_back()
        self.mta.session_over(self)
        self.relay.session_over(self._connector, self._route, self._ready, blameless=self._blameless)
