"""The part of lookup that answers for hosts: client names, relay hosts, mail exchangers."""

from collections.abc import Awaitable

from smtpd.messages.pony_lookup import (
    FindHost,
    FindMx,
    HostsFound,
    MxHost,
    ReverseName,
    ReverseNameFound,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer

from .resolver import Answer, ResolveError, Resolver


class Names:
    """Answers from a Resolver, as values: what went wrong outside is a status, not an exception."""

    def __init__(self, resolver: Resolver, log: Log) -> None:
        self._resolver = resolver
        self._log = log

    @handles(ReverseName)
    async def reverse_name(self, peer: Peer, reqid: int, message: ReverseName) -> ReverseNameFound:
        """The name of an SMTP client."""
        try:
            name = await self._resolver.reverse(message.address)
        except ResolveError as error:
            return ReverseNameFound(reqid, "tempfail" if error.temporary else "none", "")
        except ValueError:
            return ReverseNameFound(reqid, "none", "")
        return ReverseNameFound(reqid, "ok" if name else "none", name)

    @handles(FindMx)
    async def find_mx(self, peer: Peer, reqid: int, message: FindMx) -> HostsFound:
        """The mail exchangers of a domain."""
        return await self._answer(reqid, self._resolver.exchangers(message.domain))

    @handles(FindHost)
    async def find_host(self, peer: Peer, reqid: int, message: FindHost) -> HostsFound:
        """The addresses of a host."""
        return await self._answer(reqid, self._resolver.host(message.name, search=True))

    async def _answer(self, reqid: int, question: Awaitable[Answer]) -> HostsFound:
        try:
            answer = await question
        except ResolveError as error:
            if self._log.tracing_lookup:
                self._log.trace("lookup", f"{error}: {error.detail}")
            return HostsFound(reqid, "tempfail" if error.temporary else "permfail", str(error), False, [])
        hosts = [MxHost(host.preference, host.name, host.addresses) for host in answer.hosts]
        return HostsFound(reqid, "ok", "", answer.secure, hosts)
