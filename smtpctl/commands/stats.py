"""show stats, monitor.

JSON of `show stats`: one object, counter name: value. Of `monitor`: an object a second with "time" (Unix
second) and the thirteen columns under the names of MONITORED.
"""

import time
from collections.abc import Mapping, Sequence

from smtpd.messages.client_control import ClientShowStats

from ..client import Refused
from ..invocation import Invocation
from ..matching import Parameter
from ..output import duration
from .again import watched

MONITORED = (
    "clients",
    "connected",
    "disconnected",
    "envelopes",
    "enqueued",
    "dequeued",
    "ok",
    "tempfail",
    "permfail",
    "loop",
    "expired",
    "removed",
    "bounced",
)
"""The columns of `monitor`: what is there of clients and envelopes, increments of all others."""

_ABSOLUTE = ("clients", "envelopes")
_HEAD = (
    "--- client ---  -- envelope --   ---- relay/delivery --- ------- misc -------\n"
    "curr conn disc  curr  enq  deq   ok tmpfail prmfail loop expire remove bounce"
)
_HEAD_EVERY = 25
_CONNECTED = ("smtp.session.inet4", "smtp.session.inet6", "smtp.session.local")
_LEFT = (
    "scheduler.delivery.ok",
    "scheduler.delivery.permfail",
    "scheduler.delivery.loop",
    "scheduler.envelope.expired",
    "scheduler.envelope.removed",
)


@watched
def show_stats(invocation: Invocation, _parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """show stats: all counters by name; those of OpenSMTPD have its names. In columns at a terminal."""
    counters = _counters(invocation)
    lines: list[tuple[str, object]] = []
    for name, value in sorted(counters.items()):
        lines.append((name, value))
        if name == "uptime":
            lines.append(("uptime.human", duration(value)))
    if invocation.output.width:
        width = max((len(name) for name, _ in lines), default=0)
        digits = max((len(str(value)) for _, value in lines), default=0)
        shown = [f"{name:{width}}  {value:>{digits}}" for name, value in lines]
    else:
        shown = [f"{name}={value}" for name, value in lines]
    invocation.output.row(shown, counters)
    return 0


def monitor(invocation: Invocation, _parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """monitor: a line a second until interrupted."""
    last: dict[str, int] = dict.fromkeys(MONITORED, 0)
    lines = 0
    while True:
        totals = monitored(_counters(invocation))
        shown = {name: value if name in _ABSOLUTE else value - last[name] for name, value in totals.items()}
        if lines % _HEAD_EVERY == 0:
            invocation.output.text(f"\n{_HEAD}" if lines else _HEAD)
        invocation.output.row(monitor_line(shown), {"time": int(time.time()), **shown})
        invocation.output.flush()
        last = totals
        lines += 1
        time.sleep(1)


def monitored(counters: Mapping[str, int]) -> dict[str, int]:
    """The totals of the columns of `monitor`, out of all counters."""

    def get(*names: str) -> int:
        return sum(counters.get(name, 0) for name in names)

    clients, envelopes = get("smtp.session"), get("scheduler.envelope")
    connected, dequeued = get(*_CONNECTED), get(*_LEFT)
    values = (
        clients,
        connected,
        connected - clients,
        envelopes,
        envelopes + dequeued,
        dequeued,
        get("scheduler.delivery.ok"),
        get("scheduler.delivery.tempfail"),
        get("scheduler.delivery.permfail"),
        get("scheduler.delivery.loop"),
        get("scheduler.envelope.expired"),
        get("scheduler.envelope.removed"),
        get("queue.bounce"),
    )
    return dict(zip(MONITORED, values, strict=True))


def monitor_line(values: Mapping[str, int]) -> str:
    """One line, in OpenSMTPD's columns."""
    return (
        "{clients:4} {connected:4} {disconnected:4}  {envelopes:4} {enqueued:4} {dequeued:4} "
        "{ok:4}    {tempfail:4}    {permfail:4} {loop:4}   {expired:4}   {removed:4}   {bounced:4}"
    ).format(**values)


def _counters(invocation: Invocation) -> dict[str, int]:
    """All counters; those that could be had, with a complaint, when a process did not answer."""
    counters: dict[str, int] = {}
    try:
        for row in invocation.client.rows(ClientShowStats()):
            counters.update(row.counters)
    except Refused as refused:
        if not counters:
            raise
        invocation.output.complain(f"smtpctl: {refused}")
    return counters
