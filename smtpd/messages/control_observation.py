"""Looking inside: recorders, tapes and profiles (numbers 0x0820 to 0x087f).

Everything here is about watching, and none of it is put on a tape: whoever watches does not see himself.
"""

from typing import NamedTuple

from imsg.message import U8, U16, U32, U64, message

from .control_process import OTHERS
from .links import CONTROL, PARENT

PROFILED = ("imsg", "mproc", "queue")
"""What can be profiled."""


@message(0x0821, PARENT, CONTROL, descriptor=True)
class ProcessMemory(NamedTuple):
    """The memory of a process's recorder; the descriptor is open for reading alone (imsg/layout.py).

    A second one for the same process and instance replaces the first: the process was started again.
    """

    process: str
    instance: U8
    pid: U32
    size: U32


@message(0x0822, CONTROL, OTHERS)
class SetTape(NamedTuple):
    """Put messages on the tape, or no more. `kinds`: their numbers, none for all.

    `handlers`: also when each handler ran, and how long.
    """

    on: bool
    handlers: bool
    kinds: list[U16]


@message(0x0823, CONTROL, OTHERS)
class WipeTape(NamedTuple):
    """Forget what is on the tape."""


@message(0x0824, CONTROL, OTHERS)
class SetProfile(NamedTuple):
    """Begin to measure, from nothing, or end. `subsystem`: one of PROFILED."""

    subsystem: str
    on: bool


class Bucket(NamedTuple):
    """Of a log-linear histogram (imsg/histogram.py)."""

    bucket: U16
    number: U32


class ProfileRow(NamedTuple):
    """One thing measured. `subsystem`: of PROFILED; `what`: such as "handler", "reply", "queued", "fsync".

    `peer`, `name`: of whom and of what, such as "queue" and "CreateMessage". `number`, `total`, `most`: how
    many values, their sum, and the greatest; ns, bytes or numbers, as `what` says. `buckets`: their
    distribution.
    """

    subsystem: str
    what: str
    peer: str
    name: str
    number: U64
    total: U64
    most: U64
    buckets: list[Bucket]


@message(0x0825, OTHERS, CONTROL)
class ProfilePart(NamedTuple):
    """Reply to GetProfile: some rows, as many as fit. `next`: where to go on, 0 at the end.

    `milliseconds`: since the first of the profiles that are on began; 0 when none is.
    """

    reqid: U32
    next: U32
    milliseconds: U64
    rows: list[ProfileRow]


@message(0x0826, CONTROL, OTHERS, reply=ProfilePart)
class GetProfile(NamedTuple):
    """What was measured so far, from row `start` on."""

    start: U32
