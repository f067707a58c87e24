"""imsg/channel.py: messages through a socketpair, in batches, with descriptors and bounds; and a C peer."""

import os
import select
import shutil
import socket
import struct
import subprocess
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imsg import channel as channel_module
from imsg import frame
from imsg.channel import Channel, ChannelClosed, ChannelFull, FrameError
from imsg.frame import DESCRIPTOR_BIT, HEADER
from imsg.message import U32, U64, Catalogue, MessageError, Opt, message
from imsg.recorder import Recorder

try:
    from imsg import native
except ImportError:
    native = None  # type: ignore[assignment]


@message(1, "a", "b")
class Note(NamedTuple):
    session: U64
    count: U32
    size: U32
    text: str


@message(2, "a", "b", descriptor=True)
class Opened(NamedTuple):
    reqid: U32


@message(3, "a", "b", descriptor="optional")
class Found(NamedTuple):
    reqid: U32
    names: list[str]
    home: Opt[str]


CATALOGUE = Catalogue([Note, Opened, Found])
NOTE = Note(1, 2, 3, "text")

type Pair = tuple[Channel, Channel]
type MakePair = Callable[..., Pair]

SIDES = [
    pytest.param(frame, id="pure"),
    pytest.param(native, id="native", marks=pytest.mark.skipif(native is None, reason="no C core was built")),
]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(params=SIDES)
def make_pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePair]:
    monkeypatch.setattr(channel_module, "FrameReader", request.param.FrameReader)
    monkeypatch.setattr(channel_module, "FrameWriter", request.param.FrameWriter)
    before = open_descriptors()
    made: list[Channel] = []

    def make(**keywords: Any) -> Pair:
        left, right = socket.socketpair()
        made.extend((Channel(left, CATALOGUE, **keywords), Channel(right, CATALOGUE)))
        return made[-2], made[-1]

    yield make
    for one in made:
        one.close()
    assert open_descriptors() <= before


def null() -> int:
    return os.open("/dev/null", os.O_RDONLY)


def raw(number: int, payload: bytes, bit: int = 0) -> bytes:
    return HEADER.pack(number, 16 + len(payload) | bit, 1, 1) + payload


def test_messages_arrive_as_they_were(make_pair: MakePair) -> None:
    left, right = make_pair()
    assert left.fileno() == left.sock.fileno() and right.receive() == [] and left.flush()
    sent = [Note(2**64 - 1, 0, 2**32 - 1, "é\udcff"), Found(7, ["x", ""], None), Found(8, [], "/home/ann")]
    assert [left.put(m) for m in sent] == [1, 2, 3]
    assert left.queued > 48 and right.receive() == []
    assert left.flush() and left.queued == 0
    assert right.receive() == [(1, sent[0], 1, None), (3, sent[1], 2, None), (3, sent[2], 3, None)]
    assert right.put(NOTE) == 1 and right.flush()
    assert left.receive() == [(1, NOTE, 1, None)]


def test_a_thousand_in_a_batch(make_pair: MakePair) -> None:
    left, right = make_pair()
    sent = [Note(n, n, n, "x" * (n % 50)) for n in range(1000)]
    for one in sent:
        left.put(one)
    assert left.flush()
    received = []
    while batch := right.receive():
        received += batch
    assert [m for _, m, _, _ in received] == sent
    assert [peerid for _, _, peerid, _ in received] == list(range(1, 1001))


def test_descriptors(make_pair: MakePair) -> None:
    left, right = make_pair()
    files = [os.memfd_create(f"file {n}") for n in range(3)]
    inodes = [os.fstat(f).st_ino for f in files]
    left.put(NOTE)
    left.put(Opened(1), files[0])
    left.put(Found(2, [], None))
    left.put(Found(3, [], None), files[1])
    left.put(Opened(4), files[2])
    assert left.flush()
    received = []
    while batch := right.receive():
        received += batch
    assert [m for _, m, _, _ in received] == [
        NOTE,
        Opened(1),
        Found(2, [], None),
        Found(3, [], None),
        Opened(4),
    ]
    taken = [fd for _, _, _, fd in received if fd is not None]
    assert [fd is not None for _, _, _, fd in received] == [False, True, False, True, True]
    assert [os.fstat(fd).st_ino for fd in taken] == inodes
    for fd in taken:
        os.close(fd)


