"""smtpd/lookup/resolver.py: against a DNS server of our own on the loopback."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.name
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

import smtpd
from smtpd.lookup import resolver as resolver_module
from smtpd.lookup.hosts import Hosts
from smtpd.lookup.resolver import (
    ADDRESSES_MAX,
    Answer,
    Host,
    ResolveError,
    Resolver,
)

from .conftest import (
    GARBAGE,
    NXDOMAIN,
    SERVFAIL,
    SILENT,
    TRUNCATED,
    DnsServer,
    failure,
    temporary,
)

Run = Callable[[Any], Any]

# addresses of a host


def test_host(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("both.example", "A", "192.0.2.1", "192.0.2.2")
    dns_server.add("both.example", "AAAA", "2001:db8::1")
    dns_server.add("old.example", "A", "192.0.2.3")
    (host,) = run(resolver.host("both.example")).hosts
    assert (host.preference, host.name, host.addresses[0]) == (0, "both.example", "2001:db8::1")
    assert sorted(host.addresses[1:]) == ["192.0.2.1", "192.0.2.2"]
    assert run(resolver.host("OLD.Example")) == Answer([Host(0, "old.example", ["192.0.2.3"])], False)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("[192.0.2.1]", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[IPv6:2001:DB8::1]", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
    ],
)
def test_numeric(resolver: Resolver, dns_server: DnsServer, run: Run, name: str, address: str) -> None:
    assert run(resolver.host(name)).hosts[0].addresses == [address]
    assert not dns_server.asked


def test_from_the_hosts_file(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    assert run(resolver.host("LocalHost")).hosts == [Host(0, "localhost", ["127.0.0.1", "::1"])]
    run(resolver.host("localhost")).hosts[0].addresses.clear()  # what is handed out is the asker's own
    assert run(resolver.host("localhost")).hosts[0].addresses == ["127.0.0.1", "::1"]
    assert not dns_server.asked


@pytest.mark.parametrize(
    ("how", "is_temporary"), [(NXDOMAIN, False), (SERVFAIL, True), (SILENT, True), (GARBAGE, True)]
)
def test_host_that_is_not_found(
    resolver: Resolver, dns_server: DnsServer, run: Run, how: str, is_temporary: bool
) -> None:
    dns_server.fails("x.example", how)
    began = time.monotonic()
    assert temporary(run, resolver.host("x.example", lifetime=0.2)) is is_temporary
    assert time.monotonic() - began < 5


def test_host_without_addresses(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("text.example", "TXT", '"only"')
    error = failure(run, resolver.host("text.example"))
    assert not error.temporary and str(error) == "Host not found"
    assert error.detail == "text.example has no address"


def test_a_search_list_is_for_bare_names_that_somebody_wrote(
    resolver: Resolver, dns_server: DnsServer, run: Run
) -> None:
    resolver._nameservers.current().search = [dns.name.from_text("in.example")]
    dns_server.add("mailhub.in.example", "A", "192.0.2.1")
    dns_server.add("a.mailhub.in.example", "A", "192.0.2.1")
    for name in ("mailhub", "a.mailhub"):
        dns_server.fails(name, NXDOMAIN)
    assert run(resolver.host("mailhub", search=True)).hosts == [Host(0, "mailhub", ["192.0.2.1"])]
    failure(run, resolver.host("mailhub"))
    failure(run, resolver.host("a.mailhub", search=True))


@pytest.mark.parametrize(("broken", "whole"), [("AAAA", "A"), ("A", "AAAA")])
@pytest.mark.parametrize("how", [SERVFAIL, SILENT])
def test_one_kind_of_address_is_enough(
    resolver: Resolver, dns_server: DnsServer, run: Run, broken: str, whole: str, how: str
) -> None:
    dns_server.zone["half.example", broken] = how
    dns_server.add("half.example", whole, "192.0.2.1" if whole == "A" else "2001:db8::1")
    assert len(run(resolver.host("half.example", lifetime=0.2)).hosts[0].addresses) == 1
    dns_server.zone["none.example", broken] = how
    dns_server.add("none.example", whole)
    assert temporary(run, resolver.host("none.example", lifetime=0.2)), "it may have one after all"


def test_nobody_listens(hosts: Hosts, run: Run) -> None:
    """What the system says of a closed port is a temporary failure too, and no exception of the loop."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    resolver = Resolver(hosts, nameservers=["127.0.0.1"], port=port)
    assert temporary(run, resolver.host("x.example", lifetime=0.3))


NO_NAMES = [
    "",
    ".",
    "..",
    "a..b",
    "x" * 64 + ".example",
    "a." * 150,
    "a b",
    "\ud800",
    "\udcff.example",
    "x\0y",
    "\\",
]


@pytest.mark.parametrize("name", NO_NAMES, ids=ascii)
def test_what_is_no_name(resolver: Resolver, run: Run, name: str) -> None:
    assert not failure(run, resolver.host(name)).temporary
    assert not failure(run, resolver.exchangers(name)).temporary


