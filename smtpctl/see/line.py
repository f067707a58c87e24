"""Messages as lines of a terminal: time, way, kind, fields, and for a reply how long it took; ids in
colours.
"""

import time
from typing import Any

from smtpd.mail.ids import msgid_of

from .joining import Message
from .origins import Origins
from .values import plain_fields, shown_fields

SLOW_NS = 10_000_000
"""From so long a wait in the socket on a line says so."""

_COLOURS = (31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96)
_DIM, _BOLD, _RED = "2", "1", "1;31"


class Lines:
    """Writes messages as lines. `colour`: with ANSI colours; `full`: with all that is empty or long."""

    def __init__(self, *, colour: bool = False, full: bool = False) -> None:
        self._colour = colour
        self._full = full
        self._origins = Origins()
        self._introduced: dict[tuple[str, int], None] = {}

    def of(self, message: Message) -> list[str]:
        """A line for a message, after one for each session or mail that is new."""
        self._origins.learn(message)
        lines = []
        ids = message.ids
        for session in sorted(ids.sessions):
            if self._introduce("session", session):
                lines.append(self._paint(f"── {self._origins.session(session)}", _BOLD))
        for msgid in sorted(ids.msgids):
            if self._introduce("mail", msgid):
                lines.append(self._paint(f"── {self._origins.mail(msgid)}", _BOLD))
        lines.append(self._line(message))
        return lines

    def _introduce(self, what: str, number: int) -> bool:
        key = (what, number)
        if key in self._introduced:
            return False
        if len(self._introduced) >= 10000:
            del self._introduced[next(iter(self._introduced))]
        self._introduced[key] = None
        return True

    def _line(self, message: Message) -> str:
        words = [
            self._paint(clock(message.end), _DIM),
            f"{message.sender:>9} → {message.receiver:<9}",
            self._paint(f"{message.name:<18}", _BOLD),
        ]
        kind, fields = message.kind, message.fields
        if kind is None or fields is None:
            words.append(self._paint(f"({message.length} bytes, not shown)", _DIM))
        else:
            for name, shape, text in shown_fields(kind, fields, full=self._full):
                if name == "reqid" and message.request is not None:
                    continue
                if shape.hex_digits:
                    value = getattr(fields, name)
                    text = self._id(text, name, value)
                words.append(f"{name}={text}")
        if message.descriptor:
            words.append(self._paint("+fd", _DIM))
        elapsed, waited = message.elapsed, message.waited
        if elapsed is not None:
            words.append(self._paint(f"after {duration(elapsed)}", _RED if elapsed > 10 * SLOW_NS else _DIM))
        if waited is not None and waited >= SLOW_NS:
            words.append(self._paint(f"({duration(waited)} in the socket)", _RED))
        return " ".join(words)

    def _id(self, text: str, name: str, value: int) -> str:
        """An id in the colour of its mail, so that one mail has one colour."""
        number = msgid_of(value) if name == "evpid" else value
        return self._paint(text, str(_COLOURS[hash_of(number) % len(_COLOURS)])) if value else text

    def _paint(self, text: str, style: str) -> str:
        return f"\033[{style}m{text}\033[0m" if self._colour else text


def values(message: Message) -> dict[str, Any]:
    """A message for --json."""
    kind, fields = message.kind, message.fields
    ids = message.ids
    return {
        "time": message.time / 1e9,
        "sender": message.sender,
        "receiver": message.receiver,
        "kind": message.name,
        "number": message.number,
        "peerid": message.peerid,
        "pid": message.pid,
        "bytes": message.length,
        "descriptor": message.descriptor,
        "fields": None if kind is None or fields is None else plain_fields(kind, fields),
        "waited": None if message.waited is None else message.waited / 1e9,
        "request": None if message.request is None else message.request.peerid,
        "elapsed": None if message.elapsed is None else message.elapsed / 1e9,
        "sessions": [f"{session:016x}" for session in sorted(ids.sessions)],
        "messages": [f"{msgid:08x}" for msgid in sorted(ids.msgids)],
        "envelopes": [f"{evpid:016x}" for evpid in sorted(ids.evpids)],
    }


def clock(when: int) -> str:
    """14:01:14.964213, local time."""
    seconds, rest = divmod(when, 1_000_000_000)
    return f"{time.strftime('%H:%M:%S', time.localtime(seconds))}.{rest // 1000:06d}"


def duration(ns: float) -> str:
    """ "306 µs", "1.24 ms", "2.5 s"."""
    if ns < 1000:
        return f"{ns:.0f} ns"
    for unit, size in (("µs", 1e3), ("ms", 1e6)):
        if ns < 1000 * size:
            value = ns / size
            return f"{value:.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"
    return f"{ns / 1e9:.3g} s"


def hash_of(number: int) -> int:
    """Spreads ids, which are random in some bits only."""
    return (number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) >> 40
