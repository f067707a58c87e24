"""One end of a socketpair on which declared messages travel, many in one system call.

`put` encodes and queues, `flush` makes frames of everything queued and writes what the socket takes,
`receive` reads once and returns every message that is complete. The queue has a bound and says when it is
reached. The socket is non-blocking; waiting is the business of the caller's loop, as is who may send what.

A frame's peerid is the sender's running number on this channel: 24 bits that wrap and are never 0, below the
sender's instance (imsg_init(3) leaves the meaning of peerid to its user).
"""

import os
import socket
from collections.abc import Callable, MutableSequence, Sequence
from itertools import repeat
from typing import Any, NoReturn

from imsg.core import FrameReader, FrameWriter, Meter
from imsg.frame import HEADER_SIZE, PEERID_MASK, ChannelClosed, FrameError, close_all
from imsg.message import MAX_PAYLOAD, Catalogue, MessageError, unpack, unpack_joined
from imsg.meter import next_serial
from imsg.recorder import Recorder

__all__ = ["Channel", "ChannelClosed", "ChannelFull", "FrameError", "Received"]

HARD_FACTOR = 4  # times max_queued: there `put` refuses
_NO_RECORDER = os.environ.get("IMSG_RECORDER") == "0"  # to measure what recording costs

type Received = tuple[int, Any, int, int | None]  # (kind's number, message, peerid, descriptor)
type TraceHook = Callable[[str, Any, int, int], None]  # ("in" | "out", message, peerid, payload's length)


class ChannelFull(BufferError):
    """The output queue is at its hard bound: the peer does not read, and the sender went on past `full`."""


