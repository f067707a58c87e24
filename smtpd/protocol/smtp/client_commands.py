"""The command lines an SMTP client writes, and how long it waits for the reply to each.

Pure functions over client_events.py's values.  No line holds a control character: what the daemon was given
by a client long ago must not become a command of its own here.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Final

from smtpd.protocol.smtp.client_events import Mail, Rcpt

# What a reply is waited for; the names are the commands, as they stand in errors and in RcptDone.command.
GREETING: Final = "BANNER"
EHLO: Final = "EHLO"
HELO: Final = "HELO"
LHLO: Final = "LHLO"
STARTTLS: Final = "STARTTLS"
AUTH: Final = "AUTH"
AUTH_USER: Final = "AUTH user"
AUTH_PASSWORD: Final = "AUTH password"
MAIL: Final = "MAIL"
RCPT: Final = "RCPT"
DATA: Final = "DATA"
DOT: Final = "."
RSET: Final = "RSET"
QUIT: Final = "QUIT"

TIMEOUTS: Final = {
    GREETING: 300.0,
    EHLO: 300.0,
    HELO: 300.0,
    LHLO: 300.0,
    STARTTLS: 300.0,
    AUTH: 300.0,
    AUTH_USER: 300.0,
    AUTH_PASSWORD: 300.0,
    MAIL: 300.0,
    RCPT: 300.0,
    DATA: 120.0,
    DOT: 600.0,
    RSET: 300.0,
    QUIT: 10.0,
}
"""Seconds to wait for the reply to each (RFC 5321 4.5.3.2); that to QUIT is of no use to anybody."""

CONTENT_TIMEOUT: Final = 180.0
"""Seconds in which a block of content must go out (RFC 5321 4.5.3.2.5)."""

HIDDEN: Final = "********"
"""In place of a secret."""

UNSAFE = re.compile(r"[\x00-\x1f\x7f]")
"""What would end or cut a command."""

_UNSAFE_PARAMETER = re.compile(r"[\x00-\x20\x7f]")


def mail_command(mail: Mail, extensions: Mapping[str, str]) -> str:
    """MAIL FROM with the parameters that the server knows: SIZE, BODY, SMTPUTF8, RET, ENVID."""
    line = f"MAIL FROM:<{mail.sender}>"
    if mail.size and "SIZE" in extensions:
        line += f" SIZE={mail.size}"
    if mail.eightbit and "8BITMIME" in extensions:
        line += " BODY=8BITMIME"
    if "SMTPUTF8" in extensions and not (
        mail.sender.isascii() and all(rcpt.address.isascii() for rcpt in mail.rcpts)
    ):
        line += " SMTPUTF8"
    if (mail.ret or mail.envid) and "DSN" in extensions:
        if mail.ret in ("HDRS", "FULL"):
            line += f" RET={mail.ret}"
        if mail.envid and not _UNSAFE_PARAMETER.search(mail.envid):
            line += f" ENVID={mail.envid}"
    return line


def rcpt_command(rcpt: Rcpt, extensions: Mapping[str, str]) -> str:
    """RCPT TO with NOTIFY and ORCPT if the server knows DSN (RFC 3461 4)."""
    line = f"RCPT TO:<{rcpt.address}>"
    if (rcpt.notify or rcpt.orcpt) and "DSN" in extensions:
        if rcpt.notify and not _UNSAFE_PARAMETER.search(rcpt.notify):
            line += f" NOTIFY={rcpt.notify}"
        if rcpt.orcpt and not _UNSAFE_PARAMETER.search(rcpt.orcpt):
            line += f" ORCPT={rcpt.orcpt}"
    return line


def base64(text: str) -> str:
    """As AUTH sends names and passwords (RFC 4954 4)."""
    return b64encode(text.encode("utf-8", "surrogateescape")).decode("ascii")
