"""trace imsg --watch: the messages between the processes, live, until a limit, the end of the one mail, or
^C.

JSON: an object a message: "time" (Unix), "sender", "receiver", "kind", "number", "peerid", "pid", "bytes",
"descriptor", "fields" (by name; ids in hex, secrets "***"; null if not known), "waited" (seconds in the
socket), "request" (a reply: its request's peerid), "elapsed" (seconds since that request), "sessions",
"messages", "envelopes" (ids); at the end one {"done": true, "number": N, "lost": N, "left_out": N, "reason":
"..."}: how many were shown, how many not, and how many of these because the machine was busy.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter
from ..output import Output
from ..see import filters, line
from ..see.ending import Ending, Enough
from ..see.filters import Selection
from ..see.joining import Joiner, Message
from ..see.limits import INTERRUPTED, LIMITS, Limits
from ..see.pace import BACKLOG, Pace
from ..see.watching import Watching
from . import switches

OPTIONS = (
    Option("watch", "", "imsg only: show the messages themselves, here and now, instead of logging lines"),
    *filters.OPTIONS,
    *LIMITS,
    Option("full", "", "with all that is empty or long"),
    Option("colour", "WHEN", "always, never or auto (to a terminal)"),
)

FLUSHED = 64
"""Messages that wait in a buffer at most, before it is known whether somebody takes them."""

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
    kinds = filters.wanted_kinds(options) if "mail" not in options else ()
    output = invocation.output
    give_way()
    with (
        Watching(invocation.places.socket, kinds, seconds=limits.seconds) as watching,
        Ending(lambda again: output.abandon(complaints=again)) as ending,
    ):
        showing = Showing(output, lines)
        pace = Pace(rests=selection.everything)
        stuck = False
        try:
            reason = _run(watching, selection, showing, limits, pace, ending)
        except Enough as enough:
            if not enough.stuck:
                raise
            reason, stuck = INTERRUPTED, True
            ending.left += showing.waiting + len(watching.last())
        lost = watching.lost + (ending.left if reason == INTERRUPTED else 0)
        numbers = {"number": showing.shown, "lost": lost, "left_out": pace.left_out}
        _sum_up(output, {"done": True, **numbers, "reason": reason}, stuck)
    return 0


def _sum_up(output: Output, summary: Mapping[str, Any], stuck: bool) -> None:
    """`stuck`: nobody takes the output."""
    if output.as_json and stuck:
        output.complain(json.dumps(summary))
    elif output.as_json:
        output.row("", summary)
        output.flush()
    else:
        left_out, too_slow = summary["left_out"], summary["lost"] - summary["left_out"]
        said = f"{summary['number']} messages"
        if left_out:
            said += f", {left_out} left out: this machine was busy"
        if too_slow:
            said += f", {too_slow} not seen: this end was too slow"
        output.complain(f"{said}; ended: {summary['reason']}")


class Showing:
    """Shows messages. `shown`: how many somebody has taken; `waiting`: how many more were written."""

    def __init__(self, output: Output, lines: line.Lines) -> None:
        self._output = output
        self._lines = lines
        self.shown = self.waiting = 0

    def show(self, message: Message) -> None:
        """Write one."""
        if self._output.as_json:
            self._output.row("", line.values(message))
        else:
            for text in self._lines.of(message):
                self._output.text(text)
        self.waiting += 1
        if self.waiting >= FLUSHED:
            self.flush()

    def say(self, text: str) -> None:
        """Something about them, between them."""
        self.flush()
        self._output.complain(text)

    def flush(self) -> None:
        """Have them out."""
        self._output.flush()
        self.shown += self.waiting
        self.waiting = 0


def _run(
    watching: Watching, selection: Selection, showing: Showing, limits: Limits, pace: Pace, ending: Ending
) -> str:
    """Show the messages that are wanted, as they come, and between them how many were missed there. Why it
    is over.
    """
    joiner = Joiner()
    grace = 0.0
    told = False
    while True:
        if pace.rest and not ending.asked and (said := pace.rested(watching.rest(pace.rest, BACKLOG))):
            showing.say(said)
        asked = ending.asked  # before the look, which is the last one then
        if not told and watching.began:
            told = True
            showing.say(limits.beginning("messages"))
        new = watching.last() if asked else watching.look()
        if missed := pace.looked(watching.lost):
            showing.say(missed)
        for seen in ending.each(new):
            message = joiner.feed(seen)
            for each in selection.select(message) if message is not None else ():
                showing.show(each)
                if limits.count and showing.shown + showing.waiting == limits.count:
                    showing.flush()
                    return f"the limit of {limits.count} messages (--count=0 for none)"
        showing.flush()
        pace.shown()
        if watching.over:
            return watching.why or ("that mail is through" if selection.over else limits.why)
        if selection.over:  # what the last message sets off still comes
            grace = grace or time.monotonic() + 0.25
            if time.monotonic() >= grace:
                return "that mail is through"
        if asked:
            return INTERRUPTED


def in_colour(options: Mapping[str, str]) -> bool:
    """Whether to use colours; BadFilter."""
    when = options.get("colour", "auto")
    if when not in ("always", "never", "auto"):
        raise BadFilter(f"--colour={when}: always, never and auto are possible")
    return when == "always" or (when == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR"))


def give_way() -> None:
    """Run when others want the processor less: whoever looks must not slow what is looked at.

    Not SCHED_IDLE: on a busy machine it would hardly run, and miss most.
    """
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        os.nice(19)
