"""What `listen on X` means: an interface, a group of interfaces, an address or a host name, in that order.

Holds `listen_addresses`, for the parser and for whoever follows interfaces that come and go. Must not open a
socket.
"""

from ipaddress import IPv4Address, IPv6Address, ip_address

from smtpd.config.machine import Machine, NoSuchName
from smtpd.config.model import ListenAddress, Listener


def is_loopback(address: str) -> bool:
    """Whether the address is exactly 127.0.0.1 or ::1, which is what OpenSMTPD calls a local listener."""
    return ip_address(address) in (IPv4Address("127.0.0.1"), IPv6Address("::1"))


def interface_addresses(machine: Machine, name: str, family: str, port: int) -> tuple[ListenAddress, ...]:
    """Addresses of the interface of that name, or of the interfaces of the group of that name."""
    return tuple(
        ListenAddress(item.family, item.address, port, is_loopback(item.address))
        for item in machine.interface_addresses()
        if (item.interface == name or name in item.groups) and family in ("", item.family)
    )


def listen_addresses(machine: Machine, listener: Listener) -> tuple[ListenAddress, ...]:
    """The addresses a network listener binds at this moment; NoSuchName when `on` means nothing here."""
    found = interface_addresses(machine, listener.on, listener.family, listener.port)
    if found:
        return found
    plain = _numeric(listener.on)
    if plain is not None and listener.family in ("", plain.family):
        return (plain._replace(port=listener.port),)
    return tuple(
        ListenAddress(family, address, listener.port, is_loopback(address))
        for family, address in machine.resolve(listener.on, listener.family)
    )


def follows_interfaces(machine: Machine, listener: Listener) -> bool:
    """Whether the listener's addresses change with the interfaces': `on` names an interface or a group."""
    return not listener.socket and any(
        item.interface == listener.on or listener.on in item.groups for item in machine.interface_addresses()
    )


def _numeric(text: str) -> ListenAddress | None:
    # A scope makes it a name for getaddrinfo(3), as in OpenSMTPD.
    if not text.isascii() or "%" in text:
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return ListenAddress(f"inet{address.version}", text, 0, is_loopback(text))


__all__ = ["NoSuchName", "follows_interfaces", "interface_addresses", "is_loopback", "listen_addresses"]
