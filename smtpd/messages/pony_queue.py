"""pony and queue: messages coming in, envelopes going out, and what became of them (numbers 0x05xx)."""

from typing import NamedTuple

from imsg.message import U8, U32, U64, Id32, Id64, message
from smtpd.mail.envelope import Envelope

from .links import PONY, QUEUE

# coming in


@message(0x0501, QUEUE, PONY)
class MessageCreated(NamedTuple):
    """Reply to CreateMessage. `msgid` is 0 when queue cannot take a message now."""

    reqid: U32
    msgid: Id32


@message(0x0502, PONY, QUEUE, reply=MessageCreated)
class CreateMessage(NamedTuple):
    """MAIL FROM: a msgid of its own for a new message; nothing is on disk yet."""

    session: Id64


@message(0x0503, QUEUE, PONY, descriptor="optional")
class IncomingOpened(NamedTuple):
    """Reply to OpenIncoming. The descriptor is open for writing; none when `error` is not empty."""

    reqid: U32
    error: str


@message(0x0504, PONY, QUEUE, reply=IncomingOpened)
class OpenIncoming(NamedTuple):
    """DATA: make the message file."""

    msgid: Id32


@message(0x0505, QUEUE, PONY)
class MessageCommitted(NamedTuple):
    """Reply to CommitMessage. With `error` empty, message and envelopes are on disk for good."""

    reqid: U32
    error: str


@message(0x0506, PONY, QUEUE, reply=MessageCommitted)
class CommitMessage(NamedTuple):
    """The whole content is written (and its descriptor closed): make it durable."""

    msgid: Id32


@message(0x0507, PONY, QUEUE)
class RollbackMessage(NamedTuple):
    """Forget the message and its envelopes."""

    msgid: Id32


# going out


@message(0x0511, QUEUE, PONY)
class DeliverMda(NamedTuple):
    """Deliver to a user of this machine."""

    envelope: Envelope


@message(0x0512, QUEUE, PONY)
class RelayMta(NamedTuple):
    """Relay to another host."""

    envelope: Envelope


@message(0x0513, QUEUE, PONY, descriptor="optional")
class MessageOpened(NamedTuple):
    """Reply to OpenMessage. The descriptor is open for reading; none when `error` is not empty."""

    reqid: U32
    error: str


@message(0x0514, PONY, QUEUE, reply=MessageOpened)
class OpenMessage(NamedTuple):
    """The content of a queued message."""

    msgid: Id32


@message(0x0515, PONY, QUEUE)
class DeliveryOk(NamedTuple):
    """Delivered or relayed. `without_dsn`: relayed to a host without DSN, so we notify (RFC 3461 5.3)."""

    evpid: Id64
    without_dsn: bool


@message(0x0516, PONY, QUEUE)
class DeliveryTempfail(NamedTuple):
    """Try again later. `esc_class`, `esc_code`: as smtpd.mail.status numbers them."""

    evpid: Id64
    error: str
    esc_class: U8
    esc_code: U8


@message(0x0517, PONY, QUEUE)
class DeliveryPermfail(NamedTuple):
    """Never: the sender gets a bounce."""

    evpid: Id64
    error: str
    esc_class: U8
    esc_code: U8


@message(0x0518, PONY, QUEUE)
class DeliveryLoop(NamedTuple):
    """The mail goes in circles: the sender gets a bounce."""

    evpid: Id64


@message(0x0519, PONY, QUEUE)
class HoldEnvelope(NamedTuple):
    """Too many for that relay or user are with pony already: keep it until the hold queue is released."""

    evpid: Id64
    holdq: U64


@message(0x051A, PONY, QUEUE)
class ReleaseHold(NamedTuple):
    """Let `number` envelopes of a hold queue go. `type`: "mda" or "mta". 0 lets all go.

    `later`: what they waited for failed, so they are due when their back-off says, not now.
    """

    type: str
    holdq: U64
    number: U32
    later: bool = False


MOST_EVPIDS = 1000
"""How many envelope ids surely fit one frame."""


@message(0x051B, PONY, QUEUE)
class HastenEnvelopes(NamedTuple):
    """Try these now: what they failed for works again. At most MOST_EVPIDS."""

    evpids: list[Id64]
