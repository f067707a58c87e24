"""One peer process as seen from inside this one: messages out, and messages in to their handlers.

Frames are written once per turn of the loop, however many were sent in it. A peer that breaks the rules (a
frame or message that cannot be, a reply nobody asked for, a kind it may not send) is a fault of ours:
`violation` ends the process loudly.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, KeysView, MutableSequence
from time import monotonic_ns
from typing import Any, Protocol

from imsg import Channel, ChannelClosed, FrameError, MessageError, Meter, Received
from imsg.message import Kind, kind_of
from imsg.meter import UNMEASURED
from smtpd.messages.catalogue import CATALOGUE

from .dispatch import replies

Then = Callable[..., None]
Steps = Callable[[Any, "Peer", int], Any]
"""Measures a coroutine, the handler of a kind with this number."""


class Owner(Protocol):
    """What a peer needs of the process it lives in."""

    loop: asyncio.AbstractEventLoop

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        """The bound method for a kind."""

    def answer_later(self, reply: Any, peer: "Peer") -> None:
        """Run the coroutine of an async handler; its result, if any, is sent to peer."""

    def violation(self, peer: "Peer", text: str) -> None:
        """The peer did what it must not."""

    def peer_lost(self, peer: "Peer") -> None:
        """The peer's end is closed."""


class Observer(Protocol):
    """Who measures what a peer does (handling.py)."""

    def handler(self, peer: "Peer", kind: Kind, handler: Callable[..., Any]) -> Callable[..., Any]:
        """What to call in place of a handler."""

    def request(self, peer: "Peer", peerid: int, request: type, then: Then) -> Then:
        """What to call in place of `then` with the reply to a request that was just sent."""


