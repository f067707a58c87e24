"""One connection to a host: sockets and descriptors around the SMTP client core, task after task.

The order of commands is the core's (smtpd/protocol/smtp/client.py).  Here the relay's tasks become mails,
with one more opened while a mail is under way, so that its MAIL can follow the last dot.  Log lines are
OpenSMTPD's.
"""

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING, cast

from smtpd.mail.envelope import Envelope
from smtpd.mail.status import OK, TEMPFAIL
from smtpd.messages.pony_queue import MessageOpened, OpenMessage
from smtpd.protocol.relayhost import NO_TLS, SMTPS
from smtpd.protocol.smtp.client import Client
from smtpd.protocol.smtp.client_events import (
    Closed,
    Event,
    Mail,
    MailDone,
    RcptDone,
    Ready,
    SendContent,
    Settings,
)

from .connect import Connector
from .content import Content
from .routing import Mx, Route, bracketed
from .shown import shown_output
from .task import MAX_AGAIN, Task, rcpt_of

if TYPE_CHECKING:
    from .mta import Mta

CONNECT_SECONDS = 60.0
"""How long a connection may take to come about."""

LINGER_SECONDS = 1.0
"""An idle connection beside others stays this long; the last one as the limit session-keepalive says."""

MAX_TRIES = 10
"""Mails in a row that a host takes for nobody before the session ends (OpenSMTPD)."""

HIGH_WATER = 262144
"""Bytes in the transport's buffer above which no more content is read."""


class _Job:
    """A task with its content: the `tag` of its mail."""

    __slots__ = ("content", "left", "task")

    def __init__(self, task: Task, content: Content) -> None:
        self.task = task
        self.content = content
        self.left: list[Envelope] = []  # to be tried on another connection


