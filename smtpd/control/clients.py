"""The clients of the control socket: who gets in, who may do what, who is dropped.

Bounds: MOST_OF_A_USER connections of a user (one more pushes out the longest idle of them), MOST_CLIENTS in
all, of which ROOT_RESERVE are kept for root; one request at a time and OUTPUT_BOUND bytes of output a client
(client.py); IDLE_SECONDS without a request, STALLED_SECONDS without reading what waits for it. An
administrator may look at a page of a long list for PAGER_SECONDS, as long as nobody of the same user needs
the place. Whoever sends anything that is not a request declared in client_control.py is dropped, with one
line in the log and no further consequence.
"""

import asyncio
import errno
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from imsg import Channel
from imsg.message import Kind
from smtpd import __version__
from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_control import ClientDone, ClientOpenSession, ServerHello
from smtpd.messages.client_digest import DIGEST
from smtpd.messages.parent_control import ControlSocket
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.mproc.trace import trace_messages

from .client import OUTPUT_BOUND, Client

if TYPE_CHECKING:
    from smtpd.mproc.process import Process

MOST_CLIENTS = 256
ROOT_RESERVE = 16
MOST_OF_A_USER = 32
IDLE_SECONDS = 60
STALLED_SECONDS = 30
PAGER_SECONDS = 1800
SWEEP_SECONDS = 5

ACCEPT_MOST = 16
"""Connections taken in one turn of the loop."""

LOG_MOST = 20
"""Lines about dropped clients between two sweeps; how many more there were is said in one."""

OPEN_TO_ALL: frozenset[type] = frozenset((ClientOpenSession,))
"""Requests that need no rights."""

