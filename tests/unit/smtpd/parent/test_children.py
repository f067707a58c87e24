"""smtpd/parent/children.py: children are set up, linked, watched and stopped, in the right order."""

import fcntl
import os
import select
import signal
import socket
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg import Channel, Recorder
from smtpd.config import wire
from smtpd.config.model import Config, Pki, QueueSettings
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CHILDREN, CONTROL, LOOKUP, PONY, QUEUE, SCHEDULER, linked, peers_of
from smtpd.messages.parent_child import Begin, ChildReady, PeerLink, RecorderMemory, Setup, Shutdown
from smtpd.parent import children as children_module
from smtpd.parent.children import last_messages

from .conftest import Family

# setting up


def test_everybody_is_set_up(make_family: Callable[..., Family]) -> None:
    config = Config(
        generation=5, hostname="mx.example", queue=QueueSettings(key="hunter2"),
        pkis={"mx": Pki(name="mx", key=b"secret key")},
    )  # fmt: skip
    family = make_family(config)
    family.parent.log.set_trace("smtp", True)
    family.parent.log.verbose = True
    family.start()
    for name in CHILDREN:
        child = family.children[name]
        (setup,) = child.of(Setup)
        assert setup == Setup(
            digest=CATALOGUE.digest(), instance=0, generation=5,
            root=str(family.places.spool if name == QUEUE else family.places.empty), uid=-1, gid=-1,
            homes=family.places.homes, log="stderr", verbose=1, traces=["smtp"],
        )  # fmt: skip
        fd = child.fd(Setup)
        assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE
        data = os.pread(fd, 1 << 20, 0)
        assert wire.loads(Config, data).hostname == "mx.example"
        assert (b"hunter2" in data) == (name == QUEUE), "secrets only to those that use them"
        assert (b"secret key" in data) == (name == PONY)
        (memory,) = child.of(RecorderMemory)
        assert os.fstat(child.fd(RecorderMemory)).st_size == memory.size


def test_the_order_of_a_setup(family: Family) -> None:
    family.start()
    for name in CHILDREN:
        heard = [type(message).__name__ for message, _fd in family.children[name].heard]
        links = ["PeerLink"] * (len(peers_of(name)) - 1)
        assert heard[: len(links) + 4] == [
            "Setup",
            "RecorderMemory",
            *links,
            "SetupComplete",
            heard[len(links) + 3],
        ]
        assert heard[-1] == "Begin"


def test_each_has_its_links_and_no_others(family: Family) -> None:
    """Both ends of each are the two ends of one socketpair."""
    family.start()
    ends: dict[tuple[str, str], Channel] = {}
    for name in CHILDREN:
        for message, fd in family.children[name].heard:
            if isinstance(message, PeerLink):
                assert message.instance == 0 and fd is not None
                ends[name, message.name] = Channel(socket.socket(fileno=os.dup(fd)), CATALOGUE)
    assert set(ends) == {(one, other) for one in CHILDREN for other in CHILDREN if linked(one, other)}
    for (name, other), end in ends.items():
        end.sock.setblocking(False)
        end.sock.send(f"{name} to {other}".encode())
    for (name, other), end in ends.items():
        assert end.sock.recv(100) == f"{other} to {name}".encode()
        end.close()


def test_nobody_begins_before_all_are_ready(family: Family) -> None:
    family.slow = {SCHEDULER}
    family.parent.children.start()
    completed = lambda: sum(event == "SetupComplete" for _name, event in family.events)  # noqa: E731
    family.run_until(lambda: completed() == len(CHILDREN))
    family.run_until(lambda: len(family.parent.children._ready) == len(CHILDREN) - 1)
    assert not any(event == "Begin" for _name, event in family.events)
    family.parent.paused = frozenset(("mta", "smtp"))
    family.children[SCHEDULER].say(ChildReady())
    family.children[PONY].say(ChildReady())  # one too many does no harm
    family.run_until(lambda: sum(event == "Begin" for _name, event in family.events) == len(CHILDREN))
    assert all(child.of(Begin) == [Begin(["mta", "smtp"])] for child in family.children.values())


# what goes wrong at the start


def test_one_that_never_gets_ready(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "_READY_SECONDS", 0.1)
    family.slow = {LOOKUP, QUEUE}
    family.parent.children.start()
    family.run_to_the_end()
    assert "fatal: not ready after 0 s: lookup, queue" in family.lines
    assert family.parent.exit_status == 1


def test_another_catalogue(family: Family) -> None:
    family.digests = {PONY: "0" * 64}
    family.parent.children.start()
    family.run_to_the_end()
    assert "fatal: pony has another message catalogue: two versions are mixed" in family.lines
    assert family.parent.exit_status == 1
    assert not any(event == "Begin" for _name, event in family.events)


def test_one_that_dies_while_it_is_set_up(family: Family) -> None:
    family.slow = set(CHILDREN)
    family.parent.children.start()
    family.children[LOOKUP].process.kill()
    family.run_to_the_end()
    assert family.parent.exit_status == 1
    assert any("lookup (pid" in line and "was killed by SIGKILL" in line for line in family.lines)


# stopping


