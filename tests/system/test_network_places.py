"""Mail through a network of a test's own with few connections: nobody waits for what will not come."""

import socket
import time
from collections.abc import Iterator

import network
import pytest
from network import Network

SILENT = [f"203.0.113.{number}" for number in range(1, 151)]
SHARED = [f"shared{number}" for number in range(12)]

ZONE = "\n".join(
    [f"n{number}.silent A {address}" for number, address in enumerate(SILENT)]
    + ["good A 192.0.2.7", "host A 192.0.2.8"]
    + [f"{name} MX 10 host" for name in SHARED]
)

CONF = """\
listen on 127.0.0.1 port ${port}
mta limit conn-delay-route 0 conn-delay-relay 0 reconn-delay-route 0
mta limit max-conn-per-host ${most}
action "out" relay
match from any for any action "out"
"""


@pytest.fixture(scope="module")
def net() -> Iterator[Network]:
    if reason := network.missing():
        pytest.skip(reason)
    made = Network()
    try:
        made.name_server({"test": ZONE})
        made.add(*SILENT)
        yield made
    finally:
        made.close()


def test_hosts_that_never_greet_hold_up_nobody(net: Network) -> None:
    """There are more of them than max-conn-per-source, 100; the kernel accepts for them, and that is all."""
    listeners: list[socket.socket] = [net.listener(address) for address in SILENT]
    try:
        sink = net.sink("192.0.2.7")
        one = net.daemon(CONF, most=10)
        for first in range(0, len(SILENT), 50):
            rcpts = [f"y@n{number}.silent.test" for number in range(first, first + 50)]
            one.send("x@source.test", rcpts)
        until = time.monotonic() + 30
        while one.log().count(" mta connected") < 100:
            assert time.monotonic() < until, one.log()[-2000:]
            time.sleep(0.1)
        one.send("x@source.test", "y@good.test")
        sink.wait(1, 40)  # a greeting's time-out is five minutes
        until = time.monotonic() + 20
        while len(one.envelopes()) > len(SILENT):
            assert time.monotonic() < until
            time.sleep(0.1)
        assert one.log().count(" mta connected") == len(SILENT) + 1
        assert all("|inflight|" in line for line in one.envelopes())
    finally:
        for listener in listeners:
            listener.close()


def test_a_host_of_many_domains_is_not_left_idle(net: Network) -> None:
    """One connection is allowed; it is given on at once, where OpenSMTPD looks again every five seconds."""
    sink = net.sink("192.0.2.8")
    one = net.daemon(CONF, most=1)
    for name in SHARED:
        one.send("x@source.test", f"y@{name}.test")
    sink.wait(len(SHARED), 40)
    assert sink.connections == len(SHARED), "their relays have no connections in common"