_CREDENTIALS = struct.Struct("iII")  # struct ucred of unix(7): pid, uid, gid
_PEERGROUPS = 59  # SO_PEERGROUPS of asm-generic/socket.h
_GROUPS_SIZE = 1024
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Clients:
    """The part of control that has the clients; it is their owner (mproc.peer.Owner)."""

    def __init__(self, process: "Process", administrators: frozenset[int], group: int = -1) -> None:
        """`administrators`: uids of those who may control the daemon; `group`: the gid of others, or -1."""
        self._process = process
        self._administrators = administrators
        self._group = group
        self._listening: socket.socket | None = None
        self._clients: set[Client] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._logged = 0
        self.loop = process.loop

    def __len__(self) -> int:
        return len(self._clients)

    @handles(ControlSocket)
    def control_socket(self, peer: Peer, message: ControlSocket, fd: int | None) -> None:
        """Listen from now on."""
        if fd is None:
            self._process.violation(peer, "ControlSocket without a descriptor")
            return
        self._stop_listening()
        self._listening = socket.socket(fileno=fd)
        self._listening.setblocking(False)
        self.loop.add_reader(fd, self._accept)
        if self._sweeper is None:
            self._sweep()

    def log_action(self, client: Peer, action: str, error: str = "") -> None:
        """A line for what an administrator wanted, and whether it was done."""
        uid = client.uid if isinstance(client, Client) else "?"
        result = f"failed: {error}" if error else "done"
        self._process.log.info(f"control: uid={uid} {action}: {result}")

    def trace_changed(self) -> None:
        """Hook the message trace into, or out of, the clients' channels."""
        trace_messages(self._process.log, self._process.NAME, self._clients)

    def close(self) -> None:
        """No clients any more."""
        self._stop_listening()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for client in list(self._clients):
            self._drop(client)

    # the owner of clients

    def handler(self, kind: Kind) -> Callable[..., Any] | None:
        """The handler of a request, behind the question whether the client may ask for it."""
        handler = self._process.handler(kind)
        if handler is None:
            return None

        def dispatch(client: Client, reqid: int, message: Any) -> Any:
            client.active = self.loop.time()
            if client.privileged or kind.cls in OPEN_TO_ALL:
                return handler(client, reqid, message)
            self._process.log.warn(f"control: uid={client.uid} {kind.name}: refused, no rights")
            return ClientDone(reqid, "need root privileges", 0)

        return dispatch

    def answer_later(self, reply: Any, peer: Peer) -> None:
        """An asynchronous handler was called for a client."""
        assert isinstance(peer, Client)
        peer.begin(reply)

    def violation(self, peer: Peer, text: str) -> None:
        """A client broke the rules."""
        assert isinstance(peer, Client)
        self._warn(f"control: uid={peer.uid}: {text}: dropped")
        self._drop(peer)

    def peer_lost(self, peer: Peer) -> None:
        """A client has closed its end."""
        assert isinstance(peer, Client)
        self._forget(peer)

    # who comes in

    def _accept(self) -> None:
        assert self._listening is not None
        for _ in range(ACCEPT_MOST):
            try:
                end, _ = self._listening.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_DESCRIPTORS:
                    self._process.log.warn(f"control: {error.strerror}: no new clients for a while")
                    self.loop.remove_reader(self._listening.fileno())
                    self.loop.call_later(1, self._accept_again)
                    return
                continue  # that one went away before it was accepted
            self._admit(end)

    def _accept_again(self) -> None:
        if self._listening is not None:
            self.loop.add_reader(self._listening.fileno(), self._accept)

    def _admit(self, end: socket.socket) -> None:
        credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _pid, uid, gid = _CREDENTIALS.unpack(credentials)
        if not self._make_room(uid):
            end.close()
            self._warn(f"control: uid={uid}: too many connections: dropped")
            return
        privileged = uid in self._administrators or self._group in (gid, *_groups(end))
        channel = Channel(
            end, CLIENT_CATALOGUE, name="client", recorder=self._process.recorder, max_queued=OUTPUT_BOUND
        )
        client = Client(self, channel, uid, privileged)
        self._clients.add(client)
        trace_messages(self._process.log, self._process.NAME, (client,))
        self._process.stat.add("control.session")
        client.send(ServerHello(__version__, DIGEST))

    def _make_room(self, uid: int) -> bool:
        """Whether another connection of `uid` fits; one of the same user that is idle, or has not read for
        long, is closed for it."""
        same = [client for client in self._clients if client.uid == uid]
        bound = MOST_CLIENTS if uid == 0 else MOST_CLIENTS - ROOT_RESERVE
        if len(same) < MOST_OF_A_USER and len(self._clients) < bound:
            return True
        since = self.loop.time() - STALLED_SECONDS
        idle = [each for each in same if not each.busy or (each.backlog and each.active < since)]
        if not idle:
            return False
        self._drop(min(idle, key=lambda client: client.active))
        return True

    # who has to go

    def _sweep(self) -> None:
        now = self.loop.time()
        for client in list(self._clients):
            patience = PAGER_SECONDS if client.privileged else STALLED_SECONDS
            if client.backlog and now - client.active > patience:
                self.violation(client, "does not read its replies")
            elif not (client.busy or client.backlog) and now - client.active > IDLE_SECONDS:
                self._drop(client)
        if self._logged > LOG_MOST:
            self._process.log.warn(f"control: {self._logged - LOG_MOST} more clients dropped")
        self._logged = 0
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _warn(self, text: str) -> None:
        self._logged += 1
        if self._logged <= LOG_MOST:
            self._process.log.warn(text)

    def _drop(self, client: Client) -> None:
        client.close()
        self._forget(client)

    def _forget(self, client: Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._process.stat.sub("control.session")

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self.loop.remove_reader(self._listening.fileno())
            self._listening.close()
            self._listening = None


def _groups(end: socket.socket) -> tuple[int, ...]:
    """The supplementary groups of who connected; none if there are too many to be told."""
    try:
        data = end.getsockopt(socket.SOL_SOCKET, _PEERGROUPS, _GROUPS_SIZE)
    except OSError:
        return ()
    return struct.unpack(f"{len(data) // 4}I", data)
