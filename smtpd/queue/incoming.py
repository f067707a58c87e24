"""The part that takes messages in: from pony with its content, from lookup with its envelopes.

Envelopes stay in memory until the commit writes them with everything else, so a message that is given up
costs the disk nothing. What is held in memory is bounded; at the bound a message or a recipient is refused
for now.
"""

import time
from typing import TYPE_CHECKING

from smtpd.mail.envelope import Envelope, clipped
from smtpd.mail.envelope_text import EnvelopeError, encode
from smtpd.messages.lookup_queue import EnvelopesSubmitted, SubmitEnvelopes
from smtpd.messages.pony_queue import (
    CommitMessage,
    CreateMessage,
    IncomingOpened,
    MessageCommitted,
    MessageCreated,
    OpenIncoming,
    RollbackMessage,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.spool.backend import ERROR, Failure, Then, ThenOpen

if TYPE_CHECKING:
    from .process import Process

MESSAGES_MOST = 20_000
"""Messages that are being received at a time."""

TEXT_MOST = 64 * 1024 * 1024
"""Bytes that the texts of their envelopes may take."""

ENVELOPES_MOST = 100_000
"""Envelopes of one message."""


class _Message:
    """A message that is being received. `staged`: envelopes of a recipient of which more come."""

    __slots__ = ("envelopes", "evpids", "pony", "size", "staged")

    def __init__(self, pony: Peer | None) -> None:
        self.pony = pony
        self.envelopes: list[tuple[Envelope, bytes]] = []
        self.staged: list[tuple[Envelope, bytes]] = []
        self.evpids: set[int] = set()
        self.size = 0


class IncomingMessages:
    """Messages on their way in, those of pony and our own bounces."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._spool = process.spool
        self._messages: dict[int, _Message] = {}
        self._size = 0

    # the steps of a message, also for bounces

    def create(self, pony: Peer | None = None) -> int:
        """A new msgid; 0 when no more messages can be taken now."""
        if len(self._messages) >= MESSAGES_MOST:
            self._process.log.warn("queue: too many incoming messages")
            return 0
        msgid = self._spool.new_msgid()
        while msgid in self._messages:
            msgid = self._spool.new_msgid()
        self._messages[msgid] = _Message(pony)
        self._trace("create", msgid)
        return msgid

    def open(self, msgid: int, then: ThenOpen) -> None:
        """Make the content's file."""
        if msgid not in self._messages:
            then(Failure(ERROR, "no such message"))
        else:
            self._spool.open_incoming(msgid, then)

    def commit(self, msgid: int, then: Then) -> None:
        """Make the message durable, then tell scheduler."""
        message = self._forget(msgid)
        if message is None or not message.envelopes:
            self._spool.rollback(msgid)
            then(Failure(ERROR, "no such message" if message is None else "no recipients"))
            return
        envelopes = message.envelopes

        def committed(result: Failure | None) -> None:
            self._trace("commit", msgid, "ok" if result is None else result.text)
            if result is not None:
                self._process.log.warn(f"queue: commit of message {msgid:08x}: {result.text}")
                then(result)
                return
            for envelope, _text in envelopes:
                self._process.envelopes.committed(envelope)
            then(None)
            self._process.announce([envelope for envelope, _text in envelopes])

        self._spool.commit(msgid, [(envelope.evpid, text) for envelope, text in envelopes], committed)

    def rollback(self, msgid: int) -> None:
        """Forget the message."""
        if self._forget(msgid) is not None:
            self._trace("rollback", msgid)
            self._spool.rollback(msgid)

    def rollback_all(self, pony: Peer) -> None:
        """Forget the messages of a pony that is gone."""
        for msgid in [msgid for msgid, message in self._messages.items() if message.pony is pony]:
            self.rollback(msgid)

    def _trace(self, what: str, msgid: int, result: str = "ok") -> None:
        if self._process.log.tracing_queue:
            self._process.log.trace("queue", f"{what} msg:{msgid:08x}: {result}")

    def _forget(self, msgid: int) -> _Message | None:
        message = self._messages.pop(msgid, None)
        if message is not None:
            self._size -= message.size
        return message

    # pony

    @handles(CreateMessage)
    def create_message(self, peer: Peer, reqid: int, message: CreateMessage) -> MessageCreated:
        """MAIL FROM."""
        return MessageCreated(reqid, self.create(peer))

    @handles(OpenIncoming)
    def open_incoming(self, peer: Peer, reqid: int, message: OpenIncoming) -> None:
        """DATA."""

        def opened(result: int | Failure) -> None:
            if isinstance(result, Failure):
                self._process.log.warn(f"queue: message {message.msgid:08x}: {result.text}")
                peer.send(IncomingOpened(reqid, result.text))
            else:
                peer.send(IncomingOpened(reqid, ""), result)

        self.open(message.msgid, opened)

    @handles(CommitMessage)
    def commit_message(self, peer: Peer, reqid: int, message: CommitMessage) -> None:
        """The end of DATA."""

        def committed(result: Failure | None) -> None:
            peer.send(MessageCommitted(reqid, "" if result is None else result.text))

        self.commit(message.msgid, committed)

    @handles(RollbackMessage)
    def rollback_message(self, peer: Peer, message: RollbackMessage) -> None:
        """RSET, or the end of the session."""
        self.rollback(message.msgid)

    # lookup

    @handles(SubmitEnvelopes)
    def submit_envelopes(self, peer: Peer, reqid: int, message: SubmitEnvelopes) -> EnvelopesSubmitted:
        """RCPT TO, after expansion."""
        incoming = self._messages.get(message.msgid)
        if incoming is None:  # the client went away meanwhile
            return EnvelopesSubmitted(reqid, "no such message", [])
        added, error = self._accept(message.msgid, incoming, message.envelopes)
        if error:
            self._process.log.warn(f"queue: message {message.msgid:08x}: {error}")
            self._drop_staged(incoming)
            return EnvelopesSubmitted(reqid, error, [])
        incoming.staged += added
        if not message.more:
            incoming.envelopes += incoming.staged
            incoming.staged = []
        return EnvelopesSubmitted(reqid, "", [envelope.evpid for envelope, _text in added])

    def _accept(
        self, msgid: int, incoming: _Message, envelopes: list[Envelope]
    ) -> tuple[list[tuple[Envelope, bytes]], str]:
        if len(incoming.evpids) + len(envelopes) > ENVELOPES_MOST:
            return [], "too many recipients"
        if self._size > TEXT_MOST:
            return [], "too many incoming envelopes"
        now = int(time.time())
        envelope_ttl = self._process.envelopes.ttl
        added = []
        for one in envelopes:
            evpid = self._spool.new_evpid(msgid)
            while evpid in incoming.evpids:
                evpid = self._spool.new_evpid(msgid)
            one = clipped(one)._replace(evpid=evpid, ctime=now, ttl=one.ttl or envelope_ttl(one))
            try:
                text = encode(one)
            except EnvelopeError as error:
                return [], str(error)
            incoming.evpids.add(evpid)
            added.append((one, text))
        size = sum(len(text) for _one, text in added)
        incoming.size += size
        self._size += size
        return added, ""

    def _drop_staged(self, incoming: _Message) -> None:
        size = sum(len(text) for _one, text in incoming.staged)
        incoming.size -= size
        self._size -= size
        incoming.staged = []
