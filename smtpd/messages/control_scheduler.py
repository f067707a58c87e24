"""control and scheduler: what waits, and what the administrator wants with it (numbers 0x08ax).

`id` is an evpid, a msgid (not over 0xffffffff), or 0 for all.
"""

from typing import NamedTuple

from imsg.message import I64, U16, U32, U64, Id32, Id64, message

from .links import CONTROL, SCHEDULER


class EnvelopeState(NamedTuple):
    """`state`: "pending", "inflight" or "held"; `time`: Unix second of the next or present try."""

    evpid: Id64
    type: str
    state: str
    suspended: bool
    retry: U16
    time: I64


@message(0x08A1, SCHEDULER, CONTROL)
class EnvelopesListed(NamedTuple):
    """Reply to ListEnvelopes, in the order of evpid. `next`: where to go on, 0 at the end."""

    reqid: U32
    next: Id64
    envelopes: list[EnvelopeState]


@message(0x08A2, CONTROL, SCHEDULER, reply=EnvelopesListed)
class ListEnvelopes(NamedTuple):
    """At most `most` envelopes with evpid >= `start`; `msgid` other than 0: of that message only."""

    start: Id64
    msgid: Id32
    most: U16


@message(0x08A3, SCHEDULER, CONTROL)
class EnvelopesAffected(NamedTuple):
    """Reply to ChangeEnvelopes: how many it concerned. `next`: where to go on, 0 when all is done."""

    reqid: U32
    number: U32
    next: Id64 = 0


@message(0x08A4, CONTROL, SCHEDULER, reply=EnvelopesAffected)
class ChangeEnvelopes(NamedTuple):
    """`change`: "schedule" (try now), "remove", "suspend" or "resume". A batch from evpid `start` on."""

    change: str
    id: Id64
    start: Id64 = 0


@message(0x08A5, CONTROL, SCHEDULER)
class PauseDelivery(NamedTuple):
    """Start no deliveries of a type. `type`: "mda" or "mta"."""

    type: str


@message(0x08A6, CONTROL, SCHEDULER)
class ResumeDelivery(NamedTuple):
    """Start deliveries of that type again."""

    type: str


class Waits(NamedTuple):
    """Where an envelope stands; `state` "" for one that is not known. Times are Unix seconds.

    `state`: as in EnvelopeState, or "due" (its time has come) or "leaving" (queue removes or expires it).
    `time`: of the next try (pending), or since when it is in its state. `holdq`: the hold queue it is in.
    `paused`: its type is; `inflight`: of the `most` that may be in flight at a time.
    """

    state: str
    type: str
    suspended: bool
    retry: U16
    time: I64
    expire: I64
    holdq: U64
    paused: bool
    inflight: U32
    most: U32


@message(0x08A9, SCHEDULER, CONTROL)
class EnvelopeFound(NamedTuple):
    """Reply to FindEnvelope."""

    reqid: U32
    waits: Waits


@message(0x08AA, CONTROL, SCHEDULER, reply=EnvelopeFound)
class FindEnvelope(NamedTuple):
    """Where does it stand?"""

    evpid: Id64
