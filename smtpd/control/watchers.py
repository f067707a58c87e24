"""Who watches the messages: control lends watchers the recorders' memory, and tells processes that somebody
looks.

Nothing of the stream passes through here. A watcher (an smtpctl of the administrator) gets descriptors,
open for reading alone, of the memory that each process writes its tape into, and reads there at its own
pace: it can be slow, stopped or dead, and nobody waits for it. What it misses it can count. A watch ends
with its client, after the time the client asked for, or with `untrace`.
"""

import asyncio
import os
from typing import TYPE_CHECKING, NamedTuple

from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_observation import ClientShowRecorders, ClientWatch, RecorderRow
from smtpd.messages.control_observation import ProcessMemory, SetTape, WipeTape
from smtpd.messages.control_process import OTHERS
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

from .client import Client
from .clients import Clients

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

NOBODY = SetTape(False, False, [])


class Memory(NamedTuple):
    """A process's recorder. `fd`: open for reading."""

    process: str
    instance: int
    pid: int
    size: int
    fd: int


class Watch(NamedTuple):
    """What one watcher wants. `kinds`: none for all; `ended`: why it is over, when it is."""

    kinds: frozenset[int]
    handlers: bool
    ended: asyncio.Future[str]


class Watchers:
    """The part of control that has the recorders' memory and knows who watches."""

    def __init__(self, process: "Process", clients: Clients) -> None:
        self._process = process
        self._clients = clients
        self._watches: list[Watch] = []
        self._wanted = NOBODY
        self.memories: dict[tuple[str, int], Memory] = {}

    @handles(ProcessMemory)
    def process_memory(self, peer: Peer, message: ProcessMemory, fd: int | None) -> None:
        """A process was started."""
        if fd is None:
            self._process.violation(peer, "ProcessMemory without a descriptor")
            return
        key = message.process, message.instance
        before = self.memories.pop(key, None)
        if before is not None:
            os.close(before.fd)
        self.memories[key] = Memory(*message, fd)

    @handles(ClientShowRecorders)
    def client_show_recorders(self, client: Peer, reqid: int, message: ClientShowRecorders) -> ClientDone:
        """show recorder, show flow."""
        return ClientDone(reqid, "", self._lend(client, reqid))

    @handles(ClientWatch)
    async def client_watch(self, client: Peer, reqid: int, message: ClientWatch) -> ClientDone:
        """trace imsg --watch, capture: until the client goes or says anything."""
        assert isinstance(client, Client)
        watch = Watch(frozenset(message.kinds), message.handlers, self._process.loop.create_future())
        self._watches.append(watch)
        self._apply()
        self._clients.log_action(client, "watch")
        descriptor = client.channel.fileno()
        error = ""
        try:
            self._lend(client, reqid)
            # While a request is under way nobody reads from the client; its end must be noticed all the same.
            self._process.loop.add_reader(descriptor, _heard, watch)
            async with asyncio.timeout(message.seconds or None):
                error = await watch.ended
        except TimeoutError:
            pass
        finally:
            if not client.lost:
                self._process.loop.remove_reader(descriptor)
            self._watches.remove(watch)
            self._apply()
        return ClientDone(reqid, error, 0)

    def untraced(self, subsystem: str) -> None:
        """Somebody ended a trace: that of imsg ends every watch, that of all also clears the tapes."""
        if subsystem not in ("imsg", "all"):
            return
        for watch in self._watches:
            if not watch.ended.done():
                watch.ended.set_result(f"ended by untrace {subsystem}")
        if subsystem == "all":
            for name in OTHERS:
                self._process.peer(name).send(WipeTape())
            self._process.taping.wipe()

    def tell_again(self, name: str) -> None:
        """A process has a fresh link: it may be a new one, which knows of no watcher."""
        if self._wanted.on:
            self._process.peer(name).send(self._wanted)

    def close(self) -> None:
        """No memory any more."""
        for memory in self.memories.values():
            os.close(memory.fd)
        self.memories.clear()

    def _lend(self, client: Peer, reqid: int) -> int:
        """Send the client a row with a descriptor for each process; how many."""
        for memory in self.memories.values():
            row = RecorderRow(reqid, memory.process, memory.instance, memory.pid, memory.size)
            client.send(row, os.dup(memory.fd))
        return len(self.memories)

    def _apply(self) -> None:
        """Have on the tapes what all watchers together want."""
        wanted = NOBODY
        if self._watches:
            every = any(not watch.kinds for watch in self._watches)
            kinds = () if every else frozenset().union(*(watch.kinds for watch in self._watches))
            wanted = SetTape(True, any(watch.handlers for watch in self._watches), sorted(kinds))
        if wanted == self._wanted:
            return
        self._wanted = wanted
        for name in OTHERS:
            self._process.peer(name).send(wanted)
        self._process.taping.watch(wanted)


def _heard(watch: Watch) -> None:
    """The client has closed its end, or wants something else: both end its watch."""
    if not watch.ended.done():
        watch.ended.set_result("")
