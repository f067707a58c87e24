"""One smtpctl at the control socket.

A client has one request under way; what it sent behind that waits. It gets rows as fast as it reads them: a
handler that has many waits in `row` until the socket takes more. What gets a client dropped is in clients.py.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

from imsg import Channel
from imsg.channel import ChannelFull
from smtpd.messages.links import CLIENT
from smtpd.mproc.peer import Owner, Peer

OUTPUT_BOUND = 128 * 1024
"""Bytes queued for a client from which on its handler waits."""


class ClientGone(Exception):
    """The client is not there any more: nothing is left to do for its request."""


class Client(Peer):
    """A connection. `uid`: who is at the other end; `privileged`: whether that is the administrator.

    `active`: the loop's time at which the client last sent a request or took something of what waits for it.
    """

    def __init__(self, owner: Owner, channel: Channel, uid: int, privileged: bool) -> None:
        self.uid = uid
        self.privileged = privileged
        self.active = owner.loop.time()
        self._waiting: deque[Coroutine[Any, Any, Any]] = deque()
        self._task: asyncio.Task[Any] | None = None
        super().__init__(owner, CLIENT, 0, channel)

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._task is not None

    def begin(self, request: Coroutine[Any, Any, Any]) -> None:
        """Serve a request after those that came before it; nothing is read meanwhile."""
        self._waiting.append(request)
        if self._task is None:
            self._loop.remove_reader(self.channel.fileno())
            self._next()

    async def row(self, message: Any) -> None:
        """Send one of many messages; returns when there is room for another. Raises ClientGone."""
        if self.lost:
            raise ClientGone
        self.send(message)
        if self.full:
            drained = asyncio.Event()
            self.when_drained(drained.set)
            await drained.wait()

    def send(self, message: Any, fd: int | None = None) -> int:
        """Queue a message. A client with so much unread that there is no room for it is closed."""
        try:
            return super().send(message, fd)
        except ChannelFull:
            self._owner.violation(self, "does not read its replies")
            return 0

    def _write(self) -> None:
        waiting = self.backlog
        super()._write()
        if self.backlog < waiting:  # however little it takes, it is there and reads
            self.active = self._loop.time()

    def close(self) -> None:
        """Close, and give up what was under way for this client."""
        if self.lost:
            return
        super().close()
        if self._task is not None:
            self._task.cancel()
        for request in self._waiting:
            request.close()
        self._waiting.clear()

    def _next(self) -> None:
        self.active = self._loop.time()
        self._task = self._loop.create_task(self._serve(self._waiting.popleft()))
        self._task.add_done_callback(self._served)

    async def _serve(self, request: Coroutine[Any, Any, Any]) -> None:
        try:
            reply = await request
        except ClientGone:
            return
        if reply is not None:
            self.send(reply)

    def _served(self, task: asyncio.Task[Any]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            # Not the client's fault, a handler is wrong: the loop's handler of exceptions ends the process.
            raise error
        if self.lost:
            return
        if self._waiting:
            self._next()
        else:
            self.active = self._loop.time()
            self._loop.add_reader(self.channel.fileno(), self._readable)
