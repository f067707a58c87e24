"""Frames on a stream socket, in plain Python: the fallback for the C core, and the oracle of its tests.

A frame is OpenBSD libimsg's: a header of four native u32 - type, len (the whole frame, 16 to 16384; its top
bit says that a descriptor rides along), peerid, pid - and the payload (imsg_init(3), OpenBSD 7.6 and later).

Descriptors travel as SCM_RIGHTS on the sendmsg that carries the first byte of their frame, one at a time, as
libimsg sends them. They are queued as they arrive and handed in order to the frames that have the bit. Since
a descriptor comes at the latest with the first byte of its frame, both mistakes show at once: a header with
the bit while none is queued, and one queued that no frame at hand, complete or begun, can claim.

Nothing here knows what a payload means. An error closes every descriptor that was not yet handed out.
"""

import contextlib
import errno
import os
import socket
import struct
import time
from array import array
from collections import deque
from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from itertools import accumulate
from typing import NoReturn

from imsg.layout import OUT
from imsg.meter import Meter
from imsg.recorder import Recorder

HEADER = struct.Struct("=IIII")
HEADER_SIZE = 16
MAX_FRAME = 16384
DESCRIPTOR_BIT = 0x80000000
BUFFER_SIZE = 65536
MAX_FRAMES = BUFFER_SIZE // HEADER_SIZE  # of one read
MAX_FEED = BUFFER_SIZE - MAX_FRAME  # so much always fits behind an unfinished frame
MAX_DESCRIPTORS = 16  # queued, or in one recvmsg
CONTROL_SIZE = socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
PEER_GONE = (errno.EPIPE, errno.ECONNRESET)
PEERID_MASK = 0xFFFFFF  # the running number; the top 8 bits are the sender's instance


class FrameError(ValueError):
    """The stream is not one of frames, or its descriptors do not fit them; it cannot be read any further."""


class ChannelClosed(ConnectionError):
    """The peer closed its end, between two frames."""


TOO_SHORT = "a frame's length is under 16"
TOO_LONG = "a frame's length is over 16384"
MISSING_DESCRIPTOR = "a frame's descriptor did not come with it"
STRAY_DESCRIPTOR = "a descriptor came without a frame that announces it"
TOO_MANY_DESCRIPTORS = "too many descriptors at once"
TRUNCATED_CONTROL = "descriptors were lost: control data truncated"
TRUNCATED = "the stream ended inside a frame"
CLOSED = "the channel is closed"
GONE = "the peer is gone"


def failure(text: str) -> FrameError | ChannelClosed:
    """What a reader raises when it is used again after its end: after a clean one ChannelClosed."""
    return ChannelClosed(text) if text == CLOSED else FrameError(text)