def test_a_descriptor_belongs_to_the_channel_whatever_happens(make_pair: MakePair) -> None:
    left, _ = make_pair(max_queued=100)
    with pytest.raises(MessageError, match="Note: goes without"):
        left.put(NOTE, null())
    with pytest.raises(MessageError, match="Opened: has to be sent with"):
        left.put(Opened(1))
    with pytest.raises(MessageError, match="-1 is no descriptor"):
        left.put(Opened(1), -1)
    with pytest.raises(MessageError, match="out of range"):
        left.put(Opened(-1), null())
    with pytest.raises(MessageError, match="do not fit"):
        left.put(Found(1, ["x" * 17000], None), null())
    with pytest.raises(MessageError, match="int is no message"):
        left.put(5, null())
    assert left.queued == 0
    while left.queued < 400:
        left.put(Opened(1), null())
    with pytest.raises(ChannelFull):
        left.put(Opened(1), null())
    left.close()
    with pytest.raises(ChannelClosed):
        left.put(Opened(1), null())
    with pytest.raises(ChannelClosed):
        left.put(NOTE)


def test_what_is_in_the_socket_at_close_does_not_leak(make_pair: MakePair) -> None:
    left, right = make_pair()
    left.put(Opened(1), null())
    left.flush()
    left.put(Opened(2), null())
    left.close()
    left.close()
    right.close()


def test_bounds(make_pair: MakePair) -> None:
    left, right = make_pair(max_queued=1000, name="queue")
    size = 16 + len(CATALOGUE.encode(NOTE)[1])
    while not left.full:
        left.put(NOTE)
    assert left.queued == size * -(-1000 // size)
    with pytest.raises(ChannelFull, match="bytes wait to be sent to queue"):
        for _ in range(4000):
            left.put(NOTE)
    assert 4000 <= left.queued < 4000 + size
    count = left.queued // size
    assert left.flush() and not left.full
    assert len(right.receive()) == count


def test_a_peer_that_does_not_read(make_pair: MakePair) -> None:
    left, right = make_pair(max_queued=10_000_000)
    sent = 0
    while left.flush():
        for _ in range(500):
            left.put(Note(sent, 0, 0, "x" * 100))
            sent += 1
    stuck = left.queued
    assert 0 < stuck and not select.select([], [left], [], 0)[1]
    left.put(Note(sent, 0, 0, "last"))
    sent += 1
    assert left.queued == stuck + len(CATALOGUE.encode(Note(sent, 0, 0, "last"))[1]) + 16
    assert not left.flush()
    received: list[Any] = []
    while len(received) < sent:
        received += right.receive()
        left.flush()
    assert [m.session for _, m, _, _ in received] == list(range(sent))
    assert [p for _, _, p, _ in received] == list(range(1, sent + 1)) and left.queued == 0 and left.flush()


def test_peerids_carry_the_instance_wrap_and_are_never_zero(make_pair: MakePair) -> None:
    left, right = make_pair(instance=3)
    assert left.put(NOTE) == 0x03000001
    left._next = 0x03FFFFFE
    left._first = 0x03FFFFFD
    assert [left.put(NOTE) for _ in range(4)] == [0x03FFFFFE, 0x03FFFFFF, 0x03000001, 0x03000002]
    left.flush()
    assert [left.put(NOTE) for _ in range(2)] == [0x03000003, 0x03000004]
    left.flush()
    received = []
    while batch := right.receive():
        received += [peerid for _, _, peerid, _ in batch]
    assert received[1:] == [0x03FFFFFE, 0x03FFFFFF, 0x03000001, 0x03000002, 0x03000003, 0x03000004]
    with pytest.raises(ValueError, match="0 to 255"):
        Channel(left.sock, CATALOGUE, instance=256)


def test_clean_end_and_end_inside_a_frame(make_pair: MakePair) -> None:
    left, right = make_pair()
    left.put(NOTE)
    left.flush()
    left.close()
    assert len(right.receive()) == 1
    with pytest.raises(ChannelClosed):
        right.receive()
    left, right = make_pair()
    left.sock.send(raw(1, CATALOGUE.encode(NOTE)[1])[:-1])
    left.close()
    assert right.receive() == []
    with pytest.raises(FrameError, match="inside a frame"):
        right.receive()


def test_sending_to_a_peer_that_is_gone(make_pair: MakePair) -> None:
    left, right = make_pair()
    right.close()
    left.put(Opened(1), null())
    with pytest.raises(ChannelClosed):
        left.flush()


BAD = [
    (raw(9, b"\x90"), "no message has the number 9"),
    (raw(1, b""), "Note: not one msgpack array"),
    (raw(1, msgpack.packb([1, 2, 3])), "Note: message has 3 fields, not 4"),
    (raw(1, msgpack.packb([1, 2, 3, "x", 5])), "Note: message has 5 fields"),
    (raw(1, msgpack.packb([1, 2, 3, b"x"])), "Note: text is bytes"),
    (raw(1, msgpack.packb([1, 2, 2**32, "x"])), "Note: size is out of range"),
    (raw(1, msgpack.packb([1, 2, 3, "x"]) + b"\xc0"), "Note: bytes after the end"),
    (raw(1, msgpack.packb([1, 2, 3, "x"])[:-1]), "Note: not one msgpack array"),
    (raw(1, msgpack.packb([1, 2, 3.0, "x"])), "Note: size is float"),
    (raw(1, msgpack.packb({"a": 2})), "Note: message is dict"),
    (raw(1, b"\x91" * 3000 + b"\xc0"), "Note: not one msgpack array"),
    (raw(9, b"\xc1"), "message 9: not one msgpack array"),
    (raw(2, msgpack.packb([1])), "Opened: came without its descriptor"),
]


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize(("data", "text"), BAD)
def test_bad_messages(make_pair: MakePair, data: bytes, text: str, before: int) -> None:
    left, right = make_pair()
    left.sock.send(raw(1, CATALOGUE.encode(NOTE)[1]) * before + data + raw(1, CATALOGUE.encode(NOTE)[1]))
    with pytest.raises(MessageError, match=text):
        right.receive()
    with pytest.raises((ChannelClosed, FrameError)):
        right.receive()


def send_raw(sock: socket.socket, data: bytes, count: int) -> None:
    sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0] * count))])


