"""rtnetlink(7): the links and addresses of this machine, and news of their changes.

Messages are read with pyroute2's classes and nothing else of it: the whole package takes six times as long
to load, and twenty megabytes. Everything here blocks, but for no longer than the kernel takes to answer.
Must not know what a listener is.
"""

import errno
import importlib
import importlib.util
import os
import socket
import struct
import sys
import types
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP, _NLM_F_DUMP_INTR = 0x1, 0x300, 0x10

_GROUPS_LINKS = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
_GROUPS_ROUTES = 0x40 | 0x400  # RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_INDEX = {  # where a message's own header has the index of the link
    **dict.fromkeys((RTM_NEWLINK, RTM_DELLINK), struct.Struct("=4xi")),
    **dict.fromkeys((RTM_NEWADDR, RTM_DELADDR), struct.Struct("=4xi")),
}
_DESTINATION_BITS = _HEADER.size + 1  # where a route has the length of its prefix
_ROUTE_MAIN = 254

_IFA_F_OPTIMISTIC, _IFA_F_DADFAILED, _IFA_F_TENTATIVE = 0x04, 0x08, 0x40

_ANSWER_SECONDS = 5.0
_RECEIVE_BYTES = 1 << 18
_TRIES = 5
_READS_MOST = 64


class Link(NamedTuple):
    """An interface. `group`: the number of its group (`ip link set group`), 0 where all begin."""

    ifindex: int
    name: str
    group: int


class Address(NamedTuple):
    """An address of the link `ifindex`: "inet4" or "inet6", numeric, without scope.

    `usable`: whether it can be bound; an IPv6 address cannot while nobody knows that it is unique on its link
    (RFC 4862 5.4), or when it is not.
    """

    ifindex: int
    family: str
    address: str
    usable: bool


class Snapshot(NamedTuple):
    """Links by index, all addresses, and the indices of the links that default routes go out on."""

    links: dict[int, Link]
    addresses: list[Address]
    egress: frozenset[int]


class Change(NamedTuple):
    """Something changed: `what` is "link", "address" or "route"; `ifindex`: on which link, 0 where not known.

    `link`: for "link" its new state, None when it is gone. `what` "lost": news were lost.
    """

    what: str
    ifindex: int
    link: Link | None = None


def snapshot() -> Snapshot:
    """Everything as it is now. OSError when netlink cannot be used."""
    links = {link.ifindex: link for link in map(_link, _dump(RTM_GETLINK, bytes(16)))}
    addresses = [address for data in _dump(RTM_GETADDR, bytes(8)) if (address := _address(data)) is not None]
    egress: set[int] = set()
    for data in _dump(RTM_GETROUTE, bytes(12)):
        if data[_DESTINATION_BITS] == 0:
            egress |= _outgoing(data)
    return Snapshot(links, addresses, frozenset(egress))


class Monitor:
    """News from the kernel. `routes`: of routes too. OSError when they cannot be had."""

    def __init__(self, *, routes: bool = False) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            self.socket.bind((0, _GROUPS_LINKS | (_GROUPS_ROUTES if routes else 0)))
            _messages()
        except BaseException:
            self.socket.close()
            raise

    def fileno(self) -> int:
        """For a loop to wait for."""
        return self.socket.fileno()

    def close(self) -> None:
        """No more news."""
        self.socket.close()

    def changes(self) -> list[Change]:
        """What came since the last time; never waits."""
        found: list[Change] = []
        for _ in range(_READS_MOST):
            try:
                data, sender = self.socket.recvfrom(_RECEIVE_BYTES)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                found.append(Change("lost", 0))  # the kernel had more news than the buffer has room
                continue
            if sender[0] == 0:  # anybody else than the kernel may write to this socket
                found += [change for kind, _, each in _split(data) if (change := _change(kind, each))]
        return found


def _dump(kind: int, body: bytes) -> list[bytes]:
    """All messages of an answer, headers included; asked again when something changed meanwhile. OSError."""
    for _ in range(_TRIES):
        answer, interrupted = _ask(kind, body)
        if not interrupted:
            break
    return answer


def _ask(kind: int, body: bytes) -> tuple[list[bytes], bool]:
    found: list[bytes] = []
    interrupted = False
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(_ANSWER_SECONDS)
        asking.bind((0, 0))
        asking.send(_HEADER.pack(_HEADER.size + len(body), kind, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0) + body)
        while True:
            data, sender = asking.recvfrom(_RECEIVE_BYTES)
            if sender[0] != 0:
                continue
            for number, flags, each in _split(data):
                interrupted = interrupted or bool(flags & _NLM_F_DUMP_INTR)
                if number == _NLMSG_DONE:
                    return found, interrupted
                if number == _NLMSG_ERROR:
                    code = -struct.unpack_from("=i", each, _HEADER.size)[0]
                    raise OSError(code, os.strerror(code))
                found.append(each)


