"""smtpctl and sendmail, and control (numbers 0x09xx): how every request begins and ends, and most of them.

Every request of a client is answered by any number of rows of its own kind and one ClientDone; a client that
sends what is not declared here, or in the other files client_*.py, is dropped. What carries envelopes, relays
or hosts is in files of its own: smtpctl loads those for the commands that need them.
"""

from typing import NamedTuple

from imsg.message import U32, Id32, Id64, message

from .control_process import Counter
from .links import CLIENT, CONTROL


@message(0x0901, CONTROL, CLIENT)
class ServerHello(NamedTuple):
    """The first message to a client: the daemon's version and the digest of its message catalogue."""

    version: str
    digest: str


@message(0x0902, CONTROL, CLIENT)
class ClientDone(NamedTuple):
    """Ends every request. `error`: empty, or why it was not done; `number`: how many it concerned."""

    reqid: U32
    error: str
    number: U32


@message(0x0903, CLIENT, CONTROL, reply=ClientDone)
class ClientShowStats(NamedTuple):
    """All counters of all processes."""


@message(0x0904, CONTROL, CLIENT)
class StatsRows(NamedTuple):
    """Some of the counters."""

    reqid: U32
    counters: list[Counter]


@message(0x0905, CLIENT, CONTROL, reply=ClientDone)
class ClientShowStatus(NamedTuple):
    """What is paused."""


@message(0x0906, CONTROL, CLIENT)
class StatusRow(NamedTuple):
    """Whether each is running (not paused)."""

    reqid: U32
    mda: bool
    mta: bool
    smtp: bool


@message(0x0909, CLIENT, CONTROL, reply=ClientDone)
class ClientChangeEnvelopes(NamedTuple):
    """`change` and `id` as in control_scheduler.ChangeEnvelopes."""

    change: str
    id: Id64


@message(0x090A, CLIENT, CONTROL, reply=ClientDone)
class ClientPause(NamedTuple):
    """`what`: "mda", "mta" or "smtp"."""

    what: str


@message(0x090B, CLIENT, CONTROL, reply=ClientDone)
class ClientResume(NamedTuple):
    """`what`: "mda", "mta" or "smtp"."""

    what: str


@message(0x090C, CLIENT, CONTROL, reply=ClientDone)
class ClientSetVerbose(NamedTuple):
    """log brief (0) or log verbose (1)."""

    level: U32


@message(0x090D, CLIENT, CONTROL, reply=ClientDone)
class ClientSetTrace(NamedTuple):
    """trace and untrace of a subsystem."""

    subsystem: str
    on: bool


@message(0x090E, CONTROL, CLIENT, descriptor=True)
class SessionRow(NamedTuple):
    """The descriptor is a socket on which the daemon greets as an SMTP server."""

    reqid: U32


@message(0x090F, CLIENT, CONTROL, reply=ClientDone)
class ClientOpenSession(NamedTuple):
    """Local submission: an SMTP session in the name of whoever asks. Open to all users."""


@message(0x0910, CLIENT, CONTROL, reply=ClientDone)
class ClientDiscover(NamedTuple):
    """As control_queue.DiscoverEnvelopes."""

    id: Id64


@message(0x0911, CLIENT, CONTROL, reply=ClientDone)
class ClientUncorrupt(NamedTuple):
    """As control_queue.UncorruptMessage."""

    msgid: Id32


@message(0x0912, CONTROL, CLIENT)
class ProgressRow(NamedTuple):
    """How many envelopes a change concerned until now; not every change has such rows."""

    reqid: U32
    number: U32
