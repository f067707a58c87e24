"""What every process is: a loop, a log, counters, peers, and parts that handle messages.

A process folder's process.py has a class made from this one. Its parts are plain classes, each holding one
thing; together they handle every kind sent to the process (dispatch.py checks it at import).
"""

import asyncio
import contextlib
import os
import socket
import traceback
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, NoReturn

from imsg import Channel, Recorder
from imsg.message import Kind
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_process import Counter, Counters, GetCounters, SetTrace, SetVerbose
from smtpd.messages.parent_child import Begin, PeerLink, RecorderMemory, Setup, SetupComplete, Shutdown

from . import crash
from .dispatch import check_parts, handlers_of, handles
from .handling import Handling
from .log import Log
from .peer import Peer
from .profile import Profile, Profiling
from .stat import Stat
from .taping import Taping
from .trace import trace_messages

EXIT_FAULT = 70
"""Exit status of a process that found itself or a peer in the wrong (EX_SOFTWARE of sysexits.h)."""


class Observation:
    """The part of every process that lets one look inside: counters, log level, traces."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @handles(GetCounters)
    def get_counters(self, peer: Peer, reqid: int, message: GetCounters) -> Counters:
        """All counters."""
        return Counters(reqid, [Counter(name, value) for name, value in self._process.stat.items()])

    @handles(SetVerbose)
    def set_verbose(self, peer: Peer, message: SetVerbose) -> None:
        """log brief, log verbose."""
        self._process.log.verbose = message.level > 0

    @handles(SetTrace)
    def set_trace(self, peer: Peer, message: SetTrace) -> None:
        """trace, untrace. A subsystem that this process does not know is none of ours."""
        try:
            self._process.log.set_trace(message.subsystem, message.on)
        except ValueError as error:
            self._process.log.warn(str(error))
        self._process.trace_changed()


class Process:
    """One process, made in child.py (or parent). `start` runs after the privilege drop, `begin` later."""

    NAME: ClassVar[str]
    parts: ClassVar[tuple[type, ...]] = ()

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, recorder: Recorder | None = None) -> None:
        self.loop = loop
        self.log = log
        self.stat = Stat()
        self.recorder = recorder
        self.instance = 0
        self.config: Any = None
        self.root = "/"
        self.homes = ""
        self.paused: frozenset[str] = frozenset()
        self.exit_status = 0
        self._peers: dict[tuple[str, int], Peer] = {}
        self._handlers: dict[int, Callable[..., Any]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self.profile = Profile()
        self.handling = Handling(self)
        self.add(Observation(self))
        self.taping = self.add(Taping(self))
        self.profiling = self.add(Profiling(self))
        loop.set_exception_handler(self._loop_exception)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "NAME" in cls.__dict__:
            check_parts(cls.NAME, cls.every_part())

    @classmethod
    def every_part(cls) -> tuple[type, ...]:
        """The parts with those that every process has."""
        return (*cls.own_parts(), *cls.parts)

    @classmethod
    def own_parts(cls) -> tuple[type, ...]:
        """The parts that are there without being named."""
        return (Observation, Taping, Profiling)

    # for the process classes

    def start(self) -> None:
        """Build the parts. Runs without rights, in the empty root; peers are there, but nothing flows yet."""

    def begin(self) -> None:
        """All processes are ready: begin to work."""

    async def stop(self) -> None:
        """Finish what can be finished; the caller bounds the time."""

    def add[P](self, part: P) -> P:
        """Take the handlers of a part into service."""
        for number, name in handlers_of(type(part)).items():
            self._handlers[number] = getattr(part, name)
        return part

    def peer(self, name: str, instance: int = 0) -> Peer:
        """The link to a process. KeyError when there is none."""
        return self._peers[name, instance]

    def peers(self) -> list[Peer]:
        """All links."""
        return list(self._peers.values())

    def spawn_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine, at once up to where it first waits; an exception in it ends the process."""
        task = asyncio.Task(coroutine, loop=self.loop, eager_start=True)
        if task.done():
            self._task_done(task)
        else:
            self._tasks.add(task)
            task.add_done_callback(self._task_done)
        return task

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fault(error)

    # peers

    def attach(self, name: str, instance: int, channel: Channel) -> Peer:
        """A new link; one that was there for the same peer is closed."""
        old = self._peers.get((name, instance))
        peer = Peer(self, name, instance, channel)
        self._peers[name, instance] = peer
        if old is not None:
            old.close()
        if self.log.tracing_mproc:
            self.log.trace("mproc", f"link to {name}{' again' if old is not None else ''}")
        self.trace_changed()
        return peer

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        """The bound handler of a kind, or None."""
        return self._handlers.get(kind.number)

    def answer_later(self, reply: Any, peer: Peer) -> None:
        """Run an async handler; what it returns is sent to the peer."""

        async def answer() -> None:
            result = await reply
            if result is not None:
                peer.send(result)

        self.spawn_task(answer())

    def violation(self, peer: Peer, text: str) -> None:
        """A peer of our own daemon broke the protocol: one of the two is wrong, so this one ends loudly."""
        self.fatal(f"{peer.name}: {text}")

    def peer_lost(self, peer: Peer) -> None:
        """A peer went away. parent sees why and decides; without parent there is no daemon."""
        self.log.debug(f"{peer.name} has closed its end")
        if self.log.tracing_mproc:
            waiting = f"{peer.unanswered} requests unanswered, {peer.backlog} bytes unsent"
            self.log.trace("mproc", f"lost the link to {peer.name}: {waiting}")

    def trace_changed(self) -> None:
        """Hook the message trace into, or out of, every channel."""
        trace_messages(self.log, self.NAME, self.peers())
        self.taping.apply()
        self.handling.apply()
        self.stat.trace((lambda line: self.log.trace("stat", line)) if self.log.tracing_stat else None)

    # the end

    def fault(self, error: BaseException) -> NoReturn:
        """An exception nobody expected: log it whole, end."""
        with contextlib.suppress(Exception):
            crash.leave(self.recorder, crash.last_words(error))
        try:
            lines = "".join(traceback.format_exception(error)).splitlines()
        except Exception:  # formatting may want modules and sources that cannot be had any more
            lines = [f"{type(error).__name__} (its traceback cannot be shown)"]
        for line in lines:
            self.log.crit(line)
        os._exit(EXIT_FAULT)

    def fatal(self, text: str) -> NoReturn:
        """We are wrong, or a peer is: log it, end."""
        crash.leave(self.recorder, text)
        self.log.crit(text)
        os._exit(EXIT_FAULT)

    def _loop_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None:
            self.log.warn(f"event loop: {context.get('message')}")
        else:
            self.fault(error)


