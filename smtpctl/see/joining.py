"""From sightings to messages: the sending and the receiving of one, the reply and its request, the
handler's time.

Fed in the order of time, as it comes; state is bounded: what waits for its other half too long is given up.
A message between processes is complete when it was received. One to or from a client or a delivery agent is
seen on one side only, and complete there.
"""

import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from imsg import MessageError
from imsg.layout import DESCRIPTOR, HANDLED, OUT
from imsg.message import Kind
from smtpd.messages.catalogue import CATALOGUE

from .ids import NONE, Ids, ids_of
from .seen import Seen

MOST_WAITING = 65536

_REPLIES = frozenset(kind.number for kind in CATALOGUE.by_number.values() if kind.cls in CATALOGUE.replies)
_UNREAD = object()

type Link = tuple[str, str]


class Message:
    """One message. `sent`, `received`: Unix ns, or None where that was not seen.

    `request`: the message that this replies to; `reply`: the one that replies to this. `handled`: when
    handlers ran for it, (begin, ns) each. `shown`: for whoever shows it.
    """

    __slots__ = (
        "_fields",
        "_flags",
        "handled",
        "length",
        "number",
        "payload",
        "peerid",
        "pid",
        "received",
        "receiver",
        "reply",
        "request",
        "sender",
        "sent",
        "shown",
    )

    def __init__(self, seen: Seen) -> None:
        self.sender = seen.sender
        self.receiver = seen.receiver
        self.number = seen.type
        self.length = seen.length
        self.peerid = seen.peerid
        self.pid = seen.pid
        self.payload = seen.payload
        self._flags = seen.flags
        self.sent: int | None = seen.time if seen.flags & OUT else None
        self.received: int | None = None if seen.flags & OUT else seen.time
        self.request: Message | None = None
        self.reply: Message | None = None
        self.handled: Sequence[tuple[int, int]] = ()
        self.shown = False
        self._fields: Any = _UNREAD

    @property
    def descriptor(self) -> bool:
        """Whether a descriptor rode along."""
        return bool(self._flags & DESCRIPTOR)

    @property
    def seen(self) -> Seen:
        """The sighting that completed it."""
        ends = (self.sender, self.receiver) if self._flags & OUT else (self.receiver, self.sender)
        when = self.sent if self._flags & OUT else self.received
        header = (self._flags, self.number, self.length, self.peerid, self.pid)
        return Seen(when or 0, *ends, *header, self.payload)

    def forget(self) -> None:
        """Give the memory of the decoded fields back; they are decoded again when they are asked for."""
        self._fields = _UNREAD

    @property
    def kind(self) -> Kind | None:
        """Its declaration; None for a number that nobody declared."""
        return CATALOGUE.by_number.get(self.number)

    @property
    def name(self) -> str:
        """The kind's name."""
        kind = self.kind
        return kind.name if kind is not None else f"message {self.number:#06x}"

    @property
    def time(self) -> int:
        """When it was sent, or if that is not known when it was received."""
        return self.sent if self.sent is not None else self.received or 0

    @property
    def end(self) -> int:
        """When it was received, or if that is not known when it was sent."""
        return self.received if self.received is not None else self.sent or 0

    @property
    def fields(self) -> Any:
        """The decoded message, None if its payload is not here or not what its declaration says."""
        if self._fields is _UNREAD:
            self._fields = None
            if self.payload is not None:
                try:
                    self._fields = CATALOGUE.decode(self.number, self.payload)
                except MessageError:
                    pass
        return self._fields

    @property
    def waited(self) -> int | None:
        """How long it was between sender and receiver, in ns."""
        if self.sent is None or self.received is None:
            return None
        return max(0, self.received - self.sent)

    @property
    def elapsed(self) -> int | None:
        """For a reply: ns from the sending of its request to the receiving of this."""
        return None if self.request is None else max(0, self.end - self.request.time)

    @property
    def own_ids(self) -> Ids:
        """The session, message and envelopes that its own fields name."""
        kind, fields = self.kind, self.fields
        return NONE if kind is None or fields is None else ids_of(kind, fields)

    @property
    def ids(self) -> Ids:
        """Those of its fields, and of its request's or reply's."""
        found = self.own_ids
        for partner in (self.request, self.reply):
            if partner is not None:
                found = found.union(partner.own_ids)
        return found


class Joiner:
    """Makes messages of sightings."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str, int, int, int], int] = {}
        self._open: dict[tuple[str, str, int], Message] = {}
        self._unhandled: dict[tuple[str, str, int], deque[Message]] = {}
        self.handlers = False
        """Whether handlers' times are among the sightings."""

    def feed(self, seen: Seen) -> Message | None:
        """The message that this completes, if it does."""
        if seen.flags & HANDLED:
            self._handled(seen)
            return None
        key = (seen.sender, seen.receiver, seen.pid, seen.peerid, seen.type)
        if seen.flags & OUT and seen.payload is None:
            _bound(self._sent)
            self._sent[key] = seen.time
            return None
        message = Message(seen)
        if message.received is not None:
            message.sent = self._sent.pop(key, None)
            if self.handlers:
                self._wait_for_handler(message)
        self._pair(message)
        return message

    def unreceived(self) -> list[Seen]:
        """What was sent and not received so far, as sightings of its sending without length."""
        return [
            Seen(time, sender, receiver, OUT, number, 0, peerid, pid, None)
            for (sender, receiver, pid, peerid, number), time in self._sent.items()
        ]

    def _pair(self, message: Message) -> None:
        kind = message.kind
        if kind is None:
            return
        if kind.reply is not None:
            _bound(self._open)
            self._open[message.sender, message.receiver, message.peerid] = message
        elif kind.number in _REPLIES and message.fields is not None:
            request = self._open.pop((message.receiver, message.sender, message.fields[0]), None)
            if request is not None and request.kind is not None and request.kind.reply is kind.cls:
                message.request, request.reply = request, message

    def _wait_for_handler(self, message: Message) -> None:
        waiting = self._unhandled.setdefault((message.receiver, message.sender, message.number), deque())
        waiting.append(message)
        if len(waiting) > MOST_WAITING:
            waiting.popleft()

    def _handled(self, seen: Seen) -> None:
        """Handlers run in the order in which messages of a kind came; `length` counts the runs for one
        message.
        """
        if seen.payload is None or len(seen.payload) != 8:
            return
        ran = seen.time, int.from_bytes(seen.payload, sys.byteorder)
        waiting = self._unhandled.get((seen.owner, seen.other, seen.type))
        if seen.length == 0:
            while waiting:
                message = waiting.popleft()
                if message.end <= seen.time:
                    message.handled = (*message.handled, ran)
                    return
        elif (request := self._open.get((seen.other, seen.owner, seen.peerid))) is not None:
            request.handled = (*request.handled, ran)


def _bound(waiting: dict[Any, Any]) -> None:
    """Room for one more: the oldest has to go."""
    if len(waiting) >= MOST_WAITING:
        del waiting[next(iter(waiting))]
