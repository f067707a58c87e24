"""control and queue: what the listed envelopes hold, and files moved by hand (numbers 0x089x)."""

from typing import NamedTuple

from imsg.message import U32, Id32, Id64, message
from smtpd.mail.envelope import Envelope

from .links import CONTROL, QUEUE


@message(0x0891, QUEUE, CONTROL)
class EnvelopesDescribed(NamedTuple):
    """Reply to DescribeEnvelopes: the first of the asked ones, as many as fit one frame.

    `envelopes`: those among `taken` that are still there; `taken`: how many of the asked ids are answered by
    this.
    """

    reqid: U32
    taken: U32
    envelopes: list[Envelope]


@message(0x0892, CONTROL, QUEUE, reply=EnvelopesDescribed)
class DescribeEnvelopes(NamedTuple):
    """The envelopes of these ids, without their messages."""

    evpids: list[Id64]


@message(0x0893, QUEUE, CONTROL)
class EnvelopesDiscovered(NamedTuple):
    """Reply to DiscoverEnvelopes and UncorruptMessage: how many scheduler was told of, or why none."""

    reqid: U32
    error: str
    number: U32


@message(0x0894, CONTROL, QUEUE, reply=EnvelopesDiscovered)
class DiscoverEnvelopes(NamedTuple):
    """Schedule an envelope (`id`: evpid), or all of a message (msgid), that lie in the queue's folder."""

    id: Id64


@message(0x0895, CONTROL, QUEUE, reply=EnvelopesDiscovered)
class UncorruptMessage(NamedTuple):
    """Move what was set aside of a message back into the queue, and schedule it."""

    msgid: Id32
