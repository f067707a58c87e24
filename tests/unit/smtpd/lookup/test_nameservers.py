"""smtpd/lookup/nameservers.py: resolv.conf(5), its changes, and how long answers are kept."""

import os
import time
from pathlib import Path
from typing import Any

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.lookup.nameservers import (
    CACHE_ANSWERS,
    CHECK_SECONDS,
    LIFETIME,
    NEGATIVE_MAX,
    POSITIVE_MAX,
    PREFER_SECONDS,
    Nameservers,
)

CONF = "# ours\nsearch a.example b.example\nnameserver 192.0.2.1\nnameserver 2001:db8::1\noptions timeout:3\n"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "resolv.conf"
    made.write_text(CONF)
    return made


def made(path: Path) -> tuple[Nameservers, Clock]:
    clock = Clock()
    return Nameservers(path=path, clock=clock), clock


def servers(one: Nameservers) -> list[str]:
    return [str(server) for server in one.current().nameservers]


def test_what_the_file_says(path: Path) -> None:
    one, _ = made(path)
    resolver = one.current()
    assert servers(one) == ["192.0.2.1", "2001:db8::1"]
    assert [name.to_text() for name in resolver.search] == ["a.example.", "b.example."]
    assert (resolver.timeout, resolver.edns, one.lifetime) == (3, 0, LIFETIME)


def test_without_a_server_it_is_the_one_on_this_machine(tmp_path: Path) -> None:
    (tmp_path / "resolv.conf").write_text("search a.example\nnameserver nonsense\nnameserver\n")
    one, _ = made(tmp_path / "resolv.conf")
    assert servers(one) == ["127.0.0.1"]


def test_without_a_file_nobody_is_asked_until_there_is_one(tmp_path: Path) -> None:
    one, clock = made(tmp_path / "resolv.conf")
    assert servers(one) == []
    (tmp_path / "resolv.conf").write_text(CONF)
    clock.now += CHECK_SECONDS
    assert servers(one) == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize("by_rename", [False, True])
def test_a_change_is_noticed_within_seconds(path: Path, by_rename: bool) -> None:
    one, clock = made(path)
    before = one.current()
    new = path.with_name("new")
    new.write_text("nameserver 192.0.2.99\n")
    if by_rename:
        os.replace(new, path)
    else:
        path.write_bytes(new.read_bytes())
    clock.now += CHECK_SECONDS - 0.1
    assert one.current() is before
    clock.now += 0.1
    assert servers(one) == ["192.0.2.99"]
    after = one.current()
    clock.now += CHECK_SECONDS
    assert one.current() is after, "what did not change is not read again"


def test_a_file_that_goes_changes_nothing(path: Path) -> None:
    one, clock = made(path)
    path.unlink()
    clock.now += CHECK_SECONDS
    assert servers(one) == ["192.0.2.1", "2001:db8::1"]


@pytest.mark.parametrize(
    ("options", "lifetime"),
    [
        ("timeout:2 attempts:3", 12.0),
        ("attempts:1 timeout:1", 2.0),
        ("attempts:100", LIFETIME),
        ("attempts:0", LIFETIME),
        ("attempts:x", LIFETIME),
        ("attempts", LIFETIME),
    ],
)
def test_attempts(path: Path, options: str, lifetime: float) -> None:
    path.write_text(f"nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions {options}\n")
    assert made(path)[0].lifetime == lifetime


@pytest.mark.parametrize(("said", "timeout"), [("0", 1), ("-5", 1), ("7", 7), ("9" * 30, 30)])
def test_timeout(path: Path, said: str, timeout: int) -> None:
    path.write_text(f"nameserver 192.0.2.1\noptions timeout:{said}\n")
    assert made(path)[0].current().timeout == timeout


@given(st.text(st.sampled_from("0123456789abcdef.:%/[]x"), max_size=30))
def test_any_server(tmp_path_factory: pytest.TempPathFactory, server: str) -> None:
    path = tmp_path_factory.mktemp("any") / "resolv.conf"
    path.write_text(f"nameserver 192.0.2.1\nnameserver {server}\n")
    assert servers(made(path)[0])[0] == "192.0.2.1"


def test_a_bad_search_list_leaves_the_servers(path: Path) -> None:
    path.write_text(f"search {'x' * 64}.example\nnameserver 192.0.2.5\n")
    one, _ = made(path)
    assert servers(one) == ["192.0.2.5"] and one.current().search == []


@given(st.binary(max_size=200))
def test_any_file(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "resolv.conf"
    path.write_bytes(b"nameserver 192.0.2.1\n" + data)
    assert servers(made(path)[0])[0] == "192.0.2.1"


def answer(text: str, server: str | None = None, ttl: int = 4_000_000) -> Any:
    query = dns.message.make_query("x.example.", "A")
    response = dns.message.make_response(query)
    if text:
        rrset = response.find_rrset(
            response.answer, dns.name.from_text("x.example."), dns.rdataclass.IN, dns.rdatatype.A, create=True
        )
        rrset.add(dns.rdata.from_text("IN", "A", text), ttl)  # type: ignore[attr-defined]
    made = dns.resolver.Answer(
        dns.name.from_text("x.example."), dns.rdatatype.A, dns.rdataclass.IN, response, server, 53
    )
    if not text:
        made.expiration = time.time() + ttl
    return made


KEY = (dns.name.from_text("x.example."), dns.rdatatype.A, dns.rdataclass.IN)


@pytest.mark.parametrize(
    ("text", "ttl", "kept"),
    [
        ("192.0.2.9", 60, 60),
        ("192.0.2.9", 4_000_000, POSITIVE_MAX),
        ("", 4_000_000, NEGATIVE_MAX),
        ("", 30, 30),
    ],
)
def test_nothing_is_kept_for_ever(path: Path, text: str, ttl: int, kept: float) -> None:
    cache = made(path)[0].current().cache
    assert cache is not None
    one = answer(text, ttl=ttl)
    cache.put(KEY, one)
    assert cache.get(KEY) is one
    assert abs(one.expiration - time.time() - kept) < 5


def test_the_cache_has_a_bound(path: Path) -> None:
    cache = made(path)[0].current().cache
    assert isinstance(cache, dns.resolver.LRUCache) and cache.max_size == CACHE_ANSWERS


def test_who_answers_when_others_do_not_is_asked_first_for_a_while(path: Path) -> None:
    one, clock = made(path)
    cache = one.current().cache
    assert cache is not None
    cache.put(KEY, answer("192.0.2.9", "2001:db8::1"))
    assert servers(one) == ["2001:db8::1", "192.0.2.1"]
    clock.now += PREFER_SECONDS - 1
    assert servers(one) == ["2001:db8::1", "192.0.2.1"]
    clock.now += 1
    assert servers(one) == ["192.0.2.1", "2001:db8::1"]
    for server in ("192.0.2.1", "192.0.2.77", None):
        cache.put(KEY, answer("192.0.2.9", server))
        assert servers(one) == ["192.0.2.1", "2001:db8::1"]


def test_given_servers_are_those(path: Path) -> None:
    one = Nameservers(["127.0.0.1"], 5353, path)
    assert servers(one) == ["127.0.0.1"] and one.current().port == 5353
    assert one.current().search == []