class ChildProcess(Process):
    """A process that parent started."""

    def __init__(self, loop: asyncio.AbstractEventLoop, log: Log, recorder: Recorder | None = None) -> None:
        super().__init__(loop, log, recorder)
        self.add(Lifecycle(self))
        self._stopping = False

    @classmethod
    def own_parts(cls) -> tuple[type, ...]:
        return (*super().own_parts(), Lifecycle)

    def load_config(self, data: bytes) -> None:
        """Set `config` from the slice that parent sent."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Open and load, with all rights still there, what cannot be had after the drop."""

    def peer_lost(self, peer: Peer) -> None:
        super().peer_lost(peer)
        if peer.name == "parent":
            os._exit(0 if self._stopping else EXIT_FAULT)

    def shut_down(self, seconds: int) -> None:
        """Stop within `seconds`, then leave the loop."""
        if not self._stopping:
            self._stopping = True
            self.spawn_task(self._stop_within(seconds))

    async def _stop_within(self, seconds: int) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.stop()
        except TimeoutError:
            self.log.warn(f"not everything could be finished within {seconds} s")
        self.loop.stop()


class Lifecycle:
    """The part of every child that parent speaks to."""

    def __init__(self, process: ChildProcess) -> None:
        self._process = process

    @handles(Setup)
    def setup(self, peer: Peer, message: Setup, fd: int | None) -> None:
        """Only the first message may be one (child.py reads it)."""
        if fd is not None:
            os.close(fd)
        self._process.violation(peer, "a second Setup")

    @handles(RecorderMemory)
    def recorder_memory(self, peer: Peer, message: RecorderMemory, fd: int | None) -> None:
        """Only during setup (child.py)."""
        if fd is not None:
            os.close(fd)
        self._process.violation(peer, "RecorderMemory after setup")

    @handles(SetupComplete)
    def setup_complete(self, peer: Peer, message: SetupComplete) -> None:
        """Only once (child.py)."""
        self._process.violation(peer, "a second SetupComplete")

    @handles(PeerLink)
    def peer_link(self, peer: Peer, message: PeerLink, fd: int | None) -> None:
        """A fresh socket to a peer, in place of the one that was."""
        if fd is None:
            self._process.violation(peer, "PeerLink without a descriptor")
            return
        self._process.attach(message.name, message.instance, channel_on(fd, message.name, self._process))

    @handles(Begin)
    def begin(self, peer: Peer, message: Begin) -> None:
        """All processes are ready."""
        self._process.paused = frozenset(message.paused)
        self._process.begin()

    @handles(Shutdown)
    def shutdown(self, peer: Peer, message: Shutdown) -> None:
        """Finish and exit."""
        self._process.shut_down(message.seconds)


def channel_on(fd: int, name: str, process: Process) -> Channel:
    """A channel of this process to peer `name` on a socket's descriptor."""
    end = socket.socket(fileno=fd)
    end.setblocking(False)
    return Channel(end, CATALOGUE, instance=process.instance, name=name, recorder=process.recorder)
