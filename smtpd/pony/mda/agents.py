"""Links to delivery agents, one for each user with mail, and how many there may be.

An agent takes many deliveries at a time and joins their waiting for the disk, so OpenSMTPD's limit of
deliveries per user does not apply to it; its limit of deliveries in all (`mda limit max-session`) bounds the
agents.  The longest idle one makes room; an idle one goes after IDLE_SECONDS.

An agent runs with a user's rights: what it sends that it must not ends the link, never this process.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from typing import Any

from imsg import Channel, Recorder
from imsg.message import Kind
from smtpd.mail.status import OK, TEMPFAIL
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.delivery import (
    DeliverLmtp,
    DeliverMaildir,
    DeliverMbox,
    MailDelivered,
    MaildirDelivered,
)
from smtpd.messages.links import DELIVERY
from smtpd.messages.parent_pony import AgentOpened, KillDelivery, OpenAgent
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer

from .user import UserInfo

WINDOW = 64
"""Deliveries that an agent has at a time."""

IDLE_SECONDS = 10.0
STUCK_SECONDS = 300.0
"""An agent that answers nothing for so long is killed; OpenSMTPD gives a delivery as long."""

LOST = "the delivery agent was lost"

MAILDIR = "maildir"
MBOX = "mbox"
LMTP = "lmtp"
"""What an agent is for: those of a user do not wait for each other, and the one for mbox has other rights."""

type Then = Callable[[str, str], None]  # (status, error), as MaildirDelivered has them
type Request = DeliverMaildir | DeliverMbox | DeliverLmtp
type Opened = Callable[["Agent | None", str, str], None]  # (agent, or None with status and error)


type _Key = tuple[UserInfo, str]


class Agent:
    """One agent. `in_flight`: places taken, by deliveries it has not answered or that will be handed over."""

    def __init__(
        self, agents: "Agents", user: UserInfo, delivery: int, fd: int, method: str = MAILDIR
    ) -> None:
        self.loop = agents.loop
        self.user = user
        self.method = method
        self.delivery = delivery
        self.in_flight = 0
        self.closed = False
        self._agents = agents
        self._last = self.loop.time()
        self._timer = self.loop.call_later(IDLE_SECONDS, self._look)
        end = socket.socket(fileno=fd)
        channel = Channel(end, CATALOGUE, name=DELIVERY, recorder=agents.recorder)
        self._peer = Peer(self, DELIVERY, 0, channel)

    @property
    def full(self) -> bool:
        """Is it to get no more now?"""
        return self.in_flight >= WINDOW

    def reserve(self) -> None:
        """Take a place; deliver() or release() follows."""
        if not self.in_flight:
            self._last = self.loop.time()
        self.in_flight += 1

    def release(self) -> None:
        """Give a place back."""
        self.in_flight -= 1
        self._last = self.loop.time()
        if not self.in_flight and not self.closed:
            self._agents.make_room()

    def deliver(self, request: Request, fd: int, then: Then) -> None:
        """Hand a delivery over, with the content; `then` is called once, after the place is free."""

        def answered(answer: MaildirDelivered | MailDelivered | None) -> None:
            self.in_flight -= 1
            self._last = self.loop.time()
            if answer is None:
                then(TEMPFAIL, LOST)
            else:
                then(answer.status, answer.error)
            if not self.in_flight and not self.closed:
                self._agents.make_room()

        self._peer.ask(request, answered, fd)

    def close(self) -> None:
        """Close the link: the agent ends when it has done what it has. Who waits for an answer is told."""
        if not self.closed:
            self.closed = True
            self._agents.gone(self)
            self._peer.close()
            self._timer.cancel()

    def _look(self) -> None:
        """Is it stuck, or idle? Looked at now and then, so that no delivery sets a timer."""
        quiet = self.loop.time() - self._last
        if self.in_flight and quiet >= STUCK_SECONDS:
            self._agents.log.warn(f"delivery agent of {self.user.username} does nothing: killed")
            self._agents.kill(self.delivery)
            self.close()
        elif not self.in_flight and quiet >= IDLE_SECONDS:
            self.close()
        else:
            self._timer = self.loop.call_later(IDLE_SECONDS, self._look)

    # what Peer needs of its owner

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        """An agent only answers."""
        return None

    def answer_later(self, reply: Any, peer: Peer) -> None:
        """No handler, so no reply."""
        raise TypeError("an agent has no handlers")

    def violation(self, peer: Peer, text: str) -> None:
        """It is the user's process, so it is dropped."""
        self._agents.log.warn(f"delivery agent of {self.user.username}: {text}")
        self.close()

    def peer_lost(self, peer: Peer) -> None:
        """It ended."""
        self.close()


