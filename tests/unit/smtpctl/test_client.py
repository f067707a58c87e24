"""smtpctl/client.py, with a daemon played by a thread of the test."""

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Channel, ChannelClosed
from smtpctl import client as module
from smtpctl.client import Client, Incompatible, NoPermission, NotRunning, Refused
from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_control import ClientDone, ClientPause, ClientShowStatus, ServerHello, StatusRow
from smtpd.messages.client_queue import ClientShowQueue

HELLO = ServerHello("1.0", CLIENT_CATALOGUE.digest())


class Daemon:
    """Listens at a path and lets `play` handle its one client."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._threads: list[threading.Thread] = []

    def play(self, part: Callable[[socket.socket], None]) -> None:
        def run() -> None:
            end, _ = self._listening.accept()
            with end:
                part(end)

        self._threads.append(threading.Thread(target=run))
        self._threads[-1].start()

    def answer(self, *replies: Callable[[int], Any], hello: Any = HELLO) -> None:
        """Greet, then send these (made with the request's id) for the first request."""

        def part(end: socket.socket) -> None:
            channel = Channel(end, CLIENT_CATALOGUE)
            channel.put(hello)
            channel.flush()
            end.setblocking(True)
            try:
                while not (received := channel.receive()):
                    pass
            except ChannelClosed:
                return
            for reply in replies:
                channel.put(reply(received[0][2]))
                while not channel.flush():
                    pass
            end.shutdown(socket.SHUT_WR)

        self.play(part)

    def close(self) -> None:
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
        self._listening.close()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path / "smtpd.sock")
    yield daemon
    daemon.close()


def test_a_request_with_rows(daemon: Daemon) -> None:
    daemon.answer(lambda reqid: StatusRow(reqid, True, False, True), lambda reqid: ClientDone(reqid, "", 1))
    with Client(daemon.path) as client:
        rows = client.rows(ClientShowStatus())
        assert next(rows)[1:] == (True, False, True)
        with pytest.raises(StopIteration) as end:
            next(rows)
        assert end.value.value == 1
        assert client.version == "1.0"


def test_a_request_without_rows(daemon: Daemon) -> None:
    daemon.answer(lambda reqid: ClientDone(reqid, "", 12))
    with Client(daemon.path) as client:
        assert client.ask(ClientPause("mta")) == 12


def test_many_rows_stay_in_order(daemon: Daemon) -> None:
    daemon.answer(
        *(lambda reqid, i=i: StatusRow(reqid, bool(i & 1), bool(i & 2), bool(i & 4)) for i in range(5000)),
        lambda reqid: ClientDone(reqid, "", 5000),
    )
    with Client(daemon.path) as client:
        rows = list(client.rows(ClientShowQueue(0)))
    assert [mda + 2 * mta + 4 * smtp for _, mda, mta, smtp in rows] == [i % 8 for i in range(5000)]


def test_refused(daemon: Daemon) -> None:
    daemon.answer(lambda reqid: ClientDone(reqid, "mta is already paused", 3))
    with Client(daemon.path) as client, pytest.raises(Refused, match="mta is already paused") as refused:
        client.ask(ClientPause("mta"))
    assert refused.value.number == 3
    assert refused.value.status == 1


def test_nobody_there(tmp_path: Path) -> None:
    path = tmp_path / "smtpd.sock"
    with pytest.raises(
        NotRunning, match="smtpd doesn't seem to be running .*smtpd.sock: No such file"
    ) as error:
        Client(path)
    assert error.value.status == os.EX_UNAVAILABLE
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    with pytest.raises(NotRunning, match="Connection refused"):
        Client(path)
    with pytest.raises(NotRunning, match="too long"):
        Client(tmp_path / ("x" * 200))


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(NoPermission, match="permission denied") as error:
        Client(tmp_path / "smtpd.sock")
    assert error.value.status == os.EX_NOPERM


def test_another_version(daemon: Daemon) -> None:
    daemon.answer(hello=ServerHello("9.9", "0" * 64))
    with pytest.raises(
        Incompatible, match="incompatible smtpctl and smtpd: that one is version 9.9"
    ) as error:
        Client(daemon.path)
    assert error.value.status == os.EX_PROTOCOL


@pytest.mark.parametrize(
    "data",
    [b"220 mail.example.org ESMTP\r\n", struct.pack("=IIII", 0x7777, 17, 1, 1) + b"\x90", bytes(100)],
)
def test_no_smtpd_at_all(daemon: Daemon, data: bytes) -> None:
    daemon.play(lambda end: end.sendall(data))
    with pytest.raises(Incompatible, match="not an smtpd"):
        Client(daemon.path)


def test_closed_at_once(daemon: Daemon) -> None:
    daemon.play(lambda end: None)
    with pytest.raises(NotRunning, match="closed the connection"):
        Client(daemon.path)


def test_closed_in_the_middle(daemon: Daemon) -> None:
    daemon.answer(lambda reqid: StatusRow(reqid, True, True, True))
    with Client(daemon.path) as client:
        rows = client.rows(ClientShowStatus())
        next(rows)
        with pytest.raises(NotRunning, match="closed the connection"):
            next(rows)


def test_an_answer_to_something_else(daemon: Daemon) -> None:
    daemon.answer(lambda reqid: ClientDone(reqid + 1, "", 0))
    with Client(daemon.path) as client, pytest.raises(Incompatible, match="what was not asked"):
        client.ask(ClientPause("mta"))


def test_silence(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HELLO_SECONDS", 0.05)
    over = threading.Event()

    def silent(_end: socket.socket) -> None:
        over.wait(5)

    daemon.play(silent)
    with pytest.raises(NotRunning, match="no answer"):
        Client(daemon.path)
    over.set()
