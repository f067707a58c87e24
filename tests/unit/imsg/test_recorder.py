"""imsg/recorder.py: the ring, written by either side, and read from memory that nobody vouches for."""

import mmap
import os
import struct
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg import layout, recorder
from imsg.frame import FrameWriter as PureWriter
from imsg.layout import ENTRIES_AT, ENTRY, HEAD, HEAD_SIZE, KINDS, NAMES, NOTE_SIZE, OUT
from imsg.recorder import KindCount, Recorder

try:
    from imsg.native import FrameWriter as NativeWriter
except ImportError:
    NativeWriter = None  # type: ignore[assignment, misc]

WRITERS = [
    pytest.param(PureWriter, id="pure"),
    pytest.param(
        NativeWriter,
        id="native",
        marks=pytest.mark.skipif(NativeWriter is None, reason="no C core was built"),
    ),
]
writers = pytest.mark.parametrize("writer_class", WRITERS)


def test_an_empty_ring() -> None:
    assert Recorder().entries() == [] and Recorder().capacity == recorder.DEFAULT_ENTRIES


@writers
def test_the_oldest_go_first(writer_class: type[PureWriter]) -> None:
    ring = Recorder(entries=10)
    writer = writer_class(None, ring, ring.channel("pony"))
    for start in (1, 8, 15, 22):
        writer.add(list(range(start, start + 7)), [b"x" * n for n in range(7)], start, 99)
    writer.close()
    entries = ring.entries()
    assert [e.sequence for e in entries] == [e.type for e in entries] == list(range(19, 29))
    assert [e.peerid for e in entries] == list(range(19, 29))
    assert {(e.channel, e.direction, e.pid, e.descriptor) for e in entries} == {("pony", "out", 99, False)}
    assert [e.length for e in entries] == [16 + (n - 1) % 7 for n in range(19, 29)]


@writers
def test_a_batch_larger_than_the_ring(writer_class: type[PureWriter]) -> None:
    ring = Recorder(entries=3)
    writer = writer_class(None, ring, 0)
    writer.add(list(range(1, 12)), [b""] * 11, 1, 1, {9: os.open("/dev/null", os.O_RDONLY)})
    writer.close()
    assert [(e.type, e.descriptor) for e in ring.entries()] == [(9, False), (10, True), (11, False)]


def test_both_sides_write_the_same_bytes() -> None:
    if NativeWriter is None:
        pytest.skip("no C core was built")
    rings = []
    for writer_class in (PureWriter, NativeWriter):
        ring = Recorder(entries=5)
        writer = writer_class(None, ring, ring.channel("x"))
        writer.add([7, 2**32 - 1], [b"a", b""], 0x05FFFFFF, 2**32 - 1, {0: os.open("/dev/null", os.O_RDONLY)})
        writer.close()
        data = bytearray(ring.memory)
        for at in (ENTRIES_AT, ENTRIES_AT + ENTRY.size):
            data[at : at + 8] = bytes(8)  # the time
        rings.append(bytes(data))
    assert rings[0] == rings[1]


def test_names() -> None:
    ring = Recorder(entries=2 * NAMES)
    numbers = [ring.channel(f"client{i}") for i in range(NAMES + 3)]
    assert numbers[: NAMES - 1] == list(range(1, NAMES)) and numbers[NAMES - 1 :] == [0] * 4
    assert ring.channel("client3") == numbers[3]
    for number in (0, 4, 77):
        ring.write(0, number, [1], [16], [1], [1], [False])
    assert [e.channel for e in ring.entries()] == ["?", "client3", "?"]
    short = Recorder(entries=1)
    short.write(0, short.channel("n" * 100), [1], [16], [1], [1], [False])
    assert short.entries()[0].channel == "n" * 32


def test_memory_of_ones_own() -> None:
    with pytest.raises(ValueError, match="too small"):
        Recorder(bytearray(Recorder.size(1) - 1))
    with pytest.raises(ValueError, match="read-only"):
        Recorder(bytes(Recorder.size(1)))
    memory = bytearray(b"\xff" * (Recorder.size(4) + 39))
    ring = Recorder(memory)
    assert ring.capacity == 4 and ring.entries() == [] and memory[-39:] == b"\xff" * 39


CHILD = """
import mmap, os, sys
from imsg.core import FrameWriter
from imsg.recorder import Recorder
ring = Recorder(mmap.mmap(int(sys.argv[1]), 0))
writer = FrameWriter(None, ring, ring.channel("queue"))
for n in range(1, 101):
    writer.add([n], [b"secret"], n, os.getpid())
ring.note("that was all")
os.kill(os.getpid(), 9)
"""


def test_a_dead_child_s_last_messages() -> None:
    descriptor = os.memfd_create("recorder")
    try:
        os.ftruncate(descriptor, Recorder.size(16))
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(descriptor)], pass_fds=[descriptor])
        assert child.wait() == -9
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as memory:
            entries = Recorder.read(memory)
            assert b"secret" not in bytes(memory)
            assert Recorder.counts(memory)[100] == KindCount(0, 0, 1, 22)
            assert Recorder.read_note(memory) == "that was all"
        assert [e.type for e in entries] == list(range(85, 101))
        assert {(e.channel, e.pid, e.length) for e in entries} == {("queue", child.pid, 22)}
    finally:
        os.close(descriptor)


