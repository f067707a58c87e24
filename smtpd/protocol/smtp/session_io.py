"""What a ServerSession and its surroundings say to each other: settings in, actions and questions out,
answers in.

Plain values only. A question is an action that is followed by exactly one answer; at most one is open per
session.
"""

from collections.abc import Sequence
from typing import NamedTuple

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope


class ServerSettings(NamedTuple):
    """What a listener is to its sessions; the same object for all sessions of a listener.

    `hostname`: of banner and Received, also completes addresses; `software`: our name in both.
    `max_message_size`: octets, lines ending in LF. `complete_headers`: add Date and Message-ID when missing
    (submission). `mask_source`: Received does not tell where from. `timeout`: seconds a client may be silent.
    `max_commands`: between two messages. `max_errors`: protocol errors between two messages. `max_overrun`:
    octets that are read and thrown away behind `max_message_size` before the session is closed without
    waiting for the dot.
    """

    hostname: str
    software: str = "smtpd"
    tag: str = ""
    max_message_size: int = 35 * 1024 * 1024
    max_rcpt: int = 1000
    max_mails: int = 100
    dsn: bool = True
    starttls_required: bool = False
    auth_required: bool = False
    mask_source: bool = False
    complete_headers: bool = False
    timeout: int = 300
    max_commands: int = 3000
    max_errors: int = 50
    max_overrun: int = 1 << 30


# questions


class CreateMessage(NamedTuple):
    """MAIL FROM was right: a msgid for it. Answered by Created."""

    sender: MailAddress


class ExpandRecipient(NamedTuple):
    """RCPT TO was right: does a rule take it? `envelope` is complete but for what the rule decides; the low
    half of its evpid is 0. Answered by Expanded.
    """

    envelope: Envelope


class OpenMessage(NamedTuple):
    """DATA was right: a place for the content. Answered by Opened."""

    msgid: int


class CommitMessage(NamedTuple):
    """All content was given out: make it durable. Answered by Committed."""

    msgid: int


# other actions


class WriteContent(NamedTuple):
    """Content for the message file, lines ending in LF, in order."""

    data: bytes


class Rollback(NamedTuple):
    """The message will not come to be: forget it, its content and its envelopes."""

    msgid: int


class Accepted(NamedTuple):
    """A message was taken. `size`: octets written; `recipients`: each RCPT with the evpids made for it;
    `protocol`: "SMTP" or "ESMTP".
    """

    msgid: int
    size: int
    protocol: str
    sender: MailAddress
    recipients: Sequence[tuple[MailAddress, Sequence[int]]]


class Refused(NamedTuple):
    """A 4xx or 5xx was sent. `command`: what the client had said, "" for `bad_input` (bytes that are no
    command).
    """

    command: str
    result: str
    bad_input: bool


class Close(NamedTuple):
    """Send what is to be sent, then close. `reason`: for the log."""

    reason: str


type Question = CreateMessage | ExpandRecipient | OpenMessage | CommitMessage
type Action = Question | WriteContent | Rollback | Accepted | Refused | Close


# answers


class Created(NamedTuple):
    """`msgid`: not 0. `time`: now, Unix seconds; the ctime of the envelopes."""

    msgid: int
    time: int


class Expanded(NamedTuple):
    """The recipient is taken. `evpids`: of the envelopes made."""

    evpids: Sequence[int]


class Opened(NamedTuple):
    """The content can be written. `date`: now, as in a header (rfc5322.date_text); `unique`: 64 random
    bits.
    """

    date: str
    unique: int


class Committed(NamedTuple):
    """Message and envelopes are safe."""


class Failed(NamedTuple):
    """No. `reply`: for the client, when there is one to give (a refused recipient); without it a temporary
    failure. `full`: for want of space: the session may go on.
    """

    reply: str = ""
    full: bool = False


Answer = Created | Expanded | Opened | Committed | Failed
