"""trace imsg --watch: the messages between the processes, live, until a limit, the end of the one mail, or
^C.

JSON: an object a message: "time" (Unix), "sender", "receiver", "kind", "number", "peerid", "pid", "bytes",
"descriptor", "fields" (by name; ids in hex, secrets "***"; null if not known), "waited" (seconds in the
socket), "request" (a reply: its request's peerid), "elapsed" (seconds since that request), "sessions",
"messages", "envelopes" (ids); at the end one {"done": true, "number": N, "lost": N, "reason": "..."}.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter
from ..see import filters, line
from ..see.filters import Selection
from ..see.joining import Joiner, Message
from ..see.limits import LIMITS, Limits
from ..see.watching import LOOK_SECONDS, Watching
from . import switches

OPTIONS = (
    Option("watch", "", "imsg only: show the messages themselves, here and now, instead of logging lines"),
    *filters.OPTIONS,
    *LIMITS,
    Option("full", "", "with all that is empty or long"),
    Option("colour", "WHEN", "always, never or auto (to a terminal)"),
)

REST = 12.0
"""Seconds of rest for each of work, of whoever watches everything on a busy machine: the daemon has better
use for a processor. Nobody reads as fast as that anyway, and what goes by meanwhile is counted."""

IDLE = 0.5
"""The part of the processors' time from which on a machine is not busy."""

REST_MOST = 0.3

DEFAULT_COUNT = 1000
DEFAULT_SECONDS = 600


def trace(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """trace SUBSYSTEM, or trace imsg --watch."""
    if "watch" not in options:
        if options:
            raise BadFilter(f"--{next(iter(options))} goes with --watch")
        return switches.trace(invocation, parameters, options)
    if parameters[0].value != "imsg":
        raise BadFilter(f"{parameters[0].value} can not be watched, only imsg can; its lines are in the log")
    selection = Selection(options)
    limits = Limits(options, count=DEFAULT_COUNT, seconds=DEFAULT_SECONDS)
    lines = line.Lines(colour=in_colour(options), full="full" in options)
    give_way()
    end_on_sigterm()
    shown = 0
    reason = ""

    def say(text: str) -> None:
        sys.stdout.flush()
        invocation.output.complain(text)

    kinds = filters.wanted_kinds(options) if "mail" not in options else ()
    with Watching(invocation.places.socket, kinds, seconds=limits.seconds) as watching:
        try:
            for message in _selected(watching, selection, limits.beginning("messages"), say):
                if invocation.output.as_json:
                    invocation.output.row("", line.values(message))
                else:
                    for text in lines.of(message):
                        invocation.output.text(text)
                shown += 1
                if limits.count and shown == limits.count:
                    reason = f"the limit of {shown} messages (--count=0 for none)"
                    break
        except KeyboardInterrupt:
            watching.end()
        reason = reason or watching.why or ("that mail is through" if selection.over else "")
        reason = reason or (limits.why if watching.over else "interrupted")
        lost = watching.lost
    summary = {"done": True, "number": shown, "lost": lost, "reason": reason}
    if invocation.output.as_json:
        invocation.output.row("", summary)
    else:
        missed = f", {lost} not seen: this end was too slow" if lost else ""
        invocation.output.complain(f"{shown} messages{missed}; ended: {reason}")
    return 0


def _selected(
    watching: Watching, selection: Selection, beginning: str, say: Callable[[str], None]
) -> Iterator[Message]:
    """The messages that are wanted, as they come. `beginning` is said once all that passes is seen; between
    messages is said how many were missed there."""
    joiner = Joiner()
    grace = 0.0
    told = False
    lost = 0
    rest = LOOK_SECONDS
    processors = Processors()
    while True:
        began = time.thread_time()
        if not told and watching.began:
            told = True
            say(beginning)
        new = watching.look(rest)
        if watching.lost > lost:
            say(f"{watching.lost - lost} not seen here: this end is too slow")
            lost = watching.lost
        for seen in new:
            message = joiner.feed(seen)
            if message is not None:
                yield from selection.select(message)
        sys.stdout.flush()
        if selection.everything:
            worked = time.thread_time() - began
            busy = processors.idle() < IDLE
            rest = min(max(REST * worked, LOOK_SECONDS), REST_MOST) if busy else LOOK_SECONDS
        if watching.over:
            return
        if selection.over:  # what the last message sets off still comes
            grace = grace or time.monotonic() + 0.25
            if time.monotonic() >= grace:
                return


class Processors:
    """How much of their time is left, by proc(5); a machine that does not tell counts as busy."""

    def __init__(self) -> None:
        self._before = self._read()

    def idle(self) -> float:
        """The idle part, 0 to 1, of their time since the last call, of 10 ms at least."""
        now = self._read()
        idle, whole = now[0] - self._before[0], now[1] - self._before[1]
        if whole <= 0:
            return 0.0
        self._before = now
        return idle / whole

    def _read(self) -> tuple[int, int]:
        try:
            with open("/proc/stat", "rb") as file:
                times = [int(word) for word in file.readline().split()[1:9]]
        except (OSError, ValueError):
            return 0, 0
        return sum(times[3:5]), sum(times)


def in_colour(options: Mapping[str, str]) -> bool:
    """Whether to use colours; BadFilter."""
    when = options.get("colour", "auto")
    if when not in ("always", "never", "auto"):
        raise BadFilter(f"--colour={when}: always, never and auto are possible")
    return when == "always" or (when == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def end_on_sigterm() -> None:
    """As ^C: what was seen so far is whole, and summed up (`timeout 10 smtpctl capture`)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def give_way() -> None:
    """Run when others want the processor less: whoever looks must not slow what is looked at.

    Not SCHED_IDLE: on a busy machine it would hardly run, and miss most.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.nice(19)
