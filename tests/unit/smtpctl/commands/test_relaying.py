"""smtpctl/commands/relaying.py: OpenSMTPD's lines, and JSON."""

import json
from typing import Any

import pytest

from smtpd.messages.client_mta import (
    ClientListMta,
    ClientPauseSource,
    ClientResumeRoute,
    ClientResumeSource,
    MtaRows,
)
from smtpd.messages.control_mta import (
    ConnectorState,
    HostState,
    HostStatistic,
    PausedSource,
    RelayState,
    RouteState,
)

RELAY = RelayState(
    "[relay:example.org,smtp]",
    3,
    2,
    1,
    65,
    4,
    "MX,source",
    True,
    [ConnectorState("[]", 2, 1, 65, -1, "WAIT,ERROR_MX"), ConnectorState("192.0.2.9", 1, 0, -1, 9, "")],
    7,
)

CASES: list[tuple[str, str, Any, str, dict[str, Any]]] = [
    (
        "hosts",
        "hosts",
        HostState("192.0.2.1", "mx.example.org", 2, 1, 3600),
        "192.0.2.1 mx.example.org refcount=2 nconn=1 lastconn=1h\n",
        {
            "address": "192.0.2.1",
            "name": "mx.example.org",
            "references": 2,
            "connections": 1,
            "last_connection": 3600,
        },
    ),
    (
        "hosts",
        "hosts",
        HostState("[2001:db8::1]", "", 0, 0, -1),
        "[2001:db8::1] (null) refcount=0 nconn=0 lastconn=-\n",
        {"address": "[2001:db8::1]", "name": "", "references": 0, "connections": 0, "last_connection": None},
    ),
    (
        "hoststats",
        "hoststats",
        HostStatistic("example.org", 1_700_000_000, "250 2.0.0 Ok"),
        "example.org|1700000000|250 2.0.0 Ok\n",
        {"domain": "example.org", "time": 1_700_000_000, "status": "250 2.0.0 Ok"},
    ),
    (
        "relays",
        "relays",
        RELAY,
        "[relay:example.org,smtp] refcount=3 ntask=2 nconn=1 lastconn=1m5s timeout=4s wait=MX,sourceONHOLD\n"
        "  connector [] refcount=2 nconn=1 lastconn=1m5s timeout=- flags=WAIT,ERROR_MX\n"
        "  connector 192.0.2.9 refcount=1 nconn=0 lastconn=- timeout=9s flags=\n"
        "  and 7 more\n",
        {
            "relay": "[relay:example.org,smtp]",
            "references": 3,
            "tasks": 2,
            "connections": 1,
            "last_connection": 65,
            "timeout": 4,
            "waits": ["MX", "source"],
            "onhold": True,
            "connectors": [
                {
                    "source": "[]",
                    "references": 2,
                    "connections": 1,
                    "last_connection": 65,
                    "timeout": None,
                    "flags": ["WAIT", "ERROR_MX"],
                },
                {
                    "source": "192.0.2.9",
                    "references": 1,
                    "connections": 0,
                    "last_connection": None,
                    "timeout": 9,
                    "flags": [],
                },
            ],
        },
    ),
    (
        "routes",
        "routes",
        RouteState(12, "[]", "192.0.2.1 (mx.example.org)", "NDQ-", 1, 4, 2, 60),
        "12. [] <-> 192.0.2.1 (mx.example.org) NDQ- nconn=1 nerror=4 penalty=2 timeout=1m\n",
        {
            "id": 12,
            "source": "[]",
            "destination": "192.0.2.1 (mx.example.org)",
            "new": True,
            "disabled": True,
            "waiting": True,
            "connections": 1,
            "errors": 4,
            "penalty": 2,
            "timeout": 60,
        },
    ),
    (
        "mta paused",
        "paused",
        PausedSource("192.0.2.1", "example.org"),
        "192.0.2.1 -> example.org\n",
        {"source": "192.0.2.1", "domain": "example.org"},
    ),
    (
        "mta paused",
        "paused",
        PausedSource("2001:db8::1", "example.org"),
        "[2001:db8::1] -> example.org\n",
        {"source": "2001:db8::1", "domain": "example.org"},
    ),
]


@pytest.mark.parametrize(("words", "what", "row", "text", "values"), CASES)
def test_a_list(
    smtpctl: Any, daemon: Any, words: str, what: str, row: Any, text: str, values: dict[str, Any]
) -> None:
    lists = [
        [row, row] if name == what else [] for name in ("hosts", "hoststats", "relays", "routes", "paused")
    ]
    daemon.rows[ClientListMta] = [MtaRows(1, *lists)] * 2
    assert smtpctl("show", *words.split()) == (0, text * 4, "")
    assert daemon.asked == [ClientListMta(what)]
    assert [json.loads(line) for line in smtpctl("--json", "show", *words.split()).out.splitlines()] == [
        values
    ] * 4


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        ("resume route 12", ClientResumeRoute(12)),
        ("pause mta from 192.0.2.1 for example.org", ClientPauseSource("192.0.2.1", "example.org")),
        ("resume mta from 2001:DB8::1 for example.org", ClientResumeSource("2001:db8::1", "example.org")),
    ],
)
def test_orders(smtpctl: Any, daemon: Any, words: str, request_: Any) -> None:
    assert smtpctl(*words.split()) == (0, "command succeeded\n", "")
    assert daemon.asked == [request_]
    daemon.error = "no"
    assert smtpctl(*words.split()) == (1, "command failed: no\n", "")


def test_an_address_has_to_be_one(smtpctl: Any, daemon: Any) -> None:
    status, _, err = smtpctl("pause", "mta", "from", "here", "for", "example.org")
    assert (status, "'here' is no address" in err) == (64, True)
    assert daemon.asked == []