def order(family: Family) -> list[tuple[str, str]]:
    return [(name, event) for name, event in family.events if event in ("Shutdown", "ends")]


def test_stop(family: Family) -> None:
    """First those that let work in; then, when pony has ended, those that it needs."""
    family.start()
    family.parent.children.stop()
    family.parent.children.stop()
    family.run_to_the_end()
    events = order(family)
    pony_ends = events.index((PONY, "ends"))
    assert {name for name, event in events[:pony_ends] if event == "Shutdown"} <= {PONY, CONTROL}
    for name in (LOOKUP, SCHEDULER, QUEUE):
        assert events.index((name, "Shutdown")) > pony_ends
    assert {name for name, event in events if event == "ends"} == set(CHILDREN)
    assert family.parent.exit_status == 0 and family.parent.children._running == {}
    assert not any(line.startswith("fatal") for line in family.lines)
    assert all(
        child.of(Shutdown)[0].seconds < children_module.STOP_SECONDS for child in family.children.values()
    )


def test_one_that_does_not_stop(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "KILL_SECONDS", 1)
    family.stubborn = {PONY}
    family.start()
    family.parent.children.stop()
    family.run_to_the_end()
    assert "warn: pony has not stopped in time: killed" in family.lines
    assert not any("SIGKILL" in line for line in family.lines)  # no crash: we did it
    assert family.parent.exit_status == 0
    assert family.children[PONY].process.returncode == -signal.SIGKILL
    assert all(child.process.poll() is not None for child in family.children.values())


def test_abort(family: Family) -> None:
    family.start()
    family.parent.children.abort()
    family.run_to_the_end()
    assert family.parent.exit_status == 1


def test_stop_before_all_are_ready(family: Family) -> None:
    family.slow = set(CHILDREN)
    family.parent.children.start()
    family.parent.children.stop()
    family.run_to_the_end()
    assert family.parent.exit_status == 0


# a child that ends by itself


@pytest.mark.parametrize("name", CHILDREN)
def test_one_that_dies_ends_the_daemon(family: Family, name: str) -> None:
    family.start()
    dead = family.children[name]
    recorder = Recorder(family.parent.children._running[name].ring.memory)
    recorder.write(0, recorder.channel("pony\n"), [0x0501, 0x9999], [16, 20], [1, 2], [42, 42], [False] * 2)
    recorder.memory.release()
    dead.process.kill()
    family.run_to_the_end()
    pid = dead.process.pid
    fatal = [line.removeprefix("fatal: ") for line in family.lines if line.startswith("fatal: ")]
    assert fatal[0] == f"{name} (pid {pid}) was killed by SIGKILL"
    assert any("MessageCreated#1 (16 bytes)" in line for line in fatal), "its last messages"
    assert any("message 0x9999#2" in line for line in fatal)
    assert family.parent.exit_status == 1
    assert all(child.process.poll() is not None for child in family.children.values())
    others = [child for child in family.children.values() if child is not dead]
    assert all(child.of(Shutdown) for child in others)


def test_one_that_ends_well_but_unasked(family: Family) -> None:
    family.start()
    family.children[CONTROL].end()
    family.run_to_the_end()
    assert any("control (pid" in line and "exited with status 0" in line for line in family.lines)
    assert family.parent.exit_status == 1


def test_nothing_is_left_open(make_family: Callable[..., Family]) -> None:
    family = make_family()
    before = len(os.listdir("/proc/self/fd"))
    family.start()
    family.parent.children.stop()
    family.run_to_the_end()
    for child in family.children.values():
        child.close()
        child.heard.clear()
    family.parent._control.close()
    assert len(os.listdir("/proc/self/fd")) <= before
    family.children.clear()


def test_pidfds_are_watched(family: Family) -> None:
    """Not the end of a socket: a child that closes it is not dead yet."""
    family.start()
    family.children[LOOKUP].hang_up()
    family.run_until(lambda: family.parent.peer(LOOKUP).lost)
    assert not select.select([family.children[LOOKUP].child.pidfd], [], [], 0)[0]
    assert LOOKUP in family.parent.children._running and family.parent.exit_status == 0


# last words


def test_last_messages() -> None:
    memory = bytearray(Recorder.size())
    recorder = Recorder(memory)
    channel = recorder.channel("queue")
    for number in range(30):
        recorder.write(number % 2, channel, [0x0502], [25], [number], [7], [False])
    lines = last_messages(memory)
    assert len(lines) == 12
    assert lines[0].endswith("<- queue CreateMessage#18 (25 bytes)")
    assert lines[-1].endswith("-> queue CreateMessage#29 (25 bytes)")


@given(st.binary(max_size=400), st.integers(0, 3000))
def test_last_messages_of_any_memory(noise: bytes, at: int) -> None:
    """A child gone bad wrote it."""
    memory = bytearray(Recorder.size())
    recorder = Recorder(memory)
    recorder.write(0, recorder.channel("a"), [1] * 20, [16] * 20, [1] * 20, [1] * 20, [False] * 20)
    memory[at : at + len(noise)] = noise
    for junk in (memory, noise, b""):
        lines = last_messages(junk)
        assert len(lines) <= 12
        assert all(line.isprintable() and len(line) < 300 for line in lines)
