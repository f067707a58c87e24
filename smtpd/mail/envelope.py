"""The envelope: one recipient of one message, and all that is needed to deliver it.

A plain tuple that travels between processes as it is; its fields say their bounds.
All text is `str` decoded as UTF-8 with surrogateescape; times are Unix seconds. Its text in the spool is in
envelope_text.py.
"""

from typing import NamedTuple

from . import address
from .address import EMPTY, MailAddress
from .ids import Byte, Count, Evpid, Seconds

# delivery types
MDA = "mda"
MTA = "mta"
BOUNCE = "bounce"

# flags kept on disk
FLAG_AUTHENTICATED = 0x01
FLAG_BOUNCE = 0x02
FLAG_INTERNAL = 0x04
FLAGS_STORED = FLAG_AUTHENTICATED | FLAG_BOUNCE | FLAG_INTERNAL

# NOTIFY of RCPT TO (RFC 3461 4.1)
DSN_SUCCESS = 0x01
DSN_FAILURE = 0x02
DSN_DELAY = 0x04
DSN_NEVER = 0x08

# RET of MAIL FROM (RFC 3461 4.3)
RET_HDRS = "HDRS"
RET_FULL = "FULL"

# bounce_type
FAILED = "failed"
DELAYED = "delayed"
DELIVERED = "delivered"

BOUNCE_TTL = 7 * 24 * 3600
"""Seconds a bounce envelope is kept trying."""

HOST_NAME_MAX = 255
"""Bytes of a host name and of an action's name that are read; OpenSMTPD's buffer on OpenBSD."""

HOST_NAME_WRITTEN = 64
"""Bytes of a host name in a new envelope: OpenSMTPD on Linux refuses to load longer ones."""

TAG_MAX = 32
USERNAME_MAX = 255
LINE_MAX = 2047
ORCPT_MAX = 500
ENVID_MAX = 100
MDA_USER_MAX = 255
SUBADDRESS_MAX = 255

LIMITS = {
    "dispatcher": HOST_NAME_MAX,
    "tag": TAG_MAX,
    "smtpname": HOST_NAME_MAX,
    "helo": HOST_NAME_MAX,
    "hostname": HOST_NAME_MAX,
    "username": USERNAME_MAX,
    "errorline": LINE_MAX,
    "dsn_envid": ENVID_MAX,
    "dsn_orcpt": ORCPT_MAX,
    "mda_exec": LINE_MAX,
    "mda_subaddress": SUBADDRESS_MAX,
    "mda_user": MDA_USER_MAX,
}
"""The longest value of each text field, in bytes."""

_SHORTEST_LIMIT = TAG_MAX // 3
_CONTROL = dict.fromkeys((*range(32), 127), " ")


class Envelope(NamedTuple):
    """One recipient of a message.

    `sender`: of MAIL FROM; `rcpt`: of RCPT TO; `dest`: where aliases led to. `dispatcher`: the action's name.
    `sockaddr`: the client's address as in the text: "local", "192.0.2.1" or "[2001:db8::1]". `errorline`: of
    the last try. `esc_class`, `esc_code`: smtpd.mail.status. `ttl`, `bounce_delay`, `bounce_ttl`: seconds.
    `bounce_type`: "failed", "delayed" or "delivered" in an envelope of type "bounce", "" in others.
    """

    evpid: Evpid
    type: str
    dispatcher: str = ""
    tag: str = ""
    smtpname: str = ""
    helo: str = ""
    hostname: str = ""
    username: str = ""
    errorline: str = ""
    sockaddr: str = ""
    sender: MailAddress = EMPTY
    rcpt: MailAddress = EMPTY
    dest: MailAddress = EMPTY
    ctime: Seconds = 0
    last_try: Seconds = 0
    last_bounce: Seconds = 0
    ttl: Seconds = 0
    retry: Count = 0
    flags: Byte = 0
    dsn_notify: Byte = 0
    dsn_ret: str = ""
    dsn_envid: str = ""
    dsn_orcpt: str = ""
    esc_class: Byte = 0
    esc_code: Byte = 0
    mda_exec: str = ""
    mda_subaddress: str = ""
    mda_user: str = ""
    bounce_type: str = ""
    bounce_delay: Seconds = 0
    bounce_ttl: Seconds = 0


def too_long(envelope: Envelope) -> str:
    """The name of the first field that exceeds its limit, "" when all fit."""
    for name, limit in LIMITS.items():
        text: str = getattr(envelope, name)
        if len(text) > _SHORTEST_LIMIT and _size(text) > limit:
            return name
    for name in ("sender", "rcpt", "dest"):
        user, domain = getattr(envelope, name)
        if len(user) + len(domain) > 85:
            if _size(user) > address.LOCALPART_MAX or _size(domain) > address.DOMAINPART_MAX:
                return name
    return ""


def clipped(envelope: Envelope) -> Envelope:
    """The envelope with the names a client gave itself cut to what OpenSMTPD on any system can load."""
    smtpname, helo, hostname = envelope.smtpname, envelope.helo, envelope.hostname
    if len(smtpname) <= 21 and len(helo) <= 21 and len(hostname) <= 21 and len(envelope.username) <= 85:
        return envelope
    return envelope._replace(
        smtpname=clip(smtpname, HOST_NAME_WRITTEN),
        helo=clip(helo, HOST_NAME_WRITTEN),
        hostname=clip(hostname, HOST_NAME_WRITTEN),
        username=clip(envelope.username, USERNAME_MAX),
    )


def clip(text: str, limit: int) -> str:
    """At most `limit` bytes of `text`, never half a character."""
    if len(text) * 3 <= limit:
        return text
    data = text.encode("utf-8", "surrogateescape")
    if len(data) <= limit:
        return text
    cut = data[:limit].decode("utf-8", "surrogateescape")
    while not text.startswith(cut):  # half a character became escapes of its bytes
        cut = cut[:-1]
    return cut


def errorline(text: str) -> str:
    """A reason as it is stored: one line, cut to the limit with "..." at its end."""
    if not text.isprintable():
        text = text.translate(_CONTROL)
    shown = clip(text.strip(), LINE_MAX)
    if shown != text.strip():
        shown = clip(text.strip(), LINE_MAX - 3) + "..."
    return shown


def _size(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))
