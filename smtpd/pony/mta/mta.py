"""The part of pony that relays: envelopes in, results to queue, and what all relays and sessions share.

An envelope's action and destination name its relay (relay.py); a relay's tasks are sent by its sessions
(session.py).  Every envelope that comes in ends in exactly one message to queue, unless the daemon stops
first.
"""

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable

from smtpd.config.model import DEFAULT_LIMITS, RelayAction
from smtpd.mail.address import valid_domainpart
from smtpd.mail.duration import duration
from smtpd.mail.envelope import Envelope
from smtpd.mail.status import (
    OK,
    OTHER_STATUS,
    PERMFAIL,
    STATUS_PERMFAIL,
    STATUS_TEMPFAIL,
    TEMPFAIL,
    parse_esc,
)
from smtpd.messages.links import LOOKUP, QUEUE
from smtpd.messages.pony_lookup import (
    CredentialsFound,
    FindCredentials,
    FindHost,
    FindInTable,
    FindMx,
    FoundInTable,
    HostsFound,
    MxHost,
    ReverseName,
    ReverseNameFound,
)
from smtpd.messages.pony_queue import (
    MOST_EVPIDS,
    DeliveryOk,
    DeliveryPermfail,
    DeliveryTempfail,
    HastenEnvelopes,
    HoldEnvelope,
    RelayMta,
    ReleaseHold,
)
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.mproc.process import Process
from smtpd.protocol.relayhost import NO_TLS, OPPORTUNISTIC, STARTTLS, RelayHost, parse_relay_url

from ..descriptors import shares
from ..tries import Tries
from .connect import Connector
from .contexts import ClientContexts
from .deferred import Deferred
from .hoststats import HostStats
from .ourselves import Ourselves
from .pauses import Pauses
from .places import Places
from .relay import Relay, RelayKey
from .routing import NEVER, Domain, Host, Mx, Route, Routing, Source, address_literal, family_of
from .session import MtaSession
from .smarthosts import Smarthosts
from .task import Task, task_key

SWEEP_SECONDS = 1.0
"""How often the deadlines of all sessions are looked at: no timer of their own is set at each command."""

ROUTES_SECONDS = 60.0

NAME_AGAIN_SECONDS = 60.0
"""When DNS could not say a host's name, a connection that begins so much later asks again."""

_DIRECT = RelayHost("", 25, OPPORTUNISTIC, False, "")

_DEFAULT_ERRORS = {
    TEMPFAIL: "Temporary failure in MX lookup",
    PERMFAIL: "Domain does not accept mail",
}


