"""imsg/frame.py, and imsg/native.py against it: the same bytes in, the same frames and the same errors out.

Every test that takes `core` runs with plain Python and, where it was built, with the C core.
"""

import os
import socket
import struct
from array import array
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsg import frame
from imsg.frame import DESCRIPTOR_BIT, HEADER, MAX_FEED, MAX_FRAME, ChannelClosed, FrameError, next_peerid
from imsg.recorder import Recorder

try:
    from imsg import native
except ImportError:
    native = None  # type: ignore[assignment]

BOTH = [pytest.param(frame, id="pure")]
BOTH.append(
    pytest.param(native, id="native", marks=pytest.mark.skipif(native is None, reason="no C core was built"))
)
both = pytest.mark.parametrize("core", BOTH)
NEEDS_CORE = pytest.mark.skipif(native is None, reason="no C core was built")


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _nothing_leaks() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


class Frame(NamedTuple):
    type: int
    peerid: int
    pid: int
    payload: bytes
    descriptor: bool = False

    def wire(self) -> bytes:
        mark = DESCRIPTOR_BIT if self.descriptor else 0
        return HEADER.pack(self.type, 16 + len(self.payload) | mark, self.peerid, self.pid) + self.payload


class Outcome(NamedTuple):
    frames: list[Frame]
    batches: list[int]  # how many frames each feed gave
    order: list[int]  # the descriptors handed out, by the order in which they were fed
    error: str


u32 = st.integers(0, 2**32 - 1)
frames = st.builds(Frame, u32, u32, u32, st.binary(max_size=40), st.booleans())
plain_frames = frames.map(lambda f: f._replace(descriptor=False))
lengths = st.sampled_from([0, 1, 15, 16, 17, 20, 16384, 16385, 65536, 2**31 - 1]) | st.integers(0, 2**31 - 1)
raw_headers = st.builds(
    lambda t, n, bit, p: HEADER.pack(t, n | (DESCRIPTOR_BIT if bit else 0), p, p),
    u32,
    lengths,
    st.booleans(),
    u32,
)
streams = st.lists(frames.map(Frame.wire) | raw_headers | st.binary(max_size=20), max_size=8).map(b"".join)


def cut(data: bytes, at: Sequence[int]) -> list[bytes]:
    points = sorted({min(p, len(data)) for p in at} | {0, len(data)})
    return [data[a:b] for a, b in zip(points, points[1:], strict=False)]


def run(
    core: ModuleType, chunks: Sequence[bytes], descriptors: Sequence[int] = (), end: bool = False
) -> Outcome:
    """Feed chunk after chunk, each with as many descriptors as `descriptors` says, up to the first error."""
    reader = core.FrameReader()
    found: list[Frame] = []
    batches: list[int] = []
    order: list[int] = []
    fed: list[int] = []
    error = ""
    for index, chunk in enumerate(chunks):
        count = descriptors[index] if index < len(descriptors) else 0
        mine = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
        fed += mine
        try:
            got = reader.feed(chunk, mine)
        except FrameError as fault:
            error = str(fault)
            got = len(reader.types())
            assert reader.descriptors() is None
        assert got == len(reader.types())
        parts = zip(reader.types(), reader.peerids(), reader.pids(), reader.payloads(), strict=True)
        assert reader.lengths() == [16 + len(p) for p in reader.payloads()]
        taken = reader.descriptors() or [-1] * got
        assert reader.descriptors() is None
        for part, descriptor in zip(parts, taken, strict=True):
            found.append(Frame(*part, descriptor >= 0))
            if descriptor >= 0:
                order.append(fed.index(descriptor))
                fed[order[-1]] = -1  # its number may come again
                os.close(descriptor)
        batches.append(got)
        if error:
            with pytest.raises(FrameError, match=error):
                reader.feed(b"")
            break
    if end and not error:
        with pytest.raises((ChannelClosed, FrameError)) as caught:
            reader.end()
        error = str(caught.value)
    reader.close()
    return Outcome(found, batches, order, error)


