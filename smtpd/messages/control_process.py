"""control and every other process: counters, log level, traces (numbers 0x08xx, first half)."""

from typing import NamedTuple

from imsg.message import I64, U8, U32, message

from .links import CONTROL, LOOKUP, PARENT, PONY, QUEUE, SCHEDULER

OTHERS = (PARENT, LOOKUP, PONY, QUEUE, SCHEDULER)


class Counter(NamedTuple):
    """A counter under OpenSMTPD's name, such as "smtp.session.inet4"."""

    name: str
    value: I64


@message(0x0801, OTHERS, CONTROL)
class Counters(NamedTuple):
    """Reply to GetCounters: all counters of the process."""

    reqid: U32
    counters: list[Counter]


@message(0x0802, CONTROL, OTHERS, reply=Counters)
class GetCounters(NamedTuple):
    """All counters of the process, in one round trip."""


@message(0x0803, CONTROL, OTHERS)
class SetVerbose(NamedTuple):
    """0: brief, 1: verbose."""

    level: U8


@message(0x0804, CONTROL, OTHERS)
class SetTrace(NamedTuple):
    """Turn the log lines of a subsystem on or off. `subsystem`: a name of smtpctl(8), or "all"."""

    subsystem: str
    on: bool
