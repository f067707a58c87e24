"""A relay: one destination with all its options, the messages that wait for it, and its connections.

A relay is made when the first envelope for it comes and goes when nothing is left to do.  Whether it fails
as a whole (no MX, no route) is found out here; then every message that waits fails with it.
"""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from smtpd.config.model import MtaLimits, RelayAction
from smtpd.mail.envelope import Envelope
from smtpd.mail.status import TEMPFAIL
from smtpd.pony.holdq import HoldQueue
from smtpd.protocol.relayhost import NO_TLS, OPPORTUNISTIC, SMTPS, STARTTLS

from .connect import Connector
from .places import Places
from .routing import NEVER, Domain, Route, Source
from .task import MAX_RCPTS, Task

if TYPE_CHECKING:
    from .mta import Mta
    from .session import MtaSession

DELAY_CHECK_SOURCE = 1.0
DELAY_CHECK_SOURCE_SLOW = 10.0
"""Seconds until the next source address is asked for: behind a new one, behind one that was known."""

RESOLVE_AGAIN_SECONDS = 300.0
"""A busy relay asks for its hosts anew after so long; lookup has the records' own times."""

_DEFERRED = ("net", "paused")
"""Failures after which what failed is tried at once when the relay works again."""

_FAILURES = (
    ("net", "Network error on destination MXs"),
    ("mx", "No MX found for destination"),
    ("family", "Address family mismatch on destination MXs"),
    ("paused", "All routes to destination blocked"),
    ("source", "No valid route to destination"),
)


class RelayKey(NamedTuple):
    """What makes two envelopes go over the same connections. `host`: instead of the domain's MXs.

    Tables by name, "" for none; `tls` and `lmtp` as in a relay URL; the rest is the action's.
    """

    domain: str
    host: bool
    port: int
    tls: str
    lmtp: bool
    auth: str
    label: str
    src: str
    helo: str
    helo_src: str
    pki: str
    ca: str
    tls_required: bool
    tls_verify: bool
    tls_ciphers: str
    tls_protocols: str
    backup: str
    srs: bool
    filter: str

    @property
    def secure(self) -> bool:
        """Nothing goes out without TLS."""
        return self.tls in (STARTTLS, SMTPS)

    @property
    def verify(self) -> bool:
        """A host's certificate must be good, and its own: where TLS must be, unless the action says no."""
        return self.tls_verify if self.tls_required else self.secure

    def __str__(self) -> str:
        """As OpenSMTPD writes a relay in its log."""
        scheme = "lmtp" if self.lmtp else _SCHEMES.get(self.tls, "smtp+tls")
        words = [self.domain, f"port={self.port}" if self.port else "", scheme]
        words.append(f"auth={self.auth}:{self.label}" if self.label else "")
        words.append(f"pki_name={self.pki}" if self.pki else "")
        words.append("mx" if self.host else "")
        for name in ("backup", "src", "helo_src", "helo"):
            if value := getattr(self, name):
                words.append(f"{_WORDS.get(name, name)}={value}")
        return f"[relay:{','.join(word for word in words if word)}]"


_SCHEMES = {OPPORTUNISTIC: "smtp", SMTPS: "smtps", NO_TLS: "smtp+notls"}
_WORDS = {"src": "sourcetable", "helo_src": "helotable", "helo": "heloname"}


