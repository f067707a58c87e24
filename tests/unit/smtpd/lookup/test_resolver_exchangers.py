"""smtpd/lookup/resolver.py: where mail for a domain goes."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from imsg.message import MAX_PAYLOAD
from smtpd.lookup import resolver as resolver_module
from smtpd.lookup.resolver import (
    ADDRESSES_MAX,
    EXCHANGERS_MAX,
    Answer,
    Host,
    Resolver,
)
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.pony_lookup import HostsFound, MxHost

from .conftest import (
    NXDOMAIN,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    DnsServer,
    failure,
    temporary,
)

Run = Callable[[Any], Any]


def names(answer: Answer) -> list[tuple[int, str]]:
    return [(host.preference, host.name) for host in answer.hosts]


def with_hosts(dns_server: DnsServer, *hosts: str) -> None:
    for number, host in enumerate(hosts, 1):
        dns_server.add(host, "A", f"192.0.2.{number}")


def test_exchangers_in_order(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("d.example", "MX", "20 b.example.", "5 C.Example.", "100 a.example.")
    with_hosts(dns_server, "a.example", "b.example", "c.example")
    answer = run(resolver.exchangers("D.example"))
    assert names(answer) == [(5, "c.example"), (20, "b.example"), (100, "a.example")]
    assert [host.addresses for host in answer.hosts] == [["192.0.2.3"], ["192.0.2.2"], ["192.0.2.1"]]


def test_equals_are_shuffled(
    resolver: Resolver, dns_server: DnsServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    equals = [f"e{number}.example" for number in range(5)]
    dns_server.add(
        "d.example", "MX", "1 first.example.", *(f"10 {name}." for name in equals), "11 z.example."
    )
    with_hosts(dns_server, "first.example", "z.example", *equals)
    seen = set()
    for seed in range(30):
        resolver_module.random.seed(seed)
        order = names(run(resolver.exchangers("d.example")))
        assert order[0] == (1, "first.example") and order[-1] == (11, "z.example")
        assert sorted(order[1:-1]) == [(10, name) for name in equals]
        seen.add(tuple(order))
    assert len(seen) > 10
    assert dns_server.asked["d.example", "MX"] == 1


def test_no_exchanger_but_an_address(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    """RFC 5321 5.1: the implicit MX."""
    dns_server.add("plain.example", "A", "192.0.2.1")
    assert names(run(resolver.exchangers("plain.example"))) == [(0, "plain.example")]


def test_an_alias_of_a_domain(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("alias.example", "CNAME", "real.example.")
    dns_server.add("real.example", "MX", "10 mx.example.")
    with_hosts(dns_server, "mx.example")
    assert names(run(resolver.exchangers("alias.example"))) == [(10, "mx.example")]


def test_null_mx(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    """RFC 7505: even where there is an address."""
    dns_server.add("no.example", "MX", "0 .")
    dns_server.add("no.example", "A", "192.0.2.1")
    error = failure(run, resolver.exchangers("no.example"))
    assert not error.temporary and str(error) == "Domain does not accept mail"
    dns_server.add("here.example", "MX", "10 LocalHost.")
    assert str(failure(run, resolver.exchangers("here.example"))) == "Domain does not accept mail"
    dns_server.add("odd.example", "MX", "0 .", "10 mx.example.")
    with_hosts(dns_server, "mx.example")
    assert names(run(resolver.exchangers("odd.example"))) == [(10, "mx.example")]


@pytest.mark.parametrize(
    ("how", "is_temporary", "text"),
    [
        (NXDOMAIN, False, "Domain does not exist"),
        (SERVFAIL, True, "Temporary failure in MX lookup"),
        (SILENT, True, "Temporary failure in MX lookup"),
    ],
)
def test_exchangers_that_are_not_found(
    resolver: Resolver,
    dns_server: DnsServer,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    is_temporary: bool,
    text: str,
) -> None:
    monkeypatch.setattr(resolver_module, "LIFETIME", 0.2)
    dns_server.fails("d.example", how)
    if how != NXDOMAIN:  # the addresses would be there: without an answer for MX they must not be used
        dns_server.add("d.example", "A", "192.0.2.1")
    error = failure(run, resolver.exchangers("d.example"))
    assert (error.temporary, str(error)) == (is_temporary, text)


def test_some_exchangers_have_no_address(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("d.example", "MX", "1 gone.example.", "2 here.example.", "3 ill.example.")
    with_hosts(dns_server, "here.example")
    dns_server.fails("ill.example", SERVFAIL)
    found = run(resolver.exchangers("d.example")).hosts
    assert [(host.preference, host.name, len(host.addresses)) for host in found] == [
        (1, "gone.example", 0),  # its preference counts: it may be our own name
        (2, "here.example", 1),
        (3, "ill.example", 0),
    ]
    dns_server.add("e.example", "MX", "1 gone.example.", "3 ill.example.")
    assert temporary(run, resolver.exchangers("e.example")), "one of them may have an address later"
    dns_server.add("f.example", "MX", "1 gone.example.", "2 away.example.")
    error = failure(run, resolver.exchangers("f.example"))
    assert not error.temporary and str(error) == "No MX found for domain"
    dns_server.add("g.example", "TXT", '"no MX and no address"')
    error = failure(run, resolver.exchangers("g.example"))
    assert not error.temporary and str(error) == "No MX found for domain"


def test_exchangers_are_looked_up_at_the_same_time(
    resolver: Resolver, dns_server: DnsServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A domain with many dead name servers must not hold a mail for minutes."""
    dead = [f"dead{number}.example" for number in range(EXCHANGERS_MAX - 1)]
    dns_server.add("d.example", "MX", *(f"{n} {name}." for n, name in enumerate(dead)), "99 live.example.")
    for name in dead:
        dns_server.fails(name, SILENT)
    with_hosts(dns_server, "live.example")
    monkeypatch.setattr(Resolver.host, "__kwdefaults__", {"lifetime": 0.3, "search": False})
    began = time.monotonic()
    found = run(resolver.exchangers("d.example")).hosts
    assert [host.name for host in found if host.addresses] == ["live.example"]
    assert time.monotonic() - began < 0.3 * len(dead)  # what one after the other takes at least


