"""smtpd/control/profiles.py, in a whole process whose peers and clients the test holds (conftest.py)."""

import asyncio
import time
from typing import Any

import pytest

from smtpd.control import profiles
from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_observation import ClientSetProfile, ClientShowProfile, ProfileRows
from smtpd.messages.control_observation import (
    PROFILED,
    Bucket,
    GetProfile,
    ProfilePart,
    ProfileRow,
    SetProfile,
)
from smtpd.messages.control_process import OTHERS

DONE = ClientDone(0, "", 1)


def row(name: str) -> ProfileRow:
    return ProfileRow("imsg", "handler", "queue", name, 1, 5, 5, [Bucket(5, 1)])


def answers(bench: Any, parts: int = 1) -> None:
    """Every process has `parts` parts of one row."""

    def part(process: str, reqid: int, message: GetProfile) -> ProfilePart:
        after = message.start + 1
        return ProfilePart(reqid, after % parts, 9, [row(f"{process}{message.start}")])

    bench.answers[GetProfile] = part


def shown(process: str, *names: str, milliseconds: int = 9) -> ProfileRows:
    return ProfileRows(0, process, 0, milliseconds, [row(name) for name in names])


def test_on_and_off_in_every_process(bench: Any) -> None:
    client = bench.connect()
    assert bench.ask(client, ClientSetProfile("mproc", True)) == [DONE]
    assert bench.process.profiling.part(0, 0).rows == []
    until = time.monotonic() + 10
    while not bench.process.profiling.part(0, 0).rows:  # control itself is measured too
        assert time.monotonic() < until
        bench.loop.run_until_complete(asyncio.sleep(0.02))
    assert bench.ask(client, ClientSetProfile("mproc", False)) == [DONE]
    for name in OTHERS:
        assert bench.heard[name] == [SetProfile("mproc", True), SetProfile("mproc", False)]


def test_all_of_them(bench: Any, own_uid: int, capfd: pytest.CaptureFixture[str]) -> None:
    client = bench.connect()
    assert bench.ask(client, ClientSetProfile("all", True)) == [DONE]
    assert bench.ask(client, ClientSetProfile("all", False)) == [DONE]
    for name in OTHERS:
        assert bench.heard[name] == [SetProfile(each, on) for on in (True, False) for each in PROFILED]
    lines = [line.split("control: ", 1)[1] for line in capfd.readouterr().err.splitlines()]
    assert lines == [f"control: uid={own_uid} {verb} all: done" for verb in ("profile", "unprofile")]


def test_an_unknown_subsystem(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    (done,) = bench.ask(bench.connect(), ClientSetProfile("moon", True))
    assert done == ClientDone(0, "no such subsystem: moon; there are imsg, mproc, queue and all", 0)
    assert all(heard == [] for heard in bench.heard.values())
    assert "profile an unknown subsystem: failed" in capfd.readouterr().err


def test_rows_of_all_processes(bench: Any) -> None:
    answers(bench)
    bench.process.profile.add("imsg", "handler", "queue", "mine", 5)
    replies = bench.ask(bench.connect(), ClientShowProfile())
    assert replies == [
        *(shown(name, f"{name}0") for name in OTHERS),
        shown("control", "mine", milliseconds=0),
        ClientDone(0, "", len(OTHERS) + 1),
    ]


def test_all_parts_of_a_process(bench: Any) -> None:
    answers(bench, parts=3)
    replies = bench.ask(bench.connect(), ClientShowProfile())
    assert [reply for reply in replies if isinstance(reply, ProfileRows) and reply.process == "pony"] == [
        shown("pony", f"pony{number}") for number in range(3)
    ]
    assert replies[-1] == ClientDone(0, "", 3 * len(OTHERS))
    assert bench.heard["pony"] == [GetProfile(0), GetProfile(1), GetProfile(2)]


def test_a_process_that_is_gone_is_named(bench: Any) -> None:
    answers(bench)
    bench.ends.pop("pony").close()
    bench.turn()
    replies = bench.ask(bench.connect(), ClientShowProfile())
    assert replies[-1] == ClientDone(0, "no answer from pony", len(OTHERS) - 1)


def test_a_process_that_does_not_answer_is_named(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "ANSWER_SECONDS", 0.3)
    answers(bench)
    answer = bench.answers[GetProfile]
    bench.answers[GetProfile] = lambda name, *rest: None if name == "queue" else answer(name, *rest)
    client = bench.connect()
    client.put(ClientShowProfile())
    client.flush()
    replies: list[Any] = []
    for _ in range(200):
        bench.turn()
        bench.loop.run_until_complete(asyncio.sleep(0.005))
        replies += [message for _, message, _, _ in client.receive()]
        if replies and isinstance(replies[-1], ClientDone):
            break
    assert replies[-1][1:] == ("no answer from queue", len(OTHERS) - 1)
    assert [reply.process for reply in replies[:-1]] == [*(n for n in OTHERS if n != "queue"), "control"]
