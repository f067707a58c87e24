"""show recorder: the last messages of a process, or of all, as its flight recorder has them; it is always on.

JSON, a line a header, the oldest first: "time" (Unix), "process", "direction" ("in", "out"), "channel" (the
other end), "kind", "number", "bytes", "peerid", "pid", "descriptor". With --counts a line a kind:
"process", "kind", "number", "count_in", "bytes_in", "count_out", "bytes_out" since the process was started.
"""

import heapq
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from imsg import Recorder, RecorderEntry
from smtpd.messages.catalogue import CATALOGUE

from ..failure import BadFilter
from ..invocation import Invocation
from ..matching import Option, Parameter
from ..see.line import clock
from ..see.watching import Memory, clock_offset, recorders

OPTIONS = (
    Option("last", "N", "only so many of the last messages (100; 0: all that are there)"),
    Option("counts", "", "how many messages and bytes of each kind since the start, instead"),
)
DEFAULT_LAST = 100


def show_recorder(invocation: Invocation, parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """show recorder [PROCESS]."""
    memories = recorders(invocation.client)
    if parameters:
        names = sorted(memory.process for memory in memories)
        memories = [memory for memory in memories if memory.process == parameters[0].value]
        if not memories:
            raise BadFilter(f"{parameters[0].value!r} is no process; {', '.join(names)} are")
    if "counts" in options:
        _show_counts(invocation, memories)
        return 0
    offset = clock_offset()
    streams = [[(entry.time + offset, m.process, entry) for entry in m.entries] for m in memories]
    entries = list(heapq.merge(*streams, key=itemgetter(0)))
    for when, process, entry in entries[-last_of(options) :]:
        invocation.output.row(header_line(when, process, entry), header_values(when, process, entry))
    return 0


def last_of(options: Mapping[str, str]) -> int:
    """How many messages are wanted, 0: all; BadFilter."""
    text = options.get("last", str(DEFAULT_LAST))
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise BadFilter(f"--last={text}: a number is needed")
    return int(text)


def header_line(when: int, process: str, entry: RecorderEntry) -> str:
    """A header as a line. `when`: Unix ns."""
    arrow = "→" if entry.direction == "out" else "←"
    marks = " +fd" if entry.descriptor else ""
    return (
        f"{clock(when)} {process:>9} {arrow} {entry.channel:<9} {name_of(entry.type):<18} "
        f"#{entry.peerid} pid={entry.pid} ({entry.length} bytes){marks}"
    )


def header_values(when: int, process: str, entry: RecorderEntry) -> dict[str, Any]:
    """A header for --json."""
    return {
        "time": when / 1e9,
        "process": process,
        "direction": entry.direction,
        "channel": entry.channel,
        "kind": name_of(entry.type),
        "number": entry.type,
        "bytes": entry.length,
        "peerid": entry.peerid,
        "pid": entry.pid,
        "descriptor": entry.descriptor,
    }


def _show_counts(invocation: Invocation, memories: Sequence[Memory]) -> None:
    invocation.output.text(f"{'process':>9} {'kind':<22} {'in':>10} {'bytes':>12} {'out':>10} {'bytes':>12}")
    for memory in memories:
        for number, count in sorted(Recorder.counts(memory.memory).items()):
            name = name_of(number)
            invocation.output.row(
                f"{memory.process:>9} {name:<22} {count.count_in:>10} {count.bytes_in:>12} "
                f"{count.count_out:>10} {count.bytes_out:>12}",
                {"process": memory.process, "kind": name, "number": number, **count._asdict()},
            )


def name_of(number: int) -> str:
    """The name of a kind."""
    kind = CATALOGUE.by_number.get(number)
    return kind.name if kind is not None else f"message {number:#06x}"