def test_hostile_exchangers_fit_one_message(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    """As many and as long names with as many addresses as anybody could send."""
    label = "x" * 61
    many = [f"{label}.{label}.{label}.{'y' * 48}{number:03}.example" for number in range(100)]
    dns_server.zone["d.example", "MX"] = TRUNCATED
    dns_server.add("tcp.d.example", "MX", *(f"{number} {name}." for number, name in enumerate(many)))
    for name in many:
        dns_server.add(name, "AAAA", *(f"2001:db8:1111:2222:3333:4444:5555:{n:x}" for n in range(4096, 4120)))
        dns_server.add(name, "A")
    answer = run(resolver.exchangers("d.example"))
    assert len(answer.hosts) <= EXCHANGERS_MAX
    assert sum(len(host.addresses) for host in answer.hosts) == ADDRESSES_MAX
    worst = [
        Host(65535, many[0], ["2001:db8:1111:2222:3333:4444:5555:6666"] * 5) for _ in range(EXCHANGERS_MAX)
    ]
    for hosts in (answer.hosts, worst):
        reply = HostsFound(2**32 - 1, "ok", "", True, [MxHost(*host) for host in hosts])
        assert len(CATALOGUE.encode(reply)[1]) <= MAX_PAYLOAD


@pytest.mark.parametrize("name", ["a\\032b", "a\\010b", "\\255", "a\\.b", "a\\000", "*"])
def test_exchangers_that_are_no_host_names(
    resolver: Resolver, dns_server: DnsServer, run: Run, name: str
) -> None:
    dns_server.add("d.example", "MX", f"1 {name}.example.", "2 good.example.")
    with_hosts(dns_server, "good.example", f"{name}.example")
    assert names(run(resolver.exchangers("d.example"))) == [(2, "good.example")]
    dns_server.add("e.example", "MX", f"1 {name}.example.")
    assert not temporary(run, resolver.exchangers("e.example"))


# secured answers


def test_secure(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.secure = True
    dns_server.add("d.example", "MX", "1 mx.example.")
    with_hosts(dns_server, "mx.example", "other.example")
    answer = run(resolver.exchangers("d.example"))
    assert answer.secure and run(resolver.host("other.example")).secure
    dns_server.secure = False
    dns_server.add("e.example", "MX", "1 mx.example.")  # the address is in the cache, and was secure
    assert not run(resolver.exchangers("e.example")).secure
    dns_server.secure = True
    dns_server.add("f.example", "MX", "1 mx.example.", "2 loose.example.")
    dns_server.add("loose.example", "A", "192.0.2.8")
    dns_server.secure = False
    run(resolver.host("loose.example"))
    dns_server.secure = True
    assert not run(resolver.exchangers("f.example")).secure
    assert not run(resolver.host("localhost")).secure