class Relay(Places):
    """`id`: names its hold queue. `nconn`: connections; `ready`: those that got as far as to take mail,
    `quitting`: those that end.

    `late`: connections that take long to come about. `idle`: sessions that wait for a task, the last to
    become idle at the end. `opening`: tasks taken out whose content is not there yet.
    """

    def __init__(
        self, mta: "Mta", number: int, key: RelayKey, action: RelayAction, domain: Domain, limits: MtaLimits
    ) -> None:
        super().__init__(mta.loop)
        self.mta = mta
        self.id = number
        self.key = key
        self.action = action
        self.domain = domain
        self.limits = limits
        self.tasks: dict[Task, None] = {}  # in the order they came
        self.opening = 0
        self._joinable: dict[tuple[int, str], Task] = {}
        self.holdq = HoldQueue(limits.task_hiwat, limits.task_lowat, limits.task_release)
        self.idle: dict[MtaSession, None] = {}
        self.sessions = 0
        self.ready = 0
        self.late = 0
        self.quitting = 0
        self.lastconn = NEVER
        self.backup_preference: int | None = None
        self.connectors: dict[str, Connector] = {}
        self._resolving = False
        self._finding_source = False
        self._finding_credentials = False
        self.credentials: tuple[str, str] | None = None
        self._source_timer: asyncio.TimerHandle | None = None
        self._repeats = 0
        self.failure = ("", "")
        self._deferring = False

    def __str__(self) -> str:
        return str(self.key)

    # work

    def add(self, key: tuple[int, str], envelope: Envelope) -> bool:
        """Take an envelope in; False when it is to be held."""
        task = self._joinable.get(key)
        if task is None:
            if not self.holdq.admit(len(self.tasks)):
                return False
            task = self._joinable[key] = Task(*key)
            self.tasks[task] = None
            self.mta.stat.add("mta.task")
        task.envelopes.append(envelope)
        if len(task.envelopes) >= MAX_RCPTS:
            del self._joinable[key]
        return True

    def drain(self) -> None:
        """There is a task: give it to a session that waits, or see to it that there will be one."""
        while self.tasks and self.idle:
            session, _ = self.idle.popitem()
            session.wake()
        if not self.tasks:
            return
        if self.failure[0]:
            self._flush()
        elif self.domain.resolved == NEVER:
            self._resolve()
        elif self.key.label and self.credentials is None:
            self._find_credentials()
        elif not self.connectors:
            self._find_source()
        else:
            if self.mta.loop.time() - self.domain.resolved > RESOLVE_AGAIN_SECONDS:
                self._resolve()
            for connector in list(self.connectors.values()):
                connector.connect()
            self._plan_source()

    def next_task(self) -> Task | None:
        """The task that waits longest, taken out; None if none waits. opened() follows."""
        if not self.tasks:
            return None
        task = next(iter(self.tasks))
        del self.tasks[task]
        if self._joinable.get(task.key) is task:
            del self._joinable[task.key]
        if released := self.holdq.taken(len(self.tasks)):
            self.mta.release(self, released)
        return task

    def put_back(self, task: Task) -> None:
        """A task whose session ended before anything became of it: it is the next."""
        self.tasks = {task: None, **self.tasks}

    def session_ready(self, route: Route, connector: Connector) -> None:
        """A session has got as far as to take mail: its route is good."""
        self.ready += 1
        route.ready += 1
        if route.new:
            route.new = False
            route.errors = 0
            route.changed()
            connector.connect(again=True)
        self.mta.routing.reached(route.dst.family)
        self.mta.works_again(self)

    def session_over(
        self, connector: Connector, route: Route, was_ready: bool, *, blameless: bool = False
    ) -> None:
        """A session ended, for whatever reason; `blameless`: before it could ask the host for anything."""
        self.sessions -= 1
        if was_ready:
            self.ready -= 1
            route.ready -= 1
        connector.collect(route, failed=not was_ready, blameless=blameless)
        connector.connect(again=True)
        self.drain()
        self.mta.relay_quiet(self)

    @property
    def destination(self) -> tuple[str, bool]:
        """What it leads to, whatever its other options: a name, and whether it is a host's."""
        return self.domain.name, self.domain.as_host

    @property
    def quiet(self) -> bool:
        """Nothing to do and nobody to wait for."""
        return not (
            self.tasks
            or self.sessions
            or self.opening
            or self._resolving
            or self._finding_source
            or self._finding_credentials
        )

    def waits_for(self) -> list[str]:
        """What it needs to go on, in OpenSMTPD's words."""
        timers = (connector.timer for connector in self.connectors.values())
        waits = {
            "MX": self._resolving,
            "secret": self._finding_credentials,
            "source": self._finding_source,
            "connector": any(timer is not None for timer in timers),
        }
        return [word for word, waiting in waits.items() if waiting]

    def close(self) -> None:
        """It goes."""
        for connector in self.connectors.values():
            connector.close()
        if self._source_timer is not None:
            self._source_timer.cancel()

    # hosts

    def _resolve(self) -> None:
        if not self._resolving:
            self._resolving = True
            self.mta.resolve(self.domain, self._resolved)

    def _resolved(self, status: str, error: str) -> None:
        self._resolving = False
        if status and not self.domain.mxs:
            self.mta.log.info(f"smtp-out: Failed to resolve MX for {self}: {error}")
            self.fail(status, error)
        if self.key.backup:
            self.backup_preference = self.domain.preferences.get(self.key.backup.lower())
            if self.backup_preference is None and not status:
                self.mta.log.warn(f"Couldn't find backup preference for {self}")
        self.drain()
        self.mta.relay_quiet(self)

    # credentials

    def _find_credentials(self) -> None:
        if not self._finding_credentials:
            self._finding_credentials = True
            self.mta.find_credentials(self.key.auth, self.key.label, self._credentials_found)

    def _credentials_found(self, credentials: tuple[str, str] | None) -> None:
        self._finding_credentials = False
        self.credentials = credentials
        if credentials is None:
            self.mta.log.warn(f"Failed to retrieve secret for {self}")
            self.fail(TEMPFAIL, "Could not retrieve credentials")
        self.drain()
        self.mta.relay_quiet(self)

    # sources

    def _find_source(self) -> None:
        if self._finding_source:
            return
        if not self.key.src:
            self._add_source(self.mta.routing.source(""))
            return
        self._finding_source = True
        self.mta.find_source(self.key.src, self._source_found)

    def _source_found(self, source: Source | None) -> None:
        self._finding_source = False
        if source is not None:
            self._add_source(source)
        else:
            self.mta.log.warn(f"Failed to get source address for {self}")
            if not self.connectors:
                self.fail(TEMPFAIL, "Could not retrieve source address")
        self.mta.relay_quiet(self)

    def _add_source(self, source: Source) -> None:
        connector = self.connectors.get(source.address)
        if connector is None:
            self._repeats = 0
            connector = self.connectors[source.address] = Connector(self, source)
            self.mta.stat.add("mta.connector")
            self._plan_source(DELAY_CHECK_SOURCE)
            connector.connect()
        elif connector.error:
            # asked as often as there are sources without finding a usable one: there is none
            self._repeats += 1
            if self._repeats > len(self.connectors):
                self._no_route()
            else:
                self._find_source()
        else:
            self._repeats = 0
            self._plan_source(DELAY_CHECK_SOURCE_SLOW)
            connector.connect()

    def _plan_source(self, delay: float = DELAY_CHECK_SOURCE_SLOW) -> None:
        """With a table of sources: ask for another while there is work."""
        if self.key.src and self._source_timer is None:
            self._source_timer = self.mta.loop.call_later(delay, self._source_time)

    def _source_time(self) -> None:
        self._source_timer = None
        if self.tasks:
            self._find_source()

    # failure

    def connector_failed(self) -> None:
        """One of the connectors has an error: another source, or the end."""
        if any(not connector.error for connector in self.connectors.values()):
            return
        if self.key.src:
            self._find_source()
        else:
            self._no_route()

    def _no_route(self) -> None:
        errors = {connector.error for connector in self.connectors.values()}
        for error, text in _FAILURES:
            if error in errors:
                self._deferring = error in _DEFERRED
                troubles = [connector.trouble for connector in self.connectors.values() if connector.trouble]
                self.fail(TEMPFAIL, f"{text}: {troubles[-1]}" if troubles else text)
                return

    def fail(self, status: str, error: str) -> None:
        """Nothing can be delivered by this relay now (`tempfail`) or ever (`permfail`)."""
        self.failure = (status, error)
        self._flush()

    def recover(self, error: str) -> None:
        """What made connectors fail is over: what comes now finds its way again."""
        for connector in self.connectors.values():
            connector.recover(error)
        if any(not connector.error for connector in self.connectors.values()):
            self.failure = ("", "")
            self._deferring = False

    def _flush(self) -> None:
        status, error = self.failure
        # a session may still be alive and have mail of its own; what waits has no way out
        tasks, self.tasks = self.tasks, {}
        self._joinable.clear()
        for task in tasks:
            self.mta.task_failed(self, task, status, error, self._deferring)
        if self.holdq.drained():
            # not at once: they would only come to fail here, one after the other
            self.mta.release(self, 0, later=True)
        self.mta.relay_quiet(self)
