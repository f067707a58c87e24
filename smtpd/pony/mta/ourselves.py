"""Is an address where this daemon itself takes mail? No MX is used that is as bad as ourselves."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address

from smtpd.config.model import Listener

SMTP_PORT = 25
_WILDCARDS = {"0.0.0.0": 4, "::": 6}
_DISCARD = 9


class Ourselves:
    """The listeners that an MX would lead to: those on port 25."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        found = [one for listener in listeners for one in listener.addresses if one.port == SMTP_PORT]
        self._addresses = {str(ip_address(one.address.partition("%")[0])) for one in found}

    def are_at(self, address: str) -> bool:
        """Whether mail for a host with this (numeric) address would come back to us."""
        if not self._addresses:
            return False
        if address in self._addresses:
            return True
        version = ip_address(address).version
        return any(_WILDCARDS.get(one) == version for one in self._addresses) and is_local(address)


def is_local(address: str) -> bool:
    """Is it an address of this machine? The system says which one it would speak from; nothing is sent."""
    if ip_address(address).is_loopback:
        return True
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address, _DISCARD))
            own: str = probe.getsockname()[0]
    except OSError:
        return False
    return ip_address(own.partition("%")[0]) == ip_address(address)
