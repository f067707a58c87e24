"""show hosts, hoststats, relays, routes, mta paused; resume route; pause and resume mta from ... for.

JSON, a line a row: of hosts "address", "name", "references", "connections", "last_connection"; of hoststats
"domain", "time", "status"; of relays "relay", "references", "tasks", "connections", "last_connection",
"timeout", "waits" (a list), "onhold", "connectors" (a list of {"source", "references", "connections",
"last_connection", "timeout", "flags" (a list)}); of routes "id", "source", "destination", "new", "disabled",
"waiting", "connections", "errors", "penalty", "timeout"; of mta paused "source", "domain". Spans of time are
seconds, null where there is none.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from smtpd.messages.client_mta import ClientListMta, ClientPauseSource, ClientResumeRoute, ClientResumeSource
from smtpd.messages.control_mta import (
    ConnectorState,
    HostState,
    HostStatistic,
    PausedSource,
    RelayState,
    RouteState,
)

from ..invocation import Invocation
from ..matching import Parameter
from ..output import duration
from .again import watched

type Values = dict[str, Any]


def _rows(invocation: Invocation, what: str) -> Iterator[Any]:
    for rows in invocation.client.rows(ClientListMta(what)):
        yield from getattr(rows, what)


def _lister(what: str, shown: Callable[[Any], tuple[list[str], Values]]) -> Callable[..., int]:
    def run(invocation: Invocation, _parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
        """A list of pony's."""
        for row in _rows(invocation, what):
            invocation.output.row(*shown(row))
        return 0

    return watched(run)


def _host(host: HostState) -> tuple[list[str], Values]:
    text = (
        f"{host.address} {host.name or '(null)'} refcount={host.references} nconn={host.connections} "
        f"lastconn={_span(host.lastconn)}"
    )
    return [text], {
        "address": host.address,
        "name": host.name,
        "references": host.references,
        "connections": host.connections,
        "last_connection": _number(host.lastconn),
    }


def _hoststat(stat: HostStatistic) -> tuple[list[str], Values]:
    return [f"{stat.domain}|{stat.time}|{stat.status}"], stat._asdict()


def _relay(relay: RelayState) -> tuple[list[str], Values]:
    lines = [
        f"{relay.relay} refcount={relay.references} ntask={relay.tasks} nconn={relay.connections} "
        f"lastconn={_span(relay.lastconn)} timeout={_span(relay.timeout)} "
        f"wait={relay.waits}{'ONHOLD' if relay.onhold else ''}"
    ]
    lines += [
        f"  connector {each.source} refcount={each.references} nconn={each.connections} "
        f"lastconn={_span(each.lastconn)} timeout={_span(each.timeout)} flags={each.flags}"
        for each in relay.connectors
    ]
    if relay.more:
        lines.append(f"  and {relay.more} more")
    return lines, {
        "relay": relay.relay,
        "references": relay.references,
        "tasks": relay.tasks,
        "connections": relay.connections,
        "last_connection": _number(relay.lastconn),
        "timeout": _number(relay.timeout),
        "waits": _words(relay.waits),
        "onhold": relay.onhold,
        "connectors": [_connector(each) for each in relay.connectors],
    }


def _connector(connector: ConnectorState) -> Values:
    return {
        "source": connector.source,
        "references": connector.references,
        "connections": connector.connections,
        "last_connection": _number(connector.lastconn),
        "timeout": _number(connector.timeout),
        "flags": _words(connector.flags),
    }


def _route(route: RouteState) -> tuple[list[str], Values]:
    text = (
        f"{route.id}. {route.source} <-> {route.destination} {route.flags} nconn={route.connections} "
        f"nerror={route.errors} penalty={route.penalty} timeout={_span(route.timeout)}"
    )
    return [text], {
        "id": route.id,
        "source": route.source,
        "destination": route.destination,
        "new": "N" in route.flags,
        "disabled": "D" in route.flags,
        "waiting": "Q" in route.flags,
        "connections": route.connections,
        "errors": route.errors,
        "penalty": route.penalty,
        "timeout": _number(route.timeout),
    }


def _paused(paused: PausedSource) -> tuple[list[str], Values]:
    source = f"[{paused.source}]" if ":" in paused.source else paused.source
    return [f"{source} -> {paused.domain}"], paused._asdict()


show_hosts = _lister("hosts", _host)
show_hoststats = _lister("hoststats", _hoststat)
show_relays = _lister("relays", _relay)
show_routes = _lister("routes", _route)
show_mta_paused = _lister("paused", _paused)


def resume_route(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """resume route NUMBER."""
    number = invocation.client.ask(ClientResumeRoute(parameters[0].value))
    return invocation.output.done("command succeeded", number)


def pause_source(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """pause mta from ADDRESS for DOMAIN."""
    source, domain = (parameter.value for parameter in parameters)
    number = invocation.client.ask(ClientPauseSource(source, domain))
    return invocation.output.done("command succeeded", number)


def resume_source(
    invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]
) -> int:
    """resume mta from ADDRESS for DOMAIN."""
    source, domain = (parameter.value for parameter in parameters)
    number = invocation.client.ask(ClientResumeSource(source, domain))
    return invocation.output.done("command succeeded", number)


def _span(seconds: int) -> str:
    return duration(seconds) if seconds >= 0 else "-"


def _number(seconds: int) -> int | None:
    return seconds if seconds >= 0 else None


def _words(text: str) -> list[str]:
    return text.split(",") if text else []
