"""What may come when, in an incoming SMTP session: the state table of server.py (RFC 5321 4.1.4).

A cell of COMMANDS is either the reply that refuses the verb in that state, or the name of the ServerSession
method that takes it. A cell of ANSWERS names the method that takes an answer to the open question. `render()`
prints both. A new verb is a line of COMMANDS; a new question is a state of its own, named WAIT_..., and its
lines in ANSWERS.
"""

from enum import Enum

from . import grammar, reply
from .session_io import Answer, Committed, Created, Expanded, Failed, Opened


class State(Enum):
    """Where a session stands. In a WAIT_ state a question is open and input waits."""

    CONNECTED = "the client's name is being looked up, no banner yet"
    GREETED = "banner sent, HELO or EHLO expected"
    IDENTIFIED = "between messages"
    WAIT_CREATE = "MAIL: a msgid is asked for"
    MAIL = "a sender, no recipient yet"
    WAIT_EXPAND = "RCPT: the recipient is being looked up"
    RCPT = "a sender and recipients"
    WAIT_OPEN = "DATA: the message file is asked for"
    BODY = "content, up to the dot"
    WAIT_COMMIT = "the message is being made safe"
    CLOSED = "nothing is read any more"

    # there is one object a state: no need to hash its name each time
    __hash__ = object.__hash__


WAITING = frozenset(
    (State.CONNECTED, State.WAIT_CREATE, State.WAIT_EXPAND, State.WAIT_OPEN, State.WAIT_COMMIT)
)
"""States in which the session waits for an answer and not for the client."""

COMMAND_STATES = (State.GREETED, State.IDENTIFIED, State.MAIL, State.RCPT)
"""States in which a command is read; the columns of COMMANDS."""

type Cell = bytes | str

_NOT_NOW = reply.NOT_NOW
_ONCE = reply.ALREADY_IDENTIFIED
_UNSUPPORTED = reply.NOT_SUPPORTED

# fmt: off
_ROWS: dict[bytes, tuple[bool, Cell, Cell, Cell, Cell]] = {
    # verb      argument?   GREETED            IDENTIFIED         MAIL                RCPT
    b"HELO":        (True,  "do_helo",         _ONCE,             _ONCE,              _ONCE),
    b"EHLO":        (True,  "do_ehlo",         _ONCE,             _ONCE,              _ONCE),
    b"STARTTLS":    (True,  _NOT_NOW,          _UNSUPPORTED,      _NOT_NOW,           _NOT_NOW),
    b"AUTH":        (True,  _NOT_NOW,          _UNSUPPORTED,      _NOT_NOW,           _NOT_NOW),
    grammar.MAIL:   (True,  _NOT_NOW,          "do_mail_from",    _NOT_NOW,           _NOT_NOW),
    grammar.RCPT:   (True,  _NOT_NOW,          _NOT_NOW,          "do_rcpt_to",       "do_rcpt_to"),
    b"DATA":        (False, _NOT_NOW,          _NOT_NOW,          reply.NO_RECIPIENT, "do_data"),
    b"RSET":        (False, _NOT_NOW,          "do_rset",         "do_rset",          "do_rset"),
    b"QUIT":        (False, "do_quit",         "do_quit",         "do_quit",          "do_quit"),
    b"NOOP":        (True,  "do_noop",         "do_noop",         "do_noop",          "do_noop"),
    b"HELP":        (False, "do_help",         "do_help",         "do_help",          "do_help"),
    b"VRFY":        (True,  "do_vrfy",         "do_vrfy",         "do_vrfy",          "do_vrfy"),
    b"WIZ":         (False, reply.NO_WIZARD,   reply.NO_WIZARD,   reply.NO_WIZARD,    reply.NO_WIZARD),
}
# fmt: on

COMMANDS: dict[State, dict[bytes, Cell]] = {
    state: {verb: cells[column] for verb, (_, *cells) in _ROWS.items()}
    for column, state in enumerate(COMMAND_STATES)
}
"""State, verb -> the reply that refuses it, or the method that takes it."""

VERBS = frozenset(_ROWS)
"""All that are known, in any state."""

WITHOUT_ARGUMENT = frozenset(verb for verb, row in _ROWS.items() if not row[0])
"""Verbs that refuse an argument, before their cell is looked at."""

ANSWERS: dict[State, dict[type[Answer], str]] = {
    State.WAIT_CREATE: {Created: "on_created", Failed: "on_refused"},
    State.WAIT_EXPAND: {Expanded: "on_expanded", Failed: "on_not_expanded"},
    State.WAIT_OPEN: {Opened: "on_opened", Failed: "on_refused"},
    State.WAIT_COMMIT: {Committed: "on_committed", Failed: "on_refused"},
}
"""State, kind of answer -> the method that takes it."""


def render() -> str:
    """Both tables as text, a line a verb or state."""
    names = {value: name for name, value in vars(reply).items() if isinstance(value, bytes)}
    lines = [" ".join(("verb".ljust(10), *(state.name.ljust(19) for state in COMMAND_STATES))).rstrip()]
    for verb, (_, *cells) in _ROWS.items():
        shown = (cell + "()" if isinstance(cell, str) else names[cell] for cell in cells)
        lines.append(" ".join((verb.decode().ljust(10), *(text.ljust(19) for text in shown))).rstrip())
    for state, answers in ANSWERS.items():
        shown = (f"{answer.__name__} -> {method}()" for answer, method in answers.items())
        lines.append(" ".join((state.name.ljust(13), *(text.ljust(26) for text in shown))).rstrip())
    return "\n".join(lines) + "\n"
