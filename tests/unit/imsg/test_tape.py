"""imsg/tape.py and csrc/tape.c: what gets on the tape, and readers that are late, or read damage."""

import mmap
import os
import random
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsg import Catalogue, Channel, layout, message
from imsg.frame import FrameReader as PureReader
from imsg.frame import FrameWriter as PureWriter
from imsg.layout import DESCRIPTOR, OUT, TAPED, TAPED_IN, TAPED_OUT, WITHHELD
from imsg.recorder import Recorder
from imsg.tape import TapeReader, TapeRecord

try:
    from imsg import native
except ImportError:
    native = None  # type: ignore[assignment]

SIDES = [
    pytest.param((PureWriter, PureReader), id="pure"),
    pytest.param(
        None if native is None else (native.FrameWriter, native.FrameReader),
        id="native",
        marks=pytest.mark.skipif(native is None, reason="no C core was built"),
    ),
]
sides = pytest.mark.parametrize("side", SIDES)

type Side = tuple[type[PureWriter], type[PureReader]]

WHOLE = TAPED | TAPED_IN | TAPED_OUT
SMALL = layout.MIN_TAPE


def make(tape: int = SMALL, entries: int = 4) -> Recorder:
    return Recorder(bytearray(Recorder.size(entries, tape)), entries=entries)


def shown(records: list[TapeRecord]) -> list[tuple[int, int, int, bytes | None]]:
    return [(r.flags, r.type, r.peerid, r.payload) for r in records]


@sides
def test_nothing_is_on_it_until_it_is_on(side: Side) -> None:
    ring = make()
    reader = TapeReader(ring.memory, oldest=True)
    writer = side[0](None, ring, ring.channel("pony"))
    writer.add([5], [b"\x91\x01"], 1, 9)
    assert reader.read() == [] and not ring.taping
    ring.tape_on({5: WHOLE})
    assert ring.taping
    writer.add([5, 6, 5], [b"\x91\x02", b"\x91\x03", b"\x91\x04"], 2, 9)
    assert shown(reader.read()) == [(OUT, 5, 2, b"\x91\x02"), (OUT, 5, 4, b"\x91\x04")]
    ring.tape_off()
    writer.add([5], [b"\x91\x05"], 5, 9)
    assert reader.read() == [] and reader.lost == 0
    writer.close()


@sides
def test_a_record_says_all_of_the_header(side: Side) -> None:
    ring = make()
    ring.tape_on({7: WHOLE})
    writer = side[0](None, ring, ring.channel("queue"))
    writer.add([7], [b"\x90"], 0x01000005, 4711, {0: os.open("/dev/null", os.O_RDONLY)})
    writer.close()
    (record,) = TapeReader(ring.memory, oldest=True).read()
    assert record._replace(time=0) == (0, 1, OUT | DESCRIPTOR, "queue", 7, 17, 0x01000005, 4711, b"\x90")
    assert record.time == ring.entries()[0].time and record.out and record.handled is None


@sides
def test_in_and_out_each_have_a_rule(side: Side) -> None:
    left, right = socket.socketpair()
    ring = make()
    ring.tape_on({1: TAPED | TAPED_IN, 2: TAPED | TAPED_OUT, 3: TAPED, 4: WHOLE})
    writer = side[0](left, ring, ring.channel("out"))
    reader = side[1](right, ring, ring.channel("in"))
    writer.add([1, 2, 3, 4], [b"\x91\x01", b"\x91\x02", b"\x91\x03", b"\x91\x04"], 1, 1)
    assert writer.send() and reader.receive() == 4
    found = [(r.channel, r.type, r.payload) for r in TapeReader(ring.memory, oldest=True).read()]
    assert found == [
        ("out", 1, None),
        ("out", 2, b"\x91\x02"),
        ("out", 3, None),
        ("out", 4, b"\x91\x04"),
        ("in", 1, b"\x91\x01"),
        ("in", 2, None),
        ("in", 3, None),
        ("in", 4, b"\x91\x04"),
    ]
    for end in (writer, reader):
        end.close()
    left.close()
    right.close()


@sides
def test_secrets_never_reach_the_memory(side: Side) -> None:
    ring = make()
    ring.tape_on({1: WHOLE | 0b10, 2: WHOLE | 0b1})
    writer = side[0](None, ring, 0)
    writer.add([1, 2], [msgpack.packb(["ann", "hunter2"]), b"hunter2 is no msgpack array"], 1, 1)
    writer.close()
    one, two = TapeReader(ring.memory, oldest=True).read()
    assert one.payload is not None and msgpack.unpackb(one.payload) == ["ann", "***"]
    assert two.payload is None and two.flags == OUT | WITHHELD
    assert b"hunter2" not in bytes(ring.memory)