@both
@given(sent=st.lists(plain_frames, max_size=6), tail=st.binary(max_size=15))
def test_whole_bytewise_and_with_a_tail(core: ModuleType, sent: list[Frame], tail: bytes) -> None:
    data = b"".join(f.wire() for f in sent)
    for chunks in ([data], [data[i : i + 1] for i in range(len(data))], [data + tail]):
        assert run(core, chunks).frames == sent
    assert run(core, [data], end=True).error == frame.CLOSED
    assert run(core, [data + tail], end=True).error == (frame.TRUNCATED if tail else frame.CLOSED)


@NEEDS_CORE
@given(
    data=streams, at=st.lists(st.integers(0, 400), max_size=6), fds=st.lists(st.integers(0, 3), max_size=7)
)
@settings(max_examples=300)
def test_both_cores_agree_on_anything(data: bytes, at: list[int], fds: list[int]) -> None:
    chunks = cut(data, at)
    assert run(frame, chunks, fds, end=True) == run(native, chunks, fds, end=True)
    bytewise = [data[i : i + 1] for i in range(len(data))]
    assert run(frame, bytewise, fds, end=True) == run(native, bytewise, fds, end=True)


@both
@given(sent=st.lists(frames, max_size=6))
def test_descriptors_reach_their_frames_in_order(core: ModuleType, sent: list[Frame]) -> None:
    counts = [int(f.descriptor) for f in sent]
    expected = list(range(sum(counts)))
    by_frame = run(core, [f.wire() for f in sent], counts)
    assert (by_frame.frames, by_frame.order, by_frame.error) == (sent, expected, "")
    at_once = run(core, [b"".join(f.wire() for f in sent)], [sum(counts)])
    assert (at_once.frames, at_once.order, at_once.error) == (sent, expected, "")
    bytewise = [
        (f.wire()[i : i + 1], int(f.descriptor and i == 0)) for f in sent for i in range(16 + len(f.payload))
    ]
    one_by_one = run(core, [b for b, _ in bytewise], [n for _, n in bytewise])
    assert (one_by_one.frames, one_by_one.error) == (sent, "")


A = Frame(1, 2, 3, b"payload")
WITH = A._replace(descriptor=True)


def header(length: int) -> bytes:
    return HEADER.pack(1, length, 2, 3)


@both
@pytest.mark.parametrize(
    ("chunks", "descriptors", "error", "complete"),
    [
        ([header(0)], [], frame.TOO_SHORT, 0),
        ([header(15)], [], frame.TOO_SHORT, 0),
        ([header(15 | DESCRIPTOR_BIT)], [1], frame.TOO_SHORT, 0),
        ([header(16385)], [], frame.TOO_LONG, 0),
        ([header(2**31 - 1)], [], frame.TOO_LONG, 0),
        ([header(0xFFFFFFFF)], [1], frame.TOO_LONG, 0),
        ([A.wire() + header(3)], [], frame.TOO_SHORT, 1),
        ([WITH.wire()], [], frame.MISSING_DESCRIPTOR, 0),
        ([WITH.wire()[:16]], [], frame.MISSING_DESCRIPTOR, 0),
        ([WITH.wire() * 2], [1], frame.MISSING_DESCRIPTOR, 1),
        ([A.wire()], [1], frame.STRAY_DESCRIPTOR, 1),
        ([A.wire()[:16]], [1], frame.STRAY_DESCRIPTOR, 0),
        ([A.wire() + A.wire()[:15]], [2], frame.STRAY_DESCRIPTOR, 1),
        ([WITH.wire() + A.wire()], [2], frame.STRAY_DESCRIPTOR, 2),
        ([A.wire()[:15], A.wire()[15:]], [1], frame.STRAY_DESCRIPTOR, 1),
        ([b""], [1], frame.STRAY_DESCRIPTOR, 0),
        ([WITH.wire() * 17], [17], frame.TOO_MANY_DESCRIPTORS, 0),
        ([A.wire() + WITH.wire()[:4]], [17], frame.TOO_MANY_DESCRIPTORS, 0),
    ],
)
def test_bad_frames(
    core: ModuleType, chunks: list[bytes], descriptors: list[int], error: str, complete: int
) -> None:
    outcome = run(core, chunks, descriptors)
    assert (outcome.error, len(outcome.frames)) == (error, complete)