def _split(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Type, flags and whole bytes of the messages in one datagram."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, _, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            return
        yield kind, flags, data[offset : offset + length]
        offset += (length + 3) & ~3


def _change(kind: int, data: bytes) -> Change | None:
    if kind in (RTM_NEWROUTE, RTM_DELROUTE):
        return Change("route", 0) if data[_DESTINATION_BITS] == 0 else None
    where = _INDEX.get(kind)
    if where is None or len(data) < _HEADER.size + where.size:
        return None
    index = where.unpack_from(data, _HEADER.size)[0]
    if kind == RTM_NEWLINK:
        return Change("link", index, _link(data))
    return Change("link" if kind == RTM_DELLINK else "address", index)


# messages


class _Messages(NamedTuple):
    """pyroute2's class of address messages, and classes for the few fields that are wanted of others."""

    link: Any
    address: Any
    route: Any


@cache
def _messages() -> _Messages:
    """Load what is needed of pyroute2: its package's own __init__ would load all of it."""
    loaded = sys.modules.get("pyroute2")
    spec = importlib.util.find_spec("pyroute2") if loaded is None else None
    if spec is not None and spec.submodule_search_locations is not None:
        stand_in = types.ModuleType("pyroute2")
        stand_in.__path__ = list(spec.submodule_search_locations)
        stand_in.__spec__ = spec
        sys.modules["pyroute2"] = stand_in
    try:
        nlmsg: Any = importlib.import_module("pyroute2.netlink").nlmsg
        address = importlib.import_module("pyroute2.netlink.rtnl.ifaddrmsg").ifaddrmsg
    finally:
        if loaded is None:
            # Whoever wants the whole package later gets it.
            sys.modules.pop("pyroute2", None)

    class LinkMessage(nlmsg):  # type: ignore[misc]
        prefix = "IFLA_"
        fields = (
            ("family", "B"), ("pad", "x"), ("ifi_type", "H"), ("index", "i"), ("flags", "I"), ("change", "I"),
        )  # fmt: skip
        nla_map = ((3, "IFLA_IFNAME", "asciiz"), (27, "IFLA_GROUP", "uint32"))

    class RouteMessage(nlmsg):  # type: ignore[misc]
        prefix = "RTA_"
        fields = (
            ("family", "B"), ("dst_len", "B"), ("src_len", "B"), ("tos", "B"), ("table", "B"),
            ("proto", "B"), ("scope", "B"), ("type", "B"), ("flags", "I"),
        )  # fmt: skip
        nla_map = ((4, "RTA_OIF", "uint32"), (9, "RTA_MULTIPATH", "hex"))

    return _Messages(LinkMessage, address, RouteMessage)


def _link(data: bytes) -> Link:
    message = _messages().link(data)
    message.decode()
    name = message.get_attr("IFLA_IFNAME") or f"#{message['index']}"
    if isinstance(name, bytes):  # pyroute2's way with what is no utf-8
        name = name.decode("utf-8", "surrogateescape")
    return Link(message["index"], name, message.get_attr("IFLA_GROUP") or 0)


def _address(data: bytes) -> Address | None:
    message = _messages().address(data)
    message.decode()
    family = {socket.AF_INET: "inet4", socket.AF_INET6: "inet6"}.get(message["family"])
    # On a link with one peer IFA_ADDRESS is the peer's.
    address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    if family is None or not address:
        return None
    return Address(
        message["index"], family, address, is_usable(message.get_attr("IFA_FLAGS") or message["flags"])
    )


def is_usable(flags: int) -> bool:
    """Whether an address with these flags (IFA_F_ of linux/if_addr.h) can be bound."""
    if flags & _IFA_F_DADFAILED:
        return False
    return not flags & _IFA_F_TENTATIVE or bool(flags & _IFA_F_OPTIMISTIC)


def _outgoing(data: bytes) -> set[int]:
    """The links that a default route of the main table goes out on."""
    message = _messages().route(data)
    message.decode()
    if message["table"] != _ROUTE_MAIN:
        return set()
    index = message.get_attr("RTA_OIF")
    if index is not None:
        return {index}
    hops = message.get_attr("RTA_MULTIPATH")
    return set(_next_hops(bytes.fromhex(hops.replace(":", "")))) if hops else set()


def _next_hops(data: bytes) -> Iterator[int]:
    """The links of the hops of one route (struct rtnexthop of linux/rtnetlink.h)."""
    offset = 0
    while offset + 8 <= len(data):
        length, index = struct.unpack_from("=H2xi", data, offset)
        yield index
        if length < 8:
            return
        offset += (length + 3) & ~3
