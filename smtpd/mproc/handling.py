"""How long handlers run, and how long replies take: measured while somebody profiles or watches.

While nobody does, peers call their handlers directly and nothing here is on the way. Who profiles has peers
stamp the end of each handler, and a meter of imsg does the rest (imsg/meter.py); only who watches, or traces
mproc, gets wrappers. An asynchronous handler's time is the sum of what it ran between its waits.
"""

import time
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from itertools import islice
from types import coroutine
from typing import TYPE_CHECKING, Any

from imsg import Meter
from imsg.message import Kind, kind_of
from imsg.meter import HANDLED, REPLIED, WAITED
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_observation import ProfileRow

from .dispatch import replies
from .peer import Peer
from .profile import profile_row

if TYPE_CHECKING:
    from .process import Process

SLOW_NS = 5_000_000
"""A handler that runs so long holds up everything else in its process: `trace mproc` says so."""

OLDEST = 64
"""Requests that are looked at to find the oldest that was measured."""

WHAT = {HANDLED: "handler", REPLIED: "reply", WAITED: "socket"}

_now = time.monotonic_ns  # the recorder's clock


class Handling:
    """Measures for one process. Peers ask it for a handler to call in place of theirs."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._measuring = False
        self._marking = False
        self._following = False
        self._meter: Meter | None = None
        self._replied: dict[tuple[str, type], Callable[..., None]] = {}  # peer and request -> wrapper

    @property
    def on(self) -> bool:
        """Whether peers have to be observed."""
        return self._marking or self._process.log.tracing_mproc

    @property
    def meter(self) -> Meter:
        """What measures, made when it is first wanted."""
        if self._meter is None:
            kinds = CATALOGUE.by_number.values()
            self._meter = Meter([kind.number for kind in kinds if kind.reply is not None], replies())
        return self._meter

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
        """Have all peers observed and measured, or none."""
        self._replied.clear()
        meter = self.meter if self._measuring or self._following else None
        if meter is not None:
            meter.measuring = self._measuring
        for peer in self._process.peers():
            peer.observe(self if self.on else None)
            if not peer.lost:
                peer.measure(meter, self._timed if self._measuring else None)

    def oldest(self, peer: Peer) -> int:
        """How long the oldest request that was sent since the beginning waits for its reply, in ns; 0: none
        does.
        """
        meter = self._meter if self._measuring or self._following else None
        if meter is not None:
            for peerid in islice(peer.asked, OLDEST):  # in the order in which they were sent
                sent = meter.sent(peer.channel.serial, peerid)
                if sent:
                    return _now() - sent
        return 0

    def forget(self) -> None:
        """Begin the measures from nothing."""
        self._settle()
        if self._meter is not None:
            self._meter.clear()

    def rows(self) -> list[ProfileRow]:
        """What was measured. The handler that asks for it has not ended."""
        if self._meter is None:
            return []
        self._settle()
        rows = []
        for what, peer, number, histogram in self._meter.rows():
            kind = CATALOGUE.by_number.get(number)
            if kind is not None:
                rows.append(profile_row(("imsg", WHAT[what], peer, kind.name), histogram))
        return sorted(rows)

    def _settle(self) -> None:
        for peer in self._process.peers():
            if not peer.lost:
                peer.channel.settle()

    # for peers

    def handler(self, peer: Peer, kind: Kind, handler: Callable[..., Any]) -> Callable[..., Any]:
        """What to call in place of a handler."""
        is_request = kind.reply is not None

        def timed(*arguments: Any) -> Any:
            peerid = arguments[1] if is_request else 0
            began = _now()
            answer = handler(*arguments)
            if answer is not None and not isinstance(answer, tuple):
                # Nothing of a coroutine has run yet: it is begun by whoever awaits this.
                return self._watched(answer, peer, kind, peerid)
            ended = _now()
            if self._marking:
                self._mark(peer, kind, peerid, began, ended - began, 0)
            if self._process.log.tracing_mproc:
                self._tell(peer, f"{kind.name}#{peerid}" if is_request else kind.name, ended - began)
            return answer

        return timed

    def request(
        self, peer: Peer, peerid: int, request: type, then: Callable[..., None]
    ) -> Callable[..., None]:
        """What to call in place of `then` with the reply to a request that was just sent."""
        replied = self._replied.get((peer.name, request))
        if replied is None:
            replied = self._replied[peer.name, request] = self._wrapper(peer, request)
        return partial(replied, then, _now())

    def _wrapper(self, peer: Peer, request: type) -> Callable[..., None]:
        """Calls `then` with a reply to this kind of request that was sent at `sent`."""
        kind = kind_of(request)
        reply = kind_of(kind.reply)

        def timed(then: Callable[..., None], sent: int, *arguments: Any) -> None:
            began = _now()
            then(*arguments)
            if arguments[0] is None:
                return
            ended = _now()
            if self._marking:
                self._mark(peer, reply, 0, began, ended - began, 0)
            if self._process.log.tracing_mproc:
                self._tell(peer, f"{reply.name}#{arguments[0][0]}", ended - began, began - sent)

        return timed

    def _timed(self, handler: Coroutine[Any, Any, Any], peer: Peer, number: int) -> Any:
        """An asynchronous handler in whose place what is awaited measures it."""

        def done(spent: int) -> None:
            if self._measuring:
                self.meter.add(HANDLED, self.meter.channel(peer.name), number, spent)

        return _steps(handler, done)

    def _watched(self, handler: Coroutine[Any, Any, Any], peer: Peer, kind: Kind, peerid: int) -> Any:
        """The same for who watches or traces."""

        def done(spent: int) -> None:
            if self._process.log.tracing_mproc:
                self._tell(peer, f"{kind.name}#{peerid}", spent)

        return _steps(handler, done, partial(self._mark, peer, kind, peerid))

    def _tell(self, peer: Peer, what: str, took: int, after: int = -1) -> None:
        """With `trace mproc`: nothing else happened in this process meanwhile. `after`: of a reply, how long
        it was waited for."""
        waited = f", {after / 1e6:.1f} ms after it was asked for" if after >= 0 else ""
        slow = ": all else had to wait" if took >= SLOW_NS else ""
        self._process.log.trace("mproc", f"{what} from {peer.name} took {took / 1e6:.2f} ms{waited}{slow}")

    def _mark(self, peer: Peer, kind: Kind, peerid: int, began: int, took: int, step: int) -> None:
        """step: which run of the handler this was, 0 for the first."""
        recorder = self._process.recorder
        if not self._marking or recorder is None:
            return
        header = (kind.number, step, peerid, 0)
        recorder.tape.handled(began, recorder.channel(peer.name), header, took)


@coroutine
def _steps(
    handler: Coroutine[Any, Any, Any],
    done: Callable[[int], None],
    step: Callable[[int, int, int], None] | None = None,
) -> Generator[Any, Any, Any]:
    """Run an asynchronous handler. `done` is told the ns that it ran without its waits; `step` of each run
    between two of them when it began, how long it took, and its number."""
    spent = number = 0
    send: Callable[[Any], Any] = handler.send
    value: Any = None
    while True:
        began = _now()
        try:
            waits_for = send(value)
        except StopIteration as end:
            took = _now() - began
            if step is not None:
                step(began, took, number)
            done(spent + took)
            return end.value
        took = _now() - began
        spent += took
        if step is not None:
            step(began, took, number)
            number += 1
        try:
            value = yield waits_for
            send = handler.send
        except GeneratorExit:
            handler.close()
            raise
        except BaseException as error:  # a cancellation, most of all: the handler's to deal with
            value = error
            send = handler.throw
