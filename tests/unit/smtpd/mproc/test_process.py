"""smtpd/mproc/process.py: what every process is, driven by real channels in the place of its peers."""

import asyncio
import os
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from imsg import Channel, Recorder
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_process import Counter, Counters, GetCounters, SetTrace, SetVerbose
from smtpd.messages.parent_child import Begin, PeerLink, RecorderMemory, Setup, SetupComplete, Shutdown
from smtpd.messages.parent_lookup import OpenForward
from smtpd.mproc import log as log_module
from smtpd.mproc import process as process_module
from smtpd.mproc.log import Log
from smtpd.mproc.loop import new_loop
from smtpd.mproc.process import EXIT_FAULT, ChildProcess, Process, channel_on
from smtpd.mproc.spawn import socketpair

from .conftest import rest_of

pytestmark = pytest.mark.usefixtures("no_leak")


class Lookup(ChildProcess):
    """A child without anything of its own."""

    NAME = "lookup"
    parts = (rest_of("lookup", ChildProcess),)

    stop_seconds = 0.0
    stopped = 0
    begun = 0

    def begin(self) -> None:
        self.begun += 1

    async def stop(self) -> None:
        self.stopped += 1
        await asyncio.sleep(self.stop_seconds)


class Bench:
    """A Lookup, and the other ends of its links."""

    def __init__(self) -> None:
        self.loop = new_loop()
        self.process = Lookup(self.loop, Log("lookup"), Recorder(entries=16))
        self.ends: dict[str, Channel] = {}
        for name in ("parent", "control"):
            self.connect(name)

    def connect(self, name: str) -> None:
        ours, theirs = socketpair()
        if name in self.ends:
            self.ends[name].close()
        self.ends[name] = Channel(theirs, CATALOGUE)
        self.process.attach(name, 0, channel_on(ours.detach(), name, self.process))

    def tell(self, name: str, message: Any, fd: int | None = None) -> None:
        self.ends[name].put(message, fd)
        assert self.ends[name].flush()

    def run(self, seconds: float = 0.01) -> None:
        """A little while, or until the process stops the loop."""
        timer = self.loop.call_later(seconds, self.loop.stop)
        self.loop.run_forever()
        timer.cancel()

    def hear(self, name: str) -> list[Any]:
        return [message for _number, message, _peerid, _fd in self.ends[name].receive()]

    def close(self) -> None:
        for peer in self.process.peers():
            peer.close()
        for end in self.ends.values():
            end.close()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        asyncio.set_event_loop(None)


@pytest.fixture
def exits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses the process wanted to exit with; it goes on instead."""
    statuses: list[int] = []
    monkeypatch.setattr(process_module.os, "_exit", statuses.append)
    return statuses


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was logged, without time and name."""
    written: list[str] = []
    monkeypatch.setattr(log_module.os, "write", lambda fd, data: written.append(data.decode()[21:-1]))
    return written


@pytest.fixture
def bench(exits: list[int], lines: list[str]) -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


# looking inside


def test_counters(bench: Bench) -> None:
    bench.process.stat.add("smtp.session", 3)
    bench.process.stat.set("a", -1)
    bench.tell("control", GetCounters())
    bench.run()
    assert bench.hear("control") == [Counters(1, [Counter("a", -1), Counter("smtp.session", 3)])]


def test_verbose(bench: Bench) -> None:
    bench.tell("control", SetVerbose(1))
    bench.run()
    assert bench.process.log.verbose
    bench.tell("control", SetVerbose(0))
    bench.run()
    assert not bench.process.log.verbose


