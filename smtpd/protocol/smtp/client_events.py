"""What goes in and out of the SMTP client core as values: a mail to send, and what became of it.

No behaviour, no I/O.  A status is the server's reply as one line, or a sentence of ours if it said nothing.
"""

from typing import NamedTuple


class Settings(NamedTuple):
    """How one session is to be led.

    `tls`: "no", "opportunistic" (STARTTLS when offered), "required".  With `secure` the connection is under
    TLS before the greeting (smtps).  AUTH is only used under TLS.  With `ahead` the next mail's MAIL follows
    a mail's last dot in the same write (RFC 2920 3.1) once the server has taken one mail.
    """

    helo: str
    lmtp: bool = False
    tls: str = "no"
    secure: bool = False
    auth_user: str = ""
    auth_password: str = ""
    pipelining: bool = True
    ahead: bool = True

    def __repr__(self) -> str:
        shown = {name: value for name, value in self._asdict().items() if not name.startswith("auth_")}
        return f"Settings({shown})"


class Rcpt(NamedTuple):
    """A recipient: the address without brackets; `notify` and `orcpt` as RFC 3461 4.1 and 4.2 spell them."""

    address: str
    notify: str = ""
    orcpt: str = ""


class Mail(NamedTuple):
    """One mail transaction.  `size` in octets (0: unknown); `eightbit`: the content has octets above 127.

    `ret` is "", "HDRS" or "FULL"; `envid` is xtext (RFC 3461).  `tag` is the caller's and never looked at.
    """

    sender: str
    rcpts: tuple[Rcpt, ...]
    size: int = 0
    eightbit: bool = False
    ret: str = ""
    envid: str = ""
    tag: object = None


class Ready(NamedTuple):
    """The greeting is done: send() may be called."""

    extensions: dict[str, str]


class StartTls(NamedTuple):
    """The server is ready for the handshake; when it is done call tls_started(), and write nothing before."""


class SendContent(NamedTuple):
    """The server waits for the content of `mail`: call content() until its last chunk."""

    mail: Mail


class RcptDone(NamedTuple):
    """What became of recipient number `rcpt`, exactly once for each: `result` as in smtpd.mail.status.

    `command` is the one whose reply decided, "" if none did.  `unjudged`: the session ended before the server
    could take the mail, so another connection may be tried at once without a second copy.
    """

    mail: Mail
    rcpt: int
    result: str
    status: str
    esc: str
    command: str
    unjudged: bool


class MailDone(NamedTuple):
    """All recipients of `mail` are done.  `accepted`: for someone at least; `octets` of content were sent."""

    mail: Mail
    accepted: bool
    octets: int


class Closed(NamedTuple):
    """The session is over; close the transport once the output is written.

    `reason`: "quit" after our QUIT, or what went wrong.  `ready`: the session had got as far as Ready.
    """

    reason: str
    ready: bool


type Event = Ready | StartTls | SendContent | RcptDone | MailDone | Closed
