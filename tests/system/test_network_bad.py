"""Mail through a bad network: name servers that nobody can reach, and a wire that loses packets."""

import time
from collections.abc import Iterator
from pathlib import Path

import network
import pytest
from network import Network, NetworkDaemon
from sink import Sink

CONF = """\
listen on 127.0.0.1 port ${port}
mta limit conn-delay-route 0 conn-delay-relay 0 reconn-delay-route 0
action "out" relay
action "smart" relay host smtp://smart.by-file
match from any for domain "by-file.test" action "smart"
match from any for any action "out"
"""

DEAD_SERVER = "192.0.2.54"
OPTIONS = "timeout:1 attempts:1"


@pytest.fixture(scope="module")
def rough() -> Iterator[Network]:
    """A name server that nobody can reach, one that answers, and a host; no daemon yet."""
    if reason := network.missing():
        pytest.skip(reason)
    net = Network()
    try:
        zone = [f"n{number} A 192.0.2.7" for number in range(50)]
        # an answer of 4 KB: more than fits a datagram
        zone += [f"long MX {number} mx{number}.{'very-' * 10}long" for number in range(60)]
        zone += [f"mx0.{'very-' * 10}long A 192.0.2.7"]
        net.name_server({"test": "\n".join(zone)})
        net.blackhole(DEAD_SERVER)
        yield net
    finally:
        net.close()


@pytest.fixture(scope="module")
def roughly(rough: Network) -> tuple[NetworkDaemon, Sink]:
    """A daemon in it, whose first name server is dead, and the host."""
    rough.resolve_by(DEAD_SERVER, network.NAME_SERVER, options=OPTIONS)
    sink = rough.sink("192.0.2.7")
    return rough.daemon(CONF), sink


def all_sent(one: NetworkDaemon, seconds: float = 30) -> None:
    """Try what waits until nothing does."""
    until = time.monotonic() + seconds
    while one.envelopes():
        assert time.monotonic() < until, one.log()[-2000:]
        one.ctl("schedule", "all")
        time.sleep(0.3)


def test_a_dead_name_server_costs_seconds(roughly: tuple[NetworkDaemon, Sink]) -> None:
    one, sink = roughly
    before = len(sink.taken)
    one.send("x@source.test", "y@n0.test")
    sink.wait(before + 1)
    all_sent(one)


def accepted(net: Network) -> int:
    """How many TCP connections the peers' side has accepted (PassiveOpens of RFC 1213)."""
    text = net.there.run(Path("/proc/thread-self/net/snmp").read_text)
    names, values = (line.split() for line in text.splitlines() if line.startswith("Tcp:"))
    return int(values[names.index("PassiveOpens")])


def test_a_long_answer_is_asked_for_by_tcp(rough: Network, roughly: tuple[NetworkDaemon, Sink]) -> None:
    one, sink = roughly
    for domain, asked in (("n1.test", False), ("long.test", True)):
        before = accepted(rough) - sink.connections, len(sink.taken)
        one.send("x@source.test", f"y@{domain}")
        assert sink.wait(before[1] + 1)[-1].rcpts == (f"y@{domain}",)
        all_sent(one)
        assert (accepted(rough) - sink.connections > before[0]) is asked, domain


def test_a_changed_resolv_conf_is_noticed(rough: Network, roughly: tuple[NetworkDaemon, Sink]) -> None:
    one, sink = roughly
    rough.resolve_by(DEAD_SERVER, options=OPTIONS)
    sent, until = 0, time.monotonic() + 30
    while not any("Temporary failure in MX lookup" in line for line in one.envelopes()):
        assert time.monotonic() < until, one.log()[-2000:]
        sent += 1
        one.send("x@source.test", f"y@n{sent}.test")
        time.sleep(1)
    rough.resolve_by(network.NAME_SERVER)
    all_sent(one)
    assert {f"y@n{number}.test" for number in range(1, sent + 1)} <= {mail.rcpts[0] for mail in sink.taken}


def test_a_changed_hosts_file_is_noticed(rough: Network, roughly: tuple[NetworkDaemon, Sink]) -> None:
    one, sink = roughly
    one.send("x@source.test", "y@by-file.test")
    assert 'result="TempFail" stat="Host not found"' in one.wait_log("to=<y@by-file.test> rcpt=", 30)
    rough.hosts.write_text("192.0.2.7 smart.by-file\n")
    all_sent(one)
    assert sink.taken[-1].rcpts == ("y@by-file.test",)


def test_a_wire_that_loses(rough: Network, roughly: tuple[NetworkDaemon, Sink]) -> None:
    """The last one: the wire stays so."""
    one, sink = roughly
    if reason := rough.lose(10):
        pytest.skip(reason)
    before = len(sink.taken)
    for _ in range(10):
        one.send("x@source.test", "y@n0.test")
    all_sent(one, 60)
    assert len(sink.taken) >= before + 10
