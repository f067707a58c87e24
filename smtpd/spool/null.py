"""A spool that keeps nothing: takes every message and forgets it. To measure what comes before the disk.

As OpenSMTPD's backend of that name: commits succeed, nothing is ever found.
"""

import os
import random
from collections.abc import Sequence

from .backend import (
    EXISTS,
    GONE,
    Backend,
    Failure,
    Stored,
    Then,
    ThenFound,
    ThenLoad,
    ThenOpen,
    Walk,
)

_GONE = Failure(GONE, "nothing is kept")


class NullBackend(Backend):
    """Remembers no more than which messages are coming in."""

    def __init__(self) -> None:
        self._incoming: set[int] = set()

    def new_msgid(self) -> int:
        return random.randrange(1, 1 << 32)

    def new_evpid(self, msgid: int) -> int:
        return msgid << 32 | random.randrange(1, 1 << 32)

    def open_incoming(self, msgid: int, then: ThenOpen) -> None:
        if msgid in self._incoming:
            then(Failure(EXISTS, "the message is open already"))
            return
        self._incoming.add(msgid)
        then(os.memfd_create(f"incoming {msgid:08x}", os.MFD_CLOEXEC))

    def commit(self, msgid: int, envelopes: Sequence[tuple[int, bytes]], then: Then) -> None:
        if msgid not in self._incoming:
            then(Failure(GONE, "the message has no content"))
            return
        self._incoming.discard(msgid)
        then(None)

    def rollback(self, msgid: int) -> None:
        self._incoming.discard(msgid)

    def open_message(self, msgid: int, then: ThenOpen) -> None:
        then(_GONE)

    def load(self, evpids: Sequence[int], then: ThenLoad) -> None:
        then([Stored(evpid, _GONE) for evpid in evpids])

    def add(self, evpid: int, data: bytes, then: Then) -> None:
        then(None)

    def update(self, evpid: int, data: bytes, then: Then) -> None:
        then(None)

    def delete(self, evpid: int, then: Then) -> None:
        then(None)

    def set_aside(self, evpid: int, then: Then) -> None:
        then(_GONE)

    def set_aside_message(self, msgid: int, then: Then) -> None:
        then(_GONE)

    def walk(self) -> Walk:
        return _Empty()

    async def close(self) -> None:
        self._incoming.clear()


class _Empty(Walk):
    def next(self, then: ThenFound) -> None:
        then(None)