def next_peerid(peerid: int) -> int:
    """The running number after this one: 24 bits that wrap and are never 0, the instance stays."""
    low = (peerid + 1) & PEERID_MASK
    return (peerid & ~PEERID_MASK) | (low or 1)


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors; -1 stands for none."""
    for descriptor in descriptors:
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class FrameReader:
    """Splits what arrives into frames. `feed` or `receive` say how many frames are complete; until the next
    call types(), peerids(), pids(), lengths(), payloads() and descriptors() hold their parts, one a frame."""

    def __init__(
        self, sock: socket.socket | None = None, recorder: Recorder | None = None, channel: int = 0
    ) -> None:
        self._sock = sock
        self._recorder = recorder
        self._channel = channel
        self._buffer = b""
        self._queue: deque[int] = deque()
        self._failed: str | None = None
        self._meter: tuple[Meter, int, int] | None = None
        self._types: list[int] = []
        self._settled = 0
        self.stamps: MutableSequence[int] = [0] * (MAX_FRAMES + 1)
        """When the first handler of what was received began, and when each ended, for a meter; 0: not yet."""
        self._clear()

    def measure(self, meter: Meter | None, channel: int, serial: int) -> None:
        """Feed a meter from now on, or none. `channel`: its number of the channel's name."""
        self.settle()
        self._meter = None if meter is None else (meter, channel, serial)

    def settle(self) -> None:
        """Measure the handlers whose end stands in `stamps`."""
        if self._meter is not None:
            meter, channel, _ = self._meter
            self._settled = meter.handled(channel, self._types, self.stamps, self._settled)

    def _clear(self) -> None:
        if self.stamps[0]:
            self.settle()
            self.stamps[: len(self._types) + 1] = [0] * (len(self._types) + 1)
        self._settled = 0
        self._types = []
        self._lengths: list[int] = []
        self._peerids: list[int] = []
        self._pids: list[int] = []
        self._payloads: list[bytes] = []
        self._descriptors: list[int] = []

    def receive(self) -> int:
        """One recvmsg, then as `feed`; 0 also when nothing was there. FrameError, OSError; ChannelClosed at a
        clean end."""
        if self._failed is not None:
            raise failure(self._failed)
        assert self._sock is not None
        self._drop_unclaimed()
        try:
            data, control, flags, _ = self._sock.recvmsg(
                BUFFER_SIZE - len(self._buffer), CONTROL_SIZE, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            self._clear()
            return 0
        except OSError as error:
            self.close()
            if error.errno in PEER_GONE:
                raise ChannelClosed(GONE) from None
            raise
        descriptors = array("i")
        for level, kind, content in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if flags & socket.MSG_CTRUNC:
            close_all(descriptors)
            self._fail(TRUNCATED_CONTROL)
        if not data:
            close_all(descriptors)
            self.end()
        return self._take(data, descriptors)

    def feed(self, data: bytes, descriptors: Sequence[int] = ()) -> int:
        """Take bytes (at most MAX_FEED) and the descriptors that came with them; the number of complete
        frames. FrameError: what was complete before the fault can still be asked for, without descriptors."""
        if self._failed is not None:
            close_all(descriptors)
            raise failure(self._failed)
        if len(data) > MAX_FEED:
            close_all(descriptors)
            raise ValueError("fed more than MAX_FEED bytes")
        self._drop_unclaimed()
        return self._take(data, descriptors)

    def _take(self, data: bytes, descriptors: Sequence[int]) -> int:
        self._queue.extend(descriptors)
        self._buffer += data
        self._clear()
        error = self._scan()
        if self._recorder is not None and self._types:
            carries = [d >= 0 for d in self._descriptors]
            self._recorder.write(
                0,
                self._channel,
                self._types,
                self._lengths,
                self._peerids,
                self._pids,
                carries,
                self._payloads,
            )
        if self._meter is not None and self._types:
            meter, channel, serial = self._meter
            meter.came_in(channel, serial, time.monotonic_ns(), self._types, self._payloads)
        if error is not None:
            self._fail(error)
        return len(self._types)

    def _scan(self) -> str | None:
        if len(self._queue) > MAX_DESCRIPTORS:
            return TOO_MANY_DESCRIPTORS
        buffer, at, end = self._buffer, 0, len(self._buffer)
        claims = 0
        while end - at >= HEADER_SIZE:
            number, marked, peerid, pid = HEADER.unpack_from(buffer, at)
            length = marked & ~DESCRIPTOR_BIT
            if length < HEADER_SIZE:
                return TOO_SHORT
            if length > MAX_FRAME:
                return TOO_LONG
            if marked != length and not self._queue:
                return MISSING_DESCRIPTOR
            if end - at < length:
                claims = int(marked != length)
                break
            self._descriptors.append(self._queue.popleft() if marked != length else -1)
            self._types.append(number)
            self._lengths.append(length)
            self._peerids.append(peerid)
            self._pids.append(pid)
            self._payloads.append(buffer[at + HEADER_SIZE : at + length])
            at += length
        else:
            claims = int(at < end)  # the first bytes of a header: it may announce one
        self._buffer = buffer[at:]
        return STRAY_DESCRIPTOR if len(self._queue) > claims else None

    def _drop_unclaimed(self) -> None:
        close_all(self._descriptors)
        self._descriptors = []

    def _fail(self, text: str) -> NoReturn:
        self._failed = text
        self.close()
        raise FrameError(text)

    def end(self) -> NoReturn:
        """The stream ended: ChannelClosed if that was between two frames, FrameError if inside one."""
        if self._buffer:
            self._fail(TRUNCATED)
        self.close()
        raise ChannelClosed(CLOSED)

    def close(self) -> None:
        """Close every descriptor that was not taken. What was read so far can still be asked for."""
        close_all(self._queue)
        self._queue.clear()
        close_all(self._descriptors)
        self._descriptors = [-1] * len(self._types)
        if self._failed is None:
            self._failed = CLOSED

    def types(self) -> list[int]:
        return self._types

    def lengths(self) -> list[int]:
        """Whole frames, in bytes, without the descriptor bit."""
        return self._lengths

    def peerids(self) -> list[int]:
        return self._peerids

    def pids(self) -> list[int]:
        return self._pids

    def payloads(self) -> list[bytes]:
        return self._payloads

    def descriptors(self) -> list[int] | None:
        """One per frame, -1 for none; None if no frame has one. The caller owns them from here on."""
        taken, self._descriptors = self._descriptors, [-1] * len(self._types)
        return taken if any(d >= 0 for d in taken) else None

    def joined(self) -> memoryview | None:
        """The payloads as one msgpack array of them, if the reader vouches that each is exactly one object.
        Only the C core does; None means: unpack payloads() one by one."""
        return None


class FrameWriter:
    """Frames on their way out. `add` makes frames of many payloads, `send` writes what the socket takes."""

    def __init__(
        self, sock: socket.socket | None = None, recorder: Recorder | None = None, channel: int = 0
    ) -> None:
        self._sock = sock
        self._recorder = recorder
        self._channel = channel
        self._buffer = bytearray()
        self._sent = 0  # bytes of the stream that are gone
        self._marks: deque[tuple[int, int]] = deque()  # (offset of the frame in the stream, its descriptor)
        self._closed = False
        self._meter: tuple[Meter, int] | None = None

    def measure(self, meter: Meter | None, channel: int, serial: int) -> None:
        """Feed a meter from now on, or none."""
        self._meter = None if meter is None else (meter, serial)

    @property
    def pending(self) -> int:
        """Bytes that are not yet sent."""
        return len(self._buffer)

    def add(
        self,
        types: Sequence[int],
        payloads: Sequence[bytes],
        peerid: int,
        pid: int,
        descriptors: Mapping[int, int] | None = None,
    ) -> None:
        """Append frames numbered from peerid on. descriptors: index in the batch -> descriptor, owned from
        here on. ValueError if a payload is too long or the lists differ in length; then nothing was added."""
        descriptors = descriptors or {}
        lengths = [HEADER_SIZE + len(payload) for payload in payloads]
        if (
            len(types) != len(payloads)
            or max(lengths, default=0) > MAX_FRAME
            or self._closed
            or not all(0 <= index < len(types) for index in descriptors)
        ):
            close_all(descriptors.values())
            raise ValueError("frames that cannot be sent")
        steps = range(len(types) - 1)
        peerids = list(accumulate(steps, lambda before, _: next_peerid(before), initial=peerid))[: len(types)]
        for index, (number, length, payload) in enumerate(zip(types, lengths, payloads, strict=True)):
            descriptor = descriptors.get(index, -1)
            if descriptor >= 0:
                self._marks.append((self._sent + len(self._buffer), descriptor))
                length |= DESCRIPTOR_BIT
            self._buffer += HEADER.pack(number, length, peerids[index], pid)
            self._buffer += payload
        if self._meter is not None and types:
            meter, serial = self._meter
            meter.went_out(serial, time.monotonic_ns(), types, peerids)
        if self._recorder is not None and types:
            carries = [index in descriptors for index in range(len(types))]
            pids = [pid] * len(types)
            self._recorder.write(OUT, self._channel, types, lengths, peerids, pids, carries, payloads)

    def send(self) -> bool:
        """Write until all is gone (True) or the socket takes no more (False). OSError; ChannelClosed if the
        peer is gone."""
        assert self._sock is not None
        while self._buffer:
            ancillary: list[tuple[int, int, array[int]]] = []
            following = 0
            if self._marks and self._marks[0][0] == self._sent:
                ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [self._marks[0][1]]))]
                following = 1
            end = len(self._buffer)
            if len(self._marks) > following:
                end = self._marks[following][0] - self._sent
            try:
                with memoryview(self._buffer) as view:
                    sent = self._sock.sendmsg([view[:end]], ancillary, socket.MSG_NOSIGNAL)
            except OSError as error:
                # too many descriptors in flight, or no memory: try again when the peer has read some
                if error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.ETOOMANYREFS):
                    return False
                if error.errno in PEER_GONE:
                    raise ChannelClosed(GONE) from None
                raise
            if ancillary:
                os.close(self._marks.popleft()[1])
            del self._buffer[:sent]
            self._sent += sent
        return True

    def close(self) -> None:
        """Drop what was not sent and close its descriptors."""
        close_all(descriptor for _, descriptor in self._marks)
        self._marks.clear()
        self._buffer.clear()
        self._closed = True