def test_both_sides_write_the_same_tape() -> None:
    if native is None:
        pytest.skip("no C core was built")
    chance = random.Random(6)
    batches = [
        [(chance.randrange(1, 5), bytes(chance.randrange(0, 1500))) for _ in range(chance.randrange(1, 6))]
        for _ in range(200)
    ]
    tapes = []
    for writer_class in (PureWriter, native.FrameWriter):
        ring = make()
        ring.tape_on({1: WHOLE, 2: TAPED, 3: WHOLE | 1})
        writer = writer_class(None, ring, ring.channel("x"))
        for batch in batches:
            writer.add([number for number, _ in batch], [b"\xc4\xff" + data for _, data in batch], 1, 1)
        writer.close()
        records = TapeReader(ring.memory, oldest=True).read()
        tapes.append([record._replace(time=0) for record in records])
        assert records[-1].sequence == layout.POSITIONS.unpack_from(ring.memory, layout.POSITIONS_AT)[2]
    assert tapes[0] == tapes[1] and len(tapes[0]) > 20


@sides
def test_the_oldest_records_go_and_the_reader_knows_how_many(side: Side) -> None:
    ring = make()
    ring.tape_on({1: WHOLE})
    reader = TapeReader(ring.memory)
    writer = side[0](None, ring, 0)
    payload = b"\xc5\x03\xe8" + bytes(1000)
    for n in range(1, 11):
        writer.add([1], [payload], n, 1)
    assert [r.peerid for r in reader.read()] == list(range(1, 11)) and reader.lost == 0
    for n in range(11, 1011):
        writer.add([1], [payload], n, 1)
    writer.close()
    late = reader.read()
    assert late[-1].peerid == 1010 and len(late) == SMALL // 1056
    assert [r.sequence for r in late] == list(range(late[0].sequence, 1011))
    assert reader.lost == 1000 - len(late)
    assert reader.read() == [] and reader.lost == 1000 - len(late)


@sides
def test_what_is_skipped_is_lost(side: Side) -> None:
    ring = make()
    ring.tape_on({1: WHOLE})
    reader = TapeReader(ring.memory)
    writer = side[0](None, ring, 0)
    assert reader.waiting == 0
    for n in range(1, 1001):  # more than there is room for
        writer.add([1], [b"\xc5\x03\xe8" + bytes(1000)], n, 1)
    assert reader.waiting == 1000
    reader.skip()
    assert (reader.waiting, reader.lost) == (0, 1000)
    for n in range(1001, 1004):
        writer.add([1], [b"\x90"], n, 1)
    writer.close()
    assert reader.waiting == 3
    assert [r.peerid for r in reader.read()] == [1001, 1002, 1003]
    assert (reader.waiting, reader.lost) == (0, 1000)
    reader.skip()
    assert reader.read() == [] and reader.lost == 1000


@sides
def test_the_longest_frame(side: Side) -> None:
    ring = make()
    ring.tape_on({1: WHOLE})
    writer = side[0](None, ring, 0)
    for n in range(9):
        writer.add([1], [bytes([n]) * 16368], n + 1, 1)
    writer.close()
    assert [r.payload for r in TapeReader(ring.memory, oldest=True).read()] == [
        bytes([n]) * 16368 for n in (5, 6, 7, 8)
    ]


def test_a_reader_begins_now_or_with_the_oldest() -> None:
    ring = make()
    ring.tape_on({1: WHOLE})
    ring.write(OUT, 0, [1, 1], [17, 17], [1, 2], [1, 1], [False, False], [b"\x90", b"\x90"])
    now, oldest = TapeReader(ring.memory), TapeReader(ring.memory, oldest=True)
    ring.write(OUT, 0, [1], [17], [3], [1], [False], [b"\x90"])
    assert [r.peerid for r in now.read()] == [3]
    assert [r.peerid for r in oldest.read()] == [1, 2, 3]
    assert now.lost == oldest.lost == 0


def test_time_in_a_handler() -> None:
    ring = make()
    ring.tape.handled(12345, ring.channel("queue"), (5, 20, 6, 7), 2**40)
    (record,) = TapeReader(ring.memory, oldest=True).read()
    assert record.handled == 2**40 and (record.time, record.channel, record.peerid) == (12345, "queue", 6)
    assert record._replace(payload=b"x").handled is None


def test_a_small_memory_has_no_tape() -> None:
    for memory in (None, bytearray(Recorder.size(4, SMALL - 8))):
        ring = Recorder(memory, entries=4)
        ring.tape_on({1: WHOLE})
        ring.write(OUT, 0, [1], [17], [1], [1], [False], [b"\x90"])
        ring.tape_wipe()
        assert ring.tape_size == 0 and TapeReader(ring.memory, oldest=True).read() == []


@pytest.mark.parametrize("number", [0, layout.KINDS, -1])
def test_only_what_is_counted_can_be_taped(number: int) -> None:
    with pytest.raises(ValueError, match="4095"):
        make().tape_on({number: WHOLE})


