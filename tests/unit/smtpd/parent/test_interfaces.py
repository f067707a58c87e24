"""smtpd/parent/interfaces.py: what comes and goes on interfaces, told by a kernel that the test plays."""

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from smtpd.config.interfaces import InterfaceAddress
from smtpd.config.machine import FixedMachine
from smtpd.config.model import Config, ListenAddress, Listener
from smtpd.config.netlink import Address, Change, Link, Snapshot
from smtpd.messages.parent_pony import CloseListenSocket, ListenSocket
from smtpd.mproc.log import Log
from smtpd.parent import interfaces as interfaces_module
from smtpd.parent.interfaces import Interfaces, following, scope_of, wanted
from smtpd.parent.sockets import Bound, listen, listen_smtp

PORT = 25025


class Kernel:
    """Links and addresses; `news` are those that wait for the Monitor, which a pipe makes readable."""

    def __init__(self) -> None:
        self.links = {1: Link(1, "lo", 0), 2: Link(2, "t0", 0)}
        self.addresses: list[Address] = []
        self.egress: frozenset[int] = frozenset()
        self.news: list[Change] = []
        self.refused: OSError | None = None
        self.looks = 0
        self.routes = False
        self.out = self.into = -1

    def snapshot(self) -> Snapshot:
        self.looks += 1
        if self.refused is not None:
            raise self.refused
        return Snapshot(dict(self.links), list(self.addresses), self.egress)

    def without_netlink(self) -> list[InterfaceAddress]:
        return [
            InterfaceAddress(self.links[each.ifindex].name, ("all",), *each[1:3], each.ifindex, each.usable)
            for each in self.addresses
        ]

    def monitor(self, *, routes: bool = False) -> "Kernel":
        if self.refused is not None:
            raise self.refused
        self.routes = routes
        self.out, self.into = os.pipe()
        return self

    # as a Monitor

    def fileno(self) -> int:
        return self.out

    def changes(self) -> list[Change]:
        os.read(self.out, 100)
        if self.refused is not None:
            raise self.refused
        news, self.news = self.news, []
        return news

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)
        self.out = -1

    def tell(self, *changes: Change) -> None:
        self.news += changes
        os.write(self.into, b"x")


class Bench:
    """Interfaces in a process that is not there; `said` is what pony is told."""

    def __init__(self, kernel: Kernel, *listeners: Listener) -> None:
        self.kernel = kernel
        self.loop = asyncio.new_event_loop()
        self.said: list[tuple[Any, int | None]] = []
        self.lines: list[str] = []
        log = Log("parent")
        log._write = lambda _priority, text: self.lines.append(text)  # type: ignore[method-assign]
        peer = SimpleNamespace(send=lambda message, fd=None: self.said.append((message, fd)))
        self.config = Config(listeners=listeners)
        process = SimpleNamespace(loop=self.loop, log=log, config=self.config, peer=lambda name: peer)
        self.interfaces = Interfaces(process, frozenset(range(len(listeners))))  # type: ignore[arg-type]

    def start(self, bound: list[Bound] | None = None) -> None:
        self.interfaces.start(bound or [])
        self.run()

    def run(self, seconds: float = 0.02) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def told(self, *changes: Change) -> list[tuple[str, str]]:
        """What pony is told because of news; "+" for an address to listen on, "-" for one to close."""
        self.take()
        self.kernel.tell(*changes)
        self.run()
        return self.take()

    def take(self) -> list[tuple[str, str]]:
        taken = []
        for message, fd in self.said:
            if isinstance(message, ListenSocket):
                assert fd is not None
                os.close(fd)
                taken.append(("+", message.address))
            else:
                assert isinstance(message, CloseListenSocket) and fd is None
                taken.append(("-", message.address))
        self.said.clear()
        return taken

    def close(self) -> None:
        self.take()
        self.interfaces.close()
        self.loop.close()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    monkeypatch.setattr(interfaces_module, "snapshot", kernel.snapshot)
    monkeypatch.setattr(interfaces_module, "Monitor", kernel.monitor)
    monkeypatch.setattr(interfaces_module, "without_netlink", kernel.without_netlink)
    monkeypatch.setattr(interfaces_module, "SETTLE_SECONDS", 0.002)
    monkeypatch.setattr(interfaces_module, "RETRY_SECONDS", (0.004, 0.005))
    return kernel