class MtaSession(asyncio.Protocol):
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
        self._mx = mx
        self._client: Client | None = None
        self._transport: asyncio.Transport | None = None
        self._prepared: _Job | None = None
        self._opening = False
        self._sending: _Job | None = None
        self._has_content = False  # what is written may hold content
        self._paused = False
        self._idle = False
        self._idle_since = 0.0
        self._resume_at = 0.0
        self._tries = 0
        self._failures = 0
        self._announce = False
        self._ready = False
        self._quitting = False
        self._stopping = False
        self._over = False
        self._source = "-"

    # connection

    async def connect(self, helo: str) -> None:
        """Connect, and lead the session from there on. Never raises what the network is to blame for."""
        host, port = self._route.dst, self.relay.key.port
        relay = self.relay
        scheme = "lmtp" if relay.key.lmtp else "smtp+notls" if relay.key.tls == NO_TLS else "smtp"
        address = f"{scheme}://{bracketed(host.address)}:{port}"
        self.mta.log.info(f"{self.id:016x} mta connecting address={address} host={self._mx.name}")
        self._client = Client(self._settings(helo))
        sock: socket.socket | None = None
        try:
            sock = self._socket()
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._reach(sock, (host.address, port))
            await self.mta.loop.create_connection(lambda: self, sock=sock)
            return
        except TimeoutError:
            reason = "Connection timeout"
        except OSError as error:
            self._connector.unreached(self._route, error.errno)
            reason = f"Connection failed: {os.strerror(error.errno) if error.errno else error}"
        except asyncio.CancelledError:
            reason = "Connection given up"
        if sock is not None:
            sock.close()
        self._failed(reason)

    def _socket(self) -> socket.socket:
        family = socket.AF_INET6 if self._route.dst.family == "inet6" else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._route.src.address:
                sock.bind((self._route.src.address, 0))
        except OSError:
            sock.close()
            raise
        return sock

    async def _reach(self, sock: socket.socket, address: tuple[str, int]) -> None:
        """Connect; the loop's own way resolves names, in a thread, even where there is none to resolve."""
        error = sock.connect_ex(address)
        if error == errno.EINPROGRESS:
            loop = self.mta.loop
            writable = asyncio.Event()
            loop.add_writer(sock.fileno(), writable.set)
            try:
                await writable.wait()
            finally:
                loop.remove_writer(sock.fileno())
            error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _settings(self, helo: str) -> Settings:
        key = self.relay.key
        ahead = not self.relay.limits.sessdelay_transaction
        return Settings(helo, lmtp=key.lmtp, secure=key.tls == SMTPS, ahead=ahead)

    def no_helo(self) -> None:
        """There is no name for the source address."""
        self._connector.fail("source")
        self._failed("Failed to retrieve helo string")

    def _failed(self, reason: str) -> None:
        """There is no connection."""
        self.mta.log.info(f"{self.id:016x} mta error reason={reason}")
        self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The other host accepted."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        name = transport.get_extra_info("sockname")
        self._source = bracketed(name[0]) if name else "-"
        self.mta.log.info(f"{self.id:016x} mta connected")
        self._progress()

    def data_received(self, data: bytes) -> None:
        """Replies."""
        client = self._client
        assert client is not None
        if self.mta.log.tracing_io:
            self.mta.log.trace("io", f"{self.id:016x} read {len(data)} bytes")
        if self.mta.log.tracing_mta:
            for line in data.decode("utf-8", "surrogateescape").splitlines():
                self.mta.log.trace("mta", f"{self.id:016x} <<< {line}")
        self._handle(client.receive(data))
        self._advance()

    def connection_lost(self, error: Exception | None) -> None:
        """It is over, by either side."""
        if self._client is not None and not self._over:
            reason = "Connection closed unexpectedly"
            if isinstance(error, OSError) and error.errno:
                reason = f"IO Error: {os.strerror(error.errno)}"
            self._handle(self._client.lost(reason))
        self._end()

    def pause_writing(self) -> None:
        """The other host reads slowly."""
        self._paused = True

    def resume_writing(self) -> None:
        """It has read on."""
        self._paused = False
        if self._sending is not None:
            self._send_content(self._sending)
            self._advance()
        else:
            self._progress()

    # the course

    def wake(self) -> None:
        """The relay has a task."""
        self._idle = False
        self._advance()

    def check(self, now: float) -> None:
        """Looked at now and then: is it too late for something?"""
        if now < self.deadline or self._client is None or self._transport is None:
            return
        if self._idle:
            if self._lingers(now):
                return
            self._quit()
        else:
            self._handle(self._client.timed_out())
            self._transport.abort()

    def stop(self) -> None:
        """The daemon stops: finish the mail that is under way, begin no other."""
        self._stopping = True
        if self._idle:
            self._quit()
        elif self._client is None or not self._client.ready:
            self.abort()

    def abort(self) -> None:
        """Now."""
        if self._transport is None and self.connecting is not None:
            self.connecting.cancel()
        elif self._transport is not None and self._client is not None:
            self._handle(self._client.lost("Connection given up"))
            self._transport.abort()

    def _advance(self) -> None:
        """Whatever can be done next, then one write."""
        client = self._client
        if client is None or self._over:
            return
        if self.mta.loop.time() >= self._resume_at:
            if self._prepared is not None and client.takes_mail and self._may_go_on():
                self._send(self._prepared)
            if (client.idle or (client.accepted and not client.closed)) and self._may_go_on():
                self._prepare()
            if client.idle and not self._opening and (self._prepared is None or not self._may_go_on()):
                self._wait_or_quit()
        self._write()
        if self._announce:
            # it has its first task by now: more connections are made for the others only
            self._announce = False
            self._ready = True
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

    def _prepare(self) -> None:
        """Have the next task's content opened."""
        if self._prepared is not None or self._opening:
            return
        task = self.relay.next_task()
        if task is None:
            return
        self._opening = True
        self.relay.opening += 1

        def opened(reply: MessageOpened | None, fd: int | None) -> None:
            self._opening = False
            self.relay.opening -= 1
            content = None
            if fd is not None:
                try:
                    content = Content(fd)
                except OSError as error:
                    self.mta.log.warn(f"message {task.msgid:08x}: {error.strerror}")
            if self._over or self._stopping or self._client is None or self._client.closed:
                if content is not None:
                    content.close()
                self.relay.put_back(task)
                self.relay.drain()
                self.mta.relay_quiet(self.relay)
                return
            if content is None:
                self.mta.task_failed(self.relay, task, TEMPFAIL, "Could not get message fd")
            else:
                self._prepared = _Job(task, content)
            self._advance()

        self.mta.queue.ask(OpenMessage(task.msgid), opened)

    def _send(self, job: _Job) -> None:
        assert self._client is not None
        self._prepared = None
        self._idle = False
        self._tries += 1
        self.messages += 1
        envelopes = job.task.envelopes
        first = envelopes[0]
        mail = Mail(
            job.task.sender,
            tuple([rcpt_of(envelope) for envelope in envelopes]),
            job.content.size,
            job.content.eightbit,
            first.dsn_ret,
            first.dsn_envid,
            job,
        )
        self.mta.stat.add("mta.task.running")
        self._handle(self._client.send(mail))

    def _send_content(self, job: _Job) -> None:
        """As much content as the transport takes."""
        client = self._client
        assert client is not None and self._transport is not None
        self._sending = job
        self._has_content = True
        last = False
        try:
            while not last and not self._paused:
                chunk, last = job.content.read()
                self._handle(client.content(chunk, last))
                if not last:
                    self._write()
        except OSError as error:
            # without the dot, the host takes nothing
            self.mta.log.warn(f"message {job.task.msgid:08x}: {error.strerror or error}")
            self._sending = None
            self._handle(client.lost("Error reading content file"))
            self._transport.abort()
            return
        if last:
            self._sending = None
        self._progress()

    def _wait_or_quit(self) -> None:
        if not self._may_go_on():
            if self._tries >= MAX_TRIES:
                self.mta.log.info(f"{self.id:016x} mta host-rejects-all-mails")
            self._give_back()
            self._quit()
        elif not self._idle:
            self._idle = True
            now = self.mta.loop.time()
            self.deadline = now + LINGER_SECONDS
            self._idle_since = now
            self.relay.idle[self] = None

    def _lingers(self, now: float) -> bool:
        """Does an idle session stay a while longer? The last one of a relay does."""
        until = self._idle_since + self.relay.limits.sessdelay_keepalive
        if self.relay.nconn - self.relay.quitting > 1 or now >= until:
            return False
        self.deadline = until
        return True

    def _quit(self) -> None:
        assert self._client is not None
        self._idle = False
        self._quitting = True
        self.relay.quitting += 1
        self.relay.idle.pop(self, None)
        self._handle(self._client.quit())
        self._write()

    def _write(self) -> None:
        client = self._client
        if client is None or self._transport is None:
            return
        data = client.take_output()
        if data:
            if self.mta.log.tracing_mta:
                for line in shown_output(data, client.awaiting, self._has_content):
                    self.mta.log.trace("mta", f"{self.id:016x} >>> {line}")
            if self.mta.log.tracing_io:
                self.mta.log.trace("io", f"{self.id:016x} wrote {len(data)} bytes")
            self._has_content = self._sending is not None
            self._transport.write(data)
            self._progress()

    def _progress(self) -> None:
        if self._client is not None and not self._idle:
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
                self._send_content(cast(_Job, cast(SendContent, event).mail.tag))
            elif kind is Ready:
                self._announce = True
            elif kind is Closed:
                self._closed(cast(Closed, event))
        if events:
            self._progress()

    def _rcpt_done(self, event: RcptDone) -> None:
        job = cast(_Job, event.mail.tag)
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
            self._source,
            str(self._route.dst),
            "DSN" not in self._client.extensions,
        )

    def _mail_done(self, event: MailDone) -> None:
        job = cast(_Job, event.mail.tag)
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
        self._write()
        if self._transport is not None:
            self._transport.close()

    def _end(self) -> None:
        """The connection is gone: the relay takes back what is left."""
        if self._over:
            return
        self._over = True
        self.relay.idle.pop(self, None)
        if self._quitting:
            self.relay.quitting -= 1
        self._give_back()
        self.mta.session_over(self)
        self.relay.session_over(self._connector, self._route, self._ready)

    def _give_back(self) -> None:
        """A task that was prepared and will not be sent here."""
        if self._prepared is not None:
            self._prepared.content.close()
            self.relay.put_back(self._prepared.task)
            self._prepared = None
