"""The addresses of this machine's interfaces, with the names and groups that `listen on` may call them by.

Linux has groups of its own kind (`ip link set group`, names in /etc/iproute2/group). As on OpenBSD there are
"all", which has every interface, and "egress", which has those of the default routes. Must not know what a
listener is.
"""

import array
import fcntl
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import NamedTuple

from smtpd.config import netlink
from smtpd.config.netlink import Link, Snapshot

GROUP_FILES = ("/etc/iproute2/group", "/usr/share/iproute2/group")
IF_INET6 = "/proc/net/if_inet6"

ALL = "all"
EGRESS = "egress"

_SIOCGIFCONF = 0x8912
_IFCONF_BYTES = 1 << 16
_IFCONF = struct.Struct("@iP")  # struct ifconf: size and address of the room for the answer
_IFREQ = struct.Struct("=16sH2x4s16x" if struct.calcsize("P") == 8 else "=16sH2x4s8x")  # with a sockaddr_in


class InterfaceAddress(NamedTuple):
    """One address of an interface: the interface's name and groups, "inet4" or "inet6", the numeric address
    (`%interface` at the end of a link-local one), the interface's index (0: not known), and whether the
    address can be bound now (netlink.Address)."""

    interface: str
    groups: tuple[str, ...]
    family: str
    address: str
    ifindex: int = 0
    usable: bool = True


def interface_addresses() -> tuple[InterfaceAddress, ...]:
    """Every address of every interface. Where netlink may not be used: of those that are up, without groups
    but "all"."""
    try:
        found = netlink.snapshot()
    except OSError:
        return tuple(without_netlink())
    return tuple(addresses_of(found))


def addresses_of(found: Snapshot) -> Iterator[InterfaceAddress]:
    """The addresses in what netlink said."""
    names = group_names()
    for ifindex, family, address, usable in found.addresses:
        link = found.links.get(ifindex)
        if link is None:
            continue
        groups = (*groups_of(link, names), *((EGRESS,) if ifindex in found.egress else ()))
        yield InterfaceAddress(link.name, groups, family, scoped(address, link.name), ifindex, usable)


def groups_of(link: Link, names: dict[int, str]) -> tuple[str, ...]:
    """The groups that a link says itself that it is in."""
    return (ALL, names[link.group]) if link.group in names else (ALL,)


def scoped(address: str, interface: str) -> str:
    """An address that means something on one link only, with that link's name."""
    return f"{address}%{interface}" if ":" in address and IPv6Address(address).is_link_local else address


def group_names() -> dict[int, str]:
    """Interface groups of `ip link` by number; the group 0, where all begin, has no name here."""
    names: dict[int, str] = {}
    for path in GROUP_FILES:
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    words = line.split("#", 1)[0].split()
                    if len(words) >= 2 and words[0].isdecimal() and words[0] != "0":
                        names.setdefault(int(words[0]), words[1])
        except OSError:
            continue
    return names


def without_netlink() -> Iterator[InterfaceAddress]:
    """The addresses as netdevice(7) and /proc tell them, which no filter of system calls keeps us from."""
    for label, address in _inet4():
        name = label.partition(":")[0]  # "eth0:1" is a second address of eth0
        yield InterfaceAddress(name, (ALL,), "inet4", address)
    for name, address, ifindex, flags in _inet6():
        yield InterfaceAddress(
            name, (ALL,), "inet6", scoped(address, name), ifindex, netlink.is_usable(flags)
        )


def _inet4() -> Iterator[tuple[str, str]]:
    """Labels and addresses."""
    room = array.array("B", bytes(_IFCONF_BYTES))
    request = bytearray(_IFCONF.pack(_IFCONF_BYTES, room.buffer_info()[0]))
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            fcntl.ioctl(asking.fileno(), _SIOCGIFCONF, request, True)
    except OSError:
        return
    size = _IFCONF.unpack(request)[0]
    for label, family, address in _IFREQ.iter_unpack(room[: size - size % _IFREQ.size]):
        if family == socket.AF_INET:
            yield label.rstrip(b"\0").decode("utf-8", "surrogateescape"), socket.inet_ntoa(address)


def _inet6() -> Iterator[tuple[str, str, int, int]]:
    """Names, addresses, indices and flags."""
    try:
        with open(IF_INET6, encoding="ascii", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        digits, ifindex, _bits, _scope, flags, name = line.split()
        yield name, str(IPv6Address(bytes.fromhex(digits))), int(ifindex, 16), int(flags, 16)
