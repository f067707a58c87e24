"""smtpd/mproc/profile.py: histograms of a process, and how it hands them out."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from imsg import Channel, Recorder
from imsg.layout import OUT
from imsg.message import MAX_PAYLOAD, kind_of
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_observation import Bucket, GetProfile, ProfilePart, ProfileRow, SetProfile
from smtpd.messages.pony_queue import CommitMessage, CreateMessage
from smtpd.mproc import profile as module
from smtpd.mproc.log import Log
from smtpd.mproc.process import Process, channel_on
from smtpd.mproc.profile import MOST_ROWS, Profile
from smtpd.mproc.spawn import socketpair

from .conftest import rest_of


def test_values_of_a_thing() -> None:
    profile = Profile()
    for value in (3, 3, 20):
        profile.add("mproc", "late", "", "loop", value)
    profile.add("imsg", "handler", "queue", "CreateMessage", 1)
    assert profile.rows() == [
        ProfileRow("imsg", "handler", "queue", "CreateMessage", 1, 1, 1, [Bucket(1, 1)]),
        ProfileRow("mproc", "late", "", "loop", 3, 26, 20, [Bucket(3, 2), Bucket(20, 1)]),
    ]
    profile.forget("mproc")
    assert [row.subsystem for row in profile.rows()] == ["imsg"]


def test_things_are_bounded() -> None:
    profile = Profile()
    for number in range(MOST_ROWS + 5):
        profile.add("imsg", "handler", "", str(number), 1)
    profile.add("imsg", "handler", "", "0", 1)
    assert len(profile.rows()) == MOST_ROWS and profile.left_out == 5
    assert profile.rows()[0].number == 2


class Pony(Process):
    """A process without anything of its own."""

    NAME = "pony"
    parts = (rest_of("pony", Process),)


class Bench:
    """A process with a recorder and a link to queue, whose other end is `end`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        handler = loop.get_exception_handler()
        self.loop = loop
        self.lines: list[str] = []
        log = Log("pony")
        log._write = lambda _priority, text: self.lines.append(text)  # type: ignore[method-assign]
        self.recorder = Recorder(entries=16)
        self.process = Pony(loop, log, self.recorder)
        loop.set_exception_handler(handler)
        ours, theirs = socketpair()
        self.end = Channel(theirs, CATALOGUE)
        self.peer = self.process.attach("queue", 0, channel_on(ours.detach(), "queue", self.process))
        self.profiling = self.process.profiling

    def rows(self) -> dict[tuple[str, str, str], ProfileRow]:
        return {row[1:4]: row for row in self.profiling.part(1, 0).rows}


@pytest.fixture
def bench(loop: asyncio.AbstractEventLoop) -> Iterator[Bench]:
    bench = Bench(loop)
    yield bench
    for subsystem in ("imsg", "mproc"):
        bench.profiling.profile(subsystem, False)
    bench.peer.close()
    bench.end.close()


def test_on_from_nothing_and_off(bench: Bench) -> None:
    told: list[bool] = []
    bench.profiling.hooks["queue"] = told.append
    bench.process.profile.add("queue", "fsync", "", "fsync", 1)
    bench.profiling.set_profile(bench.peer, SetProfile("queue", True))
    assert bench.rows() == {}
    bench.process.profile.add("queue", "fsync", "", "fsync", 1)
    bench.profiling.set_profile(bench.peer, SetProfile("queue", False))
    bench.profiling.set_profile(bench.peer, SetProfile("queue", False))
    assert list(bench.rows()) == [("fsync", "", "fsync")], "what was measured stays"
    assert told == [True, False]
    bench.profiling.set_profile(bench.peer, SetProfile("moon", True))
    assert bench.lines == ["warn: nothing to profile in moon"]


def test_parts_fit_frames_and_are_of_one_moment(bench: Bench) -> None:
    names = [f"{number:04}" * 20 for number in range(300)]
    for name in names:
        bench.process.profile.add("imsg", "handler", "queue", name, 10**9)
    found: list[str] = []
    start = parts = 0
    while True:
        part = bench.profiling.get_profile(bench.peer, 9, GetProfile(start))
        assert part.reqid == 9 and part.rows
        assert len(CATALOGUE.encode(part)[1]) <= MAX_PAYLOAD
        found += [row.name for row in part.rows]
        start, parts = part.next, parts + 1
        if not start:
            break
        bench.process.profile.add("imsg", "handler", "queue", f"!{start}", 1)  # comes too late
    assert found == names and parts > 1
    assert bench.profiling.part(9, 10_000) == ProfilePart(9, 0, 0, [])


