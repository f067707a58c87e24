"""smtpd/mproc/child.py: real children, executed as parent does it; the test is parent and the other peers."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Channel, ChannelClosed, Recorder
from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_process import Counters, GetCounters
from smtpd.messages.parent_child import (
    Begin,
    ChildHello,
    ChildReady,
    PeerLink,
    RecorderMemory,
    Setup,
    SetupComplete,
    Shutdown,
)
from smtpd.messages.pony_lookup import FindUser, UserFound
from smtpd.mproc import child as child_module
from smtpd.mproc.log import Log
from smtpd.mproc.process import EXIT_FAULT
from smtpd.mproc.spawn import DESCRIPTOR_VARIABLE, environment, socketpair
from smtpd.parent.sealed import ring, sealed

pytestmark = pytest.mark.usefixtures("no_leak")

UID, GID = 65534, 65533


AS_ROOT = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="only root can switch users")]

need_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can chroot and switch users")


class Child:
    """A child process, parent's end of its socket, and the ends of the links that it was given."""

    def __init__(self, *arguments: str) -> None:
        ours, theirs = socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", *arguments],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=environment() | {DESCRIPTOR_VARIABLE: str(theirs.fileno())},
            )
        self.socket = ours
        self.parent = Channel(ours, CATALOGUE)
        self.links: dict[str, Channel] = {}
        self.ring = ring("test")
        self._kept: list[tuple[Channel, Any, int | None]] = []

    @property
    def pid(self) -> int:
        return self.process.pid

    def hear(self, channel: Channel | None = None) -> Any:
        """The next message; what came with it is kept for the next call."""
        channel = channel or self.parent
        while True:
            for index, (whose, message, fd) in enumerate(self._kept):
                if whose is channel:
                    del self._kept[index]
                    assert fd is None
                    return message
            assert select.select([channel], [], [], 10)[0], "nothing within 10 s"
            self._kept += [(channel, message, fd) for _number, message, _peerid, fd in channel.receive()]

    def tell(self, *messages: Any, fds: tuple[int | None, ...] = ()) -> None:
        for index, message in enumerate(messages):
            self.parent.put(message, fds[index] if index < len(fds) else None)
        assert self.parent.flush()

    def link(self, name: str) -> None:
        """Give it a link to a peer that we are."""
        ours, theirs = socketpair()
        self.links[name] = Channel(ours, CATALOGUE)
        self.tell(PeerLink(name, 0), fds=(theirs.detach(),))

    def ask(self, name: str, message: Any) -> Any:
        self.links[name].put(message)
        assert self.links[name].flush()
        return self.hear(self.links[name])

    def set_up(self, root: str, uid: int = -1, gid: int = -1, config: bytes | None = None) -> None:
        """Everything up to SetupComplete."""
        assert self.hear() == ChildHello(self.pid, CATALOGUE.digest())
        data = wire.dumps(Config(generation=7)) if config is None else config
        self.tell(setup(root, uid, gid), fds=(sealed("test", data),))
        self.tell(RecorderMemory(self.ring.size), fds=(os.dup(self.ring.fd),))
        for name in ("control", "pony", "queue"):
            self.link(name)
        self.tell(SetupComplete())

    def status(self) -> int:
        """The exit status."""
        return self.process.wait(10)

    def said(self) -> str:
        """What was logged, once it has ended."""
        assert self.process.stderr is not None
        self.process.wait(10)
        return self.process.stderr.read().decode()

    def close(self) -> None:
        for channel in (self.parent, *self.links.values()):
            channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        self.ring.memory.close()
        os.close(self.ring.fd)


def setup(root: str, uid: int = -1, gid: int = -1, *, digest: str = "") -> Setup:
    homes = "" if uid >= 0 else f"{root}/home"
    return Setup(digest or CATALOGUE.digest(), 0, 7, root, uid, gid, homes, "stderr", 0, [])


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    started: list[Child] = []

    def start(*arguments: str) -> Child:
        started.append(Child(*(arguments or ("-m", "smtpd", "-x", "lookup"))))
        return started[-1]

    yield start
    for child in started:
        child.close()


# a whole life


