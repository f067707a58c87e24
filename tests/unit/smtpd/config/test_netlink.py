"""smtpd/config/netlink.py: messages of the kernel's, made by hand and as it sends them on this machine."""

import errno
import os
import socket
import struct
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config import netlink
from smtpd.config.netlink import Address, Change, Link, Monitor, Snapshot, is_usable, snapshot

TENTATIVE, OPTIMISTIC, DADFAILED = 0x40, 0x04, 0x08


def attribute(number: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), number) + data + bytes(-len(data) % 4)


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def link(ifindex: int, name: bytes, group: int = 0, kind: int = netlink.RTM_NEWLINK) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, ifindex, 0, 0)
    rest = attribute(13, struct.pack("=I", 1000)) + attribute(27, struct.pack("=I", group))
    return message(kind, body + attribute(3, name + b"\0") + rest)


def address(
    ifindex: int, text: str, flags: int = 0, *, peer: str = "", kind: int = netlink.RTM_NEWADDR
) -> bytes:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    own = socket.inet_pton(family, text)
    body = struct.pack("=BBBBi", family, 24, flags & 0xFF, 0, ifindex)
    body += attribute(1, socket.inet_pton(family, peer) if peer else own)
    if family == socket.AF_INET:
        body += attribute(2, own)
    return message(kind, body + attribute(8, struct.pack("=I", flags)))


def route(bits: int, *attributes: bytes, table: int = 254, kind: int = netlink.RTM_NEWROUTE) -> bytes:
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, bits, 0, 0, table, 3, 0, 1, 0)
    return message(kind, body + b"".join(attributes))


DONE = message(3, bytes(4))


class Kernel:
    """In place of socket.socket: answers each request with datagrams, or an error."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: Any) -> None:
        self.answers = {
            netlink.RTM_GETLINK: answers.get("links", [DONE]),
            netlink.RTM_GETADDR: answers.get("addresses", [DONE]),
            netlink.RTM_GETROUTE: answers.get("routes", [DONE]),
        }
        self.asked: list[int] = []
        self.open = 0
        kernel = self

        class Socket:
            def __init__(self, *_: Any) -> None:
                kernel.open += 1
                self.waiting: list[Any] = []

            def settimeout(self, seconds: float) -> None:
                assert seconds > 0

            def bind(self, name: tuple[int, int]) -> None:
                assert name == (0, 0)

            def send(self, data: bytes) -> None:
                length, kind, flags, _, _ = struct.unpack_from("=IHHII", data)
                assert length == len(data) and flags == 0x301
                kernel.asked.append(kind)
                answers = kernel.answers[kind]
                self.waiting = list(answers.pop(0) if isinstance(answers[0], list) else answers)

            def recvfrom(self, size: int) -> tuple[bytes, tuple[int, int]]:
                data = self.waiting.pop(0)
                return data if isinstance(data, tuple) else (data, (0, 0))

            def __enter__(self) -> "Socket":
                return self

            def __exit__(self, *_: object) -> None:
                kernel.open -= 1

        monkeypatch.setattr(netlink.socket, "socket", Socket)


def test_links_and_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(
        monkeypatch,
        links=[link(1, b"lo"), link(2, b"eth0", 5) + link(3, b"\xff", 2**32 - 1), DONE],
        addresses=[
            address(1, "127.0.0.1", 0x80) + address(2, "192.0.2.1", peer="192.0.2.2"),
            address(2, "2001:db8::1", 0x80) + address(2, "fe80::1", TENTATIVE | 0x80) + DONE,
        ],
    )
    assert snapshot() == Snapshot(
        {1: Link(1, "lo", 0), 2: Link(2, "eth0", 5), 3: Link(3, "\udcff", 2**32 - 1)},
        [
            Address(1, "inet4", "127.0.0.1", True),
            Address(2, "inet4", "192.0.2.1", True),
            Address(2, "inet6", "2001:db8::1", True),
            Address(2, "inet6", "fe80::1", False),
        ],
        frozenset(),
    )
    assert kernel.asked == [netlink.RTM_GETLINK, netlink.RTM_GETADDR, netlink.RTM_GETROUTE]
    assert kernel.open == 0


def test_what_is_no_address_of_the_internet_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    other = message(netlink.RTM_NEWADDR, struct.pack("=BBBBi", 28, 0, 0, 0, 1))
    bare = message(netlink.RTM_NEWADDR, struct.pack("=BBBBi", socket.AF_INET, 0, 0, 0, 1))
    Kernel(monkeypatch, addresses=[other + bare + DONE])
    assert snapshot().addresses == []


def hops(*ifindices: int) -> bytes:
    return attribute(9, b"".join(struct.pack("=HBBi", 8, 0, 0, ifindex) for ifindex in ifindices))


def test_default_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    oif = attribute(4, struct.pack("=I", 3))
    Kernel(
        monkeypatch,
        routes=[
            route(0, oif)
            + route(24, attribute(4, struct.pack("=I", 4)))
            + route(0, attribute(4, struct.pack("=I", 5)), table=100)
            + route(0, hops(6, 7))
            + route(0, attribute(9, struct.pack("=HBBi", 0, 0, 0, 8) * 2))
            + route(0)
            + DONE
        ],
    )
    assert snapshot().egress == {3, 6, 7, 8}


def test_what_changed_while_it_was_told_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    half = [message(netlink.RTM_NEWLINK, link(1, b"old")[16:], 0x10), DONE]
    whole = [link(1, b"new"), DONE]
    kernel = Kernel(monkeypatch, links=[half, half, whole])
    assert snapshot().links == {1: Link(1, "new", 0)}
    assert kernel.asked.count(netlink.RTM_GETLINK) == 3


def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    half = [message(netlink.RTM_NEWLINK, link(1, b"old")[16:], 0x10), DONE]
    kernel = Kernel(monkeypatch, links=[half] * 20)
    assert snapshot().links == {1: Link(1, "old", 0)}
    assert kernel.asked.count(netlink.RTM_GETLINK) < 10


def test_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch, links=[message(2, struct.pack("=i", -errno.EPERM) + bytes(16))])
    with pytest.raises(PermissionError):
        snapshot()
    assert kernel.open == 0


def test_what_does_not_come_from_the_kernel_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch, links=[(link(9, b"evil"), (4711, 0)), link(1, b"lo"), DONE])
    assert list(snapshot().links) == [1]


@given(st.binary(max_size=80))
def test_any_bytes_split_into_messages(data: bytes) -> None:
    for kind, flags, each in netlink._split(data):
        assert len(each) >= 16 and each in data
        assert struct.unpack_from("=HH", each, 4) == (kind, flags)


@pytest.mark.parametrize(
    ("flags", "usable"),
    [
        (0, True),
        (0x80, True),
        (TENTATIVE, False),
        (TENTATIVE | OPTIMISTIC, True),
        (DADFAILED, False),
        (DADFAILED | TENTATIVE | OPTIMISTIC, False),
    ],
)
def test_what_can_be_bound(flags: int, usable: bool) -> None:
    assert is_usable(flags) is usable


# news


class News:
    """A Monitor that reads what a test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.waiting: list[Any] = []
        self.monitor = Monitor()
        kernel_socket = self.monitor.socket

        def recvfrom(size: int) -> tuple[bytes, tuple[int, int]]:
            if not self.waiting:
                raise BlockingIOError
            data = self.waiting.pop(0)
            if isinstance(data, OSError):
                raise data
            return data if isinstance(data, tuple) else (data, (0, 0))

        class Socket:
            close = kernel_socket.close
            fileno = kernel_socket.fileno

        self.socket = Socket()
        self.socket.recvfrom = recvfrom  # type: ignore[attr-defined]
        self.monitor.socket = self.socket  # type: ignore[assignment]

    def of(self, *data: Any) -> list[Change]:
        self.waiting += data
        return self.monitor.changes()