class Agents:
    """All agents, by the user's rights and home."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: Log,
        parent: Callable[[], Peer],
        most: int,
        recorder: Recorder | None = None,
    ) -> None:
        self.loop = loop
        self.log = log
        self.recorder = recorder
        self._parent = parent
        self._most = max(most, 1)
        self._agents: dict[_Key, Agent] = {}  # in the order of use
        self._opening: dict[_Key, list[Opened]] = {}
        self._wanted: dict[_Key, list[Opened]] = {}  # no room yet

    @property
    def number(self) -> int:
        """Agents that are there or being started."""
        return len(self._agents) + len(self._opening)

    @property
    def in_flight(self) -> int:
        """Deliveries that all agents have."""
        return sum(agent.in_flight for agent in self._agents.values())

    def find(self, user: UserInfo, method: str = MAILDIR) -> Agent | None:
        """The user's agent if it is there."""
        key = (user, method)
        agent = self._agents.get(key)
        if agent is not None:
            # the last in the dict is the last used
            del self._agents[key]
            self._agents[key] = agent
        return agent

    def open(self, user: UserInfo, then: Opened, evpid: int = 0, method: str = MAILDIR) -> None:
        """Have an agent for the user; `then` is called once, maybe much later when there are too many.

        `evpid`: the envelope it is for, if that is known.
        """
        key = (user, method)
        for waiting in (self._opening, self._wanted):
            if key in waiting:
                waiting[key].append(then)
                return
        if self.number >= self._most and not self._make_room():
            self._wanted[key] = [then]
        else:
            self._open(key, [then], evpid)

    def exited(self, delivery: int, status: int) -> bool:
        """parent says that a process ended; False when it was no agent that is still there."""
        for agent in self._agents.values():
            if agent.delivery == delivery:
                if status != 0:
                    self.log.warn(f"delivery agent of {agent.user.username} ended with status {status}")
                agent.close()
                return True
        return False

    def kill(self, delivery: int) -> None:
        """Have parent end a process."""
        self._parent().send(KillDelivery(delivery))

    def gone(self, agent: Agent) -> None:
        """An agent closed: somebody may be waiting for the room."""
        key = (agent.user, agent.method)
        if self._agents.get(key) is agent:
            del self._agents[key]
        self._open_wanted()

    def close(self) -> None:
        """Close all links."""
        self._wanted.clear()
        for agent in list(self._agents.values()):
            agent.close()

    def make_room(self) -> None:
        """An agent has become idle: it goes if somebody waits."""
        if self._wanted:
            self._make_room()

    def _make_room(self) -> bool:
        for agent in self._agents.values():
            if not agent.in_flight:
                agent.close()
                return True
        return False

    def _open_wanted(self) -> None:
        while self._wanted and self.number < self._most:
            key = next(iter(self._wanted))
            self._open(key, self._wanted.pop(key))

    def _open(self, key: "_Key", waiting: list[Opened], evpid: int = 0) -> None:
        self._opening[key] = waiting
        user, method = key

        def opened(reply: AgentOpened | None, fd: int | None) -> None:
            callers = self._opening.pop(key)
            agent = None
            status, error = TEMPFAIL, "parent is gone"
            if reply is not None:
                status, error = reply.status, reply.error
                if status == OK and fd is not None:
                    agent = self._agents[key] = Agent(self, user, reply.delivery, fd, method)
                elif fd is not None:
                    os.close(fd)
            for caller in callers:
                caller(agent, status, error)
            if agent is None:
                self._open_wanted()

        self._parent().ask(OpenAgent(*user, evpid, method == MBOX), opened)