def test_a_whole_life(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    child.set_up(str(tmp_path))
    assert child.hear() == ChildReady()
    assert Path(f"/proc/{child.pid}/cmdline").read_text().startswith("smtpd: lookup")
    status = Path(f"/proc/{child.pid}/status").read_text()
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M) and re.search(r"^Umask:\s+0077$", status, re.M)
    child.tell(Begin([]))
    assert isinstance(child.ask("control", GetCounters()), Counters)
    found = child.ask("pony", FindUser(7, "", "me"))
    assert found == UserFound(1, "ok", "me", os.geteuid(), os.getegid(), f"{tmp_path}/home/me")

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        child.process.send_signal(number)  # parent alone says when it is over
    assert isinstance(child.ask("control", GetCounters()), Counters)

    child.tell(Shutdown(4))
    assert child.status() == 0 and child.said() == ""
    recorded = [(entry.direction, entry.channel) for entry in Recorder.read(child.ring.memory)]
    assert ("in", "pony") in recorded and ("out", "control") in recorded
    assert recorded[-1] == ("in", "parent")


def test_a_new_link_in_place_of_the_old(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    child.set_up(str(tmp_path))
    assert child.hear() == ChildReady()
    old = child.links["control"]
    child.link("control")
    assert isinstance(child.ask("control", GetCounters()), Counters)
    with pytest.raises(ChannelClosed):
        child.hear(old)
    old.close()


def test_what_is_said_at_the_end_goes_out(start: Callable[..., Child], tmp_path: Path) -> None:
    """And that some are gone already makes the end no worse."""
    child = start()
    child.set_up(str(tmp_path))
    assert child.hear() == ChildReady()
    child.links["queue"].close()
    child.links["control"].put(GetCounters())
    child.links["control"].flush()
    child.tell(Shutdown(4))
    assert isinstance(child.hear(child.links["control"]), Counters)
    assert child.status() == 0, child.said()


# privileges


@pytest.mark.root
@need_root
def test_its_rights(start: Callable[..., Child], tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "inside").write_text("")
    child = start()
    child.set_up(str(tmp_path), UID, GID)
    assert child.hear() == ChildReady(), child.said()
    proc = Path(f"/proc/{child.pid}")
    status = dict(re.findall(r"^(\w+):\t(.*)$", (proc / "status").read_text(), re.M))
    assert status["Uid"].split() == [str(UID)] * 4 and status["Gid"].split() == [str(GID)] * 4
    assert status["Groups"].strip() == ""
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert os.listdir(proc / "root/.") == ["inside"]
    assert os.readlink(proc / "cwd") == str(tmp_path)
    assert (proc / "stat").stat().st_uid == 0  # not dumpable: its user cannot look into it
    opened = [os.readlink(proc / "fd" / fd) for fd in os.listdir(proc / "fd") if int(fd) > 2]
    sockets = [what for what in opened if what.startswith("socket:")]
    assert len(sockets) == 4 + 2  # parent and three peers; the loop has a pair of its own for signals
    allowed = ("socket:", "pipe:", "anon_inode:", "/dev/null", "/memfd:")
    assert [what for what in opened if not what.startswith(allowed)] == []
    # It works in there, and knows the system's users.
    assert child.ask("pony", FindUser(7, "", "../../etc")).status == "none"


# what goes wrong in setup


@pytest.mark.parametrize("wait", [False, True])
def test_parent_closes_at_once(start: Callable[..., Child], wait: bool) -> None:
    child = start()
    if wait:
        child.hear()
    child.parent.close()
    assert child.status() == EXIT_FAULT
    assert re.fullmatch(r"\S+ lookup: fatal: setup: the .*\n", child.said())


def test_another_catalogue(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    child.tell(setup(str(tmp_path), digest="0" * 64), fds=(sealed("test", b""),))
    assert child.status() == EXIT_FAULT
    assert "setup: parent has another message catalogue: two versions are mixed\n" in child.said()


@pytest.mark.parametrize(
    "data",
    [b"\xff" * 64, b"\x05\x01\x00\x00\x10\x00\x00\x00" + bytes(8)],
    ids=["no frame", "no payload"],
)
def test_garbage(start: Callable[..., Child], data: bytes) -> None:
    child = start()
    child.socket.sendall(data)
    assert child.status() == EXIT_FAULT
    assert re.fullmatch(r"\S+ lookup: fatal: setup: .*\n", child.said())


@pytest.mark.parametrize("message", [SetupComplete(), ChildReady()], ids=repr)
def test_the_wrong_message(start: Callable[..., Child], message: Any) -> None:
    child = start()
    child.tell(message)
    assert child.status() == EXIT_FAULT
    assert f"setup: unexpected {type(message).__name__}\n" in child.said()


@pytest.mark.parametrize("size", [0, 4_000_000_000])
def test_memory_of_another_size(start: Callable[..., Child], size: int) -> None:
    child = start()
    child.tell(RecorderMemory(size), fds=(os.dup(child.ring.fd) if size else os.open("/", os.O_RDONLY),))
    assert child.status() == EXIT_FAULT
    assert "setup: " in child.said()


def test_a_configuration_that_is_none(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    child.set_up(str(tmp_path), config=b"\x01\x02\x03")
    assert child.status() == EXIT_FAULT
    said = child.said()
    assert "fatal: smtpd.config.wire.WireError" in said
    assert all(" lookup: fatal: " in line for line in said.splitlines())


@pytest.mark.parametrize("uid", [-1, pytest.param(UID, marks=AS_ROOT)])
def test_a_root_that_is_not_there(start: Callable[..., Child], tmp_path: Path, uid: int) -> None:
    child = start()
    child.set_up(str(tmp_path / "nowhere"), uid, uid)
    assert child.status() == EXIT_FAULT
    assert "fatal: FileNotFoundError" in child.said()


@pytest.mark.parametrize("after", [False, True])
def test_stopped_before_it_began(start: Callable[..., Child], tmp_path: Path, after: bool) -> None:
    """parent is stopped while children are still being set up."""
    child = start()
    if after:
        child.tell(setup(str(tmp_path)), fds=(sealed("test", wire.dumps(Config())),))
    child.tell(Shutdown(4))
    assert child.status() == 0 and child.said() == ""


def test_stopped_in_the_same_breath(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    os.kill(child.pid, signal.SIGSTOP)
    child.tell(setup(str(tmp_path)), SetupComplete(), Shutdown(4), fds=(sealed("t", wire.dumps(Config())),))
    os.kill(child.pid, signal.SIGCONT)
    assert child.status() == 0 and child.said() == ""


@pytest.mark.parametrize("value", [None, "x", "987654"])
def test_started_by_hand(value: str | None) -> None:
    variables = environment() | ({} if value is None else {DESCRIPTOR_VARIABLE: value})
    done = subprocess.run(
        [sys.executable, "-P", "-m", "smtpd", "-x", "scheduler"],
        env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == EXIT_FAULT and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.endswith(
        " scheduler: fatal: setup: only smtpd itself starts this: no socket in $SMTPD_PARENT_DESCRIPTOR"
    )


# after setup


def test_parent_dies(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    child.set_up(str(tmp_path))
    child.hear()
    child.parent.close()
    assert child.status() == EXIT_FAULT


def test_a_second_setup(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    child.set_up(str(tmp_path))
    child.hear()
    child.tell(setup("/"), fds=(sealed("test", b""),))
    assert child.status() == EXIT_FAULT
    assert child.said().endswith("lookup: fatal: parent: a second Setup\n")


def test_a_peer_breaks_the_rules(start: Callable[..., Child], tmp_path: Path) -> None:
    child = start()
    child.set_up(str(tmp_path))
    child.hear()
    child.links["queue"].put(FindUser(7, "", "me"))
    child.links["queue"].flush()
    assert child.status() == EXIT_FAULT
    assert child.said().endswith("lookup: fatal: queue: a message that it may not send here\n")


SCRIPT = """
import asyncio
from smtpd.lookup.process import Process
from smtpd.mproc import child
class Probe(Process):
    def prepare(self):
        super().prepare()
        import colorsys  # nothing else uses it, and it may be loaded here
    {start}
child.main(Probe)
"""


def script(start_body: str) -> str:
    return SCRIPT.replace("{start}", start_body)


@pytest.mark.parametrize("uid", [-1, pytest.param(UID, marks=AS_ROOT)])
def test_no_imports_after_the_drop(start: Callable[..., Child], tmp_path: Path, uid: int) -> None:
    """Not in chroot, nor where all files are still in reach; modules that are there stay usable."""
    tmp_path.chmod(0o755)
    body = """def start(self):
        super().start()
        import colorsys
        for name in ("tabnanny", "colorsys.nothing", "nowhere_at_all"):
            try:
                __import__(name)
            except ImportError as error:
                self.log.info(f"{name}: {error}")
            else:
                self.log.info(f"{name} was imported")
"""
    child = start("-c", script(body))
    child.set_up(str(tmp_path), uid, uid)
    assert child.hear() == ChildReady()
    child.tell(Shutdown(4))
    assert child.status() == 0
    said = [line.partition(" lookup: ")[2] for line in child.said().splitlines()]
    assert said == [
        "warn: import of tabnanny after the privileges were dropped",
        "tabnanny: no imports after the privilege drop: tabnanny",
        "colorsys.nothing: No module named 'colorsys.nothing'; 'colorsys' is not a package",
        "warn: import of nowhere_at_all after the privileges were dropped",
        "nowhere_at_all: no imports after the privilege drop: nowhere_at_all",
    ]


@pytest.mark.parametrize(
    ("where", "uid"),
    [("start", -1), ("stop", -1), *(pytest.param(where, UID, marks=AS_ROOT) for where in ("begin", "task"))],
)
def test_a_fault_is_told_whole(start: Callable[..., Child], tmp_path: Path, uid: int, where: str) -> None:
    """In an empty root there are no sources to quote, and nothing to import for it."""
    tmp_path.chmod(0o755)
    bodies = {
        "start": "def start(self): None.nothing",
        "begin": "def begin(self): None.nothing",
        "task": "def begin(self): self.spawn_task(self.later())\n"
        "    async def later(self):\n        await asyncio.sleep(0.001)\n        None.nothing",
        "stop": "async def stop(self): None.nothing",
    }
    child = start("-c", script(bodies[where]))
    child.set_up(str(tmp_path), uid, uid)
    if where != "start":
        assert child.hear() == ChildReady()
        child.tell(Shutdown(4) if where == "stop" else Begin([]))
    assert child.status() == EXIT_FAULT
    said = [line.partition(" lookup: ")[2] for line in child.said().splitlines()]
    assert said[0] == "fatal: Traceback (most recent call last):"
    assert said[-1] == "fatal: AttributeError: 'NoneType' object has no attribute 'nothing'"
    assert not [line for line in said if line.startswith("warn:")], "an import was wanted"


# the pieces


def test_refuse_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    log = Log("pony")
    monkeypatch.setattr(log, "warn", warned.append)
    with pytest.raises(ImportError, match="no imports after the privilege drop: a.b"):
        child_module.RefuseImports(log).find_spec("a.b")
    assert warned == ["import of a.b after the privileges were dropped"]


def test_no_setup_within_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_module, "_SETUP_SECONDS", 0.05)
    ours, theirs = socketpair()
    with ours, theirs:
        began = time.monotonic()
        with pytest.raises(child_module.SetupFailed, match="no setup for 0 s"):
            child_module._read_setup(theirs)
        assert 0.04 < time.monotonic() - began < 5


def test_read_setup(tmp_path: Path) -> None:
    """All that was read before SetupComplete is kept, however it is cut."""
    before, after = socket.socketpair()
    writing = Channel(before, CATALOGUE)
    writing.put(setup(str(tmp_path)), sealed("test", b"configured"))
    writing.put(RecorderMemory(4096), _memory(4096))
    one, two = os.pipe()
    writing.put(PeerLink("queue", 2), one)
    writing.put(SetupComplete())
    writing.flush()
    read, config, memory, links = child_module._read_setup(after)
    assert read == setup(str(tmp_path)) and config == b"configured"
    assert len(memory) == 4096 and not memory.closed
    ((name, instance, fd),) = links
    assert (name, instance) == ("queue", 2)
    assert isinstance(writing.receive()[0][1], ChildHello)
    os.write(two, b"x")
    assert os.read(fd, 1) == b"x"
    for descriptor in (fd, two):
        os.close(descriptor)
    memory.close()
    writing.close()
    after.close()


def _memory(size: int) -> int:
    fd = os.memfd_create("test")
    os.ftruncate(fd, size)
    return fd