@pytest.fixture
def make(kernel: Kernel) -> Iterator[Any]:
    made: list[Bench] = []

    def make(*listeners: Listener) -> Bench:
        made.append(Bench(kernel, *(listeners or (Listener(on="t0", port=PORT),))))
        return made[-1]

    before = len(os.listdir("/proc/self/fd"))
    yield make
    for bench in made:
        bench.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def inet4(last: int, ifindex: int = 2) -> Address:
    """One of 127.0.0.0/8, which can be bound without being there."""
    return Address(ifindex, "inet4", f"127.0.77.{last}", True)


def shown(last: int, port: int = PORT) -> str:
    return f"127.0.77.{last}:{port}"


NEWS = Change("address", 2)


def test_nothing_to_follow_is_nothing_to_do(kernel: Kernel) -> None:
    bench = Bench(kernel)
    bench.start()
    assert kernel.looks == 0 and kernel.out == -1 and bench.lines == []
    bench.close()


def test_an_address_comes_and_goes(make: Any, kernel: Kernel) -> None:
    bench = make()
    kernel.addresses = [inet4(1)]
    bench.start()
    assert bench.take() == [("+", shown(1))]
    kernel.addresses.append(inet4(2))
    assert bench.told(NEWS) == [("+", shown(2))]
    kernel.addresses.pop(0)
    assert bench.told(NEWS) == [("-", shown(1))]
    assert bench.lines == [
        f"listening on {shown(1)}",
        f"listening on {shown(2)}",
        f"no longer listening on {shown(1)}",
    ]


def test_what_was_bound_at_the_start_is_known(make: Any, kernel: Kernel) -> None:
    bench = make()
    kernel.addresses = [inet4(1), inet4(2)]
    one, two = (listen(ListenAddress("inet4", f"127.0.77.{n}", PORT, False)) for n in (1, 3))
    bench.start([Bound(0, shown(1), one), Bound(0, shown(3), two), Bound(7, "192.0.2.1:25", two)])
    assert bench.take() == [("-", shown(3)), ("+", shown(2))]
    one.close()
    two.close()


def test_several_news_are_one_look(make: Any, kernel: Kernel) -> None:
    bench = make()
    bench.start()
    looks = kernel.looks
    kernel.addresses = [inet4(1)]
    assert bench.told(NEWS, NEWS, Change("link", 2, Link(2, "t0", 0)), NEWS) == [("+", shown(1))]
    assert kernel.looks == looks + 1


def test_there_and_gone_before_it_settles_is_nothing(make: Any, kernel: Kernel) -> None:
    bench = make()
    kernel.addresses = [inet4(1)]
    bench.start()
    bench.take()
    assert bench.told(NEWS, NEWS) == []


def test_news_of_other_links_are_no_reason_to_look(make: Any, kernel: Kernel) -> None:
    bench = make(Listener(on="t0", port=PORT), Listener(on="mail", port=PORT))
    bench.start()
    looks = kernel.looks
    other = Link(9, "veth9", 0)
    bench.told(Change("link", 9, other), Change("address", 9), Change("address", 1), Change("link", 9, None))
    assert kernel.looks == looks
    bench.told(Change("address", 77))  # of a link that nobody told of
    assert kernel.looks == looks + 1