@both
def test_a_descriptor_may_come_before_its_header_is_whole(core: ModuleType) -> None:
    for first in range(1, 16):
        wire = WITH.wire()
        outcome = run(core, [A.wire() + wire[:first], wire[first:]], [1])
        assert (outcome.frames, outcome.error) == ([A, WITH], "")


@both
def test_the_longest_frame_and_the_most_frames(core: ModuleType) -> None:
    longest = Frame(1, 2, 3, bytes(MAX_FRAME - 16))
    assert run(core, [longest.wire()]).frames == [longest]
    wire = longest.wire()
    assert run(core, [wire[:-1], wire[-1:] + wire]).frames == [longest, longest]
    smallest = Frame(1, 2, 3, b"")
    assert run(core, [smallest.wire() * (MAX_FEED // 16)]).batches == [MAX_FEED // 16]
    reader = core.FrameReader()
    with pytest.raises(ValueError, match="MAX_FEED"):
        reader.feed(bytes(MAX_FEED + 1), [os.open("/dev/null", os.O_RDONLY)])
    # the most that can lie in the buffer: all but one byte of a long frame, then MAX_FEED of short ones
    assert reader.feed(wire[:-1]) == 0
    assert reader.feed(wire[-1:] + smallest.wire() * (MAX_FEED // 16 - 1)) == MAX_FEED // 16
    reader.close()


@both
def test_what_nobody_took_is_closed_at_the_next_call(core: ModuleType) -> None:
    reader = core.FrameReader()
    descriptor = os.open("/dev/null", os.O_RDONLY)
    assert reader.feed(WITH.wire(), [descriptor]) == 1
    assert reader.feed(b"") == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    reader.close()
    with pytest.raises(ChannelClosed):
        reader.feed(b"", [os.open("/dev/null", os.O_RDONLY)])


def pair() -> tuple[socket.socket, socket.socket]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    return left, right


def send_raw(sock: socket.socket, data: bytes, descriptors: Sequence[int]) -> None:
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))])


@both
def test_receive(core: ModuleType) -> None:
    left, right = pair()
    with left, right:
        reader = core.FrameReader(right)
        assert reader.receive() == 0
        left.send(A.wire() * 3 + A.wire()[:5])
        assert reader.receive() == 3 and reader.payloads() == [b"payload"] * 3
        assert reader.receive() == 0 and reader.types() == []
        left.send(A.wire()[5:])
        assert reader.receive() == 1 and reader.pids() == [3]
        left.close()
        for _ in range(2):
            with pytest.raises(ChannelClosed):
                reader.receive()


@both
def test_a_received_descriptor_is_closed_on_exec(core: ModuleType) -> None:
    left, right = pair()
    with left, right:
        reader = core.FrameReader(right)
        send_raw(left, WITH.wire(), [0])
        assert reader.receive() == 1
        (descriptor,) = reader.descriptors()
        assert not os.get_inheritable(descriptor) and os.fstat(descriptor).st_ino == os.fstat(0).st_ino
        os.close(descriptor)
        reader.close()


@both
def test_end_inside_a_frame(core: ModuleType) -> None:
    left, right = pair()
    with left, right:
        reader = core.FrameReader(right)
        send_raw(left, WITH.wire()[:-1], [0])
        left.close()
        assert reader.receive() == 0
        for _ in range(2):
            with pytest.raises(FrameError, match=frame.TRUNCATED):
                reader.receive()


@both
def test_more_descriptors_than_the_control_buffer_holds(core: ModuleType) -> None:
    left, right = pair()
    with left, right:
        reader = core.FrameReader(right)
        send_raw(left, WITH.wire() * 40, [0] * 40)
        with pytest.raises(FrameError, match="truncated"):
            reader.receive()


@both
def test_more_descriptors_than_the_process_may_have(core: ModuleType) -> None:
    import resource

    left, right = pair()
    with left, right:
        reader = core.FrameReader(right)
        send_raw(left, WITH.wire() * 8, [0] * 8)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 3, hard))
        try:
            with pytest.raises(FrameError, match="truncated"):
                reader.receive()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@both
