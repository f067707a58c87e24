"""Capture files: pcapng with one packet a sighting, for Wireshark and for ourselves
(https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html).

One section, one interface of link type 147 (LINKTYPE_USER0), times in ns, everything little-endian. The
section's comment says which catalogue of messages the numbers are from. A packet is 8 bytes of ours -
version 1, flags, sender, its instance, receiver, its instance, two zeros - then the frame as it was: type,
len, peerid, pid, payload. Flags are those of imsg/layout.py: 1 seen at the sender, 2 with a descriptor, 4 a
handler ran (the payload is its time in ns), 8 the payload is not recorded. Senders and receivers are
indexes in ENDS.
"""

import struct
from collections.abc import Iterator
from typing import IO, NamedTuple

from imsg.layout import HANDLED, OUT, WITHHELD
from smtpd import __version__
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CLIENT, DELIVERY, PROCESSES

from .seen import Seen

ENDS = (*PROCESSES, CLIENT, DELIVERY)
VERSION = 1
LINK_TYPE = 147
COMMENT = "messages between the processes of smtpd; catalogue "

_SECTION, _INTERFACE, _STATISTICS, _PACKET = 0x0A0D0D0A, 1, 5, 6
_ORDER = 0x1A2B3C4D
_BLOCK = struct.Struct("<II")
_HEAD = struct.Struct("<IIIIIIIBBBBBBHIIII")
_PACKET_HEAD = struct.Struct("<IIIII")
_PSEUDO = struct.Struct("<BBBBBBHIIII")
_OVERHEAD = 8 + 16
_MOST_BLOCK = 1 << 20
_PADDING = b"\0\0\0"
_DURATION = struct.Struct("<Q")


class CaptureError(ValueError):
    """Not a capture of ours, or a broken one; the text says where."""


class CaptureInfo(NamedTuple):
    """What a file says of itself. `digest`: of the catalogue it was made with; `lost`: sightings not in
    it.
    """

    program: str
    digest: str
    lost: int