class Channel:
    """One end. Owns the socket; every descriptor given to `put` is closed by the channel, sent or not.

    instance: 0 to 255, the sender's among those of its kind. name: what the recorder calls this channel.
    max_queued: bytes from which on `full` is true; at four times as much `put` raises ChannelFull.
    on_trace: called with ("in" or "out", message, peerid, payload's length) for every message if not None.
    """

    def __init__(
        self,
        sock: socket.socket,
        catalogue: Catalogue,
        *,
        instance: int = 0,
        name: str = "",
        recorder: Recorder | None = None,
        max_queued: int = 4 * 1024 * 1024,
    ) -> None:
        if not 0 <= instance <= 255:
            raise ValueError("an instance is 0 to 255")
        sock.setblocking(False)
        if _NO_RECORDER:
            recorder = None
        number = 0 if recorder is None else recorder.channel(name)
        self.sock = sock
        self.catalogue = catalogue
        self.name = name
        self.on_trace: TraceHook | None = None
        self.max_queued = max_queued
        self.serial = next_serial()  # this channel's, among all of the process, for its meter
        self.queued = 0  # bytes that wait to be sent, headers included
        self._hard = max_queued * HARD_FACTOR
        self._reader = FrameReader(sock, recorder, number)
        self._writer = FrameWriter(sock, recorder, number)
        self._encoders = catalogue.encoders
        self._checks = catalogue.checks
        self._types: list[int] = []
        self._payloads: list[bytes] = []
        self._descriptors: dict[int, int] = {}
        self._low = instance << 24 | 1
        self._high = instance << 24 | PEERID_MASK
        self._first = self._low  # the peerid of the first message in the lists
        self._next = self._low
        self._pid = 0  # asked for at the first flush, in the process that sends
        self._closed = False

    @property
    def full(self) -> bool:
        """True past the bound: produce nothing more until `flush` has made room."""
        return self.queued >= self.max_queued

    def fileno(self) -> int:
        return self.sock.fileno()

    def measure(self, meter: Meter | None) -> None:
        """Have replies, and the handlers whose times stand in `stamps`, measured from now on, or no more."""
        number = 0 if meter is None else meter.channel(self.name)
        self._reader.measure(meter, number, self.serial)
        self._writer.measure(meter, number, self.serial)

    @property
    def stamps(self) -> MutableSequence[int]:
        """For who handles what `receive` gave: [0] is when the first handler began, [i] when the i-th ended.

        On CLOCK_MONOTONIC in ns, with meter.UNMEASURED added for what is not to be measured. The meter takes
        them at the next `receive`, or by `settle`.
        """
        return self._reader.stamps

    def settle(self) -> None:
        """Measure the handlers that have ended so far."""
        self._reader.settle()

    def put(self, message: Any, fd: int | None = None) -> int:
        """Queue a message and its descriptor; the peerid under which it goes out.

        MessageError if it is not what its declaration says, ChannelFull at the hard bound, ChannelClosed
        after `close`. The descriptor belongs to the channel in any case, also when this raises.
        """
        if fd is None:
            number, encode = self._encoders[type(message)]
            payload = encode(message)
            size = len(payload)
            if size > MAX_PAYLOAD or self.queued >= self._hard:
                self._refuse(message, size)
        else:
            number, payload = self._attach(message, fd)
            size = len(payload)
        self._types.append(number)
        self._payloads.append(payload)
        self.queued += size + HEADER_SIZE
        peerid = self._next
        self._next = peerid + 1 if peerid != self._high else self._low
        if self.on_trace is not None:
            self.on_trace("out", message, peerid, size)
        return peerid

    def _attach(self, message: Any, fd: int) -> tuple[int, bytes]:
        try:
            number, encode = self.catalogue.encoders_with_descriptor[type(message)]
            payload = encode(message)
            if len(payload) > MAX_PAYLOAD or self.queued >= self._hard:
                self._refuse(message, len(payload))
            if fd < 0:
                raise MessageError(f"{type(message).__name__}: {fd} is no descriptor")
        except BaseException:
            close_all((fd,))
            raise
        self._descriptors[len(self._types)] = fd
        return number, payload

    def _refuse(self, message: Any, size: int) -> NoReturn:
        if self._closed:
            raise ChannelClosed("the channel is closed")
        if size > MAX_PAYLOAD:
            raise MessageError(f"{type(message).__name__}: {size} bytes do not fit in a frame")
        raise ChannelFull(f"{self.queued} bytes wait to be sent to {self.name or 'the peer'}")

    def flush(self) -> bool:
        """Write what is queued: True if all went out, False if the rest has to wait until the socket is
        writable. ChannelClosed if the peer is gone, OSError."""
        if self._types:
            types, payloads, descriptors = self._types, self._payloads, self._descriptors
            self._types, self._payloads = [], []
            if descriptors:
                self._descriptors = {}
            first, self._first = self._first, self._next
            if not self._pid:
                self._pid = os.getpid()
            self._writer.add(types, payloads, first, self._pid, descriptors)
        elif not self.queued:
            return True
        done = self._writer.send()
        self.queued = 0 if done else self._writer.pending
        return done

    def receive(self) -> list[Received]:
        """Read once: every message that is now complete, [] if none is.

        FrameError or MessageError if the peer sent what no peer may send: the channel is of no use after it,
        and good messages of the same read go with the bad one. ChannelClosed at its clean end, OSError. The
        caller owns the descriptors in the result.
        """
        reader = self._reader
        if not reader.receive():
            return []
        types = reader.types()
        descriptors = reader.descriptors()
        try:
            received = self._check(types, self._values(types), descriptors)
            if self.on_trace is not None:
                for (_, message, peerid, _), length in zip(received, reader.lengths(), strict=True):
                    self.on_trace("in", message, peerid, length - HEADER_SIZE)
        except BaseException:
            close_all(descriptors or ())
            reader.close()
            raise
        return received

    def _values(self, types: list[int]) -> Sequence[Any]:
        joined = self._reader.joined()
        if joined is not None:
            try:
                return unpack_joined(joined)
            except Exception:  # nested too deep for msgpack: one by one, to say which one
                pass
        pairs = zip(types, self._reader.payloads(), strict=True)
        return [self._unpack(number, payload) for number, payload in pairs]

    def _check(
        self, types: list[int], values: Sequence[Any], descriptors: list[int] | None
    ) -> list[Received]:
        checks = self._checks
        peerids = self._reader.peerids()
        if descriptors is not None:
            either = (self.catalogue.checks_with_descriptor, checks)
            return [
                (number, either[fd < 0][number](value), peerid, None if fd < 0 else fd)
                for number, value, peerid, fd in zip(types, values, peerids, descriptors, strict=True)
            ]
        if len(types) == 1:
            number = types[0]
            return [(number, checks[number](values[0]), peerids[0], None)]
        messages = [checks[number](value) for number, value in zip(types, values, strict=True)]
        return list(zip(types, messages, peerids, repeat(None), strict=False))

    def _unpack(self, number: int, payload: bytes) -> Any:
        kind = self.catalogue.by_number.get(number)
        return unpack(kind.name if kind is not None else f"message {number}", payload)

    def close(self) -> None:
        """Close the socket and every descriptor that still waits; what was queued is dropped."""
        if self._closed:
            return
        self._closed = True
        self._hard = -1
        close_all(self._descriptors.values())
        self._descriptors.clear()
        self._types.clear()
        self._payloads.clear()
        self.queued = 0
        self._writer.close()
        self._reader.close()
        self.sock.close()
