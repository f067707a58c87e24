"""A loop as lookup has it, and a DNS server on the loopback that says what a test wants."""

import asyncio
import struct
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from smtpd.lookup.hosts import Hosts
from smtpd.lookup.resolver import ResolveError, Resolver
from smtpd.mproc.loop import new_loop

Run = Callable[[Any], Any]

# What a name may answer in place of records.
NXDOMAIN = "NXDOMAIN"
SERVFAIL = "SERVFAIL"
NOTIMP = "NOTIMP"
SILENT = "SILENT"
GARBAGE = "GARBAGE"
TRUNCATED = "TRUNCATED"
"""Over UDP only: over TCP there is the true answer."""


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop; what its exception handler is told would end the process, and fails the test."""
    loop = new_loop()
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    yield loop
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.set_event_loop(None)
    assert told == []


@pytest.fixture
def run(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end, at most ten seconds."""
    return lambda coroutine: loop.run_until_complete(asyncio.wait_for(coroutine, 10))


class DnsServer(asyncio.DatagramProtocol):
    """`zone`: (name, type) -> records in text form, or one of the words above; `asked` counts questions."""

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[str] | str] = {}
        self.ttl = 300
        self.secure = False
        self.asked: Counter[tuple[str, str]] = Counter()
        self.over_tcp = 0
        self.refuses_edns = ""  # the rcode that says so; "mute": none, but an empty FORMERR
        self.with_edns = 0
        self.port = 0

    def add(self, name: str, kind: str, *records: str) -> None:
        self.zone[name, kind] = list(records)

    def fails(self, name: str, how: str) -> None:
        for kind in ("A", "AAAA", "MX", "PTR"):
            self.zone[name, kind] = how

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if (answer := self.answer(data, tcp=False)) is not None:
            self.transport.sendto(answer, addr)

    async def serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (size,) = struct.unpack("!H", await reader.readexactly(2))
        answer = self.answer(await reader.readexactly(size), tcp=True)
        if answer is not None:
            self.over_tcp += 1
            writer.write(struct.pack("!H", len(answer)) + answer)
            await writer.drain()
        writer.close()

    def answer(self, data: bytes, tcp: bool) -> bytes | None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked[name, kind] += 1
        said = self.zone.get((name, kind))
        if said == SILENT:
            return None
        if said == GARBAGE:
            return data[:2] + b"\xff" * 40
        response = dns.message.make_response(query, recursion_available=True)
        self.with_edns += query.edns >= 0
        if query.edns >= 0 and self.refuses_edns:
            response.use_edns(-1)
            if self.refuses_edns == "mute":
                return data[:2] + b"\x80\x01" + bytes(8)
            response.set_rcode(dns.rcode.from_text(self.refuses_edns))
            return response.to_wire()
        if self.secure:
            response.flags |= dns.flags.AD
        known = any(owner == name for owner, _kind in self.zone)
        if said == TRUNCATED:
            said = self.zone.get((f"tcp.{name}", kind)) if tcp else None
            if not tcp:
                response.flags |= dns.flags.TC
        if said in (SERVFAIL, NOTIMP):
            response.set_rcode(dns.rcode.from_text(said))
        elif said == NXDOMAIN or (said is None and not known):
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            self._add_records(response, question.name, kind, said)
        return response.to_wire(max_size=65535)

    def _add_records(self, response: dns.message.Message, owner: dns.name.Name, kind: str, said: Any) -> None:
        alias = self.zone.get((owner.to_text(omit_final_dot=True).lower(), "CNAME"))
        if isinstance(alias, list):
            response.answer.append(dns.rrset.from_text(owner, self.ttl, "IN", "CNAME", *alias))
            target = dns.name.from_text(alias[0])
            target_text = target.to_text(omit_final_dot=True).lower()
            self._add_records(response, target, kind, self.zone.get((target_text, kind)))
        elif isinstance(said, list) and said:
            response.answer.append(dns.rrset.from_text(owner, self.ttl, "IN", kind, *said))
        elif isinstance(said, list) or said is None:
            soa = "ns. admin. 1 3600 600 86400 300"
            response.authority.append(dns.rrset.from_text(owner, self.ttl, "IN", "SOA", soa))


@pytest.fixture
def dns_server(loop: asyncio.AbstractEventLoop) -> Iterator[DnsServer]:
    """The server, on the same loop."""
    server = DnsServer()

    async def start() -> asyncio.Server:
        listening = await asyncio.start_server(server.serve_tcp, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        await loop.create_datagram_endpoint(lambda: server, local_addr=("127.0.0.1", server.port))
        return listening

    listening = loop.run_until_complete(start())
    yield server
    server.transport.close()
    listening.close()
    loop.run_until_complete(asyncio.sleep(0.001))


HOSTS = """\
# comment
127.0.0.1   localhost localhost.localdomain # and more
::1         localhost ip6-localhost
192.0.2.77  Printer.example  printer
999.1.1.1   broken
2001:0db8:0:0::5 six
192.0.2.78
fe80::1%lo  scoped
"""


@pytest.fixture
def hosts(tmp_path: Path) -> Hosts:
    path = tmp_path / "hosts"
    path.write_text(HOSTS)
    return Hosts(path)


@pytest.fixture
def resolver(dns_server: DnsServer, hosts: Hosts) -> Resolver:
    return Resolver(hosts, nameservers=["127.0.0.1"], port=dns_server.port)


def failure(run: Run, question: Any) -> ResolveError:
    with pytest.raises(ResolveError) as caught:
        run(question)
    assert str(caught.value).isprintable()
    return caught.value


def temporary(run: Run, question: Any) -> bool:
    return failure(run, question).temporary
