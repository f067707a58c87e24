"""smtpctl/see/chrome.py: a file that is JSON, tracks without overlaps, arrows, requests that are open."""

import json
from typing import Any

import pytest
from traffic import Traffic

from smtpctl.see.chrome import MARK, chrome_trace
from smtpctl.see.flow import Flow, everything, join
from smtpctl.see.joining import Message
from smtpctl.see.seen import Seen

REQUESTS = 11


def mail(*, handlers: bool = False, step: int = 100_000) -> list[Message]:
    sightings = Traffic(step, handlers=handlers).mail(0xCB4DE24F, 0xCA5D4878260E45A8)
    return join(sightings, handlers=handlers)


def events(flow: Flow) -> list[dict[str, Any]]:
    file = json.loads("\n".join(chrome_trace(flow)))
    found: list[dict[str, Any]] = file["traceEvents"]
    return found


def phase(found: list[dict[str, Any]], letter: str) -> list[dict[str, Any]]:
    return [event for event in found if event["ph"] == letter]


def test_a_track_for_each_process() -> None:
    flow = everything(mail())
    names = [event["args"]["name"] for event in events(flow) if event["name"] == "process_name"]
    assert names == flow.processes == ["delivery", "parent", "lookup", "pony", "queue", "scheduler"]


@pytest.mark.parametrize(("handlers", "step"), [(False, 100_000), (True, 100_000), (True, 200), (False, 20)])
def test_slices_of_a_track_never_overlap(handlers: bool, step: int) -> None:
    free: dict[int, float] = {}
    slices = phase(events(everything(mail(handlers=handlers, step=step))), "X")
    for event in slices:
        assert event["ts"] >= free.get(event["pid"], 0) - 1e-6
        assert event["dur"] >= MARK - 1e-6
        free[event["pid"]] = event["ts"] + event["dur"]
    assert len(slices) == 26 + 26  # one message each is seen at its sender, or its receiver, only


def test_the_time_of_a_handler_is_the_length_of_its_slice() -> None:
    slices = [e for e in phase(events(everything(mail(handlers=True))), "X") if e["cat"] == "handler"]
    assert {event["dur"] for event in slices} == {25.0}
    marks = [e for e in phase(events(everything(mail())), "X") if e["cat"] == "handler"]
    assert {event["dur"] for event in marks} == {MARK}
    first = next(event["args"] for event in slices if event["name"] == "ReverseName")
    assert first == {"address": "192.0.2.1", "session": "ca5d4878260e45a8", "from": "pony", "peerid": 1}


def test_arrows_begin_and_end_on_slices_of_their_message() -> None:
    found = events(everything(mail()))
    slices = {(event["pid"], event["ts"]) for event in phase(found, "X")}
    begins = {event["id"]: event for event in phase(found, "s")}
    ends = {event["id"]: event for event in phase(found, "f")}
    assert (len(begins), len(ends)) == (26, 25) and ends.keys() < begins.keys()
    for number, end in ends.items():
        begin = begins[number]
        assert begin["name"] == end["name"] and begin["ts"] <= end["ts"] and end["bp"] == "e"
        assert {(begin["pid"], begin["ts"]), (end["pid"], end["ts"])} <= slices


def test_requests_are_open_until_their_reply() -> None:
    found = events(everything(mail()))
    begins, ends = phase(found, "b"), phase(found, "e")
    assert len(begins) == len(ends) == REQUESTS
    for begin, end in zip(begins, ends, strict=True):
        assert (begin["id"], begin["name"], begin["pid"]) == (end["id"], end["name"], end["pid"])
        assert end["ts"] - begin["ts"] >= 149
    assert (begins[1]["name"], ends[1]["args"]) == ("CreateMessage", {"reply": "MessageCreated"})


def test_nothing_and_hostile_names() -> None:
    assert [event["name"] for event in events(Flow("nothing", []))] == ["smtpd"]
    odd = Message(Seen(5, '"},{<\x1b', "pony", 0, 0xFFFFFFF0, 16, 1, 2, b"\xc1"))
    found = events(Flow('"]}', [odd]))
    assert found[-1]["args"] == {"flow": '"]}'}
    assert phase(found, "X")[0]["name"] == "message 0xfffffff0"
