"""control and pony: what the administrator sees of relaying, and wants of it (numbers 0x08cx).

Spans of time are seconds, -1 where there is none. The rows are the same on their way on to smtpctl
(client_control.py).
"""

from typing import NamedTuple

from imsg.message import I64, U32, U64, message

from .links import CONTROL, PONY

LISTS = ("hosts", "hoststats", "relays", "routes", "paused")
"""What can be listed."""


class HostState(NamedTuple):
    """A host that mail was or is sent to. `name`: under which it was found; `lastconn`: how long ago."""

    address: str
    name: str
    references: U32
    connections: U32
    lastconn: I64


class HostStatistic(NamedTuple):
    """The last delivery to a domain, its Unix time and result."""

    domain: str
    time: I64
    status: str


class ConnectorState(NamedTuple):
    """A relay's source address. `flags`: words with commas between; `timeout`: until it does something."""

    source: str
    references: U32
    connections: U32
    lastconn: I64
    timeout: I64
    flags: str


class RelayState(NamedTuple):
    """`relay`: as in the log; `waits`: for what, words with commas; `more`: connectors that are not here."""

    relay: str
    references: U32
    tasks: U32
    connections: U32
    lastconn: I64
    timeout: I64
    waits: str
    onhold: bool
    connectors: list[ConnectorState]
    more: U32


class RouteState(NamedTuple):
    """`flags`: of "NDQK" those that are set, "-" in the place of the others."""

    id: U64
    source: str
    destination: str
    flags: str
    connections: U32
    errors: U32
    penalty: U32
    timeout: I64


class PausedSource(NamedTuple):
    """No connections from this address for mail to this domain."""

    source: str
    domain: str


@message(0x08C1, PONY, CONTROL)
class MtaListed(NamedTuple):
    """Reply to ListMta: of the lists the one asked for, in order. `next`: where to go on, "" at the end."""

    reqid: U32
    next: str
    hosts: list[HostState]
    hoststats: list[HostStatistic]
    relays: list[RelayState]
    routes: list[RouteState]
    paused: list[PausedSource]


@message(0x08C2, CONTROL, PONY, reply=MtaListed)
class ListMta(NamedTuple):
    """As many rows as fit one frame. `what`: one of LISTS; `start`: "" or `next` of the reply before."""

    what: str
    start: str


@message(0x08C3, CONTROL, PONY)
class ResumeRoute(NamedTuple):
    """Use a disabled route again; 0: all of them."""

    id: U64


@message(0x08C4, CONTROL, PONY)
class PauseSource(NamedTuple):
    """Make no connections from an address for mail to a domain."""

    source: str
    domain: str


@message(0x08C5, CONTROL, PONY)
class ResumeSource(NamedTuple):
    """Undo PauseSource."""

    source: str
    domain: str
