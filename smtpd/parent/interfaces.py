"""Listeners on interfaces and groups follow these: what comes is listened on, what goes is given up.

The kernel's news (netlink) only say when to look; what is listened on is then made to agree with what is
there, so that news that are lost, or come in odd orders, do no harm. Without netlink the listeners keep the
addresses that they have. Whatever fails here is logged and tried again: mail on other addresses goes on.
"""

import asyncio
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from smtpd.config.addresses import follows_interfaces, is_loopback
from smtpd.config.interfaces import (
    ALL,
    EGRESS,
    InterfaceAddress,
    addresses_of,
    group_names,
    groups_of,
    without_netlink,
)
from smtpd.config.machine import Machine
from smtpd.config.model import Config, ListenAddress, Listener
from smtpd.config.netlink import Change, Link, Monitor, snapshot
from smtpd.messages import links
from smtpd.messages.parent_pony import CloseListenSocket, ListenSocket

from .sockets import Bound, listen, shown

if TYPE_CHECKING:
    from .process import Process

SETTLE_SECONDS = 0.3
"""From the first news to the look: an interface that comes up brings several."""

RETRY_SECONDS = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Until an address that could not be listened on is tried again; the last for ever."""


class Wanted(NamedTuple):
    """An address to listen on. `listener`: index in Config.listeners; `scope`: as in a socket's name."""

    listener: int
    address: ListenAddress
    scope: int


def following(config: Config, machine: Machine) -> frozenset[int]:
    """The listeners (indices) whose `on` is an interface or a group."""
    return frozenset(
        index for index, listener in enumerate(config.listeners) if follows_interfaces(machine, listener)
    )


def wanted(
    listeners: dict[int, Listener], found: Iterable[InterfaceAddress]
) -> tuple[dict[str, Wanted], bool]:
    """What to listen on, by the address as it is shown; and whether there are addresses not usable yet."""
    addresses: dict[str, Wanted] = {}
    unusable = False
    for item in found:
        for index, listener in listeners.items():
            if listener.on != item.interface and listener.on not in item.groups:
                continue
            if listener.family not in ("", item.family):
                continue
            if not item.usable:
                unusable = True
                continue
            local = is_loopback(item.address)
            address = ListenAddress(item.family, item.address, listener.port, local)
            addresses[shown(address)] = Wanted(index, address, item.ifindex if "%" in item.address else 0)
    return addresses, unusable


class Interfaces:
    """Follows the interfaces for pony's listeners."""

    def __init__(self, process: "Process", listeners: frozenset[int]) -> None:
        self._process = process
        self._log = process.log
        self._listeners = {index: process.config.listeners[index] for index in sorted(listeners)}
        self._names = {listener.on for listener in self._listeners.values()}
        self._open: dict[str, int] = {}
        self._links: dict[int, bool] = {}
        self._failed: dict[str, str] = {}
        self._failures = 0
        self._monitor: Monitor | None = None
        self._look: asyncio.TimerHandle | None = None

    def start(self, bound: Iterable[Bound]) -> None:
        """Follow from now on. `bound`: what pony is given at the start."""
        if not self._listeners:
            return
        for each in bound:
            if each.listener in self._listeners:
                self._open[each.address] = scope_of(each.socket)
        try:
            self._monitor = Monitor(routes=EGRESS in self._names)
        except OSError as error:
            self._log.warn(f"interfaces cannot be followed: {error.strerror}")
        else:
            self._process.loop.add_reader(self._monitor.fileno(), self._news)
            self._learn_links()
        # Something may have changed since the configuration was read.
        self._look_in(0)

    def close(self) -> None:
        """No more of it."""
        if self._look is not None:
            self._look.cancel()
            self._look = None
        self._unfollow()
        self._listeners = {}

    def _unfollow(self) -> None:
        if self._monitor is not None:
            self._process.loop.remove_reader(self._monitor.fileno())
            self._monitor.close()
            self._monitor = None

    # news

    def _news(self) -> None:
        assert self._monitor is not None
        try:
            changes = self._monitor.changes()
        except OSError as error:
            self._log.warn(f"interfaces cannot be followed any more: {error.strerror}")
            self._unfollow()
            return
        # Each is looked at: what it says of its link is needed for the next one.
        if sum([self._concerns(change) for change in changes]):
            self._look_in(SETTLE_SECONDS)

    def _learn_links(self) -> None:
        """Which links are ours, so that there is no need to look at every address that comes on another."""
        try:
            self._links = {link.ifindex: self._is_ours(link) for link in snapshot().links.values()}
        except OSError:
            self._links = {}

    def _concerns(self, change: Change) -> bool:
        """Whether to look: on a machine with many interfaces most news are not for us."""
        match change:
            case Change("lost"):
                self._learn_links()
                return True
            case Change("address", ifindex):
                return self._links.get(ifindex, True)
            case Change("link", ifindex, None):
                return self._links.pop(ifindex, True)
            case Change("link", ifindex, Link() as link):
                before = self._links.get(ifindex, False)
                now = self._links[ifindex] = self._is_ours(link)
                return before or now
        return True

    def _is_ours(self, link: Link) -> bool:
        if not self._names.isdisjoint((link.name, ALL, EGRESS)):
            return True
        return bool(link.group) and not self._names.isdisjoint(groups_of(link, group_names()))

    # what is listened on

    def _look_in(self, seconds: float) -> None:
        if self._look is not None:
            if self._look.when() <= self._process.loop.time() + seconds:
                return
            self._look.cancel()
        self._look = self._process.loop.call_later(seconds, self._agree)

    def _agree(self) -> None:
        """Make what is listened on agree with what is there."""
        self._look = None
        try:
            found = without_netlink() if self._monitor is None else addresses_of(snapshot())
        except OSError as error:
            self._log.warn(f"interfaces cannot be looked at now: {error.strerror}")
            self._look_again()
            return
        addresses, unusable = wanted(self._listeners, found)
        if self._monitor is not None:
            self._close_gone(addresses)
        self._failed = {each: reason for each, reason in self._failed.items() if each in addresses}
        for shown_address, each in addresses.items():
            if shown_address not in self._open:
                self._listen(shown_address, each)
        if not self._failed:
            self._failures = 0
        if self._failed or (unusable and self._monitor is None):
            self._look_again()

    def _look_again(self) -> None:
        seconds = RETRY_SECONDS[min(self._failures, len(RETRY_SECONDS) - 1)]
        self._failures += 1
        self._look_in(seconds)

    def _close_gone(self, addresses: dict[str, Wanted]) -> None:
        for shown_address, scope in list(self._open.items()):
            if shown_address not in addresses or addresses[shown_address].scope != scope:
                del self._open[shown_address]
                self._process.peer(links.PONY).send(CloseListenSocket(shown_address))
                self._log.info(f"no longer listening on {shown_address}")

    def _listen(self, shown_address: str, each: Wanted) -> None:
        try:
            bound = listen(each.address)
        except OSError as error:
            if self._failed.get(shown_address) != error.strerror:
                self._log.warn(f"{error.strerror}; it will be tried again")
            self._failed[shown_address] = error.strerror or ""
            return
        self._failed.pop(shown_address, None)
        self._open[shown_address] = scope_of(bound)
        self._process.peer(links.PONY).send(ListenSocket(each.listener, shown_address), bound.detach())
        self._log.info(f"listening on {shown_address}")


def scope_of(bound: socket.socket) -> int:
    """The index of the interface that a link-local address means, 0 for others."""
    return int(bound.getsockname()[3]) if bound.family == socket.AF_INET6 else 0