def test_other_faults_of_the_socket(core: ModuleType) -> None:
    left, right = pair()
    reader, writer = core.FrameReader(right), core.FrameWriter(right)
    right.send(A.wire())
    left.close()  # with unread data: the other side sees a reset
    with pytest.raises(ChannelClosed):
        reader.receive()
    writer.add([1], [b"x"], 1, 1, {0: os.open("/dev/null", os.O_RDONLY)})
    with pytest.raises(ChannelClosed):
        writer.send()
    writer.close()
    right.close()


@both
def test_a_fault_that_has_no_name_here_is_the_system_s(core: ModuleType) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lonely:
        lonely.setblocking(False)
        reader, writer = core.FrameReader(lonely), core.FrameWriter(lonely)
        with pytest.raises(OSError, match="Invalid argument|not connected"):
            reader.receive()
        with pytest.raises(ChannelClosed):
            reader.receive()
        writer.add([1], [b"x"], 1, 1)
        with pytest.raises(OSError, match="not connected"):
            writer.send()
        assert writer.pending == 17
        writer.close()


def collect(core: ModuleType, sock: socket.socket, reader: Any) -> list[tuple[Frame, int]]:
    """Everything that lies in the socket: frames and the inode of their descriptor."""
    found = []
    while reader.receive():
        taken = reader.descriptors() or [-1] * len(reader.types())
        parts = zip(reader.types(), reader.peerids(), reader.pids(), reader.payloads(), strict=True)
        for part, descriptor in zip(parts, taken, strict=True):
            inode = 0
            if descriptor >= 0:
                inode = os.fstat(descriptor).st_ino
                os.close(descriptor)
            found.append((Frame(*part, descriptor >= 0), inode))
    return found


@pytest.mark.parametrize("reading", BOTH)
@pytest.mark.parametrize("writing", BOTH)
def test_writer_to_reader(writing: ModuleType, reading: ModuleType) -> None:
    left, right = pair()
    with left, right:
        writer, reader = writing.FrameWriter(left), reading.FrameReader(right)
        files = [os.memfd_create(f"f{i}") for i in range(5)]
        inodes = [os.fstat(f).st_ino for f in files]
        carried = {0: files[0], 3: files[1], 4: files[2], 9: files[3]}
        writer.add(list(range(10)), [bytes([i]) * i for i in range(10)], 0xFFFFFA, 77, carried)
        assert writer.pending == 10 * 16 + 45
        assert writer.send() and writer.pending == 0
        writer.add([5], [b"x"], 0x02FFFFFF, 77, {0: files[4]})
        writer.add([6, 7], [b"y", b"z"], 0x02000001, 77)
        assert writer.send()
        found = collect(reading, right, reader)
        peerids = [*range(0xFFFFFA, 0x1000000), 1, 2, 3, 4]
        assert [f for f, _ in found[:10]] == [
            Frame(i, peerids[i], 77, bytes([i]) * i, i in carried) for i in range(10)
        ]
        assert [f.peerid for f, _ in found[10:]] == [0x02FFFFFF, 0x02000001, 0x02000002]
        assert [inode for _, inode in found if inode] == inodes
        reader.close()