@given(name=st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_is_a_name_or_an_error(name: str) -> None:
    try:
        resolver_module._name(name)
    except ResolveError as error:
        assert not error.temporary


def test_alias(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("www.example", "CNAME", "deep.example.")
    dns_server.add("deep.example", "CNAME", "real.example.")
    dns_server.add("real.example", "A", "192.0.2.9")
    assert run(resolver.host("www.example")).hosts == [Host(0, "www.example", ["192.0.2.9"])]


def test_answer_over_tcp(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.fails("big.example", TRUNCATED)
    dns_server.add("tcp.big.example", "A", *(f"192.0.2.{n}" for n in range(1, 60)))
    dns_server.add("tcp.big.example", "AAAA")
    assert len(run(resolver.host("big.example")).hosts[0].addresses) == 59
    assert dns_server.over_tcp == 2 and dns_server.asked["big.example", "A"] == 2, "by UDP first"


def test_more_addresses_than_anybody_needs(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.fails("huge.example", TRUNCATED)
    dns_server.add("tcp.huge.example", "A", *(f"10.0.{n // 250}.{n % 250}" for n in range(3000)))
    dns_server.add("tcp.huge.example", "AAAA")
    assert len(run(resolver.host("huge.example")).hosts[0].addresses) == ADDRESSES_MAX


# the cache


def test_cache(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("often.example", "A", "192.0.2.1")
    for _ in range(5):
        run(resolver.host("often.example"))
        failure(run, resolver.host("never.example"))
    assert set(dns_server.asked.values()) == {1}


def test_what_must_not_be_kept(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.ttl = 0
    dns_server.add("short.example", "A", "192.0.2.1")
    dns_server.add("short.example", "AAAA")
    dns_server.fails("ill.example", SERVFAIL)
    for _ in range(2):
        run(resolver.host("short.example"))
        failure(run, resolver.host("ill.example"))
    assert dns_server.asked["short.example", "A"] == 2
    first = dns_server.asked["ill.example", "A"]
    failure(run, resolver.host("ill.example"))
    assert dns_server.asked["ill.example", "A"] > first
    dns_server.add("ill.example", "A", "192.0.2.2")
    assert run(resolver.host("ill.example")).hosts[0].addresses == ["192.0.2.2"]


# names of clients


def test_reverse(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("1.2.0.192.in-addr.arpa", "PTR", "Mail.Example.")
    dns_server.add("mail.example", "A", "192.0.2.9", "192.0.2.1")
    assert run(resolver.reverse("192.0.2.1")) == "mail.example"


def test_reverse_of_inet6(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    reverse = "1" + ".0" * 23 + ".8.b.d.0.1.0.0.2.ip6.arpa"
    dns_server.add(reverse, "PTR", "mail.example.")
    dns_server.add("mail.example", "AAAA", "2001:db8::1")
    assert run(resolver.reverse("2001:0DB8:0::1")) == "mail.example"


def test_reverse_from_the_hosts_file(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    assert run(resolver.reverse("192.0.2.77")) == "Printer.example"
    assert run(resolver.reverse("::1")) == "localhost"
    assert not dns_server.asked


def test_a_name_that_does_not_lead_back(resolver: Resolver, dns_server: DnsServer, run: Run) -> None:
    dns_server.add("1.2.0.192.in-addr.arpa", "PTR", "bank.example.")
    dns_server.add("bank.example", "A", "192.0.2.2")
    assert run(resolver.reverse("192.0.2.1")) == ""
    dns_server.add("3.2.0.192.in-addr.arpa", "PTR")
    assert run(resolver.reverse("192.0.2.3")) == ""


UNLIKELY = ["a\\032\\(b\\)\\010", "\\(x\\)", "x\\@y", "\\000", "\\195\\188"]


@pytest.mark.parametrize(
    "target",
    ["192.0.2.1", "localhost", "", "[192.0.2.1]", *(f"{name}.example" for name in UNLIKELY)],
)
def test_names_nobody_may_give_himself(
    resolver: Resolver, dns_server: DnsServer, run: Run, target: str
) -> None:
    """Not his own address either, which would be its own proof; it would stand in the log and in rules."""
    dns_server.add("1.2.0.192.in-addr.arpa", "PTR", f"{target}.")
    for name in UNLIKELY:
        dns_server.add(f"{name}.example", "A", "192.0.2.1")
    assert run(resolver.reverse("192.0.2.1")) == ""


def test_reverse_that_fails(
    resolver: Resolver, dns_server: DnsServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "REVERSE_LIFETIME", 0.3)
    dns_server.fails("1.2.0.192.in-addr.arpa", NXDOMAIN)
    dns_server.fails("2.2.0.192.in-addr.arpa", SERVFAIL)
    dns_server.fails("3.2.0.192.in-addr.arpa", SILENT)
    assert not temporary(run, resolver.reverse("192.0.2.1"))
    assert temporary(run, resolver.reverse("192.0.2.2"))
    began = time.monotonic()
    assert temporary(run, resolver.reverse("192.0.2.3"))
    assert 0.2 < time.monotonic() - began < 2
    with pytest.raises(ValueError):
        run(resolver.reverse("local"))


def test_reverse_is_bounded_as_a_whole(
    resolver: Resolver, dns_server: DnsServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each question may take its time, all together may not."""
    monkeypatch.setattr(resolver_module, "REVERSE_LIFETIME", 0.3)
    dns_server.add("1.2.0.192.in-addr.arpa", "PTR", "slow.example.")
    answer = resolver._ask

    async def slowly(*arguments: Any) -> Any:
        await asyncio.sleep(0.2)
        return await answer(*arguments)

    monkeypatch.setattr(resolver, "_ask", slowly)
    dns_server.fails("slow.example", SILENT)
    began = time.monotonic()
    assert temporary(run, resolver.reverse("192.0.2.1"))
    assert time.monotonic() - began < 0.45


# the process around it


def test_questions_at_a_time(
    resolver: Resolver, dns_server: DnsServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver._questions = asyncio.Semaphore(3)
    at_once = most = 0
    asked_by = resolver._nameservers.current()
    resolve = asked_by.resolve

    async def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        try:
            return await resolve(*arguments, **options)
        finally:
            at_once -= 1

    monkeypatch.setattr(asked_by, "resolve", counted)
    for number in range(20):
        dns_server.add(f"h{number}.example", "A", "192.0.2.1")

    async def all_of_them() -> list[Answer]:
        return list(await asyncio.gather(*(resolver.host(f"h{number}.example") for number in range(20))))

    assert len(run(all_of_them())) == 20
    assert most == 3 and at_once == 0


CLIENT = """
import asyncio, sys
from smtpd.lookup.hosts import Hosts
from smtpd.lookup.resolver import Resolver, ResolveError
from smtpd.mproc.child import RefuseImports, _load_codecs
from smtpd.mproc.log import Log
from smtpd.mproc.loop import new_loop
from pathlib import Path
_load_codecs()
loop = new_loop()
resolver = Resolver(Hosts(Path("/nowhere")), nameservers=["127.0.0.1"], port=int(sys.argv[1]))
sys.meta_path.insert(0, RefuseImports(Log("lookup")))
async def ask():
    for question in (
        resolver.exchangers("d.example"), resolver.host("signed.example"), resolver.host("odd.example"),
        resolver.host("big.example"), resolver.reverse("192.0.2.1"), resolver.host("none.example"),
        resolver.host("b\\u00fccher.example"), resolver.host("ill.example"),
        resolver.host("mute.example", lifetime=0.2), resolver.host("garbage.example", lifetime=0.2),
    ):
        try:
            print(len((await question)[0]))
        except ResolveError as error:
            print(error.temporary)
loop.run_until_complete(ask())
"""


def test_nothing_is_imported_by_a_question(
    loop: asyncio.AbstractEventLoop, dns_server: DnsServer, run: Run
) -> None:
    """In a fresh interpreter, with every kind of answer: after the drop no module can be loaded."""
    dns_server.add("d.example", "MX", "1 mx.example.")
    dns_server.add("mx.example", "A", "192.0.2.1")
    dns_server.add("signed.example", "A", "192.0.2.1")
    dns_server.add("odd.example", "A", "192.0.2.1")
    dns_server.fails("big.example", TRUNCATED)
    dns_server.add("tcp.big.example", "A", "192.0.2.1")
    dns_server.add("tcp.big.example", "AAAA")
    dns_server.add("1.2.0.192.in-addr.arpa", "PTR", "mx.example.")
    dns_server.add("xn--bcher-kva.example", "A", "192.0.2.1")
    dns_server.fails("ill.example", SERVFAIL)
    dns_server.fails("mute.example", SILENT)
    dns_server.fails("garbage.example", GARBAGE)
    signature = "A 8 2 300 20300101000000 20200101000000 1 example. AAAA"
    plain = dns_server._add_records

    def with_more(response: Any, owner: Any, kind: str, said: Any) -> None:
        plain(response, owner, kind, said)
        if owner.to_text() in ("signed.example.", "odd.example."):
            response.answer.append(resolver_rrset(owner, "RRSIG", signature))
            response.additional.append(resolver_rrset(owner, "DNAME", "x.example."))
            response.additional.append(resolver_rrset(owner, "TYPE65400", "\\# 2 abcd"))
            response.authority.append(
                resolver_rrset(owner, "NSEC3", "1 0 0 - 2vptu5timamqttgl4luu9kg21e0aor3s A")
            )
            response.additional.append(resolver_rrset(owner, "SVCB", "1 svc.example. port=1"))

    dns_server._add_records = with_more  # type: ignore[method-assign]
    client = asyncio.create_subprocess_exec(
        sys.executable, "-P", "-c", CLIENT, str(dns_server.port),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(smtpd.__file__).parent.parent)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip

    async def ask() -> tuple[bytes, bytes]:
        process = await client
        return await process.communicate()

    out, err = run(ask())
    assert err.decode() == ""
    # One host each, and the first letter of a name; then: not there, one host, and three times no answer.
    assert out.decode().split() == ["1", "1", "1", "1", "1", "False", "1", "True", "True", "True"]


def resolver_rrset(owner: Any, kind: str, text: str) -> Any:
    return dns.rrset.from_text(owner, 300, "IN", kind, text)
