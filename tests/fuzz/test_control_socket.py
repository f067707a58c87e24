"""Whatever an smtpctl sends: it is answered or dropped, and nobody else notices.

A whole control process; the other processes are played by the test, which counts what reaches them.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imsg import Channel, ChannelClosed, MessageError
from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.control.process import Process
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_control import (
    ClientChangeEnvelopes,
    ClientDone,
    ClientPause,
    ClientResume,
    ClientSetTrace,
    ClientSetVerbose,
    ClientShowStats,
    ClientShowStatus,
    ServerHello,
    StatusRow,
)
from smtpd.messages.client_queue import ClientShowQueue
from smtpd.messages.control_process import OTHERS, Counters, GetCounters
from smtpd.messages.control_scheduler import (
    ChangeEnvelopes,
    EnvelopesAffected,
    EnvelopesListed,
    ListEnvelopes,
)
from smtpd.messages.parent_control import ControlSocket
from smtpd.mproc.log import Log

CORPUS = sorted((Path(__file__).parent / "corpus" / "control_socket").iterdir())
STREAMS = [path.read_bytes() for path in CORPUS]

REQUESTS = st.one_of(
    st.just(ClientShowStatus()),
    st.just(ClientShowStats()),
    st.builds(ClientShowQueue, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    st.builds(ClientChangeEnvelopes, st.text(max_size=8), st.integers(0, 2**64 - 1)),
    st.builds(ClientChangeEnvelopes, st.just("schedule"), st.integers(0, 2**64 - 1)),
    st.builds(ClientPause, st.text(max_size=5)),
    st.builds(ClientResume, st.text(max_size=5)),
    st.builds(ClientSetVerbose, st.integers(0, 2**32 - 1)),
    st.builds(ClientSetTrace, st.text(max_size=5), st.booleans()),
)

ANSWERS: dict[type, Any] = {
    GetCounters: lambda reqid: Counters(reqid, []),
    ListEnvelopes: lambda reqid: EnvelopesListed(reqid, 0, []),
    ChangeEnvelopes: lambda reqid: EnvelopesAffected(reqid, 0),
}

FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Daemon:
    """control, the rest of the daemon, and one client that does what it should."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.process = Process(self.loop, Log("control"))
        self.faults: list[Any] = []
        self.process.fault = self.process.fatal = self.faults.append  # type: ignore[method-assign, assignment]
        self.path = folder / "smtpd.sock"
        self.ends: dict[str, Channel] = {}
        self.reached = 0
        for name in OTHERS:
            ours, theirs = socket.socketpair()
            self.ends[name] = Channel(theirs, CATALOGUE)
            self.process.attach(name, 0, Channel(ours, CATALOGUE))
        self.process.load_config(wire.dumps(Config()))
        self.process.start()
        self.process.begin()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.path))
        listening.listen()
        self.ends["parent"].put(ControlSocket(str(self.path)), listening.detach())
        self.ends["parent"].flush()
        self.turn()
        self.good = Channel(self.connect(), CLIENT_CATALOGUE)
        self.descriptors = len(os.listdir("/proc/self/fd"))
        self.check()

    def turn(self, times: int = 12) -> None:
        for _ in range(times):
            self.loop.run_until_complete(asyncio.sleep(0))
            for end in self.ends.values():
                for _number, message, peerid, _fd in end.receive():
                    self.reached += 1
                    if type(message) in ANSWERS:
                        end.put(ANSWERS[type(message)](peerid))
                        end.flush()

    def connect(self) -> socket.socket:
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(self.path))
        self.turn(2)
        return end

    def play(self, stream: bytes, cuts: list[int], descriptor: bool) -> None:
        """A client that sends a stream in pieces, perhaps with a descriptor, and leaves without reading."""
        end = self.connect()
        places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
        pieces = [stream[start:stop] for start, stop in zip(places, places[1:], strict=False) if stop > start]
        try:
            for piece in pieces:
                if descriptor:
                    socket.send_fds(end, [piece], [2])
                else:
                    end.send(piece, socket.MSG_DONTWAIT)
                self.turn(2)
        except OSError:
            pass  # dropped already, or not read any more while a request is under way
        self.turn()
        end.close()

    def check(self) -> None:
        """The good client is served, nothing has died, nothing was left open."""
        self.good.put(ClientShowStatus())
        self.good.flush()
        heard: list[Any] = []
        for _ in range(200):
            self.turn(2)
            heard += [message for _, message, _, _ in self.good.receive()]
            if heard and isinstance(heard[-1], ClientDone):
                break
        assert [type(message) for message in heard if not isinstance(message, ServerHello)] == [
            StatusRow,
            ClientDone,
        ]
        assert self.faults == []
        assert self.process.clients is not None
        for _ in range(200):
            if len(self.process.clients) == 1:
                break
            self.turn(2)
        assert len(self.process.clients) == 1
        assert len(os.listdir("/proc/self/fd")) <= self.descriptors

    def close(self) -> None:
        self.loop.run_until_complete(self.process.stop())
        for peer in self.process.peers():
            peer.close()
        for end in (*self.ends.values(), self.good):
            end.close()
        self.loop.close()


