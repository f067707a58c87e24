"""smtpd/control/clients.py, in a whole process whose peers the test holds (conftest.py)."""

import os
import socket
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from imsg.fields import Shape
from imsg.message import Kind
from smtpd import __version__
from smtpd.control import clients as module
from smtpd.control.process import Process
from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_control import (
    ClientChangeEnvelopes,
    ClientDone,
    ClientOpenSession,
    ClientPause,
    ClientShowStats,
    ClientShowStatus,
    ServerHello,
    StatusRow,
)
from smtpd.messages.client_queue import ClientShowQueue
from smtpd.messages.links import CLIENT
from smtpd.messages.parent_control import ControlSocket

DONE = ClientDone(0, "", 1)


def frame(number: int, payload: bytes = b"\x90", length: int | None = None) -> bytes:
    return struct.pack("=IIII", number, 16 + len(payload) if length is None else length, 1, 1) + payload


def raw(bench: Any, data: bytes, *descriptors: int) -> socket.socket:
    """A client that sends just these bytes."""
    end = socket.socket(socket.AF_UNIX)
    end.connect(str(bench.path))
    bench.turn()
    if descriptors:
        socket.send_fds(end, [data], list(descriptors))
    elif data:
        end.sendall(data)
    bench.turn()
    end.setblocking(False)
    return end


def closed(end: socket.socket) -> bool:
    """Whether control has closed its end; the hello is read over."""
    try:
        while end.recv(4096):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        pass
    return True


def test_hello_comes_first(bench: Any) -> None:
    client = bench.connect(greeted=False)
    bench.turn()
    ((number, hello, _, fd),) = client.receive()
    assert hello == ServerHello(__version__, CLIENT_CATALOGUE.digest())
    assert fd is None
    assert bench.process.stat.get("control.session") == 1


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        bytes(64),
        b"\xff" * 4096,
        frame(0x0905, b"\xc1"),
        frame(0x0905, b"\x91\x01"),
        frame(0x0905, b"\x90\x90"),
        frame(0x0909, b"\x92\xa6remove\xa3all"),
        frame(0x0905, length=15),
        frame(0x0905, length=16385),
        frame(0x0902, b"\x93\x01\xa0\x00"),
        frame(0x0901, b"\x92\xa0\xa0"),
        frame(0x0108, b"\x91\x05"),
        frame(0x08A4, b"\x92\xa6remove\x00"),
        frame(0x0905) + b"junk" * 10,
    ],
)
def test_garbage_drops_the_client_and_nothing_else(
    bench: Any, capfd: pytest.CaptureFixture[str], data: bytes
) -> None:
    good = bench.connect()
    capfd.readouterr()
    end = raw(bench, data)
    assert closed(end)
    end.close()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert f"uid={os.geteuid()}" in lines[0]
    assert lines[0].endswith(": dropped")
    assert all(heard == [] for heard in bench.heard.values())
    assert bench.ask(good, ClientShowStatus()) == [StatusRow(0, True, True, True), DONE]
    assert len(bench.process.clients) == 1


