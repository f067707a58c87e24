"""Who sends and what: a client as it presented itself, and the message that is coming in from it.

Both are filled in step by step by server.py, which alone knows the order.
"""

from collections.abc import Sequence

from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import FLAG_AUTHENTICATED, Envelope
from smtpd.protocol.rfc5322 import HeaderSection

from .content import IncomingContent
from .grammar import MailParameters, RcptParameters
from .received import received
from .session_io import Opened, ServerSettings


class Client:
    """`address`: as in envelopes; `host`: its name in the DNS; `authenticated`: a user of ours."""

    __slots__ = ("address", "authenticated", "esmtp", "helo", "host")

    def __init__(self, address: str, authenticated: bool) -> None:
        self.address = address
        self.authenticated = authenticated
        self.host = ""
        self.helo = ""
        self.esmtp = False

    @property
    def protocol(self) -> str:
        """In the log, and in Received with letters added (RFC 3848)."""
        return "ESMTP" if self.esmtp else "SMTP"

    @property
    def bracketed(self) -> str:
        """The address as replies and Received show it."""
        return self.address if self.address[:1] == "[" else f"[{self.address}]"


class Transaction:
    """A message from MAIL on. `msgid`: 0 until there is one; `time`: of MAIL; `rcpt`: the recipient that
    is being looked up; `recipients`: those that were taken, with the evpids made for each.
    """

    __slots__ = ("content", "msgid", "parameters", "rcpt", "recipients", "sender", "time")

    def __init__(self, sender: MailAddress, parameters: MailParameters) -> None:
        self.msgid = 0
        self.time = 0
        self.sender = sender
        self.parameters = parameters
        self.rcpt = EMPTY
        self.recipients: list[tuple[MailAddress, Sequence[int]]] = []
        self.content: IncomingContent | None = None

    def envelope(self, settings: ServerSettings, client: Client, parameters: RcptParameters) -> Envelope:
        """The envelope for `rcpt`, as far as the client decides it."""
        return Envelope(
            self.msgid << 32,
            "",
            tag=settings.tag,
            smtpname=settings.hostname,
            helo=client.helo,
            hostname=client.host,
            sockaddr=client.address,
            sender=self.sender,
            rcpt=self.rcpt,
            dest=self.rcpt,
            ctime=self.time,
            flags=FLAG_AUTHENTICATED if client.authenticated else 0,
            dsn_notify=parameters.dsn_notify,
            dsn_ret=self.parameters.dsn_ret,
            dsn_envid=self.parameters.dsn_envid,
            dsn_orcpt=parameters.dsn_orcpt,
        )

    def open(self, settings: ServerSettings, client: Client, answer: Opened) -> None:
        """Content may come: its Received field, and what its header may be missing, are known."""
        head = received(
            helo=client.helo,
            host=client.host,
            address=client.bracketed,
            hostname=settings.hostname,
            software=settings.software,
            protocol=client.protocol + ("A" if client.authenticated else ""),
            msgid=self.msgid,
            date=answer.date,
            recipient=str(self.recipients[0][0]) if len(self.recipients) == 1 else "",
            mask_source=settings.mask_source,
        )
        missing = {}
        if settings.complete_headers:
            missing = {
                b"date": f"Date: {answer.date}\n".encode(),
                b"message-id": f"Message-ID: <{answer.unique:016x}@{settings.hostname}>\n".encode(),
            }
        header = HeaderSection(settings.hostname.encode(), missing)
        self.content = IncomingContent(head, header, settings.max_message_size, settings.max_overrun)