def test_trace(bench: Bench, lines: list[str], exits: list[int]) -> None:
    bench.tell("control", SetTrace("imsg", True))
    bench.run()
    bench.tell("control", GetCounters())
    bench.run()
    assert lines == [
        "imsg: lookup <- control: GetCounters#2 (len=1)",
        "imsg: lookup -> control: Counters#1 (len=3) reqid=2 counters=[]",
    ]
    bench.connect("control")  # a new link is traced as the old one was
    bench.tell("control", SetTrace("imsg", False))
    bench.run()
    bench.tell("control", GetCounters())
    bench.run()
    assert lines[2:] == ["imsg: lookup <- control: SetTrace#1 (len=7) subsystem=imsg on=no"]
    bench.tell("control", SetTrace("butler\n", True))
    bench.run()
    assert lines[3:] == ["warn: no such subsystem: butler\\x0a"] and exits == []


# links


def test_a_link_that_is_replaced(bench: Bench, exits: list[int]) -> None:
    first = bench.process.peer("control")
    answers: list[Any] = []
    bench.process.peer("parent").ask(OpenForward("u", 1, "/"), lambda *reply: answers.append(reply))
    old_end = bench.ends.pop("parent")
    bench.connect("parent")
    assert answers == [(None, None)]
    bench.run()
    with pytest.raises(ConnectionError):
        old_end.receive()
    old_end.close()
    assert exits == [], "a link that was replaced is no parent that went away"
    assert bench.process.peer("control") is first and len(bench.process.peers()) == 2


def test_a_link_from_parent(bench: Bench) -> None:
    ours, theirs = socketpair()
    bench.tell("parent", PeerLink("queue", 3), ours.detach())
    bench.run()
    assert (bench.process.peer("queue", 3).name, bench.process.peer("queue", 3).instance) == ("queue", 3)
    with pytest.raises(KeyError):
        bench.process.peer("queue")
    bench.process.peer("queue", 3).close()
    assert theirs.recv(1) == b""
    theirs.close()


def test_peers_of_the_recorder(bench: Bench) -> None:
    bench.tell("control", GetCounters())
    bench.run()
    assert bench.process.recorder is not None
    assert [(entry.direction, entry.channel) for entry in bench.process.recorder.entries()] == [
        ("in", "control"), ("out", "control"),
    ]  # fmt: skip


def test_instance_in_the_ids(bench: Bench) -> None:
    """Request ids carry the instance in their top bits."""
    bench.process.instance = 5
    ours, theirs = socketpair()
    peer = bench.process.attach("queue", 0, channel_on(ours.detach(), "queue", bench.process))
    assert peer.send(OpenForward("u", 1, "/")) >> 24 == 5
    theirs.close()


# life


def test_begin(bench: Bench) -> None:
    bench.tell("parent", Begin(["mda", "smtp"]))
    bench.run()
    assert bench.process.begun == 1 and bench.process.paused == {"mda", "smtp"}


def test_shutdown(bench: Bench, exits: list[int], lines: list[str]) -> None:
    bench.tell("parent", Shutdown(4))
    bench.tell("parent", Shutdown(4))
    bench.run(5)
    assert bench.process.stopped == 1 and exits == lines == []
    bench.ends["parent"].close()
    bench.run()
    assert exits == [0], "parent may go while we stop"


def test_shutdown_that_takes_too_long(bench: Bench, exits: list[int], lines: list[str]) -> None:
    bench.process.stop_seconds = 60
    bench.tell("parent", Shutdown(0))
    bench.run(5)
    assert bench.process.stopped == 1 and exits == []
    assert lines == ["warn: not everything could be finished within 0 s"]


