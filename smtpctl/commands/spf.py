"""spf walk: which networks the SPF records of domains let send mail, includes and redirects followed.

Domains come from standard input, a line each. Printed is a network or an address a line, each once, what a
record excludes left out; it is meant for address lists of firewalls and spamd. Macros cannot be followed.
JSON: {"domain", "network"}, each once a domain. Needs no daemon and no rights.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from ipaddress import ip_address
from typing import Any

from smtpd.protocol.spf import Term, parse

from ..invocation import Invocation
from ..matching import Option, Parameter

OPTIONS = (
    Option("inet4", "", "only IPv4 networks"),
    Option("inet6", "", "only IPv6 networks"),
)

QUESTIONS_MAX = 500
"""Questions for one domain: nobody's records need more, and a loop ends."""

DEPTH_MAX = 20
AT_A_TIME = 20
LIFETIME = 10.0
"""Seconds for the answer to a question."""

type Resolve = Callable[[str, str], Awaitable[list[str]]]


class _Walk:
    """One domain's records."""

    def __init__(self, resolve: Resolve, complain: Callable[[str], None]) -> None:
        self._resolve = resolve
        self._complain = complain
        self._seen: set[str] = set()
        self._left = QUESTIONS_MAX

    async def records(self, domain: str, depth: int = 0) -> list[str]:
        """The networks of a domain."""
        if domain.lower() in self._seen or depth > DEPTH_MAX:
            return []
        self._seen.add(domain.lower())
        terms = [term for text in await self._ask(domain, "TXT") for term in parse(text)]
        found = await asyncio.gather(
            *(self._term(term, domain, depth) for term in terms if term.qualifier not in ("-", "~"))
        )
        return [network for networks in found for network in networks]

    async def _term(self, term: Term, domain: str, depth: int) -> list[str]:
        target = term.value or domain
        match term.name:
            case "ip4" | "ip6":
                return [_with_prefix(term, term.value)]
            case "include" | "redirect" if term.value:
                return await self.records(term.value, depth + 1)
            case "a":
                return await self._addresses(term, target)
            case "exists" if term.value:
                return await self._ask(term.value, "A")
            case "mx":
                hosts = await self._ask(target, "MX")
                found = await asyncio.gather(*(self._addresses(term, host) for host in hosts))
                return [address for addresses in found for address in addresses]
        return []

    async def _addresses(self, term: Term, host: str) -> list[str]:
        found = await asyncio.gather(self._ask(host, "A"), self._ask(host, "AAAA"))
        return [_with_prefix(term, address) for addresses in found for address in addresses]

    async def _ask(self, name: str, kind: str) -> list[str]:
        if "%" in name:
            self._complain(f"{name}: contains macros and cannot be resolved")
            return []
        self._left -= 1
        if self._left < 0:
            if self._left == -1:
                self._complain(f"more than {QUESTIONS_MAX} questions: the rest is left out")
            return []
        return await self._resolve(name, kind)


def spf_walk(invocation: Invocation, _parameters: Sequence[Parameter], options: Mapping[str, str]) -> int:
    """spf walk."""
    wanted = {4 if name == "inet4" else 6 for name in options}
    families = wanted or {4, 6}
    seen: set[str] = set()
    for domain, networks in _walk(_domains(), resolver(), invocation.output.complain):
        for network in dict.fromkeys(networks):
            if ip_address(network.partition("/")[0]).version not in families:
                continue
            if network not in seen or invocation.output.as_json:
                invocation.output.row(network, {"domain": domain, "network": network})
            seen.add(network)
        invocation.output.flush()
    return 0


def _domains() -> Iterator[str]:
    for line in sys.stdin:
        if domain := line.strip().removesuffix("."):
            yield domain


def _walk(
    domains: Iterator[str], resolve: Resolve, complain: Callable[[str], None]
) -> Iterator[tuple[str, list[str]]]:
    """Each domain with its networks, in the order given."""
    with asyncio.Runner() as runner:
        for domain in domains:

            def said(text: str, domain: str = domain) -> None:
                complain(f"smtpctl: {domain}: {text}")

            yield domain, runner.run(_Walk(resolve, said).records(domain))


def resolver() -> Resolve:
    """Asks the system's name servers. What cannot be resolved has no answers."""
    import dns.asyncresolver  # here, because no other command should have to wait for it
    import dns.exception

    asking = dns.asyncresolver.Resolver()
    room: asyncio.Semaphore | None = None

    async def resolve(name: str, kind: str) -> list[str]:
        nonlocal room
        room = room or asyncio.Semaphore(AT_A_TIME)
        async with room:
            try:
                answer = await asking.resolve(f"{name}.", kind, lifetime=LIFETIME)
            except (dns.exception.DNSException, OSError, UnicodeError):
                return []
        return list(_texts(answer, kind))

    return resolve


def _texts(answer: Any, kind: str) -> Iterator[str]:
    for data in answer:
        if kind == "TXT":
            yield b"".join(data.strings).decode("ascii", "replace")
        elif kind == "MX":
            yield data.exchange.to_text(omit_final_dot=True)
        else:
            yield data.address


def _with_prefix(term: Term, address: str) -> str:
    prefix = term.prefix6 if ":" in address else term.prefix4
    return f"{address}/{prefix}" if prefix >= 0 else address