class Mta:
    """All relaying of this process. `places`: of all its connections together, `most_connections` at a time.

    `resume_at`: no connection is made before, because the system had no descriptor, or no memory, for one.
    """

    def __init__(self, process: Process, contexts: ClientContexts | None = None) -> None:
        """`contexts`: made before the privilege drop."""
        self._process = process
        self.loop = process.loop
        self.log = process.log
        self.stat = process.stat
        self._config = process.config
        self.contexts = contexts or ClientContexts(process.config, process.log)
        self.routing = Routing(process.loop, process.log, process.stat)
        self.hoststats = HostStats()
        self.pauses = Pauses()
        self.tries = Tries()
        self._relays: dict[RelayKey, Relay] = {}
        self._sessions: set[MtaSession] = set()
        self._smarthosts = Smarthosts(
            self._config, process.peer(LOOKUP).ask, self._smarthost_found, self._refuse
        )
        self._ourselves = Ourselves(self._config.listeners)
        self.deferred = Deferred(self._config.mta_max_deferred)
        self.places = Places(process.loop)
        self.most_connections = shares(self._config.mda.max_session).relaying
        self.resume_at = NEVER
        self._dirty: dict[Relay, None] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._routes_swept = NEVER
        self.stopping = False
        self._emptied: asyncio.Event | None = None

    @property
    def queue(self) -> Peer:
        """Messages and results."""
        return self._process.peer(QUEUE)

    @property
    def relays(self) -> Iterable[Relay]:
        """Every relay there is."""
        return self._relays.values()

    @property
    def sessions(self) -> Iterable[MtaSession]:
        """Every connection there is, or is being made."""
        return self._sessions

    # envelopes

    @handles(RelayMta)
    def relay_mta(self, peer: Peer, message: RelayMta) -> None:
        """An envelope is due."""
        envelope = message.envelope
        if self.stopping:
            return
        action = self._config.actions.get(envelope.dispatcher)
        if not isinstance(action, RelayAction):
            self._refuse(envelope, f'no relay action "{envelope.dispatcher}"')
        elif action.host:
            self._smarthosts.find(action, envelope)
        else:
            self._route(action, _DIRECT, envelope)

    def _smarthost_found(self, envelope: Envelope, url: str) -> None:
        action = self._config.actions[envelope.dispatcher]
        assert isinstance(action, RelayAction)
        if not url:
            self.log.warn(f"Failed to retrieve smarthost for envelope {envelope.evpid:016x}")
            self._refuse(envelope, "Cannot retrieve smarthost")
            return
        try:
            host = parse_relay_url(url)
        except ValueError as error:
            self.log.warn(f"Failed to parse smarthost {url}: {error}")
            self._refuse(envelope, "Cannot parse smarthost")
            return
        self._route(action, host, envelope)

    def _route(self, action: RelayAction, host: RelayHost, envelope: Envelope) -> None:
        """To its relay, or back to scheduler if too many wait there."""
        if host.label and not action.auth:
            self._refuse(envelope, "No auth table for relaying")
            return
        tls = host.tls
        if action.tls and tls == NO_TLS:
            self.log.warn(f'TLS required for action "{action.name}"')
            self._refuse(envelope, "TLS required for relaying")
            return
        if action.tls and tls == OPPORTUNISTIC:
            tls = STARTTLS
        domain = host.hostname or envelope.dest.domain
        if not host.hostname and not valid_domainpart(domain):
            self.result(
                0, envelope.sender.path, envelope, PERMFAIL, "Invalid domain name", "", "-", domain, False
            )
            return
        relay = self._relay(self._key(action, host, tls, domain, envelope), action)
        srs_key = self._config.srs.key if action.srs else ""
        task = task_key(envelope, action.mail_from, srs_key, int(time.time()) // 86400)
        if not relay.add(task, envelope):
            self.queue.send(HoldEnvelope(envelope.evpid, relay.id))
            return
        self.stat.add("mta.envelope")
        if not self._dirty:
            # once all that came in one go is sorted: a message's recipients are to go together
            self.loop.call_soon(self._drain)
        self._dirty[relay] = None

    def _drain(self) -> None:
        relays, self._dirty = self._dirty, {}
        for relay in relays:
            relay.drain()

    def _key(
        self, action: RelayAction, host: RelayHost, tls: str, domain: str, envelope: Envelope
    ) -> RelayKey:
        backup = ""
        if action.backup and not host.hostname:
            backup = action.backup_mx or envelope.smtpname
        return RelayKey(
            domain.lower(),
            bool(host.hostname),
            host.port,
            tls,
            host.lmtp,
            action.auth if host.label else "",
            host.label,
            action.src,
            action.helo,
            action.helo_src,
            action.pki,
            action.ca,
            action.tls,
            action.tls_verify,
            action.tls_ciphers,
            action.tls_protocols,
            backup,
            action.srs,
            action.filter,
        )

    def _relay(self, key: RelayKey, action: RelayAction) -> Relay:
        relay = self._relays.get(key)
        if relay is None:
            limits = self._config.mta_limits.get(key.domain) or self._config.mta_limits[DEFAULT_LIMITS]
            domain = self.routing.domain(key.domain, key.host)
            relay = Relay(self, int.from_bytes(os.urandom(8)), key, action, domain, limits)
            self._relays[key] = relay
            self.stat.add("mta.relay")
        return relay

    # for the relays

    def relay_quiet(self, relay: Relay) -> None:
        """Perhaps there is nothing left to do for a relay: then it goes."""
        if relay.quiet and self._relays.get(relay.key) is relay:
            del self._relays[relay.key]
            relay.close()
            if relay.holdq.drained():
                self.release(relay, 0)
            self.stat.sub("mta.relay")
            self.stat.sub("mta.connector", len(relay.connectors))
            self.routing.count()

    def release(self, relay: Relay, number: int, *, later: bool = False) -> None:
        """Let scheduler send some of those it holds for a relay; 0 for all, `later`: in their time."""
        self.queue.send(ReleaseHold("mta", relay.id, number, later))

    def task_failed(self, relay: Relay, task: Task, status: str, error: str, deferring: bool = False) -> None:
        """A whole task fails without a session. `deferring`: hasten it when the relay works again."""
        for envelope in task.envelopes:
            if deferring:
                # whatever becomes of it elsewhere: hastening what is gone does nothing
                addresses = {mx.host.address for mx in relay.domain.mxs}
                self.deferred.add(relay.destination, envelope.evpid, addresses)
            if status == TEMPFAIL and self._smarthosts.another(relay.action, envelope, error):
                self.stat.sub("mta.envelope")
                continue
            self.result(0, task.sender, envelope, status, error, "", "-", relay.domain.name, False)
        self.stat.sub("mta.task")

    def works_again(self, relay: Relay) -> None:
        """A host of this relay takes mail."""
        self.hasten(self.deferred.take(relay.destination))

    def hasten(self, evpids: list[int]) -> None:
        """Have envelopes that wait for their next try tried now."""
        for first in range(0, len(evpids), MOST_EVPIDS):
            self.queue.send(HastenEnvelopes(evpids[first : first + MOST_EVPIDS]))

    def resolve(self, domain: Domain, then: Callable[[str, str], None]) -> None:
        """Find the hosts of a domain; `then` gets "", or a status and why there are none."""
        domain.askers.append(then)
        if len(domain.askers) > 1:
            return
        if literal := address_literal(domain.name, bare=domain.as_host):
            hosts = [MxHost(0, literal, [literal])]
            self.loop.call_soon(self._hosts_found, domain, HostsFound(0, OK, "", False, hosts))
            return
        request = FindHost(domain.name) if domain.as_host else FindMx(domain.name)
        self._process.peer(LOOKUP).ask(request, lambda reply: self._hosts_found(domain, reply))

    def _hosts_found(self, domain: Domain, reply: HostsFound | None) -> None:
        failure = (TEMPFAIL, _DEFAULT_ERRORS[TEMPFAIL])
        if reply is not None and reply.status == OK:
            failure = self._take_hosts(domain, reply)
        elif domain.as_host:
            # a smart host that cannot be found is our own mistake, and no reason to bounce all mail
            failure = (TEMPFAIL, (reply.error if reply is not None else "") or "Host not found")
        elif reply is not None:
            status = TEMPFAIL if reply.status == TEMPFAIL else PERMFAIL
            failure = (status, reply.error or _DEFAULT_ERRORS[status])
        if domain.mxs:
            domain.resolved = self.loop.time()
        askers, domain.askers = domain.askers, []
        for then in askers:
            then(*failure)

    def _take_hosts(self, domain: Domain, reply: HostsFound) -> tuple[str, str]:
        """The hosts that may be used (RFC 5321 5.1: better ones than ourselves, if there are); why there are
        none.

        Where we are the best, as OpenSMTPD: mail may go through us once more, by other rules. Going round for
        ever is ended by its Received headers.
        """
        mxs = self.routing.mxs(reply.hosts)
        preferences = {name.lower(): preference for preference, name, _ in reply.hosts}
        ours = [mx.preference for mx in mxs if self._ourselves.are_at(mx.host.address)]
        if ours and not domain.as_host and min(preferences.values()) < min(ours):
            mxs = tuple(mx for mx in mxs if mx.preference < min(ours))
        if not mxs:
            return TEMPFAIL, "Host not found" if domain.as_host else "No MX found for domain"
        domain.mxs = mxs
        domain.preferences = preferences
        domain.secure = reply.secure
        return "", ""

    def find_source(self, table: str, then: Callable[[Source | None], None]) -> None:
        """The next source address of a table."""

        def found(reply: FoundInTable | None) -> None:
            good = reply is not None and reply.status == OK and family_of(reply.value)
            then(self.routing.source(reply.value) if reply is not None and good else None)

        self._process.peer(LOOKUP).ask(FindInTable(self._config.generation, table, "source", ""), found)

    def find_credentials(
        self, table: str, label: str, then: Callable[[tuple[str, str] | None], None]
    ) -> None:
        """Name and password of a label; None when there are none, or none now."""

        def found(reply: CredentialsFound | None) -> None:
            good = reply is not None and reply.status == OK
            then((reply.username, reply.password) if reply is not None and good else None)

        self._process.peer(LOOKUP).ask(FindCredentials(self._config.generation, table, label), found)

    def new_session(self, connector: Connector, route: Route, mx: Mx) -> MtaSession:
        """Begin a connection."""
        relay = connector.relay
        session = MtaSession(self, connector, route, mx)
        self._sessions.add(session)
        relay.sessions += 1
        self.stat.add("mta.session")
        self.routing.count()
        if self._sweeping is None:
            self._sweeping = self.loop.call_later(SWEEP_SECONDS, self._sweep)
        if route.dst.ask_name <= self.loop.time():
            self._find_name(route.dst)
        if relay.key.helo_src and route.src.address:
            self._find_helo(session, relay.key.helo_src, route.src.address)
        else:
            self.connect(session, relay.key.helo or self._config.hostname)
        return session

    def connect(self, session: MtaSession, helo: str) -> None:
        """Have a session connect."""
        session.connecting = self._process.spawn_task(session.connect(helo))

    def _find_name(self, host: Host) -> None:
        """A host's own name, for log lines and lists. OpenSMTPD waits for it before it connects; a dead
        resolver would hold up mail for seconds, so it comes when it comes.
        """

        def found(reply: ReverseNameFound | None) -> None:
            if reply is None or reply.status == TEMPFAIL:
                host.ask_name = self.loop.time() + NAME_AGAIN_SECONDS
            elif reply.status == OK:
                host.own_name = reply.name

        host.ask_name = math.inf  # once is enough; who is gone and comes back is asked for again
        self._process.peer(LOOKUP).ask(ReverseName(host.address), found)

    def _find_helo(self, session: MtaSession, table: str, address: str) -> None:
        def found(reply: FoundInTable | None) -> None:
            if reply is not None and reply.status == OK and reply.value and not self.stopping:
                self.connect(session, reply.value)
            else:
                session.no_helo()

        self._process.peer(LOOKUP).ask(
            FindInTable(self._config.generation, table, "addrname", address), found
        )

    # for the sessions

    def session_over(self, session: MtaSession) -> None:
        """A session ended."""
        self._sessions.discard(session)
        self.stat.sub("mta.session")
        if self._emptied is not None and not self._sessions:
            self._emptied.set()

    def result(
        self,
        session: int,
        sender: str,
        envelope: Envelope,
        result: str,
        status: str,
        esc: str,
        source: str,
        relay: str,
        without_dsn: bool,
    ) -> None:
        """What became of an envelope: to queue, and into the log.

        `status`: the host's reply or our reason; `esc`: the enhanced status in it, "" for none; `source`,
        `relay`: the ends of the connection for the log.
        """
        evpid = envelope.evpid
        found = parse_esc(esc) if esc else None
        code = found[1] if found is not None else OTHER_STATUS
        if result == OK:
            word = "Ok"
            self.queue.send(DeliveryOk(evpid, without_dsn))
        elif result == PERMFAIL:
            word = "PermFail"
            self.queue.send(DeliveryPermfail(evpid, status, STATUS_PERMFAIL, code))
        else:
            word = "TempFail"
            self.queue.send(DeliveryTempfail(evpid, status, STATUS_TEMPFAIL, code))
            self.tries.failed(evpid, int(time.time()), source, relay, status)
        if word != "TempFail":
            self.tries.forget(evpid)
        self._smarthosts.forget(evpid)
        self.stat.sub("mta.envelope")
        if session:
            self.hoststats.note(envelope.dest.domain, status)
        dest, rcpt = envelope.dest.path, envelope.rcpt.path
        self.log.info(
            f"{session:016x} mta delivery evpid={evpid:016x} from=<{sender}> to=<{dest}> "
            f'rcpt=<{rcpt if rcpt != dest else "-"}> source="{source}" relay="{relay}" '
            f'delay={duration(int(time.time()) - envelope.ctime)} result="{word}" stat="{status}"'
        )

    def _refuse(self, envelope: Envelope, error: str) -> None:
        """It cannot even be routed: for a reason of the configuration's, or every host of a list failed."""
        self.stat.add("mta.envelope")
        self.result(0, envelope.sender.path, envelope, TEMPFAIL, error, "", "-", "-", False)

    def _sweep(self) -> None:
        self._sweeping = None
        now = self.loop.time()
        for session in list(self._sessions):
            session.check(now)
        wanted = self.places.waiting - len(self.places.leaving)
        for source in list(self.routing.sources.values()):
            source.make_room(now, wanted)
        if now - self._routes_swept > ROUTES_SECONDS:
            self._routes_swept = now
            self.routing.sweep(self._config.mta_limits[DEFAULT_LIMITS], now)
        if self._sessions:
            self._sweeping = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    async def stop(self) -> None:
        """Begin nothing more, let sessions finish the mail they are at. The caller bounds the time;
        cancelled, what is left is cut off, and tried again at the next start.
        """
        self.stopping = True
        self._emptied = asyncio.Event()
        for session in list(self._sessions):
            session.stop()
        try:
            if self._sessions:
                await self._emptied.wait()
        finally:
            for session in list(self._sessions):
                session.abort()
            if self._sweeping is not None:
                self._sweeping.cancel()
            for relay in self._relays.values():
                relay.close()
            self.routing.close()
