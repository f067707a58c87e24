"""The envelopes of one message for one relay: one SMTP transaction."""

from smtpd.mail.envelope import DSN_DELAY, DSN_FAILURE, DSN_NEVER, DSN_SUCCESS, Envelope
from smtpd.mail.ids import msgid_of
from smtpd.protocol import srs
from smtpd.protocol.smtp.client_events import Rcpt

MAX_RCPTS = 100
"""Recipients of one transaction: as many as every server must take (RFC 5321 4.5.3.1.8)."""

MAX_AGAIN = 5
"""How often a task is given to another connection before it is left to scheduler."""

_NOTIFY = ((DSN_SUCCESS, "SUCCESS"), (DSN_FAILURE, "FAILURE"), (DSN_DELAY, "DELAY"), (DSN_NEVER, "NEVER"))


class Task:
    """`sender` as MAIL FROM gets it. `again`: how often a connection was lost before it could be taken."""

    __slots__ = ("again", "envelopes", "msgid", "sender")

    def __init__(self, msgid: int, sender: str) -> None:
        self.msgid = msgid
        self.sender = sender
        self.envelopes: list[Envelope] = []
        self.again = 0

    @property
    def key(self) -> tuple[int, str]:
        """Envelopes with the same key go in one transaction."""
        return self.msgid, self.sender


def task_key(envelope: Envelope, mail_from: str, srs_key: str = "", day: int = 0) -> tuple[int, str]:
    """The task an envelope belongs to. `mail_from`: of the action, "" for the envelope's own sender.

    As OpenSMTPD: either part of it may be missing and is then the sender's, and a bounce keeps its null
    sender. `srs_key`: with it the sender of forwarded mail is rewritten; `day`: days since 1970. Only the
    recipients that mail was forwarded for share a rewritten sender, so the others get a task of their own.
    """
    sender = envelope.sender
    if mail_from and sender.user:
        user, at, domain = mail_from.rpartition("@")
        if not at:
            user, domain = domain, ""
        sender = sender._replace(user=user or sender.user, domain=domain or sender.domain)
    path = sender.path
    if srs_key and sender.user and envelope.rcpt.domain and envelope.rcpt != envelope.dest:
        path = srs.encode(path, envelope.rcpt.domain, srs_key, day)
    return msgid_of(envelope.evpid), path


def rcpt_of(envelope: Envelope) -> Rcpt:
    """The recipient as the client core wants it, with what the sender asked for (RFC 3461)."""
    if not envelope.dsn_notify and not envelope.dsn_orcpt:
        return Rcpt(envelope.dest.path)
    notify = ",".join(word for flag, word in _NOTIFY if envelope.dsn_notify & flag)
    return Rcpt(envelope.dest.path, notify, envelope.dsn_orcpt)