class CaptureWriter:
    """Writes a capture. The file is the caller's."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._ends = {name: (index, 0) for index, name in enumerate(ENDS)}
        self.number = 0
        comment = f"{COMMENT}{CATALOGUE.digest()}"
        options = (
            _option(1, comment.encode()) + _option(4, f"smtpctl {__version__}".encode()) + _option(0, b"")
        )
        file.write(_block(_SECTION, struct.pack("<IHHq", _ORDER, 1, 0, -1) + options))
        options = _option(2, b"imsg") + _option(9, b"\x09") + _option(0, b"")
        file.write(_block(_INTERFACE, struct.pack("<HHI", LINK_TYPE, 0, 0) + options))

    def write(self, seen: Seen) -> None:
        """One packet."""
        time, owner, other, flags, number, length, peerid, pid, payload = seen
        sender, receiver = (owner, other) if flags & OUT else (other, owner)
        data = payload if payload is not None else b""
        if payload is None:
            flags |= WITHHELD
        elif flags & HANDLED:
            data = _DURATION.pack(int.from_bytes(payload[:8], "little"))
        captured = _OVERHEAD + len(data)
        size = 32 + (captured + 3 & ~3)
        end = self._ends
        from_, from_instance = end.get(sender) or self._end(sender)
        to, to_instance = end.get(receiver) or self._end(receiver)
        original = captured if flags & HANDLED else max(captured, min(8 + length, 0xFFFFFFFF))
        if not 0 <= time < 1 << 64:  # out of a tape where nonsense was written
            time = 0 if time < 0 else (1 << 64) - 1
        head = _HEAD.pack(
            _PACKET, size, 0, time >> 32, time & 0xFFFFFFFF, captured, original,
            VERSION, flags & 0xFF, from_, from_instance, to, to_instance, 0, number, length, peerid, pid,
        )  # fmt: skip
        self._file.write(b"".join((head, data, _PADDING[: -captured & 3], size.to_bytes(4, "little"))))
        self.number += 1

    def finish(self, lost: int) -> None:
        """Say how much was lost; the last that is written."""
        options = _option(4, struct.pack("<Q", self.number + lost)) + _option(5, struct.pack("<Q", lost))
        self._file.write(_block(_STATISTICS, struct.pack("<III", 0, 0, 0) + options + _option(0, b"")))

    def _end(self, name: str) -> tuple[int, int]:
        """A process by name: "pony", or "pony2" for another instance of it. 255: one that nobody knows."""
        base = name.rstrip("0123456789")
        if base in self._ends and name[len(base) :]:
            found = self._ends[base][0], min(255, int(name[len(base) :]))
        else:
            found = 255, 0
        if len(self._ends) < 1000:
            self._ends[name] = found
        return found


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) & 3)


def _block(kind: int, body: bytes) -> bytes:
    size = 12 + len(body)
    return _BLOCK.pack(kind, size) + body + struct.pack("<I", size)


class CaptureReader:
    """Reads a capture of ours; CaptureError. `info` is known once the first sighting was asked for; its
    number of what was lost at the end.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.info = CaptureInfo("", "", 0)
        self._at = 0
        self._begin()

    def _begin(self) -> None:
        kind, body = self._next() or (0, b"")
        if kind != _SECTION:
            raise CaptureError("no capture: it does not begin as pcapng")
        options = _options(body[16:])
        comment = options.get(1, b"").decode("utf-8", "replace")
        if not comment.startswith(COMMENT):
            raise CaptureError("a capture of something else: its comment names no catalogue of smtpd")
        program = options.get(4, b"").decode("utf-8", "replace")
        self.info = CaptureInfo(program, comment.removeprefix(COMMENT), 0)

    def __iter__(self) -> Iterator[Seen]:
        read = self._file.read
        while True:
            at = self._at
            head = read(8)
            if len(head) < 8:
                if head:
                    raise CaptureError(f"cut off at byte {at}")
                return
            kind, size = _BLOCK.unpack(head)
            if size % 4 or not 12 <= size <= _MOST_BLOCK:
                raise CaptureError(f"a block of {size} bytes at byte {at}")
            body = read(size - 8)
            if len(body) < size - 8:
                raise CaptureError(f"cut off in the block at byte {at}")
            self._at += size
            if kind == _PACKET:
                yield self._packet(body, at)
            else:
                self._other(kind, body, at)

    def _next(self) -> tuple[int, bytes] | None:
        """The first block, whose byte order has to be ours."""
        head = self._file.read(12)
        if len(head) < 12:
            return None
        kind, size, order = struct.unpack("<III", head)
        if kind != _SECTION or order != _ORDER or size % 4 or not 28 <= size <= _MOST_BLOCK:
            return None
        body = head[8:] + self._file.read(size - 12)
        self._at = size
        return (kind, body[:-4]) if len(body) == size - 8 else None

    def _other(self, kind: int, body: bytes, at: int) -> None:
        if kind == _INTERFACE:
            (link_type,) = struct.unpack_from("<H", body)
            if link_type != LINK_TYPE:
                raise CaptureError(f"an interface of link type {link_type} at byte {at}")
        elif kind == _STATISTICS:
            lost = _options(body[12:-4]).get(5, b"")
            if len(lost) == 8:
                self.info = self.info._replace(lost=int.from_bytes(lost, "little"))

    def _packet(self, body: bytes, at: int) -> Seen:
        if len(body) < _PACKET_HEAD.size + _OVERHEAD + 4:
            raise CaptureError(f"a packet that is too short at byte {at}")
        _, high, low, captured, _ = _PACKET_HEAD.unpack_from(body)
        if not _OVERHEAD <= captured <= len(body) - _PACKET_HEAD.size - 4:
            raise CaptureError(f"a packet of {captured} bytes at byte {at}")
        version, flags, from_, from_instance, to, to_instance, _, number, length, peerid, pid = (
            _PSEUDO.unpack_from(body, _PACKET_HEAD.size)
        )
        if version != VERSION:
            raise CaptureError(f"a packet of version {version} at byte {at}")
        sender, receiver = _name(from_, from_instance), _name(to, to_instance)
        start = _PACKET_HEAD.size + _OVERHEAD
        payload = None if flags & WITHHELD else body[start : _PACKET_HEAD.size + captured]
        owner, other = (sender, receiver) if flags & OUT else (receiver, sender)
        return Seen(high << 32 | low, owner, other, flags, number, length, peerid, pid, payload)


def _name(index: int, instance: int) -> str:
    if index >= len(ENDS):
        return "?"
    return ENDS[index] if not instance else f"{ENDS[index]}{instance}"


def _options(data: bytes) -> dict[int, bytes]:
    """The options of a block by code; what is broken ends them."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(data):
        code, length = struct.unpack_from("<HH", data, at)
        if code == 0:
            break
        found.setdefault(code, data[at + 4 : at + 4 + length])
        at += 4 + (length + 3 & ~3)
    return found