@pytest.mark.parametrize("shared", [True, False])
def test_wiped(shared: bool) -> None:
    descriptor = os.memfd_create("recorder")
    size = Recorder.size(4, 1 << 20)
    os.ftruncate(descriptor, size)
    ring = Recorder(mmap.mmap(descriptor, size) if shared else bytearray(size), entries=4)
    reader = TapeReader(ring.memory)
    ring.tape_on({1: WHOLE})
    for n in range(100):
        ring.write(OUT, 0, [1], [5016], [n], [1], [False], [b"needle" * 800])
    ring.tape_wipe()
    if shared:
        assert os.fstat(descriptor).st_blocks * 512 < 64 * 1024
    assert b"needle" not in bytes(ring.memory)
    assert reader.read() == [] and len(ring.entries()) == 4
    ring.write(OUT, 0, [1], [17], [1], [1], [False], [b"\x90"])
    assert len(reader.read()) == 1 and reader.lost == 100
    ring.memory.release()
    os.close(descriptor)


@message(1, "a", "b")
class Word(NamedTuple):
    text: str


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel, Recorder]]:
    left, right = socket.socketpair()
    ring = make(1 << 17)
    catalogue = Catalogue((Word,))
    sender = Channel(left, catalogue, recorder=ring, name="b")
    receiver = Channel(right, catalogue, recorder=ring, name="a")
    yield sender, receiver, ring
    sender.close()
    receiver.close()


def test_through_a_channel(pair: tuple[Channel, Channel, Recorder]) -> None:
    sender, receiver, ring = pair
    ring.tape_on({1: TAPED | TAPED_IN})
    reader = TapeReader(ring.memory)
    for text in ("one", "two"):
        sender.put(Word(text))
    sender.flush()
    receiver.receive()
    records = reader.read()
    assert [(r.out, r.peerid, r.pid) for r in records] == [
        (True, 1, os.getpid()),
        (True, 2, os.getpid()),
        (False, 1, os.getpid()),
        (False, 2, os.getpid()),
    ]
    assert [Catalogue((Word,)).decode(1, r.payload or b"") for r in records[2:]] == [Word("one"), Word("two")]
    assert records[0].time <= records[2].time


# memory that nobody vouches for


def taped() -> bytearray:
    memory = bytearray(Recorder.size(1, SMALL))
    ring = Recorder(memory, entries=1)
    ring.tape_on({1: WHOLE})
    for n in range(30):
        ring.write(OUT, 0, [1], [3016], [n], [1], [False], [bytes(3000)])
    ring.memory.release()
    return memory


TAPED_MEMORY = bytes(taped())
AT = Recorder.size(1)
PLACES = st.integers(0, 63) | st.integers(AT, AT + 200) | st.integers(AT, AT + SMALL - 1)


@given(st.lists(st.tuples(PLACES, st.integers(0, 255)), max_size=12))
@settings(max_examples=200)
def test_a_damaged_tape_raises_nothing(damage: list[tuple[int, int]]) -> None:
    memory = bytearray(TAPED_MEMORY)
    for at, value in damage:
        memory[at] = value
    reader = TapeReader(memory, oldest=True)
    for _ in range(3):
        for record in reader.read():
            assert record.channel.isprintable() and len(record.payload or b"") <= SMALL


@given(st.binary(max_size=300))
def test_garbage_is_no_tape(data: bytes) -> None:
    assert TapeReader(data, oldest=True).read() == []


@sides
@pytest.mark.parametrize(
    "values", [(2**64 - 8, 0, 1), (5, 0, 0), (8, 2**60, 0), (2**63, 2**63 - 8, 2**64 - 1)]
)
def test_a_writer_stays_within_its_memory_whatever_stands_there(
    side: Side, values: tuple[int, int, int]
) -> None:
    size = Recorder.size(2, SMALL)
    whole = bytearray(size + 64)
    ring = Recorder(memoryview(whole)[:size], entries=2)
    ring.tape_on({1: WHOLE})
    writer = side[0](None, ring, 0)
    for n in range(30):
        if n % 7 == 0:
            layout.POSITIONS.pack_into(ring.memory, layout.POSITIONS_AT, *values)
        struct.pack_into("=I", ring.memory, Recorder.size(2), 2**32 - 8)
        writer.add([1, 1], [bytes(3000), b"\x90"], 1, 1)
        assert isinstance(TapeReader(ring.memory, oldest=True).read(), list)
    writer.close()
    assert whole[size:] == bytes(64)


def test_a_reader_in_another_process_sees_whole_records_or_none() -> None:
    """The writer laps the reader many times; a torn record would not hold what its peerid says."""
    size = Recorder.size(16, SMALL)
    descriptor = os.memfd_create("recorder")
    os.ftruncate(descriptor, size)
    memory = mmap.mmap(descriptor, size)
    ring = Recorder(memory, entries=16)
    ring.tape_on({1: WHOLE})
    reader = TapeReader(memory)
    child = os.fork()
    if child == 0:
        writer = (PureWriter if native is None else native.FrameWriter)(None, ring, 0)
        for n in range(1, 20001):
            writer.add([1], [struct.pack("=I", n) * (n % 600)], n, 1)
        os._exit(0)
    seen = 0
    while True:
        done = os.waitpid(child, os.WNOHANG)[0]
        for record in reader.read():
            assert record.payload == struct.pack("=I", record.peerid) * (record.peerid % 600)
            seen += 1
        if done:
            break
    assert seen + reader.lost == 20000 and seen > 20
    ring.memory.release()
    os.close(descriptor)