@pytest.mark.parametrize(
    "change",
    [
        Change("link", 1, Link(1, "t0", 0)),  # renamed to ours
        Change("link", 2, Link(2, "other", 0)),  # was ours
        Change("link", 1, Link(1, "lo", 5)),  # comes into our group
        Change("link", 2, None),
        Change("link", 55, None),
        Change("route", 0),
        Change("lost", 0),
    ],
)
def test_news_that_are_a_reason(
    make: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    monkeypatch.setattr(interfaces_module, "group_names", lambda: {5: "mail"})
    bench = make(Listener(on="t0", port=PORT), Listener(on="mail", port=PORT))
    bench.start()
    kernel.addresses = [inet4(1)]
    assert bench.told(change) == [("+", shown(1))]


def test_links_are_learnt_anew_when_news_were_lost(make: Any, kernel: Kernel) -> None:
    bench = make()
    bench.start()
    kernel.links = {3: Link(3, "t0", 0), 2: Link(2, "x", 0)}
    bench.told(Change("lost", 0))
    looks = kernel.looks
    bench.told(NEWS)
    assert kernel.looks == looks
    kernel.addresses = [inet4(1, 3)]
    assert bench.told(Change("address", 3)) == [("+", shown(1))]


def test_groups(make: Any, kernel: Kernel) -> None:
    bench = make(Listener(on="egress", port=PORT), Listener(on="all", family="inet4", port=PORT + 1))
    assert bench.interfaces._names == {"egress", "all"}
    kernel.addresses = [inet4(1), inet4(2, 1)]
    bench.start()
    assert kernel.routes
    assert bench.take() == [("+", shown(1, PORT + 1)), ("+", shown(2, PORT + 1))]
    kernel.egress = frozenset({2})
    assert bench.told(Change("route", 0)) == [("+", shown(1))]


def test_routes_are_of_no_interest_to_others(make: Any, kernel: Kernel) -> None:
    make().start()
    assert not kernel.routes


def test_tentative_addresses_are_waited_for(make: Any, kernel: Kernel) -> None:
    bench = make()
    kernel.addresses = [inet4(1)._replace(usable=False)]
    bench.start()
    assert bench.take() == [] and bench.lines == []
    kernel.addresses = [inet4(1)]
    assert bench.told(NEWS) == [("+", shown(1))]


def test_what_cannot_be_bound_is_tried_again_and_said_once(make: Any, kernel: Kernel) -> None:
    bench = make()
    blocking = listen(ListenAddress("inet4", "127.0.77.1", PORT, False))
    kernel.addresses = [inet4(1), inet4(2)]
    bench.start()
    bench.run(0.05)
    assert bench.take() == [("+", shown(2))]
    (said,) = [line for line in bench.lines if "tried again" in line]
    assert said.startswith(f"warn: cannot listen on {shown(1)}: Address already in use")
    blocking.close()
    bench.run(0.05)
    assert bench.take() == [("+", shown(1))]
    looks = kernel.looks
    bench.run(0.03)
    assert kernel.looks == looks


def test_what_failed_and_went_is_forgotten(make: Any, kernel: Kernel) -> None:
    bench = make()
    blocking = listen(ListenAddress("inet4", "127.0.77.1", PORT, False))
    kernel.addresses = [inet4(1)]
    bench.start()
    kernel.addresses = []
    bench.run(0.05)
    blocking.close()
    looks = kernel.looks
    bench.run(0.03)
    assert kernel.looks == looks and bench.take() == []


# an interface that is made anew has another index, and its link-local address means another link


def test_scopes() -> None:
    found = [
        InterfaceAddress("t0", ("all",), "inet6", "fe80::1%t0", 7),
        InterfaceAddress("t0", ("all",), "inet6", "2001:db8::1", 7),
        InterfaceAddress("t1", ("all",), "inet6", "fe80::1%t1", 8),
        InterfaceAddress("t0", ("all",), "inet4", "192.0.2.1", 7),
        InterfaceAddress("t0", ("all",), "inet6", "fe80::2%t0", 7, False),
    ]
    addresses, unusable = wanted({3: Listener(on="t0", family="inet6", port=25)}, found)
    assert {name: (each.listener, each.scope) for name, each in addresses.items()} == {
        "[fe80::1%t0]:25": (3, 7),
        "[2001:db8::1]:25": (3, 0),
    }
    assert unusable


def test_loopback_is_local() -> None:
    addresses, unusable = wanted(
        {0: Listener(on="lo", port=25)}, [InterfaceAddress("lo", ("all",), "inet4", "127.0.0.1", 1)]
    )
    assert addresses["127.0.0.1:25"].address == ListenAddress("inet4", "127.0.0.1", 25, True)
    assert not unusable


def test_a_link_made_anew(make: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    scopes = {"fe80::1%t0": 2}

    class Socket:
        family = socket.AF_INET6

        def __init__(self, address: ListenAddress) -> None:
            self.scope = scopes[address.address]

        def getsockname(self) -> tuple[str, int, int, int]:
            return "", 0, 0, self.scope

        def detach(self) -> int:
            return os.dup(kernel.out)

    monkeypatch.setattr(interfaces_module, "listen", Socket)
    bench = make()
    kernel.addresses = [Address(2, "inet6", "fe80::1", True)]
    bench.start()
    name = f"[fe80::1%t0]:{PORT}"
    assert bench.take() == [("+", name)]
    kernel.links = {7: Link(7, "t0", 0)}
    kernel.addresses = [Address(7, "inet6", "fe80::1", True)]
    scopes["fe80::1%t0"] = 7
    assert bench.told(Change("link", 2, None), Change("link", 7, Link(7, "t0", 0))) == [
        ("-", name),
        ("+", name),
    ]
    assert bench.told(Change("address", 7)) == []


def test_scope_of_a_socket() -> None:
    with socket.socket() as four:
        assert scope_of(four) == 0


# without netlink

REFUSED = PermissionError(errno.EPERM, "Operation not permitted")


def test_without_netlink_the_listeners_stay_as_they_are(make: Any, kernel: Kernel) -> None:
    kernel.refused = REFUSED
    bench = make()
    kernel.addresses = [inet4(2)]
    one = listen(ListenAddress("inet4", "127.0.77.1", PORT, False))
    bench.start([Bound(0, shown(1), one)])
    one.close()
    assert bench.lines[0] == "warn: interfaces cannot be followed: Operation not permitted"
    assert bench.take() == [("+", shown(2))]  # was not there yet when the configuration was read


def test_without_netlink_tentative_addresses_are_waited_for(make: Any, kernel: Kernel) -> None:
    kernel.refused = REFUSED
    bench = make()
    kernel.addresses = [inet4(1)._replace(usable=False)]
    bench.start()
    kernel.addresses = [inet4(1)]
    bench.run(0.05)
    assert bench.take() == [("+", shown(1))]


def test_the_monitor_breaks(make: Any, kernel: Kernel) -> None:
    bench = make()
    kernel.addresses = [inet4(1)]
    bench.start()
    bench.take()
    kernel.refused = OSError(errno.ENOMEM, "Cannot allocate memory")
    assert bench.told(NEWS) == []
    assert bench.lines[-1] == "warn: interfaces cannot be followed any more: Cannot allocate memory"
    assert kernel.out == -1


def test_a_look_fails(make: Any, kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = make()
    kernel.addresses = [inet4(1)]
    bench.start()
    bench.take()
    failing = OSError(errno.ENOBUFS, "No buffer space available")

    def fail() -> Snapshot:
        raise failing

    monkeypatch.setattr(interfaces_module, "snapshot", fail)
    kernel.addresses = [inet4(2)]
    assert bench.told(NEWS) == []
    assert "interfaces cannot be looked at now: No buffer space available" in bench.lines[-1]
    monkeypatch.setattr(interfaces_module, "snapshot", kernel.snapshot)
    bench.run(0.05)
    assert bench.take() == [("-", shown(1)), ("+", shown(2))]


def test_the_end(make: Any, kernel: Kernel) -> None:
    bench = make()
    bench.start()
    kernel.tell(NEWS)
    bench.interfaces.close()
    bench.interfaces.close()
    kernel.addresses = [inet4(1)]
    bench.run()
    assert bench.take() == [] and kernel.out == -1


# what follows, and what is bound at the start

MACHINE = FixedMachine(
    addresses=(
        InterfaceAddress("lo", ("all",), "inet4", "127.0.0.1"),
        InterfaceAddress("t0", ("all", "mail"), "inet4", "127.0.77.9"),
    )
)


def test_who_follows() -> None:
    listeners = (Listener(on="lo"), Listener(on="127.0.0.1"), Listener(on="mail"), Listener(on="mx.example"))
    assert following(Config(listeners=listeners), MACHINE) == {0, 2}


@pytest.mark.parametrize("address", ["192.0.2.77", "fe80::77%nosuchif0"])
def test_an_address_that_is_not_there_yet(address: str) -> None:
    family = "inet6" if ":" in address else "inet4"
    there, missing = ListenAddress("inet4", "127.0.77.9", 0, False), ListenAddress(family, address, 0, False)
    config = Config(listeners=(Listener(on="mail", addresses=(missing, there, there)),))
    (bound,) = listen_smtp(config, frozenset({0}))
    bound.socket.close()
    with pytest.raises(OSError, match="cannot listen on"):
        listen_smtp(config)
