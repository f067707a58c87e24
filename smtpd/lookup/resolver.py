"""Names and addresses: DNS by dnspython, and before it the hosts file (hosts.py).

Whom to ask, and what is remembered, is nameservers.py's. A resolver that does not answer, or answers
SERVFAIL, is a temporary failure; that a name does not exist is a permanent one (RFC 5321 5.1). Whoever
answers may be hostile: names that are no host names count as none, and of long lists only the beginning is
taken. Errors read as in OpenSMTPD's mta.c, for they end up in envelopes and bounces.
"""

import asyncio
import random
import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import NamedTuple

import dns.asyncbackend
import dns.exception
import dns.flags
import dns.name
import dns.rdata
import dns.resolver
import dns.reversename

from .hosts import Hosts
from .nameservers import LIFETIME, Nameservers

# dnspython loads these at first use otherwise, which a process without rights cannot do.
dns.asyncbackend.set_default_backend("asyncio")
dns.rdata.load_all_types()  # type: ignore[no-untyped-call]

REVERSE_LIFETIME = 5.0
"""Seconds for the name of a client, all questions together: it is only for the log and for rules."""

EXCHANGERS_MAX = 20
"""MX hosts of one domain that are looked at."""

ADDRESSES_MAX = 100
"""Addresses in one answer. With EXCHANGERS_MAX names of full length they fit one message to who asked."""

QUESTIONS_MAX = 200
"""Questions under way at a time, each with a socket; the others wait."""

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)

TEMPORARY = "Temporary failure in MX lookup"
INVALID = "Invalid domain name"
NO_DOMAIN = "Domain does not exist"
NO_MX = "No MX found for domain"
NULL_MX = "Domain does not accept mail"
NO_HOST = "Host not found"


class ResolveError(Exception):
    """No answer. `temporary`: there may be one later; `detail`: for the trace, which name and what it has."""

    def __init__(self, text: str, detail: str = "", *, temporary: bool) -> None:
        super().__init__(text)
        self.temporary = temporary
        self.detail = detail


class Host(NamedTuple):
    """A host to send to, and its numeric addresses: none when its name did not resolve."""

    preference: int
    name: str
    addresses: list[str]


class Answer(NamedTuple):
    """`secure`: the AD bit was set in every answer that led here (RFC 4035 3.2.3)."""

    hosts: list[Host]
    secure: bool


