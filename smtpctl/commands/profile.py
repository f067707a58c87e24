"""profile, unprofile, show profile: where time goes in the running daemon.

JSON of `show profile`: an object a thing measured: "process", "subsystem" (imsg, mproc, queue), "what",
"peer", "name", "number", "rate" (a second), "total", "p50", "p90", "p99", "max". Times are in ns. `what` of
imsg: "handler" (of messages `name` from `peer`), "reply" (to requests `name` sent to `peer`), "socket"
(measured by control: how long messages `name` waited until `peer` read them), "missed" (number: of messages
that control could not measure so), "in" and "out" (frames; total: bytes). Of mproc: "late" (the loop),
"busy" (in thousandths of the time), "queued" (bytes waiting to and from `peer`), "unanswered" (requests),
"oldest" (of them). Of queue: "operation", "fsync". With --watch each object has "time" too, and is about the
last second.
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from smtpd.messages.client_observation import ClientSetProfile, ClientShowProfile, ProfileRows

from ..invocation import Invocation
from ..matching import Option, Parameter
from ..see.measures import WIDE, Measures, imsg_table, measures, mproc_table, queue_table

OPTIONS = (Option("watch", "", "again every second, about the last second, until interrupted"),)

_SUCCEEDED = "command succeeded"
_TABLES: tuple[tuple[str, Callable[[Measures, int], list[str]]], ...] = (
    ("imsg", imsg_table),
    ("mproc", mproc_table),
    ("queue", queue_table),
)


def profile(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """profile SUBSYSTEM."""
    request = ClientSetProfile(parameters[0].value, True)
    return invocation.output.done(_SUCCEEDED, invocation.client.ask(request))


def unprofile(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """unprofile SUBSYSTEM."""
    request = ClientSetProfile(parameters[0].value, False)
    return invocation.output.done(_SUCCEEDED, invocation.client.ask(request))


def show_profile(invocation: Invocation, _parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """show profile."""
    found = _measures(invocation)
    if "watch" not in options:
        _show(invocation, found, {})
        return 0
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)
            now = _measures(invocation)
            if not invocation.output.as_json and sys.stdout.isatty():
                sys.stdout.write("\033[H\033[2J")
            _show(invocation, now.since(found), {"time": time.time()})
            invocation.output.flush()
            found = now
    return 0


def _columns() -> int:
    """The width of the terminal; where there is none, all that is wanted."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def _measures(invocation: Invocation) -> Measures:
    rows = invocation.client.rows(ClientShowProfile())
    return measures((r.process, r.milliseconds, r.rows) for r in rows if isinstance(r, ProfileRows))


def _show(invocation: Invocation, found: Measures, more: Mapping[str, float]) -> None:
    if invocation.output.as_json:
        for (process, subsystem, what, peer, name), row in sorted(found.rows.items()):
            seconds = found.seconds.get(process, 0.0)
            values = {
                "process": process,
                "subsystem": subsystem,
                "what": what,
                "peer": peer,
                "name": name,
                "number": row.count,
                "rate": row.count / seconds if seconds else 0.0,
                "total": row.total,
                "p50": row.percentile(50),
                "p90": row.percentile(90),
                "p99": row.percentile(99),
                "max": row.most,
            }
            invocation.output.row("", {**more, **values})
        return
    shown = False
    for name, table in _TABLES:
        lines = table(found, _columns())
        if lines:
            longest = max(found.seconds.values(), default=0.0)
            invocation.output.text(f"{chr(10) * shown}{name}, {longest:.1f} s")
            shown = True
            for text in lines:
                invocation.output.text(text.rstrip())
    if not shown:
        invocation.output.text(
            "nothing was measured: `profile imsg`, `profile mproc` and `profile queue` begin"
        )
