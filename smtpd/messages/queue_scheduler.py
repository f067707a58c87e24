"""queue and scheduler: ids and times, nothing else (numbers 0x07xx). Times are Unix seconds."""

from typing import NamedTuple

from imsg.message import I64, U16, U32, U64, Id64, message

from .links import QUEUE, SCHEDULER


class EnvelopeTimes(NamedTuple):
    """What the scheduler knows of an envelope. `type`: "mda", "mta" or "bounce"; `ttl` in seconds."""

    evpid: Id64
    type: str
    ctime: I64
    ttl: I64
    last_try: I64
    last_bounce: I64
    retry: U16


MOST_TIMES = 200
"""How many EnvelopeTimes surely fit one frame."""

MOST_EVPIDS = 1000
"""How many envelope ids surely fit one frame."""


@message(0x0701, QUEUE, SCHEDULER)
class EnvelopesReady(NamedTuple):
    """Committed envelopes: new ones, bounces, or found in the spool at start. At most MOST_TIMES."""

    envelopes: list[EnvelopeTimes]


@message(0x0702, QUEUE, SCHEDULER)
class EnvelopeDone(NamedTuple):
    """Gone from the spool. `result`: "ok", "permfail", "loop", "expired", "removed" or "corrupt"."""

    evpid: Id64
    result: str


@message(0x0703, QUEUE, SCHEDULER)
class EnvelopeRetry(NamedTuple):
    """A try failed for now; the spool has the new times."""

    envelope: EnvelopeTimes


@message(0x0704, QUEUE, SCHEDULER)
class EnvelopeHeld(NamedTuple):
    """Put an envelope in flight into a hold queue."""

    evpid: Id64
    holdq: U64


@message(0x0705, QUEUE, SCHEDULER)
class HoldReleased(NamedTuple):
    """Let `number` envelopes of a hold queue go (0: all); `later`: not now but as their back-off says."""

    type: str
    holdq: U64
    number: U32
    later: bool = False


@message(0x0706, QUEUE, SCHEDULER)
class EnvelopesHastened(NamedTuple):
    """Those of these that wait for their next try are due now. At most MOST_EVPIDS."""

    evpids: list[Id64]


@message(0x0711, SCHEDULER, QUEUE)
class DeliverEnvelopes(NamedTuple):
    """These are due, and now in flight. At most MOST_EVPIDS."""

    type: str
    evpids: list[Id64]


@message(0x0712, SCHEDULER, QUEUE)
class ExpireEnvelopes(NamedTuple):
    """Their time is over: bounce and remove. Each is answered by EnvelopeDone."""

    evpids: list[Id64]


@message(0x0713, SCHEDULER, QUEUE)
class RemoveEnvelopes(NamedTuple):
    """The administrator wants them gone, without a bounce. Each is answered by EnvelopeDone."""

    evpids: list[Id64]
