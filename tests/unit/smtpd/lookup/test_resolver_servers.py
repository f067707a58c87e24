"""smtpd/lookup/resolver.py: which servers are asked, and how, when some are old, silent or gone."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import dns.message
import dns.name
import dns.nameserver
import pytest

from smtpd.lookup.hosts import Hosts
from smtpd.lookup.resolver import Resolver

from .conftest import SILENT, DnsServer, failure, temporary

Run = Callable[[Any], Any]


@pytest.fixture
def silent(dns_server: DnsServer) -> Iterator[socket.socket]:
    """Takes every question, at 127.0.0.2, and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.2", dns_server.port))
        made.setblocking(False)
        yield made


@pytest.mark.parametrize("how", ["FORMERR", "NOTIMP", "BADVERS", "mute"])
def test_a_server_without_edns(resolver: Resolver, dns_server: DnsServer, run: Run, how: str) -> None:
    """Asked again without, and for a while at once."""
    dns_server.refuses_edns = how
    dns_server.add("old.example", "A", "192.0.2.1")
    dns_server.add("old.example", "AAAA")
    assert run(resolver.host("old.example")).hosts[0].addresses == ["192.0.2.1"]
    assert dns_server.with_edns == 2 and dns_server.asked["old.example", "A"] == 2
    assert not failure(run, resolver.host("gone.example")).temporary
    assert dns_server.with_edns == 2
    resolver._nameservers._plain.clear()
    assert not failure(run, resolver.host("gone2.example")).temporary
    assert dns_server.with_edns == 4
    assert not failure(run, resolver.host("gone3.example")).temporary
    assert dns_server.with_edns == 4, "no such name is an answer too"


def test_a_server_that_understands_nothing(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.fails("x.example", "NOTIMP")
    for asked in (1, 2):
        assert temporary(run, resolver.host("x.example"))
        assert dns_server.with_edns == 2 * asked, "EDNS is not to blame"


@pytest.mark.parametrize("servers", [["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]])
def test_a_server_without_edns_beside_a_silent_one(
    hosts: Hosts, dns_server: DnsServer, run: Run, silent: socket.socket, servers: list[str]
) -> None:
    """The silent one never says that it has no EDNS, and is no reason to wait for that."""
    dns_server.refuses_edns = "NOTIMP"
    dns_server.add("old.example", "A", "192.0.2.1")
    dns_server.add("old.example", "AAAA")
    resolver = Resolver(hosts, nameservers=servers, port=dns_server.port)
    resolver._nameservers.current().timeout = 0.2
    for _ in range(2):
        assert run(resolver.host("old.example")).hosts[0].addresses == ["192.0.2.1"]
    assert dns_server.with_edns == 2


def test_one_without_edns_is_no_reason_to_ask_others_without(
    hosts: Hosts, dns_server: DnsServer, run: Run, silent: socket.socket
) -> None:
    resolver = Resolver(hosts, nameservers=["127.0.0.1", "127.0.0.2"], port=dns_server.port)
    resolver._nameservers.current().timeout = 0.1
    dns_server.refuses_edns = "NOTIMP"
    dns_server.add("old.example", "A", "192.0.2.1")
    dns_server.add("old.example", "AAAA")
    run(resolver.host("old.example"))
    with pytest.raises(BlockingIOError):
        silent.recv(512)
    dns_server.fails("x.example", SILENT)
    assert temporary(run, resolver.host("x.example", lifetime=0.3))
    assert dns.message.from_wire(silent.recv(512)).edns == 0


def test_a_question_has_one_lifetime_with_edns_and_without(
    hosts: Hosts, dns_server: DnsServer, run: Run, silent: socket.socket
) -> None:
    """The server takes its time to refuse, and then again."""
    answer = dns_server.datagram_received
    waited: list[float] = []

    def slowly(data: bytes, addr: Any) -> None:
        asyncio.get_running_loop().call_later(0.3, answer, data, addr)

    dns_server.datagram_received = slowly  # type: ignore[method-assign]
    dns_server.refuses_edns = "NOTIMP"
    dns_server.add("old.example", "A", "192.0.2.1")
    resolver = Resolver(hosts, nameservers=["127.0.0.1"], port=dns_server.port)
    query = dns.nameserver.Do53Nameserver.async_query

    async def noted(self: Any, request: Any, timeout: float, *arguments: Any, **options: Any) -> Any:
        waited.append(timeout)
        return await query(self, request, timeout, *arguments, **options)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dns.nameserver.Do53Nameserver, "async_query", noted)
        assert run(resolver._ask(dns.name.from_text("old.example"), "A", 2.0))
    first, second = waited
    assert first <= 2.0 and second <= first - 0.25


def test_one_of_several_servers_is_dead(
    hosts: Hosts, dns_server: DnsServer, run: Run, silent: socket.socket
) -> None:
    """The next one is asked, and first for a while; a lame one costs nothing."""
    dns_server.add("x.example", "A", "192.0.2.1")
    dns_server.add("y.example", "A", "192.0.2.2")
    servers = ["127.0.0.2", "127.0.0.3", "127.0.0.1"]  # silent, nobody there, good
    resolver = Resolver(hosts, nameservers=servers, port=dns_server.port)
    resolver._nameservers.current().timeout = 0.2
    assert run(resolver.host("x.example")).hosts[0].addresses == ["192.0.2.1"]
    assert silent.recv(512), "it was asked"
    while True:
        try:
            silent.recv(512)
        except BlockingIOError:
            break
    assert run(resolver.host("y.example")).hosts[0].addresses == ["192.0.2.2"]
    with pytest.raises(BlockingIOError):
        silent.recv(512)
