"""Which name servers are asked: resolv.conf(5), read again when it changes, and a cache with bounds.

When to ask is resolver.py's business. A file that is gone or makes no sense changes nothing: what was known
stays in force.
"""

import copy
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.inet
import dns.message
import dns.nameserver
import dns.rcode
import dns.resolver

RESOLV_CONF = Path("/etc/resolv.conf")

CHECK_SECONDS = 5.0
"""How often the file is looked at, at most."""

PREFER_SECONDS = 60.0
"""For how long a server that answered when those before it did not is asked first."""

PLAIN_SECONDS = 60.0
"""For how long a server is not asked with EDNS that refused that and answered without (RFC 6891 7)."""

CACHE_ANSWERS = 10_000
POSITIVE_MAX = 86_400.0
NEGATIVE_MAX = 900.0
"""Seconds that an answer, or that there is none, is kept at most, whatever its TTL says."""

LIFETIME = 20.0
"""Seconds until a question has failed, unless the file's `timeout` and `attempts` say less."""

TIMEOUT_MAX = 30.0
"""Seconds of `options timeout` at most, as resolv.conf(5); at least one."""

_NOT_UNDERSTOOD = {dns.rcode.FORMERR, dns.rcode.NOTIMP, dns.rcode.BADVERS}
_SIZE_MAX = 65_536
_EDNS_PAYLOAD = 1232


class BoundedCache(dns.resolver.LRUCache):
    """By TTL, the least recently used first out, and nothing for ever. `fresh`: told who answered."""

    def __init__(self, fresh: Callable[[str | None], None]) -> None:
        super().__init__(CACHE_ANSWERS)
        self._fresh = fresh

    def put(self, key: dns.resolver.CacheKey, value: dns.resolver.Answer) -> None:
        """Keep an answer."""
        most = POSITIVE_MAX if value.rrset is not None else NEGATIVE_MAX
        value.expiration = min(value.expiration, time.time() + most)
        super().put(key, value)
        self._fresh(value.nameserver)


class Server(dns.nameserver.Do53Nameserver):
    """A server that is asked once more without EDNS where it does not understand (RFC 6891 7), within the
    same time. Here, not by whoever asks: the others of the list may be silent until that time is over.
    """

    def __init__(self, address: str, port: int, plain: dict[str, float], clock: Callable[[], float]) -> None:
        """`plain`: until when, by `clock`, a server is asked without EDNS at once; noted when that helped."""
        super().__init__(address, port)
        self._plain = plain
        self._clock = clock

    async def async_query(
        self, request: dns.message.QueryMessage, timeout: float, *arguments: Any, **options: Any
    ) -> dns.message.Message:
        """The response. `timeout`: seconds. dns.exception.DNSException, OSError."""
        began = self._clock()
        if self._plain.get(self.address, began) <= began:
            response = await super().async_query(request, timeout, *arguments, **options)
            if response.rcode() not in _NOT_UNDERSTOOD:
                return response
            timeout = max(0.0, timeout - (self._clock() - began))
        (question,) = request.question
        plain = dns.message.make_query(question.name, question.rdtype, flags=request.flags)
        response = await super().async_query(plain, timeout, *arguments, **options)
        if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
            if self._plain.get(self.address, began) <= began:
                self._plain[self.address] = began + PLAIN_SECONDS
        return response


class Nameservers:
    """A dnspython resolver that follows the file. `servers` and `port`: these instead of any file."""

    def __init__(
        self,
        servers: list[str] | None = None,
        port: int = 53,
        path: Path = RESOLV_CONF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._clock = clock
        self._fixed = servers is not None
        self._seen: tuple[int, ...] = ()
        self._looked = self._preferred = clock()
        self._plain: dict[str, float] = {}
        self.lifetime = LIFETIME
        self._order: list[str] = []
        self._resolver = self._made(servers or [], port)
        if not self._fixed:
            self._read()

    def current(self) -> dns.asyncresolver.Resolver:
        """What to ask by, now."""
        now = self._clock()
        if not self._fixed and now - self._looked >= CHECK_SECONDS:
            self._looked = now
            self._read()
        if self._preferred <= now and self._resolver.nameservers != self._order:
            self._resolver.nameservers = list(self._order)
        return self._resolver

    def asking(self) -> dns.asyncresolver.Resolver:
        """As current(), for one question, of servers that are asked without EDNS where they refuse that."""
        asking = copy.copy(self.current())
        servers = [str(one) for one in asking.nameservers]
        asking.nameservers = [Server(one, asking.port, self._plain, self._clock) for one in servers]
        return asking

    def _read(self) -> None:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as file:
                found = os.fstat(file.fileno())
                seen = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
                if seen == self._seen:
                    return
                text = file.read(_SIZE_MAX)
        except OSError:
            return
        self._seen = seen
        lines = [words for words in map(str.split, text.splitlines()) if words and words[0][0] not in "#;"]
        # as resolv.conf(5): without a server, the one on this machine
        servers = [
            words[1] for words in lines if words[0] == "nameserver" and len(words) > 1 and _ok(words[1])
        ]
        others = [" ".join(words) for words in lines if words[0] != "nameserver"]
        made = self._made(servers or ["127.0.0.1"], 53)
        try:
            made.read_resolv_conf(io.StringIO("\n".join([*others, "nameserver 127.0.0.1"])))
        except (dns.exception.DNSException, ValueError):
            # the search list is no list of names; the servers are what counts
            made.search = []
        made.nameservers = servers or ["127.0.0.1"]
        made.timeout = min(max(made.timeout, 1.0), TIMEOUT_MAX)
        made.use_edns(0, dns.flags.DO, _EDNS_PAYLOAD)
        self._order = [str(one) for one in made.nameservers]
        self._plain.clear()
        self._resolver = made
        self.lifetime = _lifetime(lines, made)

    def _made(self, servers: list[str], port: int) -> dns.asyncresolver.Resolver:
        made = dns.asyncresolver.Resolver(configure=False)
        made.port = port
        made.nameservers = list(servers)
        made.cache = BoundedCache(self._answered)
        made.search = []
        made.use_edns(0, dns.flags.DO, _EDNS_PAYLOAD)
        self._order = list(servers)
        return made

    def _answered(self, server: str | None) -> None:
        """A question got its answer from `server`: those before it are dead or lame, for the time being."""
        servers = [str(one) for one in self._resolver.nameservers]
        if server in servers[1:] and not self._resolver.rotate:
            self._resolver.nameservers = [server, *(one for one in servers if one != server)]
            self._preferred = self._clock() + PREFER_SECONDS


def _ok(server: str) -> bool:
    return dns.inet.is_address(server)


def _lifetime(lines: list[list[str]], resolver: dns.asyncresolver.Resolver) -> float:
    """`options attempts:N`: how often each server is asked."""
    for words in lines:
        for word in words[1:] if words[0] == "options" else ():
            name, _, value = word.partition(":")
            if name == "attempts" and value.isascii() and value.isdecimal() and 0 < int(value[:6]):
                return min(LIFETIME, resolver.timeout * int(value[:6]) * len(resolver.nameservers))
    return LIFETIME