@pytest.fixture
def daemon(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path)
    yield daemon
    daemon.close()
    for line in capfd.readouterr().err.splitlines():
        assert line.isprintable(), "no client writes into the log"


def well_formed(stream: bytes) -> int:
    """How many requests of a stream control may act upon: the whole and right ones before the first fault."""
    ours, theirs = socket.socketpair()
    channel = Channel(ours, CLIENT_CATALOGUE)
    count = 0
    with theirs:
        theirs.setblocking(False)
        while len(stream) >= 16:
            length = struct.unpack_from("=I", stream, 4)[0]
            if not 16 <= length <= len(stream):
                break
            theirs.send(stream[:length])
            try:
                count += len(channel.receive())
            except (MessageError, ValueError, ChannelClosed):
                break
            stream = stream[length:]
    channel.close()
    return count


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
@pytest.mark.parametrize("descriptor", [False, True])
def test_corpus(daemon: Daemon, path: Path, descriptor: bool) -> None:
    stream = path.read_bytes()
    daemon.play(stream, [], descriptor)
    daemon.check()
    acted_upon = path.name.startswith("valid") and not descriptor
    assert acted_upon or daemon.reached == 0
    daemon.play(stream, list(range(len(stream)))[:100], False)
    daemon.check()
    assert daemon.reached <= 2 * len(OTHERS) * well_formed(stream)


@FUZZ
@given(
    stream=st.one_of(st.binary(max_size=300), st.sampled_from(STREAMS)),
    cuts=st.lists(st.integers(0, 400), max_size=5),
    descriptor=st.booleans(),
)
def test_any_bytes(daemon: Daemon, stream: bytes, cuts: list[int], descriptor: bool) -> None:
    before = daemon.reached
    daemon.play(stream, cuts, descriptor)
    daemon.check()
    assert daemon.reached - before <= len(OTHERS) * well_formed(stream)


@FUZZ
@given(
    requests=st.lists(REQUESTS, min_size=1, max_size=4),
    place=st.integers(0, 10_000),
    byte=st.integers(0, 255),
    cuts=st.lists(st.integers(0, 400), max_size=3),
)
def test_right_requests_with_a_wrong_byte(
    daemon: Daemon, requests: list[Any], place: int, byte: int, cuts: list[int]
) -> None:
    frames = [CLIENT_CATALOGUE.encode(request) for request in requests]
    stream = bytearray(
        b"".join(
            struct.pack("=IIII", number, 16 + len(payload), 1, 1) + payload for number, payload in frames
        )
    )
    stream[place % len(stream)] = byte
    before = daemon.reached
    daemon.play(bytes(stream), cuts, False)
    daemon.check()
    assert daemon.reached - before <= len(OTHERS) * well_formed(bytes(stream))