@given(st.binary(max_size=200))
def test_garbage_is_no_ring(data: bytes) -> None:
    head = HEAD.pack(layout.MAGIC, layout.VERSION, 1, 1, 1, 0, 0, 0, 0, 0)
    for memory in (data, head + data):
        assert Recorder.read(memory) == [] and Recorder.counts(memory) == {}
        assert Recorder.read_note(memory) == ""


def full_ring() -> bytearray:
    memory = bytearray(Recorder.size(4))
    ring = Recorder(memory)
    ring.write(OUT, ring.channel("x"), [1, 2, 3, 4, 5], [16] * 5, [1] * 5, [1] * 5, [False] * 5)
    ring.memory.release()
    return memory


# mostly where it matters: the head, the names and the entries; the counts are numbers of any size
PLACES = st.integers(0, HEAD_SIZE + 100) | st.integers(ENTRIES_AT - 8, Recorder.size(4) - 1)


@given(st.lists(st.tuples(PLACES, st.integers(0, 255)), max_size=20))
def test_a_damaged_ring_raises_nothing(damage: list[tuple[int, int]]) -> None:
    memory = full_ring()
    for at, value in damage:
        memory[at] = value
    for entry in Recorder.read(memory):
        assert entry.channel.isprintable() and entry.direction in ("in", "out")
    assert len(Recorder.counts(memory)) in (0, 5) and isinstance(Recorder.read_note(memory), str)


HEADS = [
    (capacity, after) for capacity in (0, 1, 4, 5, 2**31, 2**32 - 1) for after in (0, 5, 2**63, 2**64 - 1)
]


@pytest.mark.parametrize(("capacity", "after"), HEADS)
def test_a_hostile_head(capacity: int, after: int) -> None:
    memory = full_ring()
    struct.pack_into("=IIQ", memory, 8, capacity, 1, after)
    assert len(Recorder.read(memory)) <= 4


def test_a_torn_entry_is_left_out() -> None:
    memory = full_ring()
    memory[ENTRIES_AT + 8 : ENTRIES_AT + 16] = bytes(8)  # sequence 5 lies first
    assert [e.type for e in Recorder.read(memory)] == [2, 3, 4]


@writers
def test_a_writer_stays_within_its_memory_whatever_stands_there(writer_class: type[PureWriter]) -> None:
    whole = bytearray(Recorder.size(3) + 64)
    ring = Recorder(memoryview(whole)[: Recorder.size(3)])
    writer = writer_class(None, ring, 0)
    for value in (2**64 - 2, 2**63, 12345):
        layout.NEXT.pack_into(ring.memory, layout.NEXT_AT, value)
        struct.pack_into("=I", ring.memory, 8, 2**32 - 1)
        writer.add([1, 2, 3, 4], [b""] * 4, 1, 1)
    writer.close()
    assert whole[-64:] == bytes(64)


@writers
def test_frames_are_counted_by_kind(writer_class: type[PureWriter]) -> None:
    ring = Recorder(entries=2)
    writer = writer_class(None, ring, 0)
    for _ in range(3):
        writer.add([7, 7, KINDS - 1, KINDS, 2**32 - 1], [b"abc", b"", b"x", b"y", b"z"], 1, 1)
    writer.close()
    ring.write(0, 0, [7], [20], [1], [1], [False])
    assert Recorder.counts(ring.memory) == {
        7: KindCount(1, 20, 6, 3 * (19 + 16)),
        KINDS - 1: KindCount(0, 0, 3, 3 * 17),
        0: KindCount(0, 0, 6, 6 * 17),
    }


def test_a_note_is_cut_at_its_beginning() -> None:
    ring = Recorder(entries=1)
    assert Recorder.read_note(ring.memory) == ""
    ring.note("first\0\udcff")
    assert Recorder.read_note(ring.memory) == "first?\ufffd"
    ring.note("a" * NOTE_SIZE + "end")
    assert Recorder.read_note(ring.memory) == "a" * (NOTE_SIZE - 4) + "end"
    assert ring.entries() == []


def test_shared_memory_is_used_page_by_page() -> None:
    descriptor = os.memfd_create("recorder")
    try:
        size = Recorder.size(4096, 1 << 20)
        os.write(descriptor, b"\xff" * size)
        memory = mmap.mmap(descriptor, size)
        ring = Recorder(memory)
        assert ring.capacity == 4096 and ring.tape_size == 1 << 20
        ring.write(OUT, ring.channel("x"), [1], [16], [1], [1], [False])
        assert os.fstat(descriptor).st_blocks * 512 < 64 * 1024  # before somebody reads it
        assert len(ring.entries()) == 1 and ring.counts(memory) == {1: KindCount(0, 0, 1, 16)}
        ring.memory.release()
    finally:
        os.close(descriptor)
