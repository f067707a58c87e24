"""One mail's way: the messages that belong to a mail, an envelope or an SMTP session, out of many.

A message belongs to what its fields name, and a request and its reply belong together. To a mail belongs also
what its session said before there was a mail.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from smtpd.mail.ids import format_evpid, format_msgid, msgid_of
from smtpd.messages.links import CLIENT, CONTROL, DELIVERY, LOOKUP, PARENT, PONY, QUEUE, SCHEDULER

from .joining import Joiner, Message
from .seen import Seen

COLUMNS = (CLIENT, CONTROL, DELIVERY, PARENT, LOOKUP, PONY, QUEUE, SCHEDULER)
"""The order in which processes are drawn: who talks much stands close."""

MOST = 1_200_000
"""Messages kept of a file, the last ones: half a gigabyte of memory."""


class NoFlow(ValueError):
    """There is no such mail in what was recorded; the text says what there is."""


class Flow(NamedTuple):
    """`title`: what it is of; `messages` in the order in which they were sent."""

    title: str
    messages: list[Message]

    @property
    def begin(self) -> int:
        """When the first was sent, Unix ns."""
        return self.messages[0].time if self.messages else 0

    @property
    def processes(self) -> list[str]:
        """Those that take part, in the order of COLUMNS."""
        there = {name for message in self.messages for name in (message.sender, message.receiver)}
        return sorted(there, key=column_of)


def column_of(name: str) -> tuple[int, str]:
    """Where a process is drawn; further instances of a kind beside the first."""
    base = name.rstrip("0123456789")
    return (COLUMNS.index(base) if base in COLUMNS else len(COLUMNS), name)


def join(
    sightings: Iterable[Seen], *, handlers: bool = False, too_many: Callable[[int], None] | None = None
) -> list[Message]:
    """The last MOST messages, in the order in which they were sent.

    `too_many`: is called with the number of those before them, if there are any.
    """
    number = 0
    joiner = Joiner()
    joiner.handlers = handlers
    found: deque[Message] = deque(maxlen=MOST)
    for seen in sightings:
        message = joiner.feed(seen)
        if message is not None:
            message.forget()  # of many, few are looked at
            found.append(message)
            number += 1
    if number > len(found) and too_many is not None:
        too_many(number - len(found))
    return sorted(found, key=lambda message: message.time)


def flow_of(messages: list[Message], wanted: str) -> Flow:
    """The way of a msgid (8 hex digits), an evpid or a session (16). NoFlow."""
    try:
        number = int(wanted, 16) if len(wanted) in (8, 16) else 0
    except ValueError:
        number = 0
    if not number:
        raise NoFlow(f"{wanted!r} is no id of 8 or 16 hex digits")
    if len(wanted) == 8:
        return _of_mail(messages, number)
    for message in messages:
        if number in message.own_ids.sessions:
            return _of_session(messages, number)
    return _of_envelope(messages, number)


def everything(messages: list[Message]) -> Flow:
    """All of them."""
    return Flow("all messages", messages)


def mails_in(messages: Iterable[Message]) -> list[int]:
    """The msgids that are named, in the order of their first message."""
    found: dict[int, None] = {}
    for message in messages:
        for msgid in message.own_ids.msgids:
            found.setdefault(msgid)
    return list(found)


def _of_mail(messages: list[Message], msgid: int) -> Flow:
    sessions: set[int] = set()
    for message in messages:
        ids = message.ids
        if msgid in ids.msgids:
            sessions |= ids.sessions
    found = [message for message in messages if _belongs(message, msgid, sessions)]
    if not found:
        raise NoFlow(_missing(f"mail {format_msgid(msgid)}", messages))
    return Flow(f"mail {format_msgid(msgid)}", found)


def _belongs(message: Message, msgid: int, sessions: set[int]) -> bool:
    ids = message.ids
    return msgid in ids.msgids or (not ids.msgids and not sessions.isdisjoint(ids.sessions))


def _of_envelope(messages: list[Message], evpid: int) -> Flow:
    mail = _of_mail(messages, msgid_of(evpid)).messages
    if not any(evpid in message.ids.evpids for message in mail):
        raise NoFlow(_missing(f"envelope {format_evpid(evpid)}", messages))
    found = [message for message in mail if not message.ids.evpids or evpid in message.ids.evpids]
    return Flow(f"envelope {format_evpid(evpid)}", found)


def _of_session(messages: list[Message], session: int) -> Flow:
    msgids: set[int] = set()
    for message in messages:
        ids = message.ids
        if session in ids.sessions:
            msgids |= ids.msgids
    found = []
    for message in messages:
        ids = message.ids
        if session in ids.sessions or not msgids.isdisjoint(ids.msgids):
            found.append(message)
    return Flow(f"session {session:016x}", found)


def _missing(what: str, messages: list[Message]) -> str:
    mails = [format_msgid(msgid) for msgid in mails_in(messages)]
    if not mails:
        return f"{what}: no mail was recorded; `trace imsg --watch` or `capture` turn recording on"
    shown = ", ".join(mails[-8:])
    return f"{what} was not recorded; {'there are' if len(mails) <= 8 else 'the last are'} {shown}"
