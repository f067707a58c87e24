"""Parent's side of the starter of delivery agents (smtpd/delivery), which stays a little longer than they."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from imsg import Channel, Recorder
from imsg.message import Kind
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.delivery import StartAgent, StopAgent
from smtpd.messages.links import DELIVERY
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer
from smtpd.mproc.spawn import describe_status, environment, socketpair

IDLE_SECONDS = 10.0
"""How long the starter stays when there is no agent."""


class Starter:
    """Starts and stops agents by number. `pid`: of the starter there is, or was.

    `on_message` gives the handler of a kind that the starter sends.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        on_message: Callable[[Kind], Callable[..., Any] | None],
        recorder: Recorder | None = None,
    ) -> None:
        self.loop = loop
        self._recorder = recorder
        self._log = log
        self._on_message = on_message
        self.pid = 0
        self._peer: Peer | None = None
        self._agents: set[int] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def running(self) -> bool:
        """Is there a starter?"""
        return self._peer is not None

    def start(self, request: StartAgent) -> int:
        """A socket to a new agent; OSError when no process can be had."""
        if self._peer is None:
            self._peer = self._spawn()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        ours, theirs = socketpair()
        self._peer.send(request, theirs.detach())
        self._agents.add(request.agent)
        return ours.detach()

    def stop(self, agent: int) -> None:
        """Kill an agent."""
        if self._peer is not None and agent in self._agents:
            self._peer.send(StopAgent(agent))

    def exited(self, agent: int) -> None:
        """The starter said so."""
        self._agents.discard(agent)
        if not self._agents and self._peer is not None:
            self._idle = self.loop.call_later(IDLE_SECONDS, self._close)

    def close(self) -> None:
        """End the starter; agents end when pony closes their sockets."""
        self._closed = True
        self._close()

    def _close(self) -> None:
        self._idle = None
        self._agents.clear()
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def _spawn(self) -> Peer:
        ours, theirs = socketpair()
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "smtpd.delivery", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env=environment(),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid = process.pid
        pidfd = os.pidfd_open(process.pid)
        self.loop.add_reader(pidfd, self._ended, pidfd, process)
        return Peer(self, DELIVERY, 0, Channel(ours, CATALOGUE, name=DELIVERY, recorder=self._recorder))

    def _ended(self, pidfd: int, process: subprocess.Popen[bytes]) -> None:
        self.loop.remove_reader(pidfd)
        os.close(pidfd)
        status = process.wait()
        if status != 0:
            self._log.warn(f"the starter of delivery agents {describe_status(status)}")

    # what Peer needs of its owner

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        """The handler of a kind."""
        return self._on_message(kind)

    def answer_later(self, reply: Any, peer: Peer) -> None:
        """No handler of these kinds is a coroutine."""
        raise TypeError("an agent's messages have no asynchronous handlers")

    def violation(self, peer: Peer, text: str) -> None:
        """It broke the protocol: do without it."""
        self._log.warn(f"the starter of delivery agents: {text}")
        peer.close()
        self.peer_lost(peer)

    def peer_lost(self, peer: Peer) -> None:
        """It is gone; agents that are there stay with pony, the next one needs a new starter."""
        if peer is self._peer:
            self._peer = None
            self._agents.clear()