def test_a_row_that_fills_a_frame_alone_is_sent(bench: Bench) -> None:
    for name in ("a", "b"):
        for bits in range(1300):
            value = (16 + bits % 16) << (bits // 16)
            bench.process.profile.add("imsg", "handler", "queue", name, value)
    part = bench.profiling.part(1, 0)
    assert len(part.rows) >= 1
    assert len(CATALOGUE.encode(part)[1]) <= MAX_PAYLOAD


def test_collectors_are_asked_once_for_each_reading(bench: Bench) -> None:
    asked: list[int] = []
    bench.profiling.collectors.append(lambda: asked.append(1))
    bench.profiling.part(1, 0)
    bench.profiling.part(1, 1)
    assert len(asked) == 1


def test_frames_since_the_beginning(bench: Bench) -> None:
    create, commit = kind_of(CreateMessage).number, kind_of(CommitMessage).number
    channel = bench.recorder.channel("queue")
    bench.recorder.write(OUT, channel, [create], [20], [1], [1], [False])
    bench.profiling.profile("imsg", True)
    bench.recorder.write(OUT, channel, [create, create], [20, 30], [2, 3], [1, 1], [False] * 2)
    bench.recorder.write(0, channel, [commit], [16], [4], [1], [False])
    expected = {
        ("out", "", "CreateMessage"): ProfileRow("imsg", "out", "", "CreateMessage", 2, 50, 0, []),
        ("in", "", "CommitMessage"): ProfileRow("imsg", "in", "", "CommitMessage", 1, 16, 0, []),
    }
    assert bench.rows() == expected and bench.peer._stamps is not None
    bench.profiling.profile("imsg", False)
    bench.recorder.write(0, channel, [commit], [16], [5], [1], [False])
    assert bench.rows() == expected and bench.peer._stamps is None


def test_samples_of_the_loop_and_the_links(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.005)
    bench.profiling.profile("mproc", True)
    bench.peer.ask(CommitMessage(1), lambda _: None)
    bench.loop.run_until_complete(asyncio.sleep(0.1))
    rows: dict[Any, ProfileRow] = dict(bench.rows())
    assert set(rows) == {
        ("busy", "", "all threads"),
        ("busy", "", "loop"),
        ("late", "", "loop"),
        ("oldest", "queue", "request"),
        ("queued", "queue", "in"),
        ("queued", "queue", "out"),
        ("unanswered", "queue", "requests"),
    }
    number = rows["late", "", "loop"].number
    assert number >= 2 and {row.number for row in rows.values()} == {number}
    assert rows["unanswered", "queue", "requests"].total == number
    assert rows["oldest", "queue", "request"].most > 0
    assert bench.profiling.part(1, 0).milliseconds >= 50
    bench.profiling.profile("mproc", False)
    bench.loop.run_until_complete(asyncio.sleep(0.02))
    assert bench.rows() == rows and bench.profiling.part(1, 0).milliseconds == 0


def test_what_the_peer_has_written_and_nobody_read(bench: Bench) -> None:
    bench.end.put(CreateMessage(1))
    bench.end.flush()
    assert module._unread(bench.peer) >= 16
    bench.peer.channel.receive()
    assert module._unread(bench.peer) == 0


def test_one_timer_and_only_where_there_is_something_to_measure(bench: Bench) -> None:
    bench.profiling.profile("queue", True)
    assert bench.profiling._timer is None, "no queue here"
    bench.profiling.profile("imsg", True)
    assert bench.profiling._timer is None, "the meter needs none"
    bench.profiling.hooks["queue"] = lambda on: None
    bench.profiling.profile("queue", False)
    bench.profiling.profile("queue", True)
    timer = bench.profiling._timer
    bench.profiling.profile("mproc", True)
    assert timer is not None and bench.profiling._timer is timer
    bench.profiling.profile("queue", False)
    assert bench.profiling._timer is timer
    bench.profiling.profile("mproc", False)
    assert bench.profiling._timer is None and timer.cancelled()


def test_samples_are_folded_meanwhile(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_SECONDS", 0.005)
    bench.profiling.profile("mproc", True)
    values = bench.process.profile.samples("queue", "operation", "", "commit")
    values.append(7)
    for _ in range(200):
        if not values:
            break
        bench.loop.run_until_complete(asyncio.sleep(0.01))
    assert values == [] and bench.rows()["operation", "", "commit"].total == 7
