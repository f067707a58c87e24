"""Messages and handlers in the Trace Event Format, which Perfetto and chrome://tracing open
(https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).

A track a process: a slice for each run of a handler, and a thin one where messages were sent; a flow arrow
for each message, from the sending to its handler; requests that are open as a second, asynchronous track. A
process does one thing at a time, so slices of a track never overlap. Without the times of handlers
(`capture --handlers`) a slice only marks the arrival. Times are in microseconds from the first message on.
"""

import json
from array import array
from collections.abc import Iterator
from typing import Any

from .flow import Flow
from .joining import Message
from .values import plain_fields

MARK = 0.5
"""The length of a slice that only marks a moment, in microseconds."""

_TRACK = 1


def chrome_trace(flow: Flow) -> Iterator[str]:
    """The file, an event a line."""
    yield '{"displayTimeUnit":"ns","traceEvents":['
    pids = {name: index + 1 for index, name in enumerate(flow.processes)}
    for name, pid in pids.items():
        yield _event(ph="M", name="process_name", pid=pid, tid=_TRACK, args={"name": name}) + ","
        yield _event(ph="M", name="process_sort_index", pid=pid, tid=_TRACK, args={"sort_index": pid}) + ","
    for event in _slices(flow, pids):
        yield _event(**event) + ","
    for number, message in enumerate(flow.messages):
        for event in _request(message, number, flow.begin, pids):
            yield _event(**event) + ","
    yield _event(ph="M", name="smtpd", pid=0, tid=0, args={"flow": flow.title}) + "]}"


def _event(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"))


def _slices(flow: Flow, pids: dict[str, int]) -> Iterator[dict[str, Any]]:
    """Slices and arrows, in the order of time on each track.

    An arrow goes from a sending to the first run of the handler, and never back in time: what clocks or a
    broken recorder have the wrong way round has none.
    """
    sent, handled = (array("d", [-1.0]) * len(flow.messages) for _ in range(2))
    for name in pids:
        for begin, _, number, _, step in _placed(flow, name):
            if step < 0:
                sent[number] = begin
            elif step == 0:
                handled[number] = begin
    for name, pid in pids.items():
        for begin, end, number, message, step in _placed(flow, name):
            length = round(end - begin, 3)
            slice_ = {"pid": pid, "tid": _TRACK, "ts": begin, "dur": length, "ph": "X"}
            arrow = 0 <= sent[number] <= handled[number]
            if step < 0:
                yield slice_ | {"name": f"send {message.name}", "cat": "send"}
                if arrow:
                    yield _arrow("s", number, message, pid, begin)
                continue
            more = {} if step == 0 else {"step": step}
            yield slice_ | {"name": message.name, "cat": "handler", "args": _arguments(message) | more}
            if step == 0 and arrow:
                yield _arrow("f", number, message, pid, begin) | {"bp": "e"}


def _placed(flow: Flow, name: str) -> Iterator[tuple[float, float, int, Message, int]]:
    """The slices of a track, one after the other: (begin in us, end, message's number, message, step)."""
    free = 0.0  # the track's last slice ends there
    for when, length, number, message, step in sorted(_on_track(flow, name), key=_order):
        begin = max((when - flow.begin) / 1000, free)
        end = max(begin + length / 1000, begin + MARK) if length else begin + MARK
        free = end
        yield round(begin, 3), round(end, 3), number, message, step


def _order(item: tuple[int, int, int, Message, int]) -> tuple[int, int, int]:
    return item[0], item[4], item[2]


def _on_track(flow: Flow, name: str) -> Iterator[tuple[int, int, int, Message, int]]:
    """(begin in ns, length, number of the message, message, step); step -1 is the sending."""
    for number, message in enumerate(flow.messages):
        if message.sender == name and message.sent is not None:
            yield message.sent, 0, number, message, -1
        if message.receiver == name and message.received is not None:
            runs = message.handled or [(message.received, 0)]
            for step, (began, took) in enumerate(runs):
                yield began, took, number, message, step


def _arrow(phase: str, number: int, message: Message, pid: int, when: float) -> dict[str, Any]:
    return {
        "ph": phase, "id": number + 1, "name": message.name, "cat": "message",
        "pid": pid, "tid": _TRACK, "ts": when,
    }  # fmt: skip


def _request(message: Message, number: int, begin: int, pids: dict[str, int]) -> Iterator[dict[str, Any]]:
    """A request while it is open, at the one who asked."""
    reply = message.reply
    if reply is None or message.sender not in pids:
        return
    common = {
        "cat": "request",
        "id": number + 1,
        "name": message.name,
        "pid": pids[message.sender],
        "tid": _TRACK,
    }
    start = round((message.time - begin) / 1000, 3)
    yield common | {"ph": "b", "ts": start, "args": _arguments(message)}
    yield common | {
        "ph": "e",
        "ts": max(start, round((reply.end - begin) / 1000, 3)),
        "args": {"reply": reply.name},
    }


def _arguments(message: Message) -> dict[str, Any]:
    """What is shown of the slice that is picked: the fields that are neither empty nor structures."""
    kind, fields = message.kind, message.fields
    shown: dict[str, Any] = {} if kind is None or fields is None else plain_fields(kind, fields)
    simple = {name: value for name, value in shown.items() if value and not isinstance(value, dict)}
    message.forget()
    return simple | {"from": message.sender, "peerid": message.peerid}
