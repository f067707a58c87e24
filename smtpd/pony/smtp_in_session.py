"""One SMTP client: its connection, the ServerSession behind it, and the messages to queue and lookup between
the two.

The order of things is the core's (smtpd/protocol/smtp/server.py). Here a question becomes a message and
its reply an answer, content goes to the descriptor that queue gave, and events become log lines, worded as
OpenSMTPD's. One write a turn; reading stops while too much input waits or the client does not read.
"""

import asyncio
import errno
import os
from collections.abc import Callable
from functools import partial
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, cast

from smtpd.mail.address import valid_domainpart
from smtpd.messages import pony_lookup, pony_queue
from smtpd.protocol.smtp import reply, session_io
from smtpd.protocol.smtp.grammar import begins_login, split_command, without_secret
from smtpd.protocol.smtp.server import ServerSession
from smtpd.protocol.smtp.session_io import Action, Answer, Failed, ServerSettings
from smtpd.protocol.smtp.session_state import VERBS, State

if TYPE_CHECKING:
    from .smtp_in import SmtpIn

NAME_TIMEOUT = 2.0
"""Seconds that the banner waits for the client's name: a dead resolver must not hold up mail."""

CLOSE_TIMEOUT = 10.0
"""Seconds that a client has to read the last reply."""

CONTENT_CHUNK = 65536
"""Octets of content that are collected before they are written: most messages are one write."""

NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))
"""How an error of queue's says that there was no room."""

UNKNOWN = "<unknown>"
"""What stands for the name of a client that has none."""


class TurnedAway(asyncio.Protocol):
    """A client for which there is no room."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so."""
        transport = cast(asyncio.WriteTransport, transport)  # uvloop has a class of its own
        transport.write(reply.TOO_MANY_SESSIONS)
        transport.close()


