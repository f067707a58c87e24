"""control and pony: what became of an envelope's tries, and what holds it now (numbers 0x088x, second half).

The row for smtpctl carries the same values (client_configuration.py). Spans of time are seconds, -1 where
there is none.
"""

from typing import NamedTuple

from imsg.message import I64, U32, U64, Id64, message

from .control_mta import PausedSource, RouteState
from .links import CONTROL, PONY

MOST_ROUTES = 8
"""Routes, and paused sources, that are told of one envelope."""


class Try(NamedTuple):
    """One try that failed. `time`: Unix second; `source` and `host`: the ends of the connection, "" for a
    local delivery; `status`: the host's reply, or our reason."""

    time: I64
    source: str
    host: str
    status: str


class Hindrance(NamedTuple):
    """What holds an envelope.

    `what`: "limit" (`name`: the key of `mta limit` or `mda limit`, `number`: its value), "delay" (`number`
    seconds are left), "first" (`name`: a host that one connection tries before others are made), "lookup"
    (`name`: "mx", "source" or "credentials" is being looked up), or "error"
    (`name`: "mx", "family", "net", "source" or "paused": what is wrong with a source's ways out).
    """

    what: str
    name: str
    number: I64


class Hindered(NamedTuple):
    """What pony says of an envelope.

    `place`: "" (not in pony), "relay" (waits for a connection), "session" (a host has it, or will at once),
    "user" (waits for a delivery) or "delivery" (is being delivered). `name`: the relay as the log calls it,
    or the user; also of the relay or user that the hold queue belongs to.
    """

    place: str
    name: str
    host: str
    hindrances: list[Hindrance]
    routes: list[RouteState]
    paused: list[PausedSource]
    tries: list[Try]


@message(0x0888, PONY, CONTROL)
class HindrancesFound(NamedTuple):
    """Reply to FindHindrances."""

    reqid: U32
    hindered: Hindered


@message(0x0889, CONTROL, PONY, reply=HindrancesFound)
class FindHindrances(NamedTuple):
    """`holdq`: the hold queue that scheduler has it in, 0 for none; `domain`: of its destination."""

    evpid: Id64
    holdq: U64
    domain: str