@pytest.fixture
def news(monkeypatch: pytest.MonkeyPatch) -> Any:
    news = News(monkeypatch)
    yield news
    news.monitor.close()


def test_news(news: News) -> None:
    assert news.of() == []
    gone = link(2, b"eth0", kind=netlink.RTM_DELLINK)
    assert news.of(
        link(2, b"eth0", 5) + address(2, "192.0.2.1"), address(3, "fe80::1", kind=netlink.RTM_DELADDR), gone
    ) == [
        Change("link", 2, Link(2, "eth0", 5)),
        Change("address", 2),
        Change("address", 3),
        Change("link", 2, None),
    ]


def test_only_default_routes_are_news(news: News) -> None:
    assert news.of(route(24) + route(0) + route(0, kind=netlink.RTM_DELROUTE)) == [Change("route", 0)] * 2


def test_news_of_other_things(news: News) -> None:
    assert news.of(message(28, bytes(12)) + DONE + message(netlink.RTM_NEWADDR, bytes(4))) == []


def test_lost_news(news: News) -> None:
    full = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
    assert news.of(full, address(2, "192.0.2.1")) == [Change("lost", 0), Change("address", 2)]


def test_a_broken_socket(news: News) -> None:
    with pytest.raises(OSError, match="Bad"):
        news.of(OSError(errno.EBADF, "Bad file descriptor"))


def test_news_of_somebody_else(news: News) -> None:
    assert news.of((address(2, "192.0.2.1"), (4711, 0))) == []


def test_no_end_of_news_does_not_keep_us(news: News) -> None:
    assert 0 < len(news.of(*[address(2, "192.0.2.1")] * 1000)) < 1000


# this machine


def test_this_machine() -> None:
    found = snapshot()
    names = {found.links[each.ifindex].name for each in found.addresses if each.address == "127.0.0.1"}
    assert names == {"lo"}


def test_news_of_this_machine() -> None:
    monitor = Monitor(routes=True)
    assert monitor.fileno() > 2 and monitor.changes() == []
    monitor.close()


def test_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(netlink.socket, "socket", refuse)
    for ask in (snapshot, Monitor):
        with pytest.raises(PermissionError):
            ask()


def test_little_of_pyroute2_is_loaded_and_all_of_it_can_be_later() -> None:
    script = (
        "import sys; from smtpd.config import netlink\n"
        "assert not any(name.startswith('pyroute2') for name in sys.modules)\n"
        "netlink.snapshot()\n"
        "print(len([name for name in sys.modules if name.startswith('pyroute2')]))\n"
        "from pyroute2 import IPRoute, netns\n"
        "netlink._messages.cache_clear(); netlink.snapshot()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=os.path.dirname(_root())
    )
    assert done.returncode == 0, done.stderr
    assert 0 < int(done.stdout) < 30


def _root() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(netlink.__file__)))