class SmtpInSession(asyncio.Protocol):
    """A session; lives until its connection is closed and no question of its is open.

    `listener`: index in Config.listeners, or LOCAL_LISTENER; `generation`: of the configuration it keeps to
    its end; `uid`: the user of this machine at the other end of a local session, -1 else.
    """

    # fmt: off
    __slots__ = (
        "_answer", "_buffered", "_buffered_size", "_closing", "_connected", "_core", "_error", "_fd",
        "_generation", "_listener", "_login", "_mid_line", "_name_timer", "_owner", "_reading", "_seen",
        "_since", "_transport", "_writable", "address", "id", "uid",
    )
    # fmt: on

    def __init__(
        self, owner: "SmtpIn", listener: int, settings: ServerSettings, generation: int, *, uid: int = -1
    ) -> None:
        self._owner = owner
        self._listener = listener
        self._generation = generation
        self._core = ServerSession(settings, "")
        self._transport: asyncio.Transport
        self._connected = False
        self._closing = False
        self._reading = True
        self._writable = True
        self._mid_line = False
        self._login = False
        self._error = ""
        self._name_timer: asyncio.TimerHandle | None = None
        self._answer: Answer | None = None
        self._fd = -1
        self._buffered: list[bytes] = []
        self._buffered_size = 0
        self._seen = -1
        self._since = 0.0
        self.id = int.from_bytes(os.urandom(8))
        self.address = ""
        self.uid = uid

    # the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client. It is greeted when its name is known, or was not found in time."""
        transport = cast(asyncio.Transport, transport)  # uvloop has a class of its own
        self._transport = transport
        self._connected = True
        owner = self._owner
        ip, family = client_address(transport.get_extra_info("peername"))
        self.address = f"[{ip}]" if family == "inet6" else ip
        settings = self._core.settings
        self._core = ServerSession(settings, self.address, authenticated=family == "local")
        self._since = owner.loop.time()
        owner.add(self, family)
        if family == "local":
            self._greet(settings.hostname)
            return
        if not ip:
            transport.abort()
            return
        name = owner.name_of(ip)
        if name is not None:
            self._greet(name)
            return
        self._name_timer = owner.loop.call_later(NAME_TIMEOUT, self._greet, UNKNOWN)
        owner.lookup.ask(pony_lookup.ReverseName(ip, self.id), partial(self._named, ip))

    def data_received(self, data: bytes) -> None:
        """Bytes of the client's."""
        if self._owner.log.tracing_io:
            self._owner.log.trace("io", f"{self.id:016x} read {len(data)} bytes")
        if self._owner.log.tracing_smtp:
            self._trace("<<<", data)
        self._do(self._core.receive(data))

    def eof_received(self) -> bool:
        """The client has no more to say, but it may listen still."""
        self._do(self._core.eof())
        return not self._closing

    def pause_writing(self) -> None:
        """The client does not read: then nothing of it is read either."""
        self._writable = False
        self._pace()

    def resume_writing(self) -> None:
        """It reads again."""
        self._writable = True
        self._pace()

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone. A question that is open will still be answered, and the session ends then."""
        self._connected = False
        if exc is not None:
            self._error = exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
        self._stop_waiting()
        self._do(self._core.lost())

    # from the owner

    def check(self, now: float) -> None:
        """Look at the deadline. `now`: the loop's time."""
        core = self._core
        if self._closing:
            if now - self._since >= CLOSE_TIMEOUT:
                self._transport.abort()
        elif core.waiting or core.progress != self._seen:
            self._seen = core.progress
            self._since = now
        elif now - self._since >= core.settings.timeout:
            self._do(core.timed_out())

    def shut_down(self) -> None:
        """The daemon stops: the client is told as soon as nothing is on its way."""
        self._stop_waiting()
        self._do(self._core.shut_down())

    def abort(self) -> None:
        """Now. A client in the middle of a message is told what became of it, if it takes that at once."""
        if self._connected and self._core.state is State.BODY:
            self._transport.write(reply.SHUTTING_DOWN)
            self._transport.close()
        elif self._connected:
            self._transport.abort()

    # the core's actions

    def _do(self, actions: list[Action]) -> None:
        """Carry out what the core wants, then write what it says."""
        core = self._core
        while actions:
            for action in actions:
                _CARRY_OUT[type(action)](self, action)
            answer, self._answer = self._answer, None
            actions = core.answer(answer) if answer is not None else []
        out = core.take_output()
        if core.state is State.CLOSED:
            if self._connected:
                if not self._closing:
                    self._closing = True
                    self._since = self._owner.loop.time()
                    self._send(out)
                    self._transport.close()
            else:
                self._owner.remove(self)
        elif self._connected:
            if out:
                self._send(out)
            if core.full is self._reading:
                self._pace()

    def _send(self, out: bytes) -> None:
        if self._owner.log.tracing_io:
            self._owner.log.trace("io", f"{self.id:016x} wrote {len(out)} bytes")
        if self._owner.log.tracing_smtp:
            self._trace(">>>", out)
        self._transport.write(out)

    def _pace(self) -> None:
        """Read, or do not."""
        reading = self._writable and not self._core.full
        if reading != self._reading and self._connected and not self._closing:
            self._reading = reading
            if reading:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _close(self, action: session_io.Close) -> None:
        self._close_file()
        reason = action.reason
        if self._error:
            reason = f'"io-error: {self._error}"'
        self._owner.log.info(f"{self.id:016x} smtp disconnected reason={reason}")

    def _refused(self, action: session_io.Refused) -> None:
        if action.bad_input:
            self._owner.log.info(f'{self.id:016x} smtp bad-input result="{action.result}"')
        else:
            self._owner.log.info(
                f'{self.id:016x} smtp failed-command command="{action.command}" result="{action.result}"'
            )

    def _accepted(self, action: session_io.Accepted) -> None:
        log = self._owner.log
        log.info(
            f"{self.id:016x} smtp message msgid={action.msgid:08x} size={action.size} "
            f"nrcpt={len(action.recipients)} proto={action.protocol}"
        )
        sender = action.sender.path
        for rcpt, evpids in action.recipients:
            for evpid in evpids:
                log.info(f"{self.id:016x} smtp envelope evpid={evpid:016x} from=<{sender}> to=<{rcpt.path}>")

    # questions, and their replies

    def _named(self, ip: str, found: pony_lookup.ReverseNameFound | None) -> None:
        name = found.name if found is not None and found.status == "ok" else ""
        # whoever has a reverse zone may write anything into it, and it goes into the header
        if not valid_domainpart(name):
            name = UNKNOWN
        if found is not None and found.status in ("ok", "none"):
            self._owner.remember_name(ip, name)
        self._greet(name)

    def _stop_waiting(self) -> None:
        """The name is of no use any more; the log shows who it was all the same."""
        if self._name_timer is not None:
            self._name_timer.cancel()
            self._name_timer = None
            self._log_connected(UNKNOWN)

    def _greet(self, host: str) -> None:
        if self._name_timer is not None:
            self._name_timer.cancel()
            self._name_timer = None
        if self._core.state is State.CONNECTED:
            self._log_connected(host)
            self._filtered("connect")
            self._do(self._core.connected(host))

    def _log_connected(self, host: str) -> None:
        who = f" uid={self.uid}" if self.uid >= 0 else ""
        self._owner.log.info(f"{self.id:016x} smtp connected address={self.address} host={host}{who}")

    def _create_message(self, _action: session_io.CreateMessage) -> None:
        self._filtered("mail-from")
        self._owner.queue.ask(pony_queue.CreateMessage(self.id), self._message_created)

    def _message_created(self, created: pony_queue.MessageCreated | None) -> None:
        if created is None or not created.msgid:
            self._do(self._core.answer(Failed()))
        else:
            self._do(self._core.answer(session_io.Created(created.msgid, self._owner.now())))

    def _expand_recipient(self, action: session_io.ExpandRecipient) -> None:
        self._filtered("rcpt-to")
        self._owner.lookup.ask(
            pony_lookup.ExpandRecipient(self.id, self._generation, self._listener, False, action.envelope),
            self._recipient_expanded,
        )

    def _recipient_expanded(self, expanded: pony_lookup.RecipientExpanded | None) -> None:
        if expanded is None:
            self._do(self._core.answer(Failed()))
        elif expanded.status == "ok":
            self._do(self._core.answer(session_io.Expanded(expanded.evpids)))
        else:
            self._do(self._core.answer(Failed(expanded.reply)))

    def _open_message(self, action: session_io.OpenMessage) -> None:
        self._filtered("data")
        self._owner.queue.ask(pony_queue.OpenIncoming(action.msgid), self._incoming_opened)

    def _incoming_opened(self, opened: pony_queue.IncomingOpened | None, fd: int | None) -> None:
        if opened is None or fd is None:
            self._do(self._core.answer(failed(opened)))
            return
        self._fd = fd
        unique = int.from_bytes(os.urandom(8)) if self._core.settings.complete_headers else 0
        self._do(self._core.answer(session_io.Opened(self._owner.date(), unique)))

    def _commit_message(self, action: session_io.CommitMessage) -> None:
        self._filtered("commit")
        self._flush()
        if self._close_file():
            self._owner.queue.ask(pony_queue.CommitMessage(action.msgid), self._message_committed)
        else:
            self._answer = Failed(full=True)

    def _message_committed(self, committed: pony_queue.MessageCommitted | None) -> None:
        if committed is None or committed.error:
            self._do(self._core.answer(failed(committed)))
        else:
            self._do(self._core.answer(session_io.Committed()))

    def _rollback(self, action: session_io.Rollback) -> None:
        self._close_file()
        self._owner.queue.send(pony_queue.RollbackMessage(action.msgid))

    # content

    def _write_content(self, action: session_io.WriteContent) -> None:
        self._buffered.append(action.data)
        self._buffered_size += len(action.data)
        if self._buffered_size >= CONTENT_CHUNK:
            self._flush()

    def _flush(self) -> None:
        """Write what is collected. If that fails the core is told, and nothing is written any more."""
        data = b"".join(self._buffered)
        self._buffered.clear()
        self._buffered_size = 0
        try:
            while data and self._fd >= 0:
                data = data[os.write(self._fd, data) :]
        except OSError as error:
            self._owner.log.warn(f"{self.id:016x} smtp: cannot write message: {error.strerror}")
            self._core.disk_full()
            self._close_file()

    def _close_file(self) -> bool:
        """Close the message, if there is one. False when there is none (writing failed), or closing fails."""
        fd, self._fd = self._fd, -1
        self._buffered.clear()
        self._buffered_size = 0
        if fd < 0:
            return False
        try:
            os.close(fd)
        except OSError as error:
            self._owner.log.warn(f"{self.id:016x} smtp: cannot close message: {error.strerror}")
            return False
        return True

    def _filtered(self, phase: str) -> None:
        """Where filters have their say (smtpd-filters(7)), and what they said."""
        if self._owner.log.tracing_filters:
            self._owner.log.trace("filters", f"{self.id:016x} {phase}: proceeds, no filter is in service")

    def _trace(self, direction: str, data: bytes) -> None:
        """Lines as they come and go; of content, and of lines in pieces, only how much it is: no secret is
        shown.
        """
        show = self._owner.log.trace
        if self._core.state is State.BODY and direction == "<<<":
            show("smtp", f"{self.id:016x} <<< [MSG] {len(data)} octets")
            return
        lines = data.split(b"\n")
        for n, line in enumerate(lines):
            if (n == 0 and self._mid_line) or (n == len(lines) - 1 and line):
                show("smtp", f"{self.id:016x} {direction} [part of a line] {len(line)} octets")
                self._login = self._login or direction == "<<<"  # it may have been AUTH
            elif n < len(lines) - 1:
                if direction == "<<<":
                    verb = split_command(line.removesuffix(b"\r"))[0]
                    self._login = begins_login(line) or (self._login and verb not in VERBS)
                shown = without_secret(line.removesuffix(b"\r"), self._login and direction == "<<<")
                text = shown.decode("utf-8", "surrogateescape")
                show("smtp", f"{self.id:016x} {direction} {text}")
                if direction == "<<<" and text.strip().upper() == "DATA" and n < len(lines) - 2:
                    # whoever does not wait for the 354 may have sent content behind it
                    show("smtp", f"{self.id:016x} <<< [MSG] {sum(map(len, lines[n + 1 :]))} octets")
                    break
        if direction == "<<<":
            self._mid_line = lines[-1] != b""


