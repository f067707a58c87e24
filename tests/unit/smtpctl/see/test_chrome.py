"""smtpctl/see/chrome.py: a file that is JSON, tracks without overlaps, arrows, requests that are open."""

import json
from typing import Any

import chrome_trace as checker
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
    assert len(ends) == 25 and ends.keys() == begins.keys()  # one goes to somebody without a track
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


def test_an_arrow_never_goes_back_in_time() -> None:
    messages = mail()
    message = messages[4]
    message.sent, message.received = message.received, message.sent
    found = events(Flow("t", messages))
    numbers = {event["id"] for event in phase(found, "s")}
    assert 5 not in numbers and numbers == {event["id"] for event in phase(found, "f")}
    checker.check(f"{text}\n" for text in chrome_trace(Flow("t", messages)))


def written(*events: dict[str, Any]) -> list[str]:
    """A file with these events, and a track "a" before them."""
    track = {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "a"}}
    texts = [json.dumps(event) for event in (track, *events)]
    return [
        '{"displayTimeUnit":"ns","traceEvents":[\n',
        *(f"{t},\n" for t in texts[:-1]),
        f"{texts[-1]}]}}\n",
    ]


SLICE = {"ph": "X", "name": "n", "pid": 1, "tid": 1, "ts": 5, "dur": 5}
ARROW = {"ph": "s", "name": "n", "cat": "c", "pid": 1, "tid": 1, "ts": 6, "id": 1}
END = ARROW | {"ph": "f", "bp": "e", "ts": 7}
OPEN = {"ph": "b", "name": "n", "cat": "c", "pid": 1, "ts": 1, "id": 1}


def test_the_checker_takes_what_is_right() -> None:
    found = checker.check(written(SLICE, ARROW, END, OPEN, OPEN | {"ph": "e", "ts": 2}))
    assert found == ({"M": 1, "X": 1, "s": 1, "f": 1, "b": 1, "e": 1}, {1: "a"})


@pytest.mark.parametrize(
    "wrong",
    [
        [{"ph": "?"}],
        [SLICE | {"dur": -1}],
        [SLICE | {"ts": "5"}],
        [SLICE | {"ts": -5}],
        [SLICE | {"pid": 2}],
        [SLICE, SLICE | {"ts": 6}],
        [{name: value for name, value in SLICE.items() if name != "tid"}],
        [ARROW],
        [SLICE, ARROW],
        [SLICE, END],
        [SLICE, ARROW, ARROW, END],
        [SLICE, ARROW | {"ts": 4}, END],
        [SLICE, ARROW | {"ts": 8}, END],
        [SLICE, ARROW, {name: value for name, value in END.items() if name != "bp"}],
        [OPEN],
        [OPEN, OPEN | {"ph": "e", "ts": 0}],
    ],
)
def test_the_checker_refuses_what_is_wrong(wrong: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError):
        checker.check(written(*wrong))


@pytest.mark.parametrize("cut", [slice(1, None), slice(None, -1), slice(0, 0), slice(None, None, 2)])
def test_the_checker_refuses_a_file_that_is_not_whole(cut: slice) -> None:
    with pytest.raises(ValueError):
        checker.check(written(SLICE, SLICE | {"ts": 20}, SLICE | {"ts": 40})[cut])