class Resolver:
    """Asks. `nameservers` and `port` replace those of resolv.conf(5)."""

    def __init__(
        self, hosts: Hosts | None = None, *, nameservers: list[str] | None = None, port: int = 53
    ) -> None:
        self._hosts = hosts or Hosts()
        self._nameservers = Nameservers(nameservers, port)
        self._questions = asyncio.Semaphore(QUESTIONS_MAX)

    async def reverse(self, address: str) -> str:
        """The name of an address, "" when it has none or the name does not lead back.

        ResolveError; ValueError for what is no address.
        """
        address = str(ip_address(address))
        if name := self._hosts.name(address):
            return name
        try:
            async with asyncio.timeout(REVERSE_LIFETIME):
                return await self._confirmed_name(address)
        except TimeoutError:
            raise ResolveError(NO_HOST, f"{address}: no answer in time", temporary=True) from None

    async def _confirmed_name(self, address: str) -> str:
        answer = await self._ask(dns.reversename.from_address(address), "PTR", REVERSE_LIFETIME)
        if answer is None:
            return ""
        name = _text(answer[0].target)
        if not _HOST_NAME.fullmatch(name) or _numeric(name) is not None:
            return ""
        found = await self.host(name, lifetime=REVERSE_LIFETIME)
        return name if address in found.hosts[0].addresses else ""

    async def host(self, name: str, *, lifetime: float = LIFETIME, search: bool = False) -> Answer:
        """The addresses of a host, named or numeric (an address literal too). ResolveError without any.

        `search`: a name without a dot is looked for in the domains of resolv.conf's `search`.
        """
        name = name.lower()
        if (address := _numeric(name)) is not None:
            return Answer([Host(0, name, [str(address)])], False)
        if listed := self._hosts.addresses(name):
            return Answer([Host(0, name, listed[:ADDRESSES_MAX])], False)
        addresses: list[str] = []
        secure = True
        failure: ResolveError | None = None
        asked = _name(name, relative=search and "." not in name)
        questions = [self._ask(asked, kind, lifetime) for kind in ("AAAA", "A")]
        for answer in await asyncio.gather(*questions, return_exceptions=True):
            if isinstance(answer, ResolveError):
                failure = answer
            elif isinstance(answer, BaseException):
                raise answer
            elif answer is not None:
                addresses += [record.address for record in answer]
                secure = secure and _secure(answer)
        if addresses:
            return Answer([Host(0, name, addresses[:ADDRESSES_MAX])], secure)
        if failure is None:
            raise ResolveError(NO_HOST, f"{name} has no address", temporary=False)
        raise ResolveError(NO_HOST, failure.detail, temporary=failure.temporary)

    async def exchangers(self, domain: str) -> Answer:
        """Where mail for a domain goes, best first, equals shuffled (RFC 5321 5.1). ResolveError.

        A domain without MX is its own exchanger; one whose MX is "." takes no mail (RFC 7505), and nor does
        one whose MX is "localhost". Exchangers whose names do not resolve are there without addresses.
        """
        answer = await self._ask(_name(domain), "MX", LIFETIME)
        if answer is None:
            try:
                return await self.host(domain)
            except ResolveError as error:
                text = TEMPORARY if error.temporary else NO_MX
                raise ResolveError(text, error.detail, temporary=error.temporary) from None
        records = [(record.preference, _text(record.exchange)) for record in answer]
        records = [record for record in records if record != (0, "") and record[1] != "localhost"]
        if not records:
            raise ResolveError(NULL_MX, f"{domain} takes no mail (null MX)", temporary=False)
        records = [record for record in records if _HOST_NAME.fullmatch(record[1])]
        random.shuffle(records)
        records.sort(key=lambda record: record[0])
        del records[EXCHANGERS_MAX:]
        answers = await asyncio.gather(*(self.host(name) for _, name in records), return_exceptions=True)
        found: list[Host] = []
        room = ADDRESSES_MAX
        secure = _secure(answer)
        failure: ResolveError | None = None
        for (preference, name), host in zip(records, answers, strict=True):
            addresses: list[str] = []
            if isinstance(host, ResolveError):
                failure = host if failure is None or host.temporary else failure
            elif isinstance(host, BaseException):
                raise host
            else:
                addresses = host.hosts[0].addresses[:room]
                room -= len(addresses)
                secure = secure and host.secure
            found.append(Host(preference, name, addresses))
        if room < ADDRESSES_MAX:
            return Answer(found, secure)
        if failure is not None and failure.temporary:
            raise ResolveError(TEMPORARY, failure.detail, temporary=True)
        raise ResolveError(NO_MX, f"no exchanger of {domain} has an address", temporary=False)

    async def _ask(self, name: dns.name.Name, kind: str, lifetime: float) -> dns.resolver.Answer | None:
        """The answer; None when the name has no such record. ResolveError: no such name, or no answer.

        `lifetime`: seconds, for all that is asked of all servers.
        """
        nameservers = self._nameservers
        resolver = nameservers.asking()
        lifetime = min(lifetime, nameservers.lifetime)
        try:
            async with self._questions:
                return await resolver.resolve(name, kind, lifetime=lifetime, search=not name.is_absolute())
        except dns.resolver.NXDOMAIN:
            raise ResolveError(NO_DOMAIN, f"{_text(name)} does not exist", temporary=False) from None
        except dns.resolver.NoAnswer:
            return None
        except (dns.exception.DNSException, OSError) as error:
            detail = f"{_text(name)} {kind}: {type(error).__name__}"
            raise ResolveError(TEMPORARY, detail, temporary=True) from None


def _name(name: str, *, relative: bool = False) -> dns.name.Name:
    try:
        return dns.name.from_text(name, None if relative else dns.name.root)
    except dns.exception.DNSException:
        raise ResolveError(INVALID, f"{name[:80]!r} is no domain name", temporary=False) from None


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if name != dns.name.root else ""


def _secure(answer: dns.resolver.Answer) -> bool:
    return bool(answer.response.flags & dns.flags.AD)


def _numeric(name: str) -> IPv4Address | IPv6Address | None:
    """An address, also in the brackets of an address literal (RFC 5321 4.1.3)."""
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1].removeprefix("ipv6:")
    try:
        return ip_address(name)
    except ValueError:
        return None
