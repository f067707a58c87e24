"""smtpctl and control: relays, routes and hosts (numbers 0x09xx). Requests end with a ClientDone as all."""

from typing import NamedTuple

from imsg.message import U32, U64, message

from .client_control import ClientDone
from .control_mta import HostState, HostStatistic, PausedSource, RelayState, RouteState
from .links import CLIENT, CONTROL


@message(0x0913, CLIENT, CONTROL, reply=ClientDone)
class ClientListMta(NamedTuple):
    """`what`: one of control_mta.LISTS."""

    what: str


@message(0x0914, CONTROL, CLIENT)
class MtaRows(NamedTuple):
    """Some rows of the list that was asked for; the other lists are empty."""

    reqid: U32
    hosts: list[HostState]
    hoststats: list[HostStatistic]
    relays: list[RelayState]
    routes: list[RouteState]
    paused: list[PausedSource]


@message(0x0915, CLIENT, CONTROL, reply=ClientDone)
class ClientResumeRoute(NamedTuple):
    """As control_mta.ResumeRoute."""

    id: U64


@message(0x0916, CLIENT, CONTROL, reply=ClientDone)
class ClientPauseSource(NamedTuple):
    """As control_mta.PauseSource; `source` is a numeric address."""

    source: str
    domain: str


@message(0x0917, CLIENT, CONTROL, reply=ClientDone)
class ClientResumeSource(NamedTuple):
    """As control_mta.ResumeSource."""

    source: str
    domain: str
