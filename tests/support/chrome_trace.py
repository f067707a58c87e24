"""Checks a file against the Trace Event Format, as Perfetto's importer takes it
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).

Checked are: that it is JSON; the fields that each phase must have; that processes are named before anything
is in them; times that are numbers and not negative; slices of a track one after the other; arrows with two
ends, each on a slice, that do not go back in time; requests that end, after they began.

Line by line, so that a file of a million messages needs little memory: our files have an event a line.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

REQUIRED = {
    "X": {"name", "ph", "ts", "dur", "pid", "tid"},
    "M": {"name", "ph", "pid", "args"},
    "s": {"name", "ph", "ts", "pid", "tid", "id", "cat"},
    "f": {"name", "ph", "ts", "pid", "tid", "id", "cat"},
    "b": {"name", "ph", "ts", "pid", "id", "cat"},
    "e": {"name", "ph", "ts", "pid", "id", "cat"},
}


class Summary(NamedTuple):
    """How many events of each phase, and how many tracks have a name."""

    phases: dict[str, int]
    processes: dict[int, str]


def events(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The events of a file as we write it. ValueError if it is not JSON all in all."""
    rest = iter(lines)
    head = next(rest, "").strip()
    if head != '{"displayTimeUnit":"ns","traceEvents":[':
        raise ValueError(f"begins with {head!r}")
    ended = False
    for line in rest:
        if ended:
            raise ValueError("goes on behind its end")
        text = line.strip()
        if text.endswith("]}"):
            ended, text = True, text[:-2]
        elif text.endswith(","):
            text = text[:-1]
        else:
            raise ValueError(f"no comma between two events: {text[-80:]!r}")
        event = json.loads(text)
        if not isinstance(event, dict):
            raise ValueError("an event that is no object")
        yield event
    if not ended:
        raise ValueError("has no end")


def check(lines: Iterable[str]) -> Summary:
    """ValueError at the first thing that is wrong."""
    phases: dict[str, int] = {}
    processes: dict[int, str] = {}
    last: dict[tuple[int, int], float] = {}  # where the last slice of a track ended
    begun: dict[tuple[str, int, int], float] = {}
    arrows: dict[int, list[Any]] = {}
    slices: dict[tuple[int, int], tuple[float, float]] = {}
    for event in events(lines):
        phase = event.get("ph")
        if phase not in REQUIRED:
            raise ValueError(f"phase {phase!r}")
        missing = REQUIRED[phase] - event.keys()
        if missing:
            raise ValueError(f"{phase} without {missing}")
        phases[phase] = phases.get(phase, 0) + 1
        if phase == "M":
            if event["name"] == "process_name":
                processes[event["pid"]] = event["args"]["name"]
            continue
        when = event["ts"]
        if not isinstance(when, int | float) or when < 0 or event["pid"] not in processes:
            raise ValueError(f"at {when!r} in process {event['pid']!r}")
        if phase == "X":
            track = event["pid"], event["tid"]
            if event["dur"] < 0 or when < last.get(track, 0.0) - 0.0015:
                raise ValueError(f"overlaps the slice before it: {event}")
            last[track] = when + event["dur"]
            slices[track] = (when, when + event["dur"])
        elif phase in "sf":
            begin, end = slices.get((event["pid"], event["tid"]), (-1.0, -1.0))
            if not begin <= when <= end:
                raise ValueError(f"an arrow that is bound to no slice: {event}")
            if phase == "f" and event.get("bp") != "e":
                raise ValueError("an arrow's end that is not bound to its slice")
            arrows.setdefault(event["id"], []).append((phase, when))
        elif phase == "b":
            begun[event["cat"], event["id"], event["pid"]] = when
        elif begun.pop((event["cat"], event["id"], event["pid"]), when + 1) > when:
            raise ValueError(f"an end without a beginning: {event}")
    if begun:
        raise ValueError(f"{len(begun)} that never end")
    for number, ends in arrows.items():
        if len(ends) == 2 and min(t for p, t in ends if p == "s") > max(t for p, t in ends if p == "f"):
            raise ValueError(f"arrow {number} goes back in time")
        if [phase for phase, _ in ends].count("s") > 1 or [phase for phase, _ in ends].count("f") > 1:
            raise ValueError(f"arrow {number} has more than two ends")
        if len({phase for phase, _ in ends}) != 2:
            raise ValueError(f"arrow {number} has one end")
    return Summary(phases, processes)
