"""smtpctl/commands/spf.py, with a name service of its own."""

import asyncio
import io
import json
import sys
from typing import Any

import dns.message
import dns.resolver
import dns.rrset
import pytest

from smtpctl.commands import spf

RECORDS = {
    ("example.org", "TXT"): [
        "another text",
        "v=spf1 a mx include:_spf.example.net -ip4:198.51.100.9 ip4:192.0.2.0/24 ?ip6:2001:db8::/32 "
        "redirect=loop.example.org ~all",
    ],
    ("example.org", "A"): ["192.0.2.1"],
    ("example.org", "AAAA"): ["2001:db8::1"],
    ("example.org", "MX"): ["mx1.example.org", "mx2.example.org"],
    ("mx1.example.org", "A"): ["192.0.2.2"],
    ("mx2.example.org", "AAAA"): ["2001:db8::2"],
    ("_spf.example.net", "TXT"): [
        "v=spf1 a:hosts.example.net/28//64 exists:%{i}.x exists:yes.x include:example.org"
    ],
    ("hosts.example.net", "A"): ["203.0.113.5"],
    ("hosts.example.net", "AAAA"): ["2001:db8:1::5"],
    ("yes.x", "A"): ["127.0.0.2"],
    ("loop.example.org", "TXT"): ["v=spf1 ip4:203.0.113.99 redirect=loop.example.org"],
    ("other.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.1"],
}
ALL = [
    "192.0.2.1",
    "2001:db8::1",
    "192.0.2.2",
    "2001:db8::2",
    "203.0.113.5/28",
    "2001:db8:1::5/64",
    "127.0.0.2",
    "192.0.2.0/24",
    "2001:db8::/32",
    "203.0.113.99",
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    questions: list[tuple[str, str]] = []

    async def resolve(name: str, kind: str) -> list[str]:
        questions.append((name, kind))
        await asyncio.sleep(0)
        if name.startswith("chain"):
            number = int(name[5:])
            return [f"v=spf1 ip4:10.0.0.{number} include:chain{number + 1}"]
        if name.startswith("wide"):
            return ["v=spf1 " + " ".join(f"a:h{number}" for number in range(400))] if kind == "TXT" else []
        return RECORDS.get((name, kind), [])

    monkeypatch.setattr(spf, "resolver", lambda: resolve)
    return questions


def walk(smtpctl: Any, monkeypatch: pytest.MonkeyPatch, domains: str, *options: str) -> Any:
    monkeypatch.setattr(sys, "stdin", io.StringIO(domains))
    return smtpctl(*options, "spf", "walk")


def test_all_networks_once(smtpctl: Any, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, err = walk(smtpctl, monkeypatch, "example.org.\n\n other.example \nnone.example\n")
    assert status == 0
    assert out.splitlines() == [*ALL, "198.51.100.1"]
    assert err == "smtpctl: example.org: %{i}.x: contains macros and cannot be resolved\n"
    assert asked.count(("example.org", "TXT")) == asked.count(("loop.example.org", "TXT")) == 1


def test_a_family(smtpctl: Any, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = walk(smtpctl, monkeypatch, "example.org\n", "--inet4").out.splitlines()
    assert out == [network for network in ALL if ":" not in network]
    out = walk(smtpctl, monkeypatch, "example.org\n", "--inet6").out.splitlines()
    assert out == [network for network in ALL if ":" in network]
    assert walk(smtpctl, monkeypatch, "example.org\n", "--inet6", "--inet4").out.splitlines() == ALL


def test_json(smtpctl: Any, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = walk(smtpctl, monkeypatch, "example.org\nother.example\n", "--json").out
    rows = [json.loads(line) for line in out.splitlines()]
    assert {"domain": "other.example", "network": "192.0.2.0/24"} in rows
    assert {"domain": "example.org", "network": "192.0.2.0/24"} in rows


def test_bounds(smtpctl: Any, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    out = walk(smtpctl, monkeypatch, "chain0\n").out
    assert len(out.splitlines()) == spf.DEPTH_MAX + 1
    asked.clear()
    err = walk(smtpctl, monkeypatch, "wide\n").err
    assert err == f"smtpctl: wide: more than {spf.QUESTIONS_MAX} questions: the rest is left out\n"
    assert len(asked) == spf.QUESTIONS_MAX


def test_the_systems_name_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        ("example.org.", "TXT"): ('"v=spf1 " "a"', ["v=spf1 a"]),
        ("example.org.", "MX"): ("10 mx.example.org.", ["mx.example.org"]),
        ("example.org.", "A"): ("192.0.2.1", ["192.0.2.1"]),
        ("example.org.", "AAAA"): ("2001:db8::1", ["2001:db8::1"]),
    }

    async def resolve(self: Any, name: str, kind: str, lifetime: float) -> Any:
        if (name, kind) not in answers:
            raise dns.resolver.NXDOMAIN
        return dns.rrset.from_text(name, 60, "IN", kind, answers[name, kind][0])

    monkeypatch.setattr("dns.asyncresolver.Resolver.resolve", resolve)
    ask = spf.resolver()
    for (name, kind), (_, expected) in answers.items():
        assert asyncio.run(_one(ask, name.removesuffix("."), kind)) == expected
        ask = spf.resolver()
    assert asyncio.run(_one(ask, "none.example", "A")) == []


async def _one(ask: spf.Resolve, name: str, kind: str) -> list[str]:
    return await ask(name, kind)
