"""The client's side of an SMTP (RFC 5321) or LMTP (RFC 2033) session, without any I/O.

Bytes of the server go into receive(), what is to be written comes from take_output(), and every call returns
the events (client_events.py) it caused, in order.  Commands wait for their replies in one queue; with
PIPELINING (RFC 2920) MAIL, each RCPT and DATA of a mail go out together, and the next mail's may follow the
last dot.
Extensions used: PIPELINING, SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), DSN (RFC 3461),
ENHANCEDSTATUSCODES (RFC 2034), STARTTLS (RFC 3207), AUTH PLAIN and LOGIN (RFC 4954).

Whatever the server does, each recipient of a mail given to send() ends in exactly one RcptDone.
This module must not know of sockets, clocks or the queue: `timeout` says how long to wait, the caller waits.
"""

from collections import deque
from typing import NamedTuple

from smtpd.mail.status import OK, PERMFAIL, TEMPFAIL
from smtpd.protocol.smtp.client_auth import Login
from smtpd.protocol.smtp.client_commands import (
    AUTH,
    AUTH_USER,
    CONTENT_TIMEOUT,
    DATA,
    DOT,
    EHLO,
    GREETING,
    HELO,
    LHLO,
    MAIL,
    QUIT,
    RCPT,
    RSET,
    STARTTLS,
    TIMEOUTS,
    UNSAFE,
    mail_command,
    rcpt_command,
)
from smtpd.protocol.smtp.client_content import ContentEncoder
from smtpd.protocol.smtp.client_events import (
    Closed,
    Event,
    Mail,
    MailDone,
    RcptDone,
    Ready,
    SendContent,
    Settings,
    StartTls,
)
from smtpd.protocol.smtp.client_reply import Reply, ReplyReader


class _Transaction:
    """One mail under way: which recipients are decided, which the server took, how far the content is."""

    __slots__ = ("accepted", "decided", "dot", "encoder", "mail", "ok", "open", "wanted")

    def __init__(self, mail: Mail) -> None:
        self.mail = mail
        self.decided = [False] * len(mail.rcpts)
        self.accepted: list[int] = []
        self.open = False  # the server has a transaction open that only RSET or a dot ends
        self.wanted = False  # the caller owes content
        self.dot = False  # the final dot is out
        self.ok = False
        self.encoder = ContentEncoder()


class _Awaited(NamedTuple):
    what: str
    mail: _Transaction | None
    rcpt: int