def client_address(peername: Any) -> tuple[str, str]:
    """Numeric address without brackets ("" of a client that has gone already) and family, of what the loop
    calls a peer's name: a pair or more for an internet address, text for a local socket. An IPv4 client
    of an IPv6 socket is one of IPv4.
    """
    if isinstance(peername, (str, bytes)):
        return "local", "local"
    host = str(peername[0]) if peername else ""
    if ":" not in host:
        return host, "inet4"
    mapped = IPv6Address(host.partition("%")[0]).ipv4_mapped
    return (str(mapped), "inet4") if mapped is not None else (host, "inet6")


def failed(reply: pony_queue.IncomingOpened | pony_queue.MessageCommitted | None) -> Failed:
    """What the core is told when queue could not: whether it was for want of space, which the client
    hears.
    """
    return Failed(full=reply is not None and any(text in reply.error for text in NO_SPACE))


_CARRY_OUT: dict[type, Callable[[SmtpInSession, Any], None]] = {
    session_io.CreateMessage: SmtpInSession._create_message,
    session_io.ExpandRecipient: SmtpInSession._expand_recipient,
    session_io.OpenMessage: SmtpInSession._open_message,
    session_io.CommitMessage: SmtpInSession._commit_message,
    session_io.WriteContent: SmtpInSession._write_content,
    session_io.Rollback: SmtpInSession._rollback,
    session_io.Accepted: SmtpInSession._accepted,
    session_io.Refused: SmtpInSession._refused,
    session_io.Close: SmtpInSession._close,
}
