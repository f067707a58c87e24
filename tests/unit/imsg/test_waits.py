"""imsg/waits.py and csrc/waits.c: the two ends of a frame find each other, in any state of the two rings."""

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg import layout, waits
from imsg.core import FrameReader, FrameWriter
from imsg.layout import ENTRIES_AT, OUT
from imsg.recorder import Recorder
from imsg.waits import Waited, find_waits

NATIVE = waits._find_natively


def sides() -> list[object]:
    return [NATIVE, None] if NATIVE is not None else [None]


@pytest.fixture(params=sides(), ids=lambda side: "pure" if side is None else "native")
def _either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waits, "_find_natively", request.param)


def link(entries: int = 64, first: int = 1) -> tuple[Recorder, Recorder]:
    """The recorders of pony and queue after pony has sent ten frames and got one."""
    pony, queue = Recorder(entries=entries), Recorder(entries=entries)
    to_queue, to_pony = pony.channel("queue"), queue.channel("pony")
    left, right = socket.socketpair()
    writer, reader = FrameWriter(left, pony, to_queue), FrameReader(right, queue, to_pony)
    writer.add(list(range(1, 6)), [b"\x90"] * 5, first, 42)
    writer.send()
    time.sleep(0.01)
    reader.receive()
    writer.add(list(range(6, 11)), [b"\x90"] * 5, (first + 5) & 0xFFFFFF or 1, 42)
    writer.send()
    reader.receive()
    pony.write(OUT, pony.channel("lookup"), [9], [16], [1], [42], [False])
    for end in (writer, reader):
        end.close()
    left.close()
    right.close()
    return pony, queue


@pytest.mark.usefixtures("_either")
def test_each_frame_waited() -> None:
    pony, queue = link()
    found = find_waits(pony.memory, "queue", queue.memory, "pony", 0)
    assert [number for number, _ in found.waits] == list(range(1, 11)) and found.missed == 0
    assert all(10_000_000 <= ns < 1_000_000_000 for _, ns in found.waits[:5])
    assert all(0 <= ns < 10_000_000 for _, ns in found.waits[5:])
    assert find_waits(pony.memory, "queue", queue.memory, "pony", found.since) == Waited(found.since, [], 0)
    assert find_waits(pony.memory, "lookup", queue.memory, "pony", 0).missed == 10
    assert find_waits(queue.memory, "pony", pony.memory, "queue", 0).waits == []


@pytest.mark.usefixtures("_either")
def test_some_at_a_time() -> None:
    pony, queue = link()
    seen = []
    since = 0
    for _ in range(5):
        since, found, missed = find_waits(pony.memory, "queue", queue.memory, "pony", since, 3)
        seen += [number for number, _ in found]
        assert missed == 0
    assert seen == list(range(1, 11))


@pytest.mark.usefixtures("_either")
def test_the_running_number_wraps() -> None:
    pony, queue = link(first=0xFFFFFB)
    found = find_waits(pony.memory, "queue", queue.memory, "pony", 0)
    assert len(found.waits) == 10 and found.missed == 0


@pytest.mark.usefixtures("_either")
def test_what_was_overwritten_is_missed() -> None:
    pony, queue = link(entries=7)
    found = find_waits(pony.memory, "queue", queue.memory, "pony", 0)
    assert [number for number, _ in found.waits] == [5, 6, 7, 8, 9, 10]
    assert found.missed == 1  # the fourth: queue still has it, pony does not


@pytest.mark.usefixtures("_either")
def test_a_recorder_that_began_anew() -> None:
    pony, queue = link()
    assert len(find_waits(pony.memory, "queue", queue.memory, "pony", 10**6).waits) == 10


@pytest.mark.skipif(NATIVE is None, reason="no C core was built")
@given(
    st.lists(st.tuples(st.integers(0, 63) | st.integers(ENTRIES_AT, ENTRIES_AT + 400), st.integers(0, 255))),
    st.integers(0, 2**64 - 1),
)
def test_both_agree_on_damaged_memory(damage: list[tuple[int, int]], since: int) -> None:
    pony, queue = link(entries=10)
    for at, value in damage:
        queue.memory[at % len(queue.memory)] = value
    found = find_waits(pony.memory, "queue", queue.memory, "pony", since)
    assert len(found.waits) <= 10
    assert find_waits(bytes(at for at, _ in damage if at < 256), "a", queue.memory, "b", 0).waits == []


@pytest.mark.skipif(NATIVE is None, reason="no C core was built")
@given(st.lists(st.integers(1, 30), max_size=30), st.lists(st.integers(1, 30), max_size=30))
def test_both_sides_find_the_same(out: list[int], got: list[int]) -> None:
    pony, queue = Recorder(entries=64), Recorder(entries=64)
    for number in sorted(out):
        pony.write(OUT, pony.channel("queue"), [number], [16], [number], [1], [False])
    for number in sorted(got):
        queue.write(0, queue.channel("pony"), [number], [16], [number], [1], [False])
    assert NATIVE is not None
    native = find_waits(pony.memory, "queue", queue.memory, "pony", 0)
    entries = [Recorder.read(ring.memory) for ring in (pony, queue)]
    assert native == waits._pair(entries[0], entries[1], 0, 100) or not got


def test_names_in_the_layout() -> None:
    assert waits._name("queue") == b"queue" + bytes(layout.NAME_SIZE - 5)
    assert len(waits._name("ü" * 40)) == layout.NAME_SIZE