class Client:
    """One session.  Build it, call receive() with what the server says, starting with its greeting."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.extensions: dict[str, str] = {}
        self.ready = False
        self.closed = False
        self.accepted = 0  # mails the server took
        self._tls = settings.secure
        self._reader = ReplyReader()
        self._awaited: deque[_Awaited] = deque((_Awaited(GREETING, None, 0),))
        self._mails: deque[_Transaction] = deque()  # unfinished ones, at most two
        self._reset = False  # the last transaction was left open
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._pipelining = False
        self._max_size = 0
        self._login = Login(settings.auth_user, settings.auth_password)

    # -- what the caller asks

    @property
    def timeout(self) -> float:
        """Seconds without a byte in or out after which timed_out() is to be called (RFC 5321 4.5.3.2)."""
        if self._mails and self._mails[0].wanted:
            return CONTENT_TIMEOUT
        return TIMEOUTS[self._awaited[0].what] if self._awaited else CONTENT_TIMEOUT

    @property
    def awaiting(self) -> str:
        """The command whose reply is due next, "" if none."""
        return self._awaited[0].what if self._awaited else ""

    @property
    def idle(self) -> bool:
        """Ready and nothing under way: the next mail or quit() is welcome."""
        return self.ready and not self.closed and not self._awaited and not self._mails

    @property
    def takes_mail(self) -> bool:
        """May send() be called now?  When idle, or behind a mail's dot on a proven pipelining session."""
        if not self._mails:
            return self.ready and not self.closed and not self._awaited
        return (
            self._pipelining
            and self.settings.ahead
            and self.accepted > 0
            and len(self._mails) == 1
            and self._mails[0].dot
            and not self.closed
        )

    def masked(self, text: str) -> str:
        """What the server says, fit for a log: while we log in, it may repeat what we said."""
        return self._login.masked(text) if self._login and self.awaiting.startswith(AUTH) else text

    @property
    def mails(self) -> "list[Mail]":
        """The mails under way."""
        return [transaction.mail for transaction in self._mails]

    def take_output(self) -> bytes:
        """What is to be written now, in one write."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    # -- what the caller tells

    def receive(self, data: bytes) -> list[Event]:
        """Bytes from the server."""
        for reply in self._reader.feed(data):
            if self.closed:
                break
            if self._awaited:
                self._reply(reply)
            else:
                self._unexpected(reply)
        if self._reader.error and not self.closed:
            self._close(f"Bad response: {self._reader.error}")
        return self._take_events()

    def receive_eof(self) -> list[Event]:
        """The server closed its side."""
        return self.lost("Connection closed unexpectedly")

    def timed_out(self) -> list[Event]:
        """`timeout` seconds went by."""
        return self.lost("Connection timeout")

    def lost(self, reason: str) -> list[Event]:
        """The connection is gone or given up, for `reason`; whoever is undecided fails temporarily."""
        if not self.closed:
            self._close("quit" if self.awaiting == QUIT else reason)
        return self._take_events()

    def tls_started(self) -> list[Event]:
        """The handshake that StartTls asked for is done: the session begins anew (RFC 3207 4.2)."""
        self._tls = True
        self._reader.discard()
        self._hello(EHLO)
        return self._take_events()

    def send(self, mail: Mail) -> list[Event]:
        """Start a transaction; takes_mail must be true."""
        if not self.takes_mail:
            raise RuntimeError("send() while the session takes no mail")
        transaction = _Transaction(mail)
        self._mails.append(transaction)
        if self._max_size and mail.size > self._max_size:
            self._refuse(transaction, "message too large for peer", "5.3.4")
        elif UNSAFE.search(mail.sender):
            self._refuse(transaction, "invalid sender address", "5.1.7")
        else:
            for rcpt, (address, _, _) in enumerate(mail.rcpts):
                if UNSAFE.search(address):
                    self._decide(transaction, rcpt, PERMFAIL, "invalid recipient address", "5.1.3", "")
        if False in transaction.decided:
            self._start(transaction)
        else:
            self._finish(transaction)
        return self._take_events()

    def content(self, data: bytes, last: bool) -> list[Event]:
        """The next chunk of the content SendContent asked for: LF-ended lines, not dot-stuffed."""
        if self.closed:
            return []
        if not self._mails or not self._mails[0].wanted:
            raise RuntimeError("content() while the server waits for none")
        transaction = self._mails[0]
        self._out.append(transaction.encoder.encode(data))
        if last:
            self._out.append(transaction.encoder.finish())
            self._dot(transaction)
        return self._take_events()

    def quit(self) -> list[Event]:
        """End the session; it must be idle."""
        if not self.idle:
            raise RuntimeError("quit() while a mail is under way")
        self._command(QUIT, QUIT)
        return self._take_events()

    # -- replies

    def _reply(self, reply: Reply) -> None:
        if self._login:
            reply = Reply(reply.code, tuple([self.masked(line) for line in reply.lines]))
        awaited = self._awaited.popleft()
        what = awaited.what
        code = reply.code
        if code == 421 and what != QUIT:
            # RFC 5321 3.8: the server shuts the channel down; it judged nobody.
            text = reply.text()
            self._close(text if self.ready else f"{what.split()[0]} rejected: {text}", reply)
            return
        transaction = awaited.mail
        if transaction is None:
            self._session_reply(what, reply)
            return
        if what == RCPT:
            if transaction.decided[awaited.rcpt]:
                pass  # MAIL was rejected: what is said to its RCPTs says nothing
            elif 200 <= code < 300:
                transaction.accepted.append(awaited.rcpt)
            else:
                self._judge(transaction, awaited.rcpt, reply, RCPT)
        elif what == MAIL:
            if 200 <= code < 300:
                transaction.open = True
            else:
                self._judge_all(transaction, reply, MAIL)
        elif what == DATA:
            self._data_reply(transaction, reply)
            return
        elif what == DOT:
            self._dot_reply(transaction, awaited.rcpt, reply)
            return
        if not self._pipelining:
            self._next_command(transaction, awaited)

    def _data_reply(self, transaction: _Transaction, reply: Reply) -> None:
        if 200 <= reply.code < 400:  # OpenSMTPD takes a 2xx as well
            transaction.wanted = True
            if transaction.accepted:
                self._events.append(SendContent(transaction.mail))
            elif self.settings.lmtp:
                # RFC 2033 4.2: must have been a 503; now nobody knows how many replies the dot will have
                self._close("DATA accepted without any recipient")
            else:
                # RFC 2920 3.1: who says 354 to a pipelined DATA without recipients gets an empty message
                self._out.append(transaction.encoder.finish())
                self._dot(transaction)
        else:
            self._judge_all(transaction, reply, DATA)
            self._finish(transaction)

    def _dot_reply(self, transaction: _Transaction, rcpt: int, reply: Reply) -> None:
        if not self.settings.lmtp:
            transaction.open = False
            if transaction.accepted:
                self._judge_all(transaction, reply, DOT)
            self._finish(transaction)
            return
        # RFC 2033 4.2: one reply for each recipient that was taken
        self._judge(transaction, rcpt, reply, DOT)
        if rcpt == transaction.accepted[-1]:
            transaction.open = False
            self._finish(transaction)

    def _session_reply(self, what: str, reply: Reply) -> None:
        good = 200 <= reply.code < 300
        if what == QUIT:
            self._close("quit")
        elif what == RSET:
            if not good:
                self._give_up(f"RSET rejected: {reply.text()}")
            elif self._mails and not self._pipelining:
                self._mail(self._mails[0])
        elif what == EHLO and good:
            self._extensions(reply)
            self._after_hello()
        elif what == EHLO and self.settings.tls != "required" and not self.settings.auth_user:
            self._hello(HELO)  # RFC 5321 3.2
        elif what == STARTTLS and not good and self.settings.tls == "opportunistic":
            self._authenticate()
        elif what.startswith(AUTH) and reply.code == 334 and (step := self._login.next(what)):
            self._command(*step)
        elif not good or what in (AUTH, AUTH_USER):
            self._give_up(f"{what.split()[0]} rejected: {reply.text()}")
        elif what == GREETING:
            self._hello(LHLO if self.settings.lmtp else EHLO)
        elif what == STARTTLS:
            self._start_tls()
        else:  # HELO, LHLO, AUTH's last
            if what == LHLO:
                self._extensions(reply)
            self._become_ready()

    def _unexpected(self, reply: Reply) -> None:
        if reply.code == 421:
            self._close(reply.text(), reply)
        elif self._mails and self._mails[0].wanted:
            # RFC 5321 4.2.5 knows no reply before the dot: the server gave up on the content
            code = reply.code if reply.code >= 400 else 451
            self._judge_all(self._mails[0], Reply(code, reply.lines), DATA)
            self._close(f"Content interrupted: {reply.text()}")
        else:
            self._close("Remote host sent too much data")

    # -- from the greeting to ready

    def _hello(self, what: str) -> None:
        self.extensions = {}
        self._pipelining = False
        self._max_size = 0
        self._command(what, f"{what} {self.settings.helo}")

    def _extensions(self, reply: Reply) -> None:
        for line in reply.lines[1:]:
            keyword, _, parameters = line.strip().partition(" ")
            self.extensions.setdefault(keyword.upper(), parameters.strip())
        self._pipelining = self.settings.pipelining and "PIPELINING" in self.extensions
        size = self.extensions.get("SIZE", "")
        if size.isascii() and size.isdigit() and len(size) <= 20:
            self._max_size = int(size)  # 0: no fixed limit (RFC 1870 3)

    def _after_hello(self) -> None:
        tls = self.settings.tls
        if self._tls or tls == "no":
            self._authenticate()
        elif "STARTTLS" in self.extensions:
            self._command(STARTTLS, STARTTLS)
        elif tls == "required":
            self._give_up("TLS required but not supported by remote host")
        else:
            self._authenticate()

    def _start_tls(self) -> None:
        if self._reader.pending or self._reader.error:
            # RFC 3207 4.2: what came in the clear behind the 220 must not count for the protected session
            self._close("Remote host sent too much data")
        else:
            self._events.append(StartTls())

    def _authenticate(self) -> None:
        methods = self.extensions.get("AUTH", "")
        if not self._login:
            self._become_ready()
        elif not self._tls:
            self._give_up("Refuse to AUTH over insecure channel")
        elif step := self._login.first(methods):
            self._command(*step)
        else:
            self._give_up("no supported AUTH method" if methods else "AUTH not advertised")

    def _become_ready(self) -> None:
        self.ready = True
        self._events.append(Ready(self.extensions))

    # -- a mail's commands

    def _start(self, transaction: _Transaction) -> None:
        if self._reset:
            self._reset = False
            self._command(RSET, RSET)
            if not self._pipelining:
                return
        self._mail(transaction)

    def _mail(self, transaction: _Transaction) -> None:
        """Send MAIL, and with PIPELINING all the rest up to DATA, in one flight."""
        mail = transaction.mail
        awaited = self._awaited
        awaited.append(_Awaited(MAIL, transaction, 0))
        line = mail_command(mail, self.extensions)
        if not self._pipelining:
            self._put(line)
            return
        lines = [line]
        decided = transaction.decided
        for rcpt in range(len(decided)):
            if not decided[rcpt]:
                lines.append(rcpt_command(mail.rcpts[rcpt], self.extensions))
                awaited.append(_Awaited(RCPT, transaction, rcpt))
        awaited.append(_Awaited(DATA, transaction, 0))
        lines.append("DATA")
        self._put("\r\n".join(lines))

    def _next_command(self, transaction: _Transaction, awaited: _Awaited) -> None:
        """Without PIPELINING: what follows the reply to MAIL or to one RCPT."""
        decided = transaction.decided
        first = 0 if awaited.what == MAIL else awaited.rcpt + 1
        for rcpt in range(first, len(decided)):
            if not decided[rcpt]:
                self._awaited.append(_Awaited(RCPT, transaction, rcpt))
                self._put(rcpt_command(transaction.mail.rcpts[rcpt], self.extensions))
                return
        if transaction.accepted:
            self._awaited.append(_Awaited(DATA, transaction, 0))
            self._put("DATA")
        else:
            self._finish(transaction)

    def _dot(self, transaction: _Transaction) -> None:
        """The final dot is in the output: wait for its reply, or in LMTP for one per recipient taken."""
        transaction.wanted = False
        transaction.dot = True
        if self.settings.lmtp:
            for rcpt in transaction.accepted:
                self._awaited.append(_Awaited(DOT, transaction, rcpt))
        else:
            self._awaited.append(_Awaited(DOT, transaction, 0))

    def _command(self, what: str, line: str) -> None:
        self._awaited.append(_Awaited(what, None, 0))
        self._put(line)

    def _put(self, line: str) -> None:
        self._out.append((line + "\r\n").encode("utf-8", "surrogateescape"))

    # -- results

    def _judge(self, transaction: _Transaction, rcpt: int, reply: Reply, command: str) -> None:
        code = reply.code
        if 200 <= code < 300:
            result = OK
            transaction.ok = True
        else:
            result = PERMFAIL if code >= 500 else TEMPFAIL
        self._decide(transaction, rcpt, result, reply.text(), reply.esc(), command)

    def _judge_all(self, transaction: _Transaction, reply: Reply, command: str) -> None:
        for rcpt, decided in enumerate(transaction.decided):
            if not decided:
                self._judge(transaction, rcpt, reply, command)

    def _refuse(self, transaction: _Transaction, status: str, esc: str) -> None:
        for rcpt in range(len(transaction.decided)):
            self._decide(transaction, rcpt, PERMFAIL, status, esc, "")

    def _decide(
        self,
        transaction: _Transaction,
        rcpt: int,
        result: str,
        status: str,
        esc: str,
        command: str,
        unjudged: bool = False,
    ) -> None:
        transaction.decided[rcpt] = True
        self._events.append(RcptDone(transaction.mail, rcpt, result, status, esc, command, unjudged))

    def _finish(self, transaction: _Transaction) -> None:
        """All is said about this mail."""
        self._mails.remove(transaction)
        if transaction.open and not transaction.dot:
            self._reset = True
        if transaction.ok:
            self.accepted += 1
        self._events.append(MailDone(transaction.mail, transaction.ok, transaction.encoder.octets))

    def _give_up(self, reason: str) -> None:
        """End the session politely (RFC 5321 3.1), without waiting for the answer."""
        self._put(QUIT)
        self._close(reason)

    def _close(self, reason: str, reply: Reply | None = None) -> None:
        self.closed = True
        esc = reply.esc() if reply is not None else ""
        command = "421" if reply is not None else ""
        for transaction in tuple(self._mails):
            for rcpt, decided in enumerate(transaction.decided):
                if not decided:
                    self._decide(transaction, rcpt, TEMPFAIL, reason, esc, command, not transaction.dot)
            self._finish(transaction)
        self._awaited.clear()
        # nothing may be asked of the caller any more
        self._events = [event for event in self._events if not isinstance(event, SendContent | StartTls)]
        self._events.append(Closed(reason, self.ready))

    def _take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events
