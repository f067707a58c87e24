"""smtpctl and control: the configuration, and what it makes of a recipient (numbers 0x0940 to 0x095f).

Requests end with a ClientDone as all do.
"""

from typing import NamedTuple

from imsg.message import I64, U32, Id64, Opt, message
from smtpd.mail.envelope import Envelope

from .client_control import ClientDone
from .control_lookup import ExplainedStep
from .control_scheduler import Waits
from .control_tries import Hindered
from .links import CLIENT, CONTROL


@message(0x0941, CONTROL, CLIENT)
class ExplanationRows(NamedTuple):
    """Some steps, in order."""

    reqid: U32
    steps: list[ExplainedStep]


@message(0x0942, CONTROL, CLIENT)
class ExplanationEnd(NamedTuple):
    """The last row of an explanation; fields as in control_lookup.RecipientExplained."""

    reqid: U32
    status: str
    reply: str
    reason: str
    recipient: U32
    envelopes: U32
    left_out: U32


@message(0x0943, CLIENT, CONTROL, reply=ClientDone)
class ClientExplain(NamedTuple):
    """explain RCPT; fields as in control_lookup.ExplainRecipient."""

    recipient: str
    sender: str
    address: str
    rdns: Opt[str]
    helo: str
    tag: str
    username: str
    tls: bool


@message(0x0944, CONTROL, CLIENT)
class ConfigurationRow(NamedTuple):
    """A piece of the configuration's text: the pieces, one after the other, are the whole."""

    reqid: U32
    text: str


@message(0x0945, CLIENT, CONTROL, reply=ClientDone)
class ClientShowConfiguration(NamedTuple):
    """The configuration in force, normalized, without secrets."""


@message(0x0946, CLIENT, CONTROL, reply=ClientDone)
class ClientUpdateTable(NamedTuple):
    """update table NAME; the number is 1 when it is done."""

    table: str


@message(0x0950, CONTROL, CLIENT)
class EnvelopeExplained(NamedTuple):
    """An envelope, where it stands with scheduler, and what pony says of it (None: it does not answer).

    `now`: Unix second of the daemon's clock.
    """

    reqid: U32
    now: I64
    envelope: Envelope
    waits: Waits
    hindered: Opt[Hindered]


@message(0x0951, CLIENT, CONTROL, reply=ClientDone)
class ClientExplainEnvelope(NamedTuple):
    """explain ENVELOPE-ID: why does it wait?"""

    evpid: Id64