@pytest.mark.parametrize(
    ("data", "count", "text"),
    [
        (raw(1, msgpack.packb(NOTE), DESCRIPTOR_BIT), 1, "Note: came with a descriptor"),
        (raw(2, msgpack.packb(["x"]), DESCRIPTOR_BIT), 1, "Opened: reqid is str"),
        (raw(2, msgpack.packb([1]), DESCRIPTOR_BIT) + raw(9, b"\x90"), 1, "number 9"),
        (raw(2, msgpack.packb([1]), DESCRIPTOR_BIT) + raw(1, b"\xc1"), 1, "Note: not one"),
        (raw(9, b"\x90", DESCRIPTOR_BIT), 1, "number 9"),
        (raw(2, msgpack.packb([1]), DESCRIPTOR_BIT) * 2, 1, "did not come with it"),
        (raw(2, msgpack.packb([1]), DESCRIPTOR_BIT), 2, "without a frame that announces"),
        (raw(1, msgpack.packb(NOTE)), 1, "without a frame that announces"),
        (raw(2, msgpack.packb([1]), DESCRIPTOR_BIT) * 30, 30, "truncated"),
    ],
)
def test_descriptors_with_bad_messages_are_closed(
    make_pair: MakePair, data: bytes, count: int, text: str
) -> None:
    left, right = make_pair()
    send_raw(left.sock, data, count)
    with pytest.raises((MessageError, FrameError), match=text):
        right.receive()


def test_several_descriptors_in_one_sendmsg(make_pair: MakePair) -> None:
    left, right = make_pair()
    send_raw(left.sock, raw(2, msgpack.packb([1]), DESCRIPTOR_BIT) * 3, 3)
    received = right.receive()
    assert [m for _, m, _, _ in received] == [Opened(1)] * 3
    for _, _, _, fd in received:
        assert fd is not None
        os.close(fd)


def test_tracing_sees_every_message_once(make_pair: MakePair) -> None:
    left, right = make_pair()
    seen: list[tuple[str, Any, int, int]] = []
    left.on_trace = right.on_trace = lambda *event: seen.append(event)
    left.put(NOTE)
    left.put(Opened(5), null())
    left.flush()
    received = right.receive()
    sizes = [len(CATALOGUE.encode(m)[1]) for m in (NOTE, Opened(5))]
    assert seen[:2] == [("out", NOTE, 1, sizes[0]), ("out", Opened(5), 2, sizes[1])]
    assert seen[2:] == [("in", NOTE, 1, sizes[0]), ("in", Opened(5), 2, sizes[1])][: len(received)]
    if len(received) == 1:
        received += right.receive()
    os.close(received[1][3])