def test_a_descriptor_nobody_asked_for_is_closed_and_drops_the_client(bench: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in (0x0905, 0x0909, 0x7777):
        reading, writing = os.pipe()
        end = raw(bench, struct.pack("=IIII", number, 0x80000000 | 17, 1, 1) + b"\x90", writing)
        os.close(writing)
        assert closed(end)
        assert os.read(reading, 1) == b"", "no copy of it is left"
        os.close(reading)
        end.close()
    for data in (frame(0x0905), b"\x05"):
        end = raw(bench, data, 0)
        assert closed(end) is (data != b"\x05"), "a frame that has only begun may still say that it has one"
        end.close()
        bench.turn()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_half_a_frame_waits_and_is_swept_away(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    end = raw(bench, frame(0x0905)[:9])
    assert not closed(end)
    monkeypatch.setattr(module, "IDLE_SECONDS", -1)
    bench.process.clients._sweeper.cancel()
    bench.process.clients._sweep()
    assert closed(end)
    end.close()
    assert len(bench.process.clients) == 0


def test_a_request_in_pieces_is_served(bench: Any) -> None:
    end = raw(bench, b"")
    assert not closed(end)
    for byte in frame(0x0905):
        end.send(bytes((byte,)))
        bench.turn(2)
    answer = end.recv(4096)
    assert struct.unpack_from("=I", answer)[0] == 0x0906
    end.close()


def test_idle_and_stalled_clients_are_dropped_busy_ones_are_not(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle, busy, stalled = (bench.connect() for _ in range(3))
    busy.put(ClientChangeEnvelopes("remove", 0))
    busy.flush()
    bench.turn()
    last = max(bench.process.clients._clients, key=lambda client: client.active if not client.busy else 0)
    for _ in range(20_000):
        last.send(StatusRow(1, True, True, True))
    bench.turn()
    assert last.backlog
    monkeypatch.setattr(module, "IDLE_SECONDS", -1)
    monkeypatch.setattr(module, "STALLED_SECONDS", -1)
    bench.process.clients._sweep()
    assert not last.lost, "an administrator with a pager has time"
    last.privileged = False
    bench.process.clients._sweep()
    assert bench.dropped(idle)
    assert bench.dropped(stalled)
    assert not bench.dropped(busy)


def test_one_user_has_so_many_connections(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_A_USER", 3)
    first, second, third = (bench.connect() for _ in range(3))
    assert bench.ask(first, ClientShowStatus())[-1] == DONE
    fourth = bench.connect()
    assert bench.dropped(second), "the longest idle one made room"
    for client in (first, third, fourth):
        assert bench.ask(client, ClientShowStatus())[-1] == DONE
        client.put(ClientChangeEnvelopes("remove", 0))
        client.flush()
    bench.turn()
    fifth = bench.connect(greeted=False)
    assert bench.dropped(fifth), "all others are busy"
    assert len(bench.process.clients) == 3


def test_one_that_does_not_read_makes_room(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OF_A_USER", 2)
    for _ in range(2):
        client = bench.connect()
        client.put(ClientChangeEnvelopes("remove", 0))
        client.flush()
    bench.turn()
    first, second = sorted(bench.process.clients._clients, key=lambda each: each.active)
    while not second.backlog:
        for _ in range(2000):
            second.send(StatusRow(1, True, True, True))
        bench.turn(1)
    refused = bench.connect(greeted=False)
    assert bench.dropped(refused)
    monkeypatch.setattr(module, "STALLED_SECONDS", -1)
    bench.connect()
    assert (first.lost, second.lost) == (False, True)


def test_so_many_clients_in_all_and_a_reserve_for_root(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CLIENTS", 4)
    monkeypatch.setattr(module, "ROOT_RESERVE", 2)
    pretended = iter([1000, 1001, 1002, 0, 0, 0])
    monkeypatch.setattr(
        module,
        "_CREDENTIALS",
        type("", (), {"size": 12, "unpack": lambda self, data: (1, next(pretended), 1)})(),
    )
    clients = [bench.connect(greeted=False) for _ in range(6)]
    bench.turn()
    assert [bench.dropped(client) for client in clients] == [False, False, True, True, False, False]


def test_five_hundred_connections(bench: Any) -> None:
    ends = []
    for _ in range(500):
        end = socket.socket(socket.AF_UNIX)
        end.connect(str(bench.path))
        ends.append(end)
    bench.turn(60)
    assert len(bench.process.clients) <= module.MOST_OF_A_USER
    assert bench.ask(bench.connect(), ClientShowStatus()) == [StatusRow(0, True, True, True), DONE]
    for end in ends:
        end.close()
    bench.turn()
    assert len(bench.process.clients) == 1


def test_no_rights_no_request(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    bench.process.clients._administrators = frozenset({4_000_000})
    client = bench.connect()
    for request in (
        ClientShowStatus(),
        ClientShowStats(),
        ClientShowQueue(0),
        ClientPause("mta"),
        ClientChangeEnvelopes("remove", 0),
    ):
        assert bench.ask(client, request) == [ClientDone(0, "need root privileges", 0)]
    assert all(heard == [] for heard in bench.heard.values())
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 5
    assert all(f"uid={os.geteuid()}" in line and "refused, no rights" in line for line in lines)


def lowest(shape: Shape) -> Any:
    """A value of that shape."""
    if shape.base == "tuple":
        return shape.cls(*(lowest(part) for _, part in shape.parts))
    return {"int": shape.low, "str": "", "bytes": b"", "bool": False, "list": [], "opt": None}[shape.base]


REQUESTS = [kind for kind in CLIENT_CATALOGUE.by_number.values() if CLIENT in kind.senders]


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.name)
def test_each_request_needs_rights_but_one(bench: Any, kind: Kind) -> None:
    """Whoever declares another request need not think of it: it is refused to all but administrators."""
    bench.process.clients._administrators = frozenset({4_000_000})
    refused = [ClientDone(0, "need root privileges", 0)]
    if kind.cls is ClientOpenSession:
        assert module.OPEN_TO_ALL == {ClientOpenSession}
    else:
        assert bench.ask(bench.connect(), lowest(kind.shape)) == refused
        assert all(heard == [] for heard in bench.heard.values())


def test_a_flood_of_bad_clients_is_no_flood_of_lines(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(module.LOG_MOST + 30):
        raw(bench, b"x" * 64).close()
    bench.process.clients._sweeper.cancel()
    bench.process.clients._sweep()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == module.LOG_MOST + 1
    assert lines[-1].endswith("30 more clients dropped")


def test_a_second_socket_replaces_the_first(bench: Any) -> None:
    listening = socket.socket(socket.AF_UNIX)
    path = bench.path.with_name("other.sock")
    listening.bind(str(path))
    listening.listen()
    bench.ends["parent"].put(ControlSocket(str(path)), listening.detach())
    bench.ends["parent"].flush()
    bench.turn()
    with pytest.raises(ConnectionRefusedError):
        bench.connect(greeted=False)
    bench.path = path
    assert bench.ask(bench.connect(), ClientShowStatus())[-1] == DONE


def test_no_descriptors_left_means_waiting(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Exhausted:
        def __init__(self, real: socket.socket) -> None:
            self.real = real

        def accept(self) -> Any:
            raise OSError(24, "Too many open files")

        def fileno(self) -> int:
            return self.real.fileno()

        def close(self) -> None:
            self.real.close()

    clients = bench.process.clients
    real = clients._listening
    clients._listening = Exhausted(real)
    client = bench.connect(greeted=False)
    bench.turn()
    assert capfd.readouterr().err.count("no new clients for a while") == 1, "it does not spin"
    clients._listening = real
    clients._accept_again()
    bench.turn()
    assert isinstance(client.receive()[0][1], ServerHello)


def test_the_end(bench: Any) -> None:
    client = bench.connect()
    bench.loop.run_until_complete(bench.process.stop())
    assert bench.dropped(client)
    with pytest.raises(ConnectionRefusedError):
        bench.connect(greeted=False)


def test_every_request_of_a_client_has_its_handler() -> None:
    requests = {kind.handler_name for kind in CLIENT_CATALOGUE.by_number.values() if kind.reply is not None}
    handlers = {name for part in Process.parts for name in vars(part)}
    assert requests <= handlers


@pytest.mark.parametrize("member", [True, False])
def test_a_group_of_administrators(bench: Any, monkeypatch: pytest.MonkeyPatch, member: bool) -> None:
    group = os.getgroups()[0] if member and os.getgroups() else os.getegid() if member else 54321
    monkeypatch.setattr(bench.process.clients, "_administrators", frozenset())
    monkeypatch.setattr(bench.process.clients, "_group", group)
    replies = bench.ask(bench.connect(), ClientShowStatus())
    assert (replies[-1].error == "") is member


def test_the_groups_number(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def getgrnam(name: str) -> Any:
        asked.append(name)
        if len(asked) > 1:
            raise KeyError(name)
        return SimpleNamespace(gr_gid=77)

    monkeypatch.setattr("smtpd.control.process.grp.getgrnam", getgrnam)
    bench.process.prepare()
    bench.process.prepare()
    assert asked == ["_smtpctl"] * 2
    assert bench.process._group == 77
