"""Relay URLs, `[proto://[label@]]host[:port]` of `relay host` (smtpd.conf(5)).

Pure text work; nothing here knows what a protocol's name leads to.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from smtpd.mail.address import valid_domainpart

# how TLS is used
OPPORTUNISTIC = "opportunistic"
STARTTLS = "starttls"
SMTPS = "smtps"
NO_TLS = "no"

_MAX_URL = 1023  # bytes, OpenSMTPD's buffer
_MAX_PORT = 65535

# scheme -> (TLS, LMTP, port; 0: it has to be given)
_SCHEMES = {
    "smtp": (OPPORTUNISTIC, False, 25),
    "smtp+tls": (STARTTLS, False, 25),
    "smtp+notls": (NO_TLS, False, 25),
    "lmtp": (NO_TLS, True, 0),
    "smtps": (SMTPS, False, 465),
}

_URL = re.compile(
    r"(?:(?P<scheme>[^:/@\[\]]+)://)?(?:(?P<label>[^@]*)@)?(?P<host>\[[^]]*\]|[A-Za-z0-9_.-]*)(?::(?P<port>[0-9]{1,5}))?"
)


class RelayHost(NamedTuple):
    """Where and how to relay. `hostname`: a name, an IPv4 address, or an address literal, `[IPv6:::1]`.

    `label`: key of the credentials, "" for none; only with STARTTLS and SMTPS.
    """

    hostname: str
    port: int
    tls: str
    lmtp: bool
    label: str


@lru_cache(maxsize=256)
def parse_relay_url(text: str) -> RelayHost:
    """A relay URL; without a scheme it is smtp. Raises ValueError."""
    match = _URL.fullmatch(text) if len(text) <= _MAX_URL else None
    if match is None:
        raise ValueError(f"not a relay URL: {text[:80]!r}")
    scheme = (match["scheme"] or "smtp").lower()
    if scheme not in _SCHEMES:
        raise ValueError(f"unknown protocol in a relay URL: {scheme!r}")
    tls, lmtp, port = _SCHEMES[scheme]
    hostname = match["host"]
    if not valid_domainpart(hostname):
        raise ValueError(f"not a host in a relay URL: {hostname!r}")
    if match["port"] is not None:
        port = int(match["port"])
    if not 0 < port <= _MAX_PORT:
        raise ValueError(f"no usable port in a relay URL: {text[:80]!r}")
    label = match["label"] or ""
    if label and tls not in (STARTTLS, SMTPS):
        raise ValueError("a label in a relay URL needs smtp+tls or smtps")
    return RelayHost(hostname, port, tls, lmtp, label)
