"""The receiving side of SMTP, one session: bytes and answers in, bytes and actions out (RFC 5321, 2920, 1870,
3461).

What may come when stands in session_state.py; each method named there is here. Every input method returns the
actions it led to, in order; what is to be sent is collected until `take_output`. While a question is open
input is only kept: a surrounding that stops reading when `full` bounds it. No I/O, no clock, no chance: what
is needed of them comes with the answers.
"""

from collections.abc import Callable
from typing import Any

from smtpd.mail.address import valid_domainpart

from . import grammar, reply
from .content import HOPELESS
from .grammar import Problem
from .session_io import (
    Accepted,
    Action,
    Answer,
    Close,
    CommitMessage,
    Committed,
    Created,
    CreateMessage,
    Expanded,
    ExpandRecipient,
    Failed,
    Opened,
    OpenMessage,
    Question,
    Refused,
    Rollback,
    ServerSettings,
    WriteContent,
)
from .session_state import ANSWERS, COMMANDS, WAITING, WITHOUT_ARGUMENT, State
from .transaction import Client, Transaction

COMMAND_MAX = 2048
"""Octets of a command line without its end, from which on it is too long (OpenSMTPD's LINE_MAX)."""

INPUT_MAX = 65536
"""Octets that may wait for an answer before reading should stop."""

PROGRESS = 1024
"""Octets of content that count as a sign of life: one octet now and then does not."""


class OutOfTurn(RuntimeError):
    """The surroundings answered what was not asked."""


