"""capture: the messages between the processes into a pcapng file, for Wireshark or for `show flow`.

`smtpctl capture | wireshark -k -i -` shows them live; tools/dissector writes the plugin that decodes them.
JSON, at the end: {"done": true, "number": N, "lost": N, "bytes": N, "reason": "..."}, on standard error if
the capture goes to standard output.
"""

import contextlib
import json
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import IO

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter
from ..output import to_nowhere
from ..see import filters
from ..see.ending import Ending, Enough
from ..see.filters import Selection
from ..see.joining import Joiner
from ..see.limits import INTERRUPTED, LIMITS, Limits
from ..see.pcapng import CaptureWriter
from ..see.seen import OUT, Seen
from ..see.watching import Watching

OPTIONS = (
    *filters.OPTIONS,
    *LIMITS,
    Option("handlers", "", "also when each handler ran, and for how long (show flow --perfetto shows it)"),
)
DEFAULT_COUNT = 1_000_000
DEFAULT_SECONDS = 3600


def capture(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """capture [-w FILE]: "-" and nothing mean standard output."""
    path = parameters[0].value if parameters else "-"
    if path == "-" and sys.stdout.isatty():
        raise BadFilter("a capture is not for a terminal: -w FILE, or a pipe to wireshark -k -i -")
    selection = Selection(options)
    limits = Limits(options, count=DEFAULT_COUNT, seconds=DEFAULT_SECONDS)
    kinds = () if "mail" in options else filters.wanted_kinds(options)
    with contextlib.ExitStack() as opened:
        watching = opened.enter_context(
            Watching(invocation.places.socket, kinds, handlers="handlers" in options, seconds=limits.seconds)
        )
        file = opened.enter_context(_open(path))
        writing = Writing(file, None if _everything(options) else selection)
        ending = opened.enter_context(Ending(lambda again: _give_up(invocation, file, again)))
        try:
            reason = _run(invocation, watching, writing, limits, ending)
            number = writing.number
        except Enough as enough:
            if not enough.stuck:
                raise
            reason, number = INTERRUPTED, writing.flushed
            ending.left += writing.number - number + len(watching.last())
        lost = watching.lost + (ending.left if reason == INTERRUPTED else 0)
        writing.finish(lost)
        summary = {"done": True, "number": number, "lost": lost, "reason": reason}
        _sum_up(invocation, summary, path)
    return 0


def _sum_up(invocation: Invocation, summary: Mapping[str, object], path: str) -> None:
    if path == "-":
        invocation.output.complain(json.dumps(summary) if invocation.output.as_json else _say(summary))
    elif invocation.output.as_json:
        invocation.output.row("", summary)
    else:
        invocation.output.text(_say(summary))
    invocation.output.flush()


def _say(summary: Mapping[str, object]) -> str:
    missed = f", {summary['lost']} missed" if summary["lost"] else ""
    return f"{summary['number']} packets{missed}; ended: {summary['reason']}"


def _everything(options: Mapping[str, str]) -> bool:
    """Whether no filter needs to look into messages."""
    return not any(option.name in options for option in filters.OPTIONS)


def _open(path: str) -> IO[bytes]:
    if path == "-":
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb", 1 << 16)
    try:
        # what is captured is not for everybody
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadFilter(f"{path}: {error.strerror}") from None
    return os.fdopen(fd, "wb", 1 << 18)


def _give_up(invocation: Invocation, file: IO[bytes], again: bool) -> None:
    """Nobody takes what is written; a file always does."""
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        to_nowhere(file)
    if again:
        invocation.output.abandon(complaints=True)


def _run(
    invocation: Invocation, watching: Watching, writing: "Writing", limits: Limits, ending: Ending
) -> str:
    """Until it is over; why it is."""
    told = False
    while True:
        asked = ending.asked  # before the look, which is the last one then
        new = watching.last() if asked else watching.look()
        if not told and watching.began:
            told = True
            invocation.output.complain(limits.beginning("packets"))
        for seen in ending.each(new):
            writing.take(seen)
            if limits.count and writing.number >= limits.count:
                return f"the limit of {limits.count} packets (--count=0 for none)"
        if new:
            writing.flush()
        if watching.over:
            return watching.why or limits.why
        if writing.over:
            return "that mail is through"
        if asked:
            return INTERRUPTED


class Writing:
    """Writes the sightings of the messages that a selection wants, or all. `flushed`: how many packets
    somebody has taken.
    """

    def __init__(self, file: IO[bytes], selection: Selection | None) -> None:
        self._file = file
        self._writer = CaptureWriter(file)
        self._selection = selection
        self._joiner = Joiner()
        self.flushed = 0

    @property
    def number(self) -> int:
        """How many packets were written."""
        return self._writer.number

    def flush(self) -> None:
        """Have them out."""
        self._file.flush()
        self.flushed = self.number

    def finish(self, lost: int) -> None:
        """The end; how many were missed."""
        self._writer.finish(lost)
        self.flush()

    @property
    def over(self) -> bool:
        """Nothing more is wanted."""
        return self._selection is not None and self._selection.over

    def take(self, seen: Seen) -> None:
        """Write it, or what of the past it makes wanted."""
        if self._selection is None:
            self._writer.write(seen)
            return
        message = self._joiner.feed(seen)
        if message is None:
            return
        for each in self._selection.select(message):
            if each.sent is not None and each.received is not None:
                self._writer.write(
                    Seen(
                        each.sent,
                        each.sender,
                        each.receiver,
                        OUT,
                        each.number,
                        each.length,
                        each.peerid,
                        each.pid,
                        None,
                    )  # fmt: skip
                )
            self._writer.write(each.seen)
