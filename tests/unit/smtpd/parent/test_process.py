"""smtpd/parent/process.py: its life from the first child to the last, with children played by the test."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from smtpd.config.model import Config, ListenAddress, Listener
from smtpd.messages.links import CHILDREN, CONTROL, PONY, QUEUE
from smtpd.messages.parent_child import Begin
from smtpd.messages.parent_control import ControlSocket
from smtpd.messages.parent_pony import ListenSocket
from smtpd.mproc.process import EXIT_FAULT
from smtpd.parent import process as process_module
from smtpd.parent.sockets import Bound, listen_smtp

from .conftest import Family

ADDRESS = ListenAddress("inet4", "127.0.0.1", 0, True)


@pytest.fixture(autouse=True)
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the process says to its manager; signal handlers are put back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGPIPE)}
    said: list[str] = []
    monkeypatch.setattr(process_module, "notify", said.append)
    yield said
    for number, handler in before.items():
        signal.signal(number, handler)


def bound() -> tuple[Config, list[Bound]]:
    config = Config(
        listeners=(Listener(on="lo", addresses=(ADDRESS, ADDRESS._replace(address="127.0.0.2"))),)
    )
    return config, listen_smtp(config)


def test_serve(make_family: Callable[..., Family], signals: list[str]) -> None:
    """Ready, then SIGTERM: exit status 0, and the control socket is gone."""
    family = make_family(*bound())
    assert family.places.socket.exists()

    def terminate() -> None:
        if all(child.of(Begin) for child in family.children.values()) and len(family.children) == len(
            CHILDREN
        ):
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            family.loop.call_later(0.01, terminate)

    family.loop.call_soon(terminate)
    assert family.parent.serve() == 0
    assert signals == ["READY=1", "STOPPING=1"]
    assert not family.places.socket.exists()
    assert family.lines[-1] != "" and "stopping" in family.lines and "ready" in family.lines
    assert not any(line.startswith(("fatal", "warn")) for line in family.lines), family.lines


def name_of(fd: int | None) -> object:
    assert fd is not None
    with socket.socket(fileno=os.dup(fd)) as copy:
        return copy.getsockname()


def test_sockets_are_handed_out_when_all_are_ready(make_family: Callable[..., Family]) -> None:
    """Each descriptor is the listening socket itself, and nobody else has one."""
    config, listeners = bound()
    where = [each.socket.getsockname() for each in listeners]
    family = make_family(config, listeners)
    family.start()
    pony, control = family.children[PONY], family.children[CONTROL]
    assert [(message.listener, message.address) for message in pony.of(ListenSocket)] == [
        (0, "127.0.0.1:0"), (0, "127.0.0.2:0"),
    ]  # fmt: skip
    handed = [fd for message, fd in pony.heard if isinstance(message, ListenSocket)]
    assert [name_of(fd) for fd in handed] == where
    assert control.of(ControlSocket) == [ControlSocket(str(family.places.socket))]
    listening = socket.socket(fileno=os.dup(control.fd(ControlSocket)))
    with listening, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(family.places.socket))
        connection, _ = listening.accept()
        connection.close()
    kinds = [type(message) for message, _fd in pony.heard]
    assert kinds.index(ListenSocket) < kinds.index(Begin), "before pony may accept"
    assert "listening on 127.0.0.1:0" in family.lines and "ready" in family.lines
    for name in set(CHILDREN) - {PONY, CONTROL}:
        assert not family.children[name].of(ListenSocket) and not family.children[name].of(ControlSocket)


def test_a_child_that_dies_ends_it_with_a_status(family: Family, signals: list[str]) -> None:
    def kill() -> None:
        if QUEUE in family.children and family.children[QUEUE].of(Begin):
            family.children[QUEUE].process.kill()
        else:
            family.loop.call_later(0.01, kill)

    family.loop.call_soon(kill)
    assert family.parent.serve() == 1
    assert signals == ["READY=1"]
    assert not family.places.socket.exists()


def test_a_terminal_may_go(family: Family) -> None:
    """SIGHUP does nothing, SIGINT is SIGTERM."""

    def interrupt() -> None:
        if len(family.children) == len(CHILDREN) and all(c.of(Begin) for c in family.children.values()):
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGPIPE)
            os.kill(os.getpid(), signal.SIGINT)
        else:
            family.loop.call_later(0.01, interrupt)

    family.loop.call_soon(interrupt)
    assert family.parent.serve() == 0


def test_a_control_socket_that_is_gone_already(family: Family, tmp_path: Path) -> None:
    family.places.socket.unlink()
    family.start()
    family.parent.children.stop()
    family.run_to_the_end()
    family.parent._unlink_control()
    assert not any(line.startswith(("fatal", "warn")) for line in family.lines)


def test_what_a_child_may_not_say(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the two is wrong: parent ends at once, and with it all that it started."""
    statuses: list[int] = []
    monkeypatch.setattr("smtpd.mproc.process.os._exit", statuses.append)
    family.start()
    family.children[PONY].say(Begin([]))
    family.run_until(lambda: statuses)
    assert statuses == [EXIT_FAULT]
    assert "fatal: pony: a message that it may not send here" in family.lines
