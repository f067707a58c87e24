"""`listen on veth0` in a network of the test's own: addresses come and go, and listeners with them."""

import ctypes
import errno
import os
import platform
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from daemon import Daemon, mail

pytestmark = pytest.mark.root

PORT = 2525

CONF = """\
listen on veth0 port 2525 hostname here.test
action "local" maildir
match from any for local action "local"
"""

LINK_LOCAL = "fe80::77"

IP_FREEBIND = 15  # of linux/in.h: an address that is not there yet can be bound


class Network:
    """A network namespace with a loopback and the pair veth0, veth1."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
        self.path = f"/proc/{self._holder.pid}/ns/net"
        until = time.monotonic() + 10
        while os.readlink(self.path) == os.readlink("/proc/self/ns/net"):
            assert time.monotonic() < until and self._holder.poll() is None, "no network of our own"
            time.sleep(0.01)
        self.set_up("lo")
        self.make_pair()

    def inside[T](self, function: Callable[[], T]) -> T:
        """What a function returns that runs in this network (a thread's, setns(2))."""
        results: list[Any] = []

        def run() -> None:
            try:
                with open(self.path) as namespace:
                    os.setns(namespace.fileno(), os.CLONE_NEWNET)
                results.append((function(), None))
            except BaseException as error:
                results.append((None, error))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join(30)
        assert results, "took too long"
        result, error = results[0]
        if error is not None:
            raise error
        returned: T = result
        return returned

    def route(self, *steps: Callable[[Any], Any]) -> None:
        """Steps with an IPRoute of pyroute2."""
        from pyroute2 import IPRoute

        def run() -> None:
            with IPRoute() as route:
                for step in steps:
                    step(route)

        self.inside(run)

    def index(self, name: str) -> int:
        return self.inside(lambda: socket.if_nametoindex(name))

    def set_up(self, name: str) -> None:
        index = self.index(name)
        self.route(lambda route: route.link("set", index=index, state="up"))

    def make_pair(self) -> None:
        self.route(lambda route: route.link("add", ifname="veth0", kind="veth", peer="veth1"))
        # Link-local addresses are of a test's own choice: IN6_ADDR_GEN_MODE_NONE.
        none = {"attrs": [("AF_INET6", {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", 1)]})]}
        for name in ("veth0", "veth1"):
            index = self.index(name)
            self.route(lambda route, index=index: route.link("set", index=index, IFLA_AF_SPEC=none))
            self.set_up(name)

    def remove_pair(self) -> None:
        index = self.index("veth0")
        self.route(lambda route: route.link("del", index=index))

    def add(self, address: str, *, dad: bool = False) -> None:
        index = self.index("veth0")
        options: dict[str, Any] = {"address": address, "prefixlen": 64 if ":" in address else 32}
        if ":" in address and not dad:
            options["flags"] = 0x02  # IFA_F_NODAD
        self.route(lambda route: route.addr("add", index=index, **options))

    def remove(self, address: str) -> None:
        index = self.index("veth0")
        prefix = 64 if ":" in address else 32
        self.route(lambda route: route.addr("del", index=index, address=address, prefixlen=prefix))

    def connect(self, address: str) -> socket.socket:
        """A connection from within, greeted by the daemon."""
        host, _, scope = address.partition("%")

        def connect() -> socket.socket:
            if ":" not in host:
                return socket.create_connection((host, PORT), 5)
            client = socket.socket(socket.AF_INET6)
            client.settimeout(5)
            client.connect((host, PORT, 0, socket.if_nametoindex(scope) if scope else 0))
            return client

        client = self.inside(connect)
        client.settimeout(10)
        assert client.recv(1000).startswith(b"220 here.test")
        return client

    def refuses(self, address: str) -> bool:
        try:
            self.connect(address).close()
        except OSError as error:
            return error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, None)
        return False

    def close(self) -> None:
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(10)


class NetworkDaemon(Daemon):
    """A daemon in such a network."""

    network: Network
    before: tuple[str, ...] = ()

    def command(self) -> list[str]:
        return ["nsenter", f"--net={self.network.path}", *self.before, *super().command()]


@pytest.fixture
def network(privileged: None) -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


@pytest.fixture
def daemon(network: Network) -> Iterator[Callable[..., NetworkDaemon]]:
    """daemon(conf, mode=...): started in the network; stops cleanly at the end."""
    started: list[NetworkDaemon] = []

    def start(conf: str = CONF, *, before: tuple[str, ...] = (), **options: Any) -> NetworkDaemon:
        one = NetworkDaemon(conf, **options)
        one.network, one.before = network, before
        started.append(one)
        one.start()
        return one

    yield start
    for one in started:
        one.close()


def listens(daemon: NetworkDaemon, address: str, count: int = 1) -> None:
    """Return once the daemon has said so many times that it listens there."""
    _said(daemon, f"listening on {_shown(address)}", count)


def left(daemon: NetworkDaemon, address: str, count: int = 1) -> None:
    _said(daemon, f"no longer listening on {_shown(address)}", count)


def _shown(address: str) -> str:
    return f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"


def _said(daemon: NetworkDaemon, text: str, count: int) -> None:
    until = time.monotonic() + 10
    while sum(line.endswith(f"parent: {text}") for line in daemon.log().splitlines()) < count:
        assert time.monotonic() < until, f"{text!r} not said {count} times:\n{daemon.log()}"
        time.sleep(0.02)


@pytest.mark.parametrize("mode", ["alone", "privileged"])
def test_addresses_come_and_go(network: Network, daemon: Any, mode: str) -> None:
    network.add("10.77.0.1")
    one = daemon(mode=mode)
    listens(one, "10.77.0.1")
    stays = network.connect("10.77.0.1")
    network.add("10.77.0.2")
    network.add("2001:db8:77::2")
    for address in ("10.77.0.2", "2001:db8:77::2"):
        listens(one, address)
        network.connect(address).close()
    network.remove("10.77.0.2")
    left(one, "10.77.0.2")
    assert network.refuses("10.77.0.2")
    stays.sendall(b"NOOP\r\n")
    assert stays.recv(1000).startswith(b"250 ")
    network.add("10.77.0.2")
    listens(one, "10.77.0.2", 2)
    network.connect("10.77.0.2").close()
    stays.close()


def test_mail_over_an_address_that_came(network: Network, daemon: Any) -> None:
    network.add("10.77.0.1")
    one = daemon()
    network.add("10.77.0.9")
    listens(one, "10.77.0.9")
    client = network.connect("10.77.0.9")
    conversation = client.makefile("rwb", buffering=0)
    for line in (b"EHLO c.test", b"MAIL FROM:<a@source.test>", b"RCPT TO:<you@localhost>", b"DATA"):
        conversation.write(line + b"\r\n")
        while (reply := conversation.readline())[3:4] == b"-":
            pass
        assert reply[:1] in b"23", reply
    conversation.write(mail() + b".\r\n")
    assert conversation.readline().startswith(b"250 ")
    one.mails("you")
    client.close()
    conversation.close()


def test_an_address_is_used_once_it_is_known_to_be_unique(network: Network, daemon: Any) -> None:
    network.add("10.77.0.1")
    one = daemon()
    network.add("2001:db8:77::5", dad=True)
    listens(one, "2001:db8:77::5")
    network.connect("2001:db8:77::5").close()
    assert "cannot listen" not in one.log()


def test_an_address_that_is_not_unique_yet_does_not_keep_the_daemon_from_starting(
    network: Network, daemon: Any
) -> None:
    network.add("10.77.0.1")
    network.add("2001:db8:77::6", dad=True)
    one = daemon()
    listens(one, "2001:db8:77::6")
    network.connect("2001:db8:77::6").close()
    assert "cannot listen" not in one.log()


def test_link_local_addresses_and_an_interface_made_anew(network: Network, daemon: Any) -> None:
    network.add("10.77.0.1")
    network.add(LINK_LOCAL)
    one = daemon()
    scoped = f"{LINK_LOCAL}%veth0"
    listens(one, scoped)
    network.connect(scoped).close()
    network.remove_pair()
    left(one, scoped)
    left(one, "10.77.0.1")
    for count in (2, 3):
        network.make_pair()
        network.add(LINK_LOCAL)
        network.add("10.77.0.1")
        listens(one, scoped, count)
        network.connect(scoped).close()
        network.connect("10.77.0.1").close()
        if count == 2:
            # so quickly that there is no look between: the old socket means a link that is no more
            network.remove_pair()
    assert "cannot listen" not in one.log()


def test_many_changes_at_once(network: Network, daemon: Any) -> None:
    network.add("10.77.0.1")
    one = daemon()
    listens(one, "10.77.0.1")
    for last in range(2, 42):
        network.add(f"10.77.0.{last}")
    for last in range(2, 42):
        listens(one, f"10.77.0.{last}")
    for last in range(2, 42):
        network.remove(f"10.77.0.{last}")
    for last in range(2, 42):
        left(one, f"10.77.0.{last}")
    network.connect("10.77.0.1").close()
    assert "cannot" not in one.log()


def test_a_port_that_somebody_has_is_tried_again(network: Network, daemon: Any) -> None:
    network.add("10.77.0.1")
    one = daemon()
    with network.inside(socket.socket) as other:
        other.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        other.bind(("10.77.0.2", PORT))
        other.listen()
        network.add("10.77.0.2")
        one.wait_log("cannot listen on 10.77.0.2:2525: Address already in use; it will be tried again")
    listens(one, "10.77.0.2")
    network.connect("10.77.0.2").close()


def test_a_group(network: Network, daemon: Any) -> None:
    """egress: the interface that the default route goes out on."""
    network.add("10.77.0.1")
    index = network.index("veth0")
    network.route(lambda route: route.route("add", dst="0.0.0.0/0", oif=index))
    one = daemon(CONF.replace("veth0", "egress"))
    listens(one, "10.77.0.1")
    network.route(lambda route: route.route("del", dst="0.0.0.0/0", oif=index))
    left(one, "10.77.0.1")
    network.route(lambda route: route.route("add", dst="0.0.0.0/0", oif=index))
    listens(one, "10.77.0.1", 2)
    network.connect("10.77.0.1").close()


def test_smtp_that_is_paused_stays_so_on_new_addresses(network: Network, daemon: Any) -> None:
    network.add("10.77.0.1")
    one = daemon()
    one.ctl("pause", "smtp")
    network.add("10.77.0.2")
    listens(one, "10.77.0.2")
    waiting = network.inside(lambda: socket.create_connection(("10.77.0.2", PORT), 5))
    waiting.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waiting.recv(100)
    one.ctl("resume", "smtp")
    waiting.settimeout(10)
    assert waiting.recv(1000).startswith(b"220 ")
    waiting.close()


# without netlink

SYSTEM_CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Machine -> its audit number and that of socket(2)."""

WITHOUT_NETLINK = """
import ctypes, os, sys
filter_text = bytes.fromhex(sys.argv[1])
code = ctypes.create_string_buffer(filter_text, len(filter_text))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
program = Program(len(filter_text) // 8, ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, os.strerror(ctypes.get_errno())
os.execvp(sys.argv[2], sys.argv[2:])
"""


def no_netlink() -> str:
    """A filter (seccomp(2)) under which socket(AF_NETLINK, ...) is not permitted, in hex."""
    architecture, number = SYSTEM_CALLS[platform.machine()]
    load, equal, answer = 0x20, 0x15, 0x06

    def step(code: int, true: int, false: int, value: int) -> bytes:
        return struct.pack("=HBBI", code, true, false, value)

    return b"".join(
        (
            step(load, 0, 0, 4),
            step(equal, 0, 5, architecture),
            step(load, 0, 0, 0),
            step(equal, 0, 3, number),
            step(load, 0, 0, 16),
            step(equal, 0, 1, socket.AF_NETLINK),
            step(answer, 0, 0, 0x00050000 | errno.EPERM),
            step(answer, 0, 0, 0x7FFF0000),
        )
    ).hex()


@pytest.mark.skipif(platform.machine() not in SYSTEM_CALLS, reason="no filter for this kind of machine")
def test_without_permission_for_netlink_it_works_but_does_not_follow(network: Network, daemon: Any) -> None:
    assert ctypes.sizeof(ctypes.c_void_p) == 8
    network.add("10.77.0.1")
    network.add(LINK_LOCAL)
    one = daemon(before=(sys.executable, "-c", WITHOUT_NETLINK, no_netlink()))
    one.wait_log("interfaces cannot be followed: Operation not permitted")
    network.connect("10.77.0.1").close()
    network.connect(f"{LINK_LOCAL}%veth0").close()
    network.add("10.77.0.2")
    time.sleep(1)
    assert network.refuses("10.77.0.2")
    network.connect("10.77.0.1").close()