def test_recorder(make_pair: MakePair) -> None:
    recorder = Recorder()
    left, right = make_pair(recorder=recorder, name="lookup")
    left.put(NOTE)
    left.flush()
    right.receive()
    right.put(Opened(5), null())
    right.flush()
    os.close(left.receive()[0][3] or -1)
    entries = recorder.entries()
    assert [(e.channel, e.direction, e.type, e.descriptor) for e in entries] == [
        ("lookup", "out", 1, False),
        ("lookup", "in", 2, True),
    ]
    assert {e.pid for e in entries} == {os.getpid()}


payloads = st.binary(max_size=12) | st.sampled_from([msgpack.packb(NOTE), b"\x91\x01", b"\x93\x01\x90\xc0"])


@given(items=st.lists(st.tuples(st.sampled_from([1, 2, 3, 4]), payloads), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_in_the_socket(make_pair: MakePair, items: list[tuple[int, bytes]]) -> None:
    left, right = make_pair()
    left.sock.send(b"".join(raw(number, payload) for number, payload in items) or raw(1, msgpack.packb(NOTE)))
    expected: list[Any] = []
    try:
        expected = [CATALOGUE.decode(*item) for item in items]
        if any(type(m) is Opened for m in expected):
            expected = []
    except MessageError:
        pass
    if expected:
        assert [m for _, m, _, _ in right.receive()] == expected
    elif items:
        with pytest.raises(MessageError):
            right.receive()
    left.close()
    right.close()


@pytest.fixture(scope="module")
def peer_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("NO C COMPILER: imsg was not tested against a peer written in C")
    program = tmp_path_factory.mktemp("peer") / "peer"
    source = Path(__file__).with_name("peer.c")
    subprocess.run([compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    return program


def start_peer(program: Path, mode: str, sock: socket.socket) -> subprocess.Popen[bytes]:
    sock.setblocking(True)  # shared with the other end of the descriptor, which is the peer's
    child = subprocess.Popen([program, str(sock.fileno()), mode], pass_fds=[sock.fileno()])
    sock.close()
    return child


def exchange(channel: Channel, count: int) -> list[Any]:
    received: list[Any] = []
    done = channel.flush()
    while len(received) < count:
        readable, writable, _ = select.select([channel], [] if done else [channel], [], 10)
        assert readable or writable, "the peer is silent"
        received += channel.receive()
        done = channel.flush()
    return received


def test_with_a_c_peer(make_pair: MakePair, peer_program: Path) -> None:
    recorder = Recorder()
    left, right = make_pair(recorder=recorder)
    child = start_peer(peer_program, "echo", right.sock)
    sent, inodes = [], []
    for n in range(1500):
        one: Any = (Note(n, n, n, "x" * (n % 300)), Opened(n), Found(n, ["a"] * (n % 40), None))[n % 3]
        if n % 60 == 1 or n % 60 == 2 or n % 3 == 1:
            file = os.memfd_create("file")
            inodes.append(os.fstat(file).st_ino)
            left.put(one, file)
        else:
            left.put(one)
        sent.append(one)
    received = exchange(left, len(sent))
    assert [m for _, m, _, _ in received] == sent
    assert [p for _, _, p, _ in received] == list(range(1, 1501))
    taken = [fd for _, _, _, fd in received if fd is not None]
    assert [os.fstat(fd).st_ino for fd in taken] == inodes
    for fd in taken:
        os.close(fd)
    assert {e.pid for e in recorder.entries() if e.direction == "in"} == {child.pid}
    left.close()
    assert child.wait(10) == 0


def test_a_c_peer_counts(make_pair: MakePair, peer_program: Path) -> None:
    left, right = make_pair()
    child = start_peer(peer_program, "count", right.sock)
    size = 0
    for n in range(300):
        if n % 10 == 0:
            left.put(Opened(n), null())
            size += len(CATALOGUE.encode(Opened(n))[1])
        else:
            left.put(Note(n, n, n, "x" * 1000))
            size += len(CATALOGUE.encode(Note(n, n, n, "x" * 1000))[1])
    while not left.flush():
        select.select([], [left], [], 10)
    left.sock.shutdown(socket.SHUT_WR)
    reader = channel_module.FrameReader(left.sock)
    select.select([left], [], [], 10)
    assert reader.receive() == 1
    assert struct.unpack("=IIQ", reader.payloads()[0]) == (300, 30, size)
    assert child.wait(10) == 0