@pytest.mark.parametrize("reading", BOTH)
@pytest.mark.parametrize("writing", BOTH)
def test_partial_writes_keep_order_and_descriptors(writing: ModuleType, reading: ModuleType) -> None:
    left, right = pair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    with left, right:
        writer, reader = writing.FrameWriter(left), reading.FrameReader(right)
        sent, inodes = [], []
        for batch in range(6):
            carried = {i: os.memfd_create("f") for i in range(20) if i % 7 == batch % 3}
            inodes += [os.fstat(f).st_ino for f in carried.values()]
            payloads = [bytes([batch, i]) * (i * 37) for i in range(20)]
            writer.add(list(range(20)), payloads, batch * 20 + 1, 9, carried)
            sent += [Frame(i, batch * 20 + 1 + i, 9, p, i in carried) for i, p in enumerate(payloads)]
            assert not writer.send()
        found: list[tuple[Frame, int]] = []
        while writer.pending:
            found += collect(reading, right, reader)
            writer.send()
        found += collect(reading, right, reader)
        assert [f for f, _ in found] == sent
        assert [inode for _, inode in found if inode] == inodes
        reader.close()


@both
def test_what_a_writer_refuses(core: ModuleType) -> None:
    writer = core.FrameWriter()
    writer.add([], [], 1, 1)
    for types, payloads, index in (([1], [], 0), ([1], [bytes(MAX_FRAME - 15)], 0), ([1], [b""], 1)):
        with pytest.raises(ValueError, match="cannot be sent"):
            writer.add(types, payloads, 1, 1, {index: os.open("/dev/null", os.O_RDONLY)})
    assert writer.pending == 0
    writer.add([1], [bytes(MAX_FRAME - 16)], 1, 1, {0: os.open("/dev/null", os.O_RDONLY)})
    assert writer.pending == MAX_FRAME
    writer.close()
    assert writer.pending == 0
    with pytest.raises(ValueError, match="cannot be sent"):
        writer.add([1], [b""], 1, 1)


@both
def test_a_large_queue_goes_out_and_is_forgotten(core: ModuleType) -> None:
    left, right = pair()
    with left, right:
        writer, reader = core.FrameWriter(left), core.FrameReader(right)
        for start in range(0, 400, 100):
            writer.add([1] * 100, [bytes(9000)] * 100, start + 1, 1)
        seen = []
        while writer.pending:
            writer.send()
            while reader.receive():
                seen += reader.peerids()
        assert seen == list(range(1, 401))
        writer.add([2], [b"again"], 401, 1)
        assert writer.send() and reader.receive() == 1 and reader.payloads() == [b"again"]
        reader.close()


def test_next_peerid() -> None:
    assert next_peerid(1) == 2
    assert next_peerid(0xFFFFFF) == 1
    assert next_peerid(0x05FFFFFF) == 0x05000001


def records(core: ModuleType) -> list[tuple[Any, ...]]:
    left, right = pair()
    with left, right:
        recorder = Recorder(entries=50)
        channel = recorder.channel("queue")
        writer = core.FrameWriter(left, recorder, channel)
        reader = core.FrameReader(right, recorder, 7)
        writer.add([3, 4], [b"", b"xyz"], 0xFFFFFF, 42, {1: os.open("/dev/null", os.O_RDONLY)})
        writer.send()
        reader.receive()
        os.close((reader.descriptors() or [])[-1])
        left.send(A.wire() + header(1))
        with pytest.raises(FrameError):
            reader.receive()
        entries = recorder.entries()
        assert all(a.time <= b.time for a, b in zip(entries, entries[1:], strict=False))
        return [entry[1:] for entry in entries]


@both
def test_recorder_sees_both_directions(core: ModuleType) -> None:
    sent = [(1, "queue", "out", 3, 16, 0xFFFFFF, 42, False), (2, "queue", "out", 4, 19, 1, 42, True)]
    found = records(core)
    assert found[:2] == sent
    # the pure reader sees what the kernel gives at once; a read ends where a descriptor was passed
    assert [e[3:] for e in found[2:]] == [
        (3, 16, 0xFFFFFF, 42, False),
        (4, 19, 1, 42, True),
        (1, 23, 2, 3, False),
    ]


def test_header_is_native_order() -> None:
    assert HEADER.pack(1, 2, 3, 4) == struct.pack("@4I", 1, 2, 3, 4)
