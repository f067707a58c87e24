"""A whole control process in the hands of a test, which also holds its peers and its clients."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Channel, ChannelClosed, FrameError
from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.control.process import Process
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_control import ServerHello
from smtpd.messages.control_process import OTHERS
from smtpd.messages.parent_control import ControlSocket
from smtpd.mproc.log import Log


class Bench:
    """control, listening in a folder of the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop, folder: Path) -> None:
        self.loop = loop
        self.path = folder / "smtpd.sock"
        self.process = Process(loop, Log("control"))
        self.ends: dict[str, Channel] = {}
        self.clients: list[Channel] = []
        self.answers: dict[type, Callable[[str, int, Any], Any]] = {}
        self.heard: dict[str, list[Any]] = {name: [] for name in OTHERS}
        for name in OTHERS:
            ours, theirs = socket.socketpair()
            self.ends[name] = Channel(theirs, CATALOGUE)
            self.process.attach(name, 0, Channel(ours, CATALOGUE))
        self.process.load_config(wire.dumps(Config()))
        self.process.start()
        self.process.begin()
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(self.path))
        listening.listen(512)
        self.ends["parent"].put(ControlSocket(str(self.path)), listening.detach())
        self.ends["parent"].flush()
        self.turn()

    def turn(self, times: int = 20) -> None:
        """Let control, and the peers as `answers` makes them answer, do what they have to do."""
        for _ in range(times):
            self.loop.run_until_complete(asyncio.sleep(0))
            for name, end in self.ends.items():
                for _number, message, peerid, _fd in receive(end):
                    self.heard[name].append(message)
                    answer = self.answers.get(type(message))
                    reply = answer(name, peerid, message) if answer else None
                    if reply is not None:
                        end.put(reply)
                        end.flush()

    def connect(self, *, greeted: bool = True) -> Channel:
        """A new client."""
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(str(self.path))
        except OSError:
            end.close()
            raise
        channel = Channel(end, CLIENT_CATALOGUE)
        self.clients.append(channel)
        if greeted:
            self.turn()
            (hello,) = (message for _, message, _, _ in receive(channel))
            assert isinstance(hello, ServerHello)
        return channel

    def ask(self, client: Channel, message: Any, turns: int = 40) -> list[Any]:
        """What control answers, in order; the request ids are checked and left out."""
        peerid = client.put(message)
        client.flush()
        replies: list[Any] = []
        for _ in range(turns):
            self.turn(2)
            replies += [reply for _, reply, _, _ in receive(client)]
        assert all(reply.reqid == peerid for reply in replies)
        return [type(reply)(0, *reply[1:]) for reply in replies]

    def dropped(self, client: Channel) -> bool:
        """Whether control has closed the connection."""
        self.turn()
        try:
            receive(client)
        except (ChannelClosed, FrameError):
            return True
        return False

    def close(self) -> None:
        """The end."""
        self.loop.run_until_complete(self.process.stop())
        for peer in self.process.peers():
            peer.close()
        for end in (*self.ends.values(), *self.clients):
            end.close()


def receive(channel: Channel) -> list[tuple[int, Any, int, int | None]]:
    """Everything that is there."""
    received: list[tuple[int, Any, int, int | None]] = []
    while part := channel.receive():
        received.extend(part)
    return received


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    bench = Bench(loop, tmp_path)
    yield bench
    bench.close()
    loop.close()


@pytest.fixture
def own_uid() -> int:
    return os.geteuid()
