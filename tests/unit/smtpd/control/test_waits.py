"""smtpd/control/waits.py: control reads the waits out of two recorders, while somebody profiles imsg."""

import asyncio
import mmap
import os
import time
from collections.abc import Iterator

import pytest

from imsg import Recorder
from imsg.layout import OUT
from imsg.message import kind_of
from smtpd.control import waits as module
from smtpd.control.waits import Waits
from smtpd.control.watchers import Memory
from smtpd.messages.control_observation import ProfileRow
from smtpd.messages.pony_queue import CreateMessage
from smtpd.mproc.handling import Handling
from smtpd.mproc.peer import Peer

CREATE = kind_of(CreateMessage).number


class Bench:
    """What Waits needs of control: it is its own process and its own watchers."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.handling = Handling(self)  # type: ignore[arg-type]
        self.memories: dict[tuple[str, int], Memory] = {}
        self.recorders: dict[str, Recorder] = {}
        self.waits = Waits(self, self)  # type: ignore[arg-type]

    def peers(self) -> list[Peer]:
        return []

    def started(self, name: str, pid: int) -> None:
        """A process with a fresh recorder, in place of one that was."""
        size = Recorder.size(64)
        fd = os.memfd_create(name)
        os.ftruncate(fd, size)
        self.recorders[name] = Recorder(mmap.mmap(fd, size), entries=64)
        if (name, 0) in self.memories:
            os.close(self.memories[name, 0].fd)
        self.memories[name, 0] = Memory(name, 0, pid, size, fd)

    def sent(self, sender: str, receiver: str, peerid: int, number: int = CREATE, wait: float = 0) -> None:
        """A frame that waited."""
        out, got = self.recorders[sender], self.recorders[receiver]
        out.write(OUT, out.channel(receiver), [number], [16], [peerid], [1], [False])
        time.sleep(wait)
        got.write(0, got.channel(sender), [number], [16], [peerid], [1], [False])

    def rows(self) -> dict[tuple[str, str, str, str], tuple[int, int]]:
        """(number, total) of what was measured after some looks."""
        self.loop.run_until_complete(asyncio.sleep(0.03))
        return {row[:4]: (row.number, row.total) for row in self.handling.rows()}

    def close(self) -> None:
        self.waits.measure(False)
        for memory in self.memories.values():
            os.close(memory.fd)
        self.loop.close()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)
    bench = Bench()
    for pid, name in enumerate(("pony", "queue", "scheduler"), 10):
        bench.started(name, pid)
    yield bench
    bench.close()


def test_what_waited_since_the_beginning(bench: Bench) -> None:
    bench.sent("pony", "queue", 1)
    bench.waits.measure(True)
    assert bench.rows() == {}, "what was before is not measured"
    bench.sent("pony", "queue", 2, wait=0.01)
    bench.sent("pony", "queue", 3)
    bench.sent("queue", "scheduler", 1)
    rows = bench.rows()
    assert set(rows) == {
        ("imsg", "socket", "queue", "CreateMessage"),
        ("imsg", "socket", "scheduler", "CreateMessage"),
    }
    number, total = rows["imsg", "socket", "queue", "CreateMessage"]
    assert number == 2 and 10_000_000 <= total < 5_000_000_000
    assert bench.rows() == rows and bench.waits.missed == 0, "each once"


def test_the_end_and_another_beginning(bench: Bench) -> None:
    bench.waits.measure(True)
    bench.waits.measure(False)
    bench.sent("pony", "queue", 1)
    assert bench.rows() == {}
    assert not bench.waits._mapped and bench.waits._timer is None
    bench.waits.measure(True)
    assert bench.rows() == {}, "what came in between is from before"
    bench.sent("pony", "queue", 2)
    assert bench.rows()["imsg", "socket", "queue", "CreateMessage"][0] == 1


def test_processes_without_a_link_are_not_compared(bench: Bench) -> None:
    bench.waits.measure(True)
    bench.sent("pony", "scheduler", 1)
    assert bench.rows() == {}


def test_what_is_no_kind_is_left_out(bench: Bench) -> None:
    bench.waits.measure(True)
    bench.sent("pony", "queue", 1, number=0x0FFF)
    assert bench.rows() == {}


def test_a_sending_that_was_overwritten_is_missed(bench: Bench) -> None:
    bench.waits.measure(True)
    queue = bench.recorders["queue"]
    queue.write(0, queue.channel("pony"), [CREATE], [16], [9], [1], [False])
    assert bench.rows() == {} and bench.waits.missed == 1


def test_a_process_that_is_started_again(bench: Bench) -> None:
    bench.waits.measure(True)
    bench.sent("pony", "queue", 1)
    bench.rows()
    bench.started("queue", 99)
    bench.rows()
    bench.sent("pony", "queue", 2)
    assert bench.rows()["imsg", "socket", "queue", "CreateMessage"][0] == 2


def test_what_was_overwritten_is_counted_and_said(bench: Bench) -> None:
    bench.waits.measure(True)
    assert bench.waits.rows() == []
    bench.recorders["queue"].write(
        0, bench.recorders["queue"].channel("pony"), [CREATE], [16], [7], [1], [False]
    )
    bench.rows()
    assert bench.waits.rows() == [ProfileRow("imsg", "missed", "", "socket", 1, 0, 0, [])]


def test_what_one_look_leaves_the_next_ones_take(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_A_LINK", 2)
    bench.waits.measure(True)
    for peerid in range(1, 8):
        bench.sent("pony", "queue", peerid)
    total = 0
    for _ in range(100):
        total = bench.rows().get(("imsg", "socket", "queue", "CreateMessage"), (0, 0))[0]
        if total == 7:
            break
    assert total == 7 and bench.waits.missed == 0
