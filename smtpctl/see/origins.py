"""What an id stands for: the client behind a session, the sender behind a mail; learned from what passes
by.
"""

from typing import Any

from smtpctl.output import screened
from smtpd.mail.ids import format_msgid

from .joining import Message

MOST = 10000


class Origins:
    """Where sessions and mails come from. `most`: how many are remembered; then the oldest are forgotten."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._addresses: dict[int, str] = {}
        self._sessions: dict[int, int] = {}
        self._senders: dict[int, str] = {}

    def learn(self, message: Message) -> None:
        """Note what a message says of the ids in it."""
        kind, fields = message.kind, message.fields
        if kind is None or fields is None:
            return
        names = [name for name, _ in kind.fields]
        if kind.name == "ReverseName" and "session" in names:
            self._remember(self._addresses, fields.session, fields.address)
        elif kind.name == "MessageCreated" and message.request is not None:
            request = message.request.fields
            if request is not None:
                self._remember(self._sessions, fields.msgid, request.session)
        elif "envelope" in names and hasattr(
            fields.envelope, "sender"
        ):  # scheduler's have ids and times alone
            self._learn_envelope(fields.envelope, getattr(fields, "session", 0))

    def _learn_envelope(self, envelope: Any, session: int) -> None:
        msgid = envelope.evpid >> 32
        if msgid:
            self._remember(self._senders, msgid, str(envelope.sender) if envelope.sender.user else "<>")
        if session:
            self._remember(self._addresses, session, envelope.sockaddr)
            if msgid:
                self._remember(self._sessions, msgid, session)

    def session(self, session: int) -> str:
        """ "session ca5d4878260e45a8 from 192.0.2.1"."""
        address = self._addresses.get(session, "")
        return f"session {session:016x}{f' from {_shown(address)}' if address else ''}"

    def sender(self, msgid: int) -> str:
        """The sender of a mail, "" if it is not known."""
        return self._senders.get(msgid, "")

    def mail(self, msgid: int) -> str:
        """ "mail cb4de24f from <a@b.c>, session ca5d4878260e45a8 from 192.0.2.1"."""
        words = [f"mail {format_msgid(msgid)}"]
        sender = self._senders.get(msgid)
        if sender:
            words.append(f" from <{_shown(sender.strip('<>'))}>")
        session = self._sessions.get(msgid)
        if session:
            words.append(f", {self.session(session)}")
        return "".join(words)

    def _remember(self, known: dict[int, Any], key: int, value: Any) -> None:
        if not key or not value or key in known:
            return
        if len(known) >= self._most:
            del known[next(iter(known))]
        known[key] = value


def _shown(text: str) -> str:
    """In one line of a terminal, whatever is in it."""
    return screened(text).expandtabs(1)
