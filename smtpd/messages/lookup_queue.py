"""lookup and queue: envelopes made by expansion, and the way of a bounce (numbers 0x06xx)."""

from typing import NamedTuple

from imsg.message import U32, Id32, Id64, message
from smtpd.mail.envelope import Envelope

from .links import LOOKUP, QUEUE


@message(0x0601, QUEUE, LOOKUP)
class EnvelopesSubmitted(NamedTuple):
    """Reply to SubmitEnvelopes: queue keeps all of them, or (with `error`) none."""

    reqid: U32
    error: str
    evpids: list[Id64]


@message(0x0602, LOOKUP, QUEUE, reply=EnvelopesSubmitted)
class SubmitEnvelopes(NamedTuple):
    """Envelopes of one recipient of an incoming message, as many as fit a frame; queue gives them their ids.

    `more`: others of the same recipient follow. Queue takes them all, or (after an error) none.
    """

    msgid: Id32
    more: bool
    envelopes: list[Envelope]


@message(0x0603, LOOKUP, QUEUE)
class BounceExpanded(NamedTuple):
    """Reply to ExpandBounce: the envelopes were submitted, or nothing was (`status` as in pony_lookup)."""

    reqid: U32
    status: str
    error: str


@message(0x0604, QUEUE, LOOKUP, reply=BounceExpanded)
class ExpandBounce(NamedTuple):
    """Expand the recipient of a bounce, as ExpandRecipient does for a client's."""

    envelope: Envelope
