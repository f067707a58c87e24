"""smtpctl and control: the envelopes of the queue (numbers 0x09xx). Requests end with a ClientDone as all."""

from typing import NamedTuple

from imsg.message import U32, Id32, Id64, message
from smtpd.mail.envelope import Envelope

from .client_control import ClientDone
from .control_scheduler import EnvelopeState
from .links import CLIENT, CONTROL


@message(0x0907, CLIENT, CONTROL, reply=ClientDone)
class ClientShowQueue(NamedTuple):
    """The envelopes of a message, or all (0), in the order of evpid, from `start` on."""

    msgid: Id32
    start: Id64 = 0


@message(0x0908, CONTROL, CLIENT)
class QueueRow(NamedTuple):
    """An envelope and its state."""

    reqid: U32
    state: EnvelopeState
    envelope: Envelope