class ServerSession:
    """One client. `address`: as in envelopes, "local", "192.0.2.1" or "[2001:db8::1]"; `authenticated`: it is
    a user of this machine on the local socket.
    """

    # fmt: off
    __slots__ = (
        "_actions", "_buffer", "_client", "_commands", "_draining", "_ended", "_errors", "_line", "_login",
        "_mails", "_octets", "_out", "_position", "_transaction", "_verbs", "progress", "settings", "state",
    )
    # fmt: on

    def __init__(self, settings: ServerSettings, address: str, *, authenticated: bool = False) -> None:
        self.settings = settings
        self.state = State.CONNECTED
        self.progress = 0
        """Grows with each sign of life; the deadline is `settings.timeout` seconds after the last growth."""
        self._verbs: dict[bytes, bytes | Take] | None = None
        self._client = Client(address, authenticated)
        self._actions: list[Action] = []
        self._out: list[bytes] = []
        self._buffer = b""
        self._position = 0
        self._line = b""
        self._login = False
        self._octets = 0
        self._ended = False
        self._draining = False
        self._mails = 0
        self._commands = 0
        self._errors = 0
        self._transaction: Transaction | None = None

    # for the surroundings

    @property
    def waiting(self) -> bool:
        """Whether an answer is awaited, and not the client."""
        return self.state in WAITING

    @property
    def full(self) -> bool:
        """Whether so much input is waiting that no more should be read."""
        return len(self._buffer) - self._position >= INPUT_MAX

    def take_output(self) -> bytes:
        """What is to be sent now; asked once per turn."""
        out = self._out
        if not out:
            return b""
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return data

    def connected(self, host: str) -> list[Action]:
        """The client's name is known, "<unknown>" when it has none: greet."""
        if self.state is not State.CONNECTED:
            raise OutOfTurn(f"connected in state {self.state.name}")
        self._client.host = host
        self._out.append(reply.banner(self.settings.hostname, self.settings.software))
        self._enter(State.GREETED)
        return self._run()

    def receive(self, data: bytes) -> list[Action]:
        """Bytes of the client's."""
        if self.state is State.CLOSED:
            return []
        if self._position < len(self._buffer):
            self._buffer = self._buffer[self._position :] + data
        else:
            self._buffer = data
        self._position = 0
        return self._run()

    def answer(self, answer: Answer) -> list[Action]:
        """The answer to the open question."""
        method = _ON_ANSWER.get((self.state, type(answer)))
        if method is None:
            raise OutOfTurn(f"{type(answer).__name__} in state {self.state.name}")
        self.progress += 1
        method(self, answer)
        return self._run()

    def disk_full(self) -> None:
        """Content could not be written: the client is told at the dot, and nothing more need be written."""
        if self._transaction is not None and self._transaction.content is not None:
            self._transaction.content.full = True

    def eof(self) -> list[Action]:
        """The client sends no more; what it has sent is still worked on, and answered."""
        self._ended = True
        return self._run()

    def lost(self) -> list[Action]:
        """The connection is gone. An open question is still to be answered; then, or now, comes Close."""
        self._ended = True
        self._buffer = b""
        self._position = 0
        if self.state is State.CONNECTED:
            self._close("disconnect")
        return self._run()

    def timed_out(self) -> list[Action]:
        """The deadline has passed."""
        if self.state is not State.CLOSED and self.state not in WAITING:
            self._out.append(reply.TIMEOUT)
            self._close("timeout")
        return self._run()

    def shut_down(self) -> list[Action]:
        """The server is going down: say so as soon as no command or content is on its way."""
        self._draining = True
        if self.state is State.CONNECTED:
            self._leave()
        return self._run()

    # the course

    def _run(self) -> list[Action]:
        """Work on the input until something is awaited. The actions since the last call."""
        while True:
            verbs = self._verbs
            if verbs is None:
                # content, an open question, or closed
                if self.state is not State.BODY or self._position == len(self._buffer) or not self._content():
                    break
                continue
            if self._draining:
                self._leave()
                break
            position = self._position
            newline = self._buffer.find(b"\n", position)
            if newline < 0:
                if len(self._buffer) - position > COMMAND_MAX:
                    self._bad_input(reply.COMMAND_TOO_LONG)
                break
            line = self._buffer[position:newline]
            self._position = newline + 1
            self._command(line[:-1] if line[-1:] == b"\r" else line, verbs)
        if self._ended and self.state not in WAITING and self.state is not State.CLOSED:
            self._close("disconnect")
        actions = self._actions
        if actions:
            self._actions = []
        return actions

    def _command(self, line: bytes, verbs: "dict[bytes, bytes | Take]") -> None:
        """One command line, without its end."""
        self._line = line
        self.progress += 1
        self._commands += 1
        if len(line) >= COMMAND_MAX:
            self._bad_input(reply.COMMAND_TOO_LONG)
            return
        if self._commands > self.settings.max_commands:
            self._refuse(reply.TOO_MANY_COMMANDS)
            self._close("quit")
            return
        verb, argument = grammar.split_command(line)
        take = verbs.get(verb)
        self._login = grammar.begins_login(line) or (self._login and take is None)
        if take is None:
            self._err(reply.UNRECOGNIZED)
        elif argument is not None and grammar.has_control_characters(argument):
            self._err(reply.CONTROL_CHARACTERS)
        elif argument is not None and verb in WITHOUT_ARGUMENT:
            self._err(reply.NO_ARGUMENT)
        elif isinstance(take, bytes):
            self._err(take)
        else:
            take(self, argument)

    def _enter(self, state: State) -> None:
        self.state = state
        self._verbs = _TAKES.get(state)

    def _ask(self, question: Question, state: State) -> None:
        self._actions.append(question)
        self.state = state
        self._verbs = None

    def _refuse(self, line: bytes) -> None:
        """A 4xx or 5xx: it is logged."""
        self._out.append(line)
        line_shown = grammar.without_secret(self._line, self._login)
        command = reply.logged(line_shown.decode("utf-8", "surrogateescape"))
        self._actions.append(Refused(command, line[:-2].decode("utf-8", "surrogateescape"), False))

    def _err(self, line: bytes) -> None:
        """The client broke the protocol: it is logged and counted."""
        self._refuse(line)
        self._errors += 1
        if self._errors > self.settings.max_errors:
            self._refuse(reply.TOO_MANY_ERRORS)
            self._close("quit")

    def _bad_input(self, line: bytes) -> None:
        """What came is no SMTP: say so, close."""
        self._out.append(line)
        self._actions.append(Refused("", line[:-2].decode("utf-8", "surrogateescape"), True))
        self._close("quit")

    def _leave(self) -> None:
        self._out.append(reply.SHUTTING_DOWN)
        self._close("quit")

    def _close(self, reason: str) -> None:
        self._abandon()
        self._buffer = b""
        self._position = 0
        self._enter(State.CLOSED)
        self._actions.append(Close(reason))

    def _abandon(self) -> None:
        """The transaction, if there is one, comes to nothing."""
        if self._transaction is not None and self._transaction.msgid:
            self._actions.append(Rollback(self._transaction.msgid))
        self._transaction = None

    @property
    def _tx(self) -> Transaction:
        """The transaction, in a state that has one."""
        assert self._transaction is not None
        return self._transaction

    # commands

    def do_helo(self, argument: str | None) -> None:
        """HELO (RFC 5321 4.1.1.1)."""
        self._hello(argument, esmtp=False)

    def do_ehlo(self, argument: str | None) -> None:
        """EHLO (RFC 5321 4.1.1.1)."""
        self._hello(argument, esmtp=True)

    def _hello(self, argument: str | None, *, esmtp: bool) -> None:
        if argument is None:
            self._err(reply.EHLO_NAME_MISSING if esmtp else reply.HELO_NAME_MISSING)
        elif not valid_domainpart(argument):
            self._err(reply.HELO_NAME_INVALID)
        else:
            settings, client = self.settings, self._client
            client.helo = argument
            client.esmtp = esmtp
            self._out.append(
                reply.hello("250-" if esmtp else "250 ", settings.hostname, argument, client.bracketed)
            )
            if esmtp:
                self._out.append(reply.extensions(settings.max_message_size, dsn=settings.dsn))
            self._enter(State.IDENTIFIED)

    def do_mail_from(self, argument: str | None) -> None:
        """MAIL (RFC 5321 4.1.1.2)."""
        settings = self.settings
        if settings.starttls_required:
            self._err(reply.STARTTLS_FIRST)
            return
        if settings.auth_required and not self._client.authenticated:
            self._err(reply.AUTH_FIRST)
            return
        if self._mails >= settings.max_mails:
            self._refuse(reply.TOO_MANY_MESSAGES)
            return
        path, options = grammar.split_path(argument)
        sender = grammar.parse_path(path, settings.hostname, null_allowed=True)
        if sender is None:
            self._err(reply.BAD_SENDER)
            return
        parameters = grammar.parse_mail_parameters(options, dsn=settings.dsn)
        if isinstance(parameters, Problem):
            self._err(reply.bad_parameter(*parameters, described=True))
            return
        if parameters.size > settings.max_message_size:
            self._refuse(reply.DECLARED_TOO_BIG)
            return
        self._transaction = Transaction(sender, parameters)
        self._ask(CreateMessage(sender), State.WAIT_CREATE)

    def do_rcpt_to(self, argument: str | None) -> None:
        """RCPT (RFC 5321 4.1.1.3)."""
        settings, tx = self.settings, self._tx
        if len(tx.recipients) >= settings.max_rcpt:
            self._refuse(reply.TOO_MANY_RECIPIENTS)
            return
        path, options = grammar.split_path(argument)
        rcpt = grammar.parse_path(path, settings.hostname, null_allowed=False)
        if rcpt is None:
            self._err(reply.BAD_RECIPIENT)
            return
        parameters = grammar.parse_rcpt_parameters(options, dsn=settings.dsn)
        if isinstance(parameters, Problem):
            self._err(reply.bad_parameter(*parameters, described=False))
            return
        tx.rcpt = rcpt
        self._ask(ExpandRecipient(tx.envelope(settings, self._client, parameters)), State.WAIT_EXPAND)

    def do_data(self, argument: str | None) -> None:
        """DATA (RFC 5321 4.1.1.4). It ends a group (RFC 2920 3.1): a mail client waits for the 354."""
        if self._position < len(self._buffer):
            self._bad_input(reply.NOT_PIPELINED)
        else:
            self._ask(OpenMessage(self._tx.msgid), State.WAIT_OPEN)

    def do_rset(self, argument: str | None) -> None:
        """RSET (RFC 5321 4.1.1.5)."""
        self._abandon()
        self._out.append(reply.RESET)
        self._enter(State.IDENTIFIED)

    def do_quit(self, argument: str | None) -> None:
        """QUIT (RFC 5321 4.1.1.10)."""
        self._out.append(reply.BYE)
        self._close("quit")

    def do_noop(self, argument: str | None) -> None:
        """NOOP (RFC 5321 4.1.1.9)."""
        self._out.append(reply.OK)

    def do_help(self, argument: str | None) -> None:
        """HELP (RFC 5321 4.1.1.8)."""
        self._out.append(reply.help_text(self.settings.software))

    def do_vrfy(self, argument: str | None) -> None:
        """VRFY (RFC 5321 4.1.1.6, 7.3): nobody learns who is here."""
        if argument is None:
            self._err(reply.VRFY_NAME_MISSING)
        else:
            self._out.append(reply.CANNOT_VERIFY)

    # answers

    def on_created(self, answer: Created) -> None:
        """MAIL is done."""
        self._tx.msgid = answer.msgid
        self._tx.time = answer.time
        self._out.append(reply.OK)
        self._enter(State.MAIL)

    def on_refused(self, answer: Failed) -> None:
        """No message, no file for it, or it could not be made safe: whoever sent it still has it."""
        if answer.full:
            self._refuse(reply.FULL)
            self._abandon()
            self._enter(State.IDENTIFIED)
        else:
            committing = self.state is State.WAIT_COMMIT
            self._refuse(reply.TEMPORARY_FAILURE if committing else reply.TEMPORARY_ERROR)
            self._close("quit")

    def on_expanded(self, answer: Expanded) -> None:
        """RCPT is done."""
        tx = self._tx
        tx.recipients.append((tx.rcpt, answer.evpids))
        self._out.append(reply.RECIPIENT_OK)
        self._enter(State.RCPT)

    def on_not_expanded(self, answer: Failed) -> None:
        """The recipient is not taken."""
        tx = self._tx
        if reply.is_refusal(answer.reply):
            self._refuse(reply.refused(answer.reply, tx.rcpt.path))
            self._enter(State.RCPT if tx.recipients else State.MAIL)
        else:
            self._refuse(reply.TEMPORARY_FAILURE)
            self._close("quit")

    def on_opened(self, answer: Opened) -> None:
        """DATA is done: content may come."""
        if self._position < len(self._buffer):
            self._bad_input(reply.NOT_PIPELINED)
            return
        self._tx.open(self.settings, self._client, answer)
        self._octets = 0
        self._out.append(reply.ENTER_MAIL)
        self._enter(State.BODY)

    def on_committed(self, answer: Committed) -> None:
        """The message is safe."""
        tx = self._tx
        assert tx.content is not None
        self._out.append(reply.accepted(tx.msgid))
        self._actions.append(
            Accepted(tx.msgid, tx.content.size, self._client.protocol, tx.sender, tx.recipients)
        )
        self._transaction = None
        self._mails += 1
        self._commands = 0
        self._errors = 0
        self._enter(State.IDENTIFIED)

    # content

    def _content(self) -> bool:
        """Work on the input as content. False: no more can be done now."""
        tx = self._tx
        content = tx.content
        assert content is not None
        data = self._buffer[self._position :] if self._position else self._buffer
        self._buffer = b""
        self._position = 0
        self._octets += len(data)
        if self._octets >= PROGRESS:
            self._octets = 0
            self.progress += 1
        written = content.feed(data)
        if written:
            self._actions.append(WriteContent(written))
        problem = content.problem
        if problem in HOPELESS:
            self._bad_input(problem)
            return True
        if not content.ended:
            return False
        self._buffer = content.rest
        self._line = b"."
        if not problem:
            self._ask(CommitMessage(tx.msgid), State.WAIT_COMMIT)
            return True
        self._refuse(problem)
        self._abandon()
        self._enter(State.IDENTIFIED)
        return True


type Take = Callable[[ServerSession, str | None], None]


# the tables of session_state with the methods in place of their names
_TAKES: dict[State, dict[bytes, bytes | Take]] = {
    state: {
        verb: getattr(ServerSession, cell) if isinstance(cell, str) else cell for verb, cell in row.items()
    }
    for state, row in COMMANDS.items()
}
_ON_ANSWER: dict[tuple[State, type], Callable[[ServerSession, Any], None]] = {
    (state, answer): getattr(ServerSession, name)
    for state, row in ANSWERS.items()
    for answer, name in row.items()
}
