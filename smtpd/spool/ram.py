"""A spool in memory: for tests and measurements. Nothing outlives the process.

Contents are sealed by nobody, but they are files (memfd), because they are handed out as descriptors.
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
    ThenTaken,
    Walk,
)

_GONE = Failure(GONE, "there is no such message")


class RamBackend(Backend):
    """Messages as descriptors, envelopes as bytes."""

    def __init__(self) -> None:
        self._incoming: dict[int, int] = {}
        self._contents: dict[int, int] = {}
        self._envelopes: dict[int, dict[int, bytes]] = {}
        self.aside: dict[int, bytes | None] = {}
        """What was set aside: the text of an envelope, or None for a message."""

    def new_msgid(self) -> int:
        while True:
            msgid = random.getrandbits(32)
            if msgid and msgid not in self._incoming and msgid not in self._contents:
                return msgid

    def new_evpid(self, msgid: int) -> int:
        while True:
            evpid = msgid << 32 | random.getrandbits(32)
            if evpid & 0xFFFFFFFF and evpid not in self._envelopes.get(msgid, ()):
                return evpid

    # coming in

    def open_incoming(self, msgid: int, then: ThenOpen) -> None:
        if msgid in self._incoming or msgid in self._contents:
            then(Failure(EXISTS, "the message exists"))
            return
        content = os.memfd_create(f"incoming {msgid:08x}", os.MFD_CLOEXEC)
        self._incoming[msgid] = content
        then(os.dup(content))

    def commit(self, msgid: int, envelopes: Sequence[tuple[int, bytes]], then: Then) -> None:
        content = self._incoming.pop(msgid, None)
        if content is None:
            then(Failure(GONE, "the message has no content"))
            return
        self._contents[msgid] = content
        self._envelopes[msgid] = dict(envelopes)
        then(None)

    def rollback(self, msgid: int) -> None:
        content = self._incoming.pop(msgid, None)
        if content is not None:
            os.close(content)

    # queued

    def open_message(self, msgid: int, then: ThenOpen) -> None:
        content = self._contents.get(msgid)
        if content is None:
            then(_GONE)
            return
        # another open file, so that nobody's position is anybody else's
        then(os.open(f"/proc/self/fd/{content}", os.O_RDONLY | os.O_CLOEXEC))

    def load(self, evpids: Sequence[int], then: ThenLoad) -> None:
        then([Stored(evpid, self._envelopes.get(evpid >> 32, {}).get(evpid, _GONE)) for evpid in evpids])

    def add(self, evpid: int, data: bytes, then: Then) -> None:
        envelopes = self._envelopes.get(evpid >> 32)
        if envelopes is None:
            then(_GONE)
        elif evpid in envelopes:
            then(Failure(EXISTS, "the envelope exists"))
        else:
            envelopes[evpid] = data
            then(None)

    def update(self, evpid: int, data: bytes, then: Then) -> None:
        envelopes = self._envelopes.get(evpid >> 32, {})
        if evpid not in envelopes:
            then(_GONE)
        else:
            envelopes[evpid] = data
            then(None)

    def delete(self, evpid: int, then: Then) -> None:
        then(None if self._remove(evpid) is not None else _GONE)

    def _remove(self, evpid: int) -> bytes | None:
        envelopes = self._envelopes.get(evpid >> 32, {})
        data = envelopes.pop(evpid, None)
        if data is not None and not envelopes:
            self._remove_message(evpid >> 32)
        return data

    def _remove_message(self, msgid: int) -> bool:
        content = self._contents.pop(msgid, None)
        self._envelopes.pop(msgid, None)
        if content is not None:
            os.close(content)
        return content is not None

    def set_aside(self, evpid: int, then: Then) -> None:
        data = self._remove(evpid)
        if data is None:
            then(_GONE)
        else:
            self.aside[evpid] = data
            then(None)

    def set_aside_message(self, msgid: int, then: Then) -> None:
        if self._remove_message(msgid):
            self.aside[msgid] = None
            then(None)
        else:
            then(_GONE)

    def find(self, msgid: int, then: ThenTaken) -> None:
        then(sorted(self._envelopes.get(msgid, ())))

    def walk(self) -> Walk:
        return _RamWalk([[Stored(*one) for one in found.items()] for found in self._envelopes.values()])

    async def close(self) -> None:
        for content in (*self._incoming.values(), *self._contents.values()):
            os.close(content)
        self._incoming.clear()
        self._contents.clear()
        self._envelopes.clear()


class _RamWalk(Walk):
    def __init__(self, messages: list[list[Stored]]) -> None:
        self._messages = messages

    def next(self, then: ThenFound) -> None:
        then(self._messages.pop() if self._messages else None)