class Peer:
    """A link to another process. `name` and `instance` say which; `full` asks senders of bulk to wait."""

    def __init__(self, owner: Owner, name: str, instance: int, channel: Channel) -> None:
        self.name = name
        self.instance = instance
        self.channel = channel
        self.lost = False
        self._owner = owner
        self._loop = owner.loop
        self._replies = replies()
        self._asked: dict[int, tuple[int, bool, Then]] = {}
        self._replies_of: dict[type, tuple[int, bool]] = {}
        self._flush_due = False
        self._writing = False
        self._drained: list[Callable[[], None]] = []
        self._routes: dict[int, tuple[Callable[..., Any], bool, bool] | None] = {}
        self._observer: Observer | None = None
        self._stamps: MutableSequence[int] | None = None
        self._steps: Steps | None = None
        self._loop.add_reader(channel.fileno(), self._readable)

    # out

    def send(self, message: Any, fd: int | None = None) -> int:
        """Queue a message; returns its id. A descriptor is owned by the channel from now on."""
        if self.lost:
            if fd is not None:
                os.close(fd)
            return 0
        peerid = self.channel.put(message, fd)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        return peerid

    def ask(self, message: Any, then: Then, fd: int | None = None) -> None:
        """Send a request; `then` gets the reply, and its descriptor if its kind may carry one.

        When the peer is gone, or goes before it answers, `then` gets None in place of the reply. `fd`: as for
        `send`.
        """
        number, carries = self._reply_of(type(message))
        if self.lost:
            if fd is not None:
                os.close(fd)
            self._loop.call_soon(then, *_nothing(carries))
            return
        peerid = self.send(message, fd)
        if self._observer is not None:
            then = self._observer.request(self, peerid, type(message), then)
        self._asked[peerid] = (number, carries, then)

    async def call(self, message: Any) -> Any:
        """As `ask`, for a coroutine: returns the reply, or (reply, descriptor) if its kind may carry one."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        _number, carries = self._reply_of(type(message))

        def then(reply: Any, fd: int | None = None) -> None:
            if not answer.done():
                answer.set_result((reply, fd) if carries else reply)
            elif fd is not None:
                os.close(fd)  # the caller was cancelled meanwhile

        self.ask(message, then)
        try:
            return await answer
        except asyncio.CancelledError:
            # Cancelled between the answer and our turn: nobody else knows its descriptor.
            if carries and answer.done() and not answer.cancelled() and answer.result()[1] is not None:
                os.close(answer.result()[1])
            raise

    def _reply_of(self, request: type) -> tuple[int, bool]:
        """The number of the kind that answers a request, and whether it may carry a descriptor."""
        known = self._replies_of.get(request)
        if known is None:
            reply = kind_of(kind_of(request).reply)
            known = self._replies_of[request] = reply.number, reply.descriptor is not False
        return known

    @property
    def asked(self) -> KeysView[int]:
        """The ids of the requests that wait for their reply."""
        return self._asked.keys()

    @property
    def unanswered(self) -> int:
        """How many requests wait for their reply."""
        return len(self._asked)

    @property
    def backlog(self) -> int:
        """Bytes queued for the peer."""
        return self.channel.queued

    @property
    def full(self) -> bool:
        """Whether a sender of bulk should wait for `when_drained`."""
        return self.channel.full

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once, when everything queued was written; in the next turn if nothing is queued.

        Called as well when the peer goes: what is sent from then on goes nowhere, and nobody waits for ever.
        """
        if self.lost or not self.channel.queued:
            self._loop.call_soon(callback)
        else:
            self._drained.append(callback)

    def _flush(self) -> None:
        self._flush_due = False
        if self.lost or self._writing:
            return
        self._write()

    def _write(self) -> None:
        try:
            done = self.channel.flush()
        except (ChannelClosed, OSError):
            self._lose()
            return
        if done == self._writing:
            if done:
                self._loop.remove_writer(self.channel.fileno())
            else:
                self._loop.add_writer(self.channel.fileno(), self._write)
            self._writing = not done
        if done and self._drained:
            self._call_drained()

    def _call_drained(self) -> None:
        drained, self._drained = self._drained, []
        for callback in drained:
            callback()

    # in

    def _readable(self) -> None:
        try:
            received = self.channel.receive()
        except ChannelClosed:
            self._lose()
            return
        except (FrameError, MessageError) as error:
            self._owner.violation(self, str(error))
            return
        except OSError:
            self._lose()
            return
        routes = self._routes
        stamps, ended = self._stamps, 0
        if stamps is not None:
            stamps[0] = monotonic_ns()
        rest = iter(received)
        for number, message, peerid, fd in rest:
            if number not in routes:
                routes[number] = self._route(CATALOGUE.by_number[number])
            route = routes[number]
            measured = 0
            if route is None:
                self._answered(number, message, fd)
            else:
                handler, is_request, may_carry = route
                if may_carry:
                    answer = handler(self, peerid, message, fd) if is_request else handler(self, message, fd)
                elif is_request:
                    answer = handler(self, peerid, message)
                else:
                    answer = handler(self, message)
                if answer is not None:
                    if isinstance(answer, tuple):
                        self.send(answer)
                    else:
                        if self._steps is not None:
                            answer, measured = self._steps(answer, self, number), UNMEASURED
                        self._owner.answer_later(answer, self)
            if stamps is not None:  # the end of one is the beginning of the next
                ended += 1
                stamps[ended] = monotonic_ns() | measured
            if self.lost:  # closed by a handler: the descriptors of what is not handled any more are ours
                _close_rest(rest)
                return

    def _route(self, kind: Kind) -> tuple[Callable[..., Any], bool, bool] | None:
        """Who handles a kind: None for a reply. A kind that this peer may not send us is refused."""
        handler: Callable[..., Any] | None = None
        if self.name in kind.senders:
            if kind.number in self._replies:
                return None
            handler = self._owner.handler(kind)
            if handler is not None and self._observer is not None:
                handler = self._observer.handler(self, kind, handler)
        return handler or self._refused, kind.reply is not None, kind.descriptor is not False

    def _refused(self, _peer: "Peer", *arguments: Any) -> None:
        if isinstance(arguments[-1], int):
            os.close(arguments[-1])
        self._owner.violation(self, "a message that it may not send here")

    def _answered(self, number: int, reply: Any, fd: int | None) -> None:
        expected, carries, then = self._asked.pop(reply[0], (0, False, None))
        if then is None or expected != number:
            if fd is not None:
                os.close(fd)
            self._owner.violation(self, f"{type(reply).__name__} answers nothing that was asked")
            return
        if carries:
            then(reply, fd)
        else:
            then(reply)

    def observe(self, observer: Observer | None) -> None:
        """Have what is handled from now on measured, or no more; handlers are asked for anew."""
        if observer is not None or self._observer is not None:
            self._observer = observer
            self._routes.clear()

    def measure(self, meter: Meter | None, steps: Steps | None = None) -> None:
        """Have replies measured from now on, or no more; with `steps` handlers too, coroutines by it."""
        self.channel.measure(meter)
        self._steps = steps
        self._stamps = None if steps is None else self.channel.stamps

    # end

    def _lose(self) -> None:
        if self.lost:
            return
        self.close()
        self._owner.peer_lost(self)

    def close(self) -> None:
        """Close our end. Whoever waits for a reply gets None."""
        if self.lost:
            return
        self.lost = True
        self._loop.remove_reader(self.channel.fileno())
        if self._writing:
            self._loop.remove_writer(self.channel.fileno())
        self.channel.close()
        asked, self._asked = self._asked, {}
        for _number, carries, then in asked.values():
            then(*_nothing(carries))
        self._call_drained()


def _nothing(carries: bool) -> tuple[None, ...]:
    """What `then` gets in place of a reply, and of its descriptor."""
    return (None, None) if carries else (None,)


def _close_rest(rest: Iterable[Received]) -> None:
    """Close the descriptors of messages that nobody handles."""
    for _number, _message, _peerid, fd in rest:
        if fd is not None:
            os.close(fd)
