"""How long handlers run, and how long replies take: measured while somebody profiles or watches.

While nobody does, peers call their handlers directly and nothing here is on the way; who only profiles gets
wrappers that do no more than take the time. An asynchronous handler's time is the sum of what it ran between
its waits.
"""

import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from types import coroutine
from typing import TYPE_CHECKING, Any

from imsg.message import Kind, kind_of

from .peer import Peer

if TYPE_CHECKING:
    from .process import Process

SLOW_NS = 5_000_000
"""A handler that runs so long holds up everything else in its process: `trace mproc` says so."""

_now = time.monotonic_ns  # the recorder's clock


class Handling:
    """Measures for one process. Peers ask it for a handler to call in place of theirs."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._measuring = False
        self._marking = False
        self._following = False
        self._asked: dict[tuple[str, int], dict[int, int]] = {}  # peer -> request's id -> when it was sent
        self._replied: dict[tuple[str, type], Callable[..., None]] = {}  # peer and request -> wrapper

    @property
    def on(self) -> bool:
        """Whether peers have to be observed."""
        return self._measuring or self._marking or self._following or self._process.log.tracing_mproc

    def measure(self, on: bool) -> None:
        """Collect histograms of times."""
        self._measuring = on
        self.apply()

    def follow(self, on: bool) -> None:
        """Remember when requests were sent."""
        self._following = on
        self.apply()

    def mark(self, on: bool) -> None:
        """Put on the recorder's tape when handlers run."""
        self._marking = on
        self.apply()

    def apply(self) -> None:
        """Have all peers observed, or none."""
        if not self.on:
            self._asked.clear()
        self._replied.clear()
        for peer in self._process.peers():
            peer.observe(self if self.on else None)

    def oldest(self, peer: Peer) -> int:
        """How long the oldest request that was sent since the beginning waits for its reply, in ns; 0: none
        does.
        """
        asked = self._asked.get((peer.name, peer.instance))
        if not asked:
            return 0
        waiting = peer.asked
        left = {peerid: sent for peerid, sent in asked.items() if peerid in waiting}
        asked.clear()  # the same dictionary stays in use
        asked.update(left)
        return _now() - min(left.values()) if left else 0

    # for peers

    def handler(self, peer: Peer, kind: Kind, handler: Callable[..., Any]) -> Callable[..., Any]:
        """What to call in place of a handler."""
        if not self._looking:
            return self._quick(peer, kind, handler) if self._measuring else handler
        is_request = kind.reply is not None
        took = self._process.profile.samples("imsg", "handler", peer.name, kind.name).append

        def timed(*arguments: Any) -> Any:
            began = _now()
            answer = handler(*arguments)
            if answer is not None and not isinstance(answer, tuple):
                # Nothing of a coroutine has run yet: it is begun by whoever awaits this.
                return self._steps(answer, peer, kind, arguments[1] if is_request else 0)
            ended = _now()
            if self._measuring:
                took(ended - began)
            if self._marking:
                self._mark(peer, kind, arguments[1] if is_request else 0, began, ended - began, 0)
            if self._process.log.tracing_mproc:
                self._tell(peer, f"{kind.name}#{arguments[1]}" if is_request else kind.name, ended - began)
            return answer

        return timed

    @property
    def _looking(self) -> bool:
        """Whether more is wanted than times."""
        return self._marking or self._process.log.tracing_mproc

    def _quick(self, peer: Peer, kind: Kind, handler: Callable[..., Any]) -> Callable[..., Any]:
        """For the profile alone. It runs for each message: no tests, no look-ups, nothing allocated."""
        took = self._process.profile.samples("imsg", "handler", peer.name, kind.name).append
        is_request = kind.reply is not None

        def timed(*arguments: Any) -> Any:
            began = _now()
            answer = handler(*arguments)
            if answer is None or isinstance(answer, tuple):
                took(_now() - began)
                return answer
            return self._steps(answer, peer, kind, arguments[1] if is_request else 0)

        def timed_request(peer: Peer, peerid: int, message: Any) -> Any:
            began = _now()
            answer = handler(peer, peerid, message)
            if answer is None or isinstance(answer, tuple):
                took(_now() - began)
                return answer
            return self._steps(answer, peer, kind, peerid)

        def timed_message(peer: Peer, message: Any) -> Any:
            began = _now()
            answer = handler(peer, message)
            if answer is None or isinstance(answer, tuple):
                took(_now() - began)
                return answer
            return self._steps(answer, peer, kind, 0)

        if kind.descriptor is not False:
            return timed
        return timed_request if is_request else timed_message

    def request(
        self, peer: Peer, peerid: int, request: type, then: Callable[..., None]
    ) -> Callable[..., None]:
        """What to call in place of `then` with the reply to a request that was just sent."""
        sent = _now()
        if self._following:
            self._follow(peer, peerid, sent)
            if not (self._measuring or self._looking):
                return then
        replied = self._replied.get((peer.name, request))
        if replied is None:
            replied = self._replied[peer.name, request] = self._wrapper(peer, request)
        return partial(replied, then, sent)

    def _follow(self, peer: Peer, peerid: int, sent: int) -> None:
        """Remember; `oldest` forgets what was answered meanwhile."""
        asked = self._asked.get((peer.name, peer.instance))
        if asked is None:
            asked = self._asked[peer.name, peer.instance] = {}
        asked[peerid] = sent

    def _wrapper(self, peer: Peer, request: type) -> Callable[..., None]:
        """Calls `then` with a reply to this kind of request that was sent at `sent`."""
        kind = kind_of(request)
        reply = kind_of(kind.reply)
        samples = self._process.profile.samples
        replied = samples("imsg", "reply", peer.name, kind.name).append
        took = samples("imsg", "handler", peer.name, reply.name).append

        def quick(then: Callable[..., None], sent: int, *arguments: Any) -> None:
            began = _now()
            then(*arguments)
            if arguments[0] is not None and self._measuring:
                replied(began - sent)
                took(_now() - began)

        def timed(then: Callable[..., None], sent: int, *arguments: Any) -> None:
            began = _now()
            then(*arguments)
            if arguments[0] is None:
                return
            ended = _now()
            if self._measuring:
                replied(began - sent)
                took(ended - began)
            if self._marking:
                self._mark(peer, reply, 0, began, ended - began, 0)
            if self._process.log.tracing_mproc:
                self._tell(peer, f"{reply.name}#{arguments[0][0]}", ended - began, began - sent)

        return timed if self._looking else quick

    @coroutine
    def _steps(
        self, handler: Coroutine[Any, Any, Any], peer: Peer, kind: Kind, peerid: int
    ) -> Generator[Any, Any, Any]:
        """Run an asynchronous handler, and measure it between its waits."""
        spent = step = 0
        send: Callable[[Any], Any] = handler.send
        value: Any = None
        while True:
            began = _now()
            try:
                waits_for = send(value)
            except StopIteration as end:
                took = _now() - began
                self._mark(peer, kind, peerid, began, took, step)
                if self._process.log.tracing_mproc:
                    self._tell(peer, f"{kind.name}#{peerid}", spent + took)
                if self._measuring:
                    self._process.profile.add("imsg", "handler", peer.name, kind.name, spent + took)
                return end.value
            took = _now() - began
            spent += took
            self._mark(peer, kind, peerid, began, took, step)
            step += 1
            try:
                value = yield waits_for
                send = handler.send
            except GeneratorExit:
                handler.close()
                raise
            except BaseException as error:  # a cancellation, most of all: the handler's to deal with
                value = error
                send = handler.throw

    def _tell(self, peer: Peer, what: str, took: int, after: int = -1) -> None:
        """With `trace mproc`: nothing else happened in this process meanwhile. `after`: of a reply, how long
        it was waited for."""
        waited = f", {after / 1e6:.1f} ms after it was asked for" if after >= 0 else ""
        slow = ": all else had to wait" if took >= SLOW_NS else ""
        self._process.log.trace("mproc", f"{what} from {peer.name} took {took / 1e6:.2f} ms{waited}{slow}")

    def _mark(self, peer: Peer, kind: Kind, peerid: int, began: int, took: int, step: int) -> None:
        """length: which run of the handler this was, 0 for the first."""
        recorder = self._process.recorder
        if not self._marking or recorder is None:
            return
        header = (kind.number, step, peerid, 0)
        recorder.tape.handled(began, recorder.channel(peer.name), header, took)