def test_parent_gone(bench: Bench, exits: list[int]) -> None:
    bench.ends["control"].close()
    bench.run()
    assert exits == [], "others may go"
    bench.ends["parent"].close()
    bench.run()
    assert exits == [EXIT_FAULT]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Setup("", 0, 0, "/", -1, -1, "", "stderr", 0, []), "parent: a second Setup"),
        (RecorderMemory(1), "parent: RecorderMemory after setup"),
        (SetupComplete(), "parent: a second SetupComplete"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_setup_only_once(bench: Bench, exits: list[int], lines: list[str], message: Any, said: str) -> None:
    fd = None if isinstance(message, SetupComplete) else os.open("/", os.O_RDONLY)
    bench.tell("parent", message, fd)
    bench.run()
    assert exits == [EXIT_FAULT] and lines == [f"fatal: {said}"]


# the end


def test_an_exception_in_a_callback(bench: Bench, exits: list[int], lines: list[str]) -> None:
    def broken() -> None:
        raise ZeroDivisionError("on\npurpose")

    bench.loop.call_soon(broken)
    bench.run()
    assert exits == [EXIT_FAULT]
    assert lines[0] == "fatal: Traceback (most recent call last):"
    assert lines[-2:] == ["fatal: ZeroDivisionError: on", "fatal: purpose"]
    assert any("in broken" in line for line in lines)


def test_an_exception_in_a_task(bench: Bench, exits: list[int], lines: list[str]) -> None:
    async def broken(wait: bool) -> None:
        if wait:
            await asyncio.sleep(0)
        raise ZeroDivisionError("on purpose")

    for wait in (False, True):
        bench.loop.call_soon(lambda wait=wait: bench.process.spawn_task(broken(wait)))
    bench.run()
    assert exits == [EXIT_FAULT, EXIT_FAULT]
    assert lines.count("fatal: ZeroDivisionError: on purpose") == 2


def test_tasks_that_end_well(bench: Bench, exits: list[int]) -> None:
    done: list[str] = []

    async def task(name: str, wait: float) -> None:
        await asyncio.sleep(wait)
        done.append(name)

    def start() -> None:
        bench.process.spawn_task(task("now", 0))
        bench.process.spawn_task(task("later", 0.002))
        bench.process.spawn_task(task("never", 60)).cancel()

    bench.loop.call_soon(start)
    bench.run(0.05)
    assert done == ["now", "later"] and exits == []
    assert not bench.process._tasks


def test_a_traceback_that_cannot_be_made(
    bench: Bench, exits: list[int], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the drop, formatting may fail for want of a module."""

    def no_more(_error: BaseException) -> list[str]:
        raise ImportError("no imports after the privilege drop: tokenize")

    monkeypatch.setattr(traceback, "format_exception", no_more)
    bench.process.fault(ZeroDivisionError())
    assert exits == [EXIT_FAULT] and lines == ["fatal: ZeroDivisionError (its traceback cannot be shown)"]


def test_what_the_loop_tells_without_an_exception(bench: Bench, exits: list[int], lines: list[str]) -> None:
    bench.loop.call_exception_handler({"message": "something odd"})
    assert exits == [] and lines == ["warn: event loop: something odd"]


def test_a_peer_of_ours_that_breaks_the_rules(bench: Bench, exits: list[int], lines: list[str]) -> None:
    bench.ends["control"].sock.sendall(b"\xff" * 16)
    bench.run(0.005)
    assert set(exits) == {EXIT_FAULT}
    assert lines[0].startswith("fatal: control: a frame's length")


# what a process class has to be


def test_defaults(loop: asyncio.AbstractEventLoop, lines: list[str]) -> None:
    class Parent(Process):
        NAME = "parent"
        parts = (rest_of("parent", Process),)

    parent = Parent(loop, Log("parent"))
    assert (parent.root, parent.homes, parent.paused, parent.exit_status) == ("/", "", frozenset(), 0)
    assert parent.start() is None and parent.begin() is None
    loop.run_until_complete(parent.stop())
    with pytest.raises(NotImplementedError):
        ChildProcess.load_config(Lookup(loop, Log("lookup")), b"")
    assert lines == []
    loop.set_exception_handler(None)


def test_channel_on(bench: Bench) -> None:
    ours, theirs = socketpair()
    os.set_blocking(ours.fileno(), True)
    number = ours.detach()
    channel = channel_on(number, "queue", bench.process)
    assert channel.fileno() == number and channel.name == "queue"
    assert not channel.sock.getblocking()
    channel.close()
    theirs.close()
