"""smtpctl/commands/switches.py."""

import json
from typing import Any

import pytest

from smtpctl.commands import switches
from smtpd.messages.client_control import (
    ClientPause,
    ClientResume,
    ClientSetTrace,
    ClientSetVerbose,
    ClientShowStatus,
    StatusRow,
)


@pytest.mark.parametrize(
    ("words", "request_sent"),
    [
        ("pause mda", ClientPause("mda")),
        ("pause mta", ClientPause("mta")),
        ("pause smtp", ClientPause("smtp")),
        ("resume mda", ClientResume("mda")),
        ("resume mta", ClientResume("mta")),
        ("resume smtp", ClientResume("smtp")),
        ("log brief", ClientSetVerbose(0)),
        ("log verbose", ClientSetVerbose(1)),
        ("trace imsg", ClientSetTrace("imsg", True)),
        ("trace all", ClientSetTrace("all", True)),
        ("untrace imsg", ClientSetTrace("imsg", False)),
    ],
)
def test_what_is_asked_of_the_daemon(smtpctl: Any, daemon: Any, words: str, request_sent: Any) -> None:
    assert smtpctl(*words.split()) == (0, "command succeeded\n", "")
    assert daemon.asked == [request_sent]
    assert json.loads(smtpctl("--json", *words.split()).out) == {"done": True, "number": 1}


def test_status(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowStatus] = [StatusRow(1, True, False, True)]
    assert smtpctl("show", "status") == (0, "MDA running\nMTA paused\nSMTP running\n", "")
    assert json.loads(smtpctl("--json", "show", "status").out) == {
        "mda": "running",
        "mta": "paused",
        "smtp": "running",
    }


def test_an_unknown_subsystem(smtpctl: Any, daemon: Any) -> None:
    daemon.error = "no such subsystem: smpt; there are imsg, io"
    assert smtpctl("trace", "smpt") == (1, f"command failed: {daemon.error}\n", "")
    assert switches.trace is not switches.untrace
