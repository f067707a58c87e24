"""The children: started, set up, watched, stopped.

A child that ends without being asked ends the daemon (its last messages are logged first, out of its flight
recorder). `start_child` knows nothing of the others but their links, so that a single child can be started
again.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from imsg import Channel, Recorder
from smtpd.config import wire
from smtpd.config.slices import slice_for
from smtpd.messages import links
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_observation import ProcessMemory
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
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.mproc.spawn import Child, describe_status, socketpair, spawn

from .crash import write_crash_file
from .sealed import Ring, readable, ring, sealed

if TYPE_CHECKING:
    from .process import Process

STOP_SECONDS = 5
"""How long a stop takes at most."""

_SESSION_SECONDS = 3
KILL_SECONDS = 4.7
"""When what has not stopped by itself is killed, so that all is over by then."""

_READY_SECONDS = 60.0
_LAST_MESSAGES = 12


class _Running(NamedTuple):
    child: Child
    ring: Ring


class Children:
    """The part of parent that has the children."""

    def __init__(self, process: "Process", all_ready: Callable[[], None]) -> None:
        self._process = process
        self._all_ready = all_ready
        self._running: dict[str, _Running] = {}
        self._ready: set[str] = set()
        self._stopping = False
        self._killed: set[str] = set()
        self._begun = False
        self._deadline: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start all, each with its links to those that are there."""
        for name in links.CHILDREN:
            self.start_child(name)
        ends = {name: links.peers_of(name) for name in links.CHILDREN}
        for name in links.CHILDREN:
            for other in ends[name]:
                if other != links.PARENT and links.CHILDREN.index(name) < links.CHILDREN.index(other):
                    one, two = socketpair()
                    self._process.peer(name).send(PeerLink(other, 0), one.detach())
                    self._process.peer(other).send(PeerLink(name, 0), two.detach())
        for name in links.CHILDREN:
            self._process.peer(name).send(SetupComplete())
        self._deadline = self._process.loop.call_later(_READY_SECONDS, self._not_ready)

    def start_child(self, name: str) -> None:
        """fork, exec, and the first part of its setup."""
        process = self._process
        child = spawn(name)
        memory = ring(f"smtpd-{name}-recorder")
        self._running[name] = _Running(child, memory)
        process.loop.add_reader(child.pidfd, self._ended, name)
        channel = Channel(child.socket, CATALOGUE, name=name, recorder=process.recorder)
        peer = process.attach(name, 0, channel)
        places = process.places
        identity = places.identity_of(name)
        setup = Setup(
            digest=CATALOGUE.digest(),
            instance=0,
            generation=process.config.generation,
            root=places.root_of(name),
            uid=identity.uid,
            gid=identity.gid,
            homes=places.homes,
            log=process.log_to,
            verbose=int(process.log.verbose),
            traces=sorted(process.log.traces),
        )
        peer.send(setup, sealed(f"smtpd-{name}-config", wire.dumps(slice_for(process.config, name))))
        peer.send(RecorderMemory(memory.size), os.dup(memory.fd))

    def share_memories(self) -> None:
        """Let control read the recorders of all processes: they are what watchers see."""
        process = self._process
        memories = [(name, running.child.pid, running.ring) for name, running in self._running.items()]
        for name, pid, memory in (*memories, (links.PARENT, os.getpid(), process.ring)):
            message = ProcessMemory(name, 0, pid, memory.size)
            process.peer(links.CONTROL).send(message, readable(memory.fd))

    @handles(ChildHello)
    def child_hello(self, peer: Peer, message: ChildHello) -> None:
        """The child has loaded its modules: of the same version as ours?"""
        if message.digest != CATALOGUE.digest():
            self._process.log.crit(f"{peer.name} has another message catalogue: two versions are mixed")
            self.abort()

    @handles(ChildReady)
    def child_ready(self, peer: Peer, message: ChildReady) -> None:
        """When the last one is ready, all begin; not when we are stopping already."""
        self._ready.add(peer.name)
        if len(self._ready) == len(links.CHILDREN) and not self._begun and not self._stopping:
            self._begun = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._all_ready()
            for name in links.CHILDREN:
                self._process.peer(name).send(Begin(sorted(self._process.paused)))

    def _not_ready(self) -> None:
        missing = ", ".join(name for name in links.CHILDREN if name not in self._ready)
        self._process.log.crit(f"not ready after {_READY_SECONDS:.0f} s: {missing}")
        self.abort()

    # stopping

    def stop(self, seconds: int = _SESSION_SECONDS) -> None:
        """Stop within STOP_SECONDS, then leave the loop: first those that let work in, then the others.

        `seconds`: for sessions and deliveries that are under way. Whom we had to kill is no fault of ours.
        """
        if self._stopping:
            return
        self._stopping = True
        self._process.loop.call_later(KILL_SECONDS, self._kill)
        for name in (links.PONY, links.CONTROL):
            self._shut_down(name, seconds)
        self._stop_rest()

    def abort(self) -> None:
        """Something is wrong: the same, with a non-zero status."""
        self._process.exit_status = 1
        self.stop()

    def _shut_down(self, name: str, seconds: int) -> None:
        if name in self._running:
            self._process.peer(name).send(Shutdown(seconds))

    def _stop_rest(self) -> None:
        if not self._running:
            self._process.loop.stop()
        elif links.PONY not in self._running:
            for name in (links.LOOKUP, links.SCHEDULER, links.QUEUE):
                self._shut_down(name, STOP_SECONDS - _SESSION_SECONDS)

    def _kill(self) -> None:
        for name, running in self._running.items():
            self._process.log.warn(f"{name} has not stopped in time: killed")
            self._killed.add(name)
            signal.pidfd_send_signal(running.child.pidfd, signal.SIGKILL)

    def _ended(self, name: str) -> None:
        process = self._process
        running = self._running.pop(name)
        process.loop.remove_reader(running.child.pidfd)
        os.close(running.child.pidfd)
        status = running.child.process.wait()
        if name not in self._killed and (not self._stopping or status != 0):
            process.log.crit(f"{name} (pid {running.child.pid}) {describe_status(status)}")
            for line in last_messages(running.ring.memory):
                process.log.crit(f"{name}: {line}")
            self._keep_crash(name, running, describe_status(status))
            process.exit_status = 1
        running.ring.memory.close()
        os.close(running.ring.fd)
        process.peer(name).close()
        if self._stopping:
            self._stop_rest()
        else:
            self.stop(1)  # what sessions and deliveries wait for may never come

    def _keep_crash(self, name: str, dead: _Running, ending: str) -> None:
        """Write a crash file; that it cannot be written changes nothing."""
        process = self._process
        memories = {name: (dead.child.pid, dead.ring.memory)}
        memories |= {other: (each.child.pid, each.ring.memory) for other, each in self._running.items()}
        memories[links.PARENT] = os.getpid(), process.ring.memory
        try:
            path = write_crash_file(process.places.crashes, name, dead.child.pid, ending, memories)
        except OSError as error:
            process.log.warn(f"{process.places.crashes}: {error.strerror}: no crash file")
        else:
            process.log.crit(f"{name}: see smtpctl show crash {path}")


def last_messages(memory: bytes | bytearray | memoryview | object) -> list[str]:
    """The last messages in a child's recorder in words, oldest first; whatever is in the memory."""
    lines = []
    for entry in Recorder.read(memory)[-_LAST_MESSAGES:]:
        kind = CATALOGUE.by_number.get(entry.type)
        name = kind.name if kind is not None else f"message {entry.type:#x}"
        arrow = "->" if entry.direction == "out" else "<-"
        lines.append(
            f"{entry.time / 1e9:.6f} {arrow} {entry.channel} {name}#{entry.peerid} ({entry.length} bytes)"
        )
    return lines
