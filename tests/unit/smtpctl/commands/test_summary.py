"""smtpctl/commands/summary.py."""

import json
import time
from typing import Any

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.client_queue import ClientShowQueue, QueueRow
from smtpd.messages.control_scheduler import EnvelopeState


def row(domain: str, minutes: float, error: str = "") -> QueueRow:
    envelope = Envelope(
        evpid=1 << 32 | 1,
        type="mta",
        dest=MailAddress("bob", domain),
        ctime=int(time.time() - minutes * 60),
        errorline=error,
    )
    return QueueRow(1, EnvelopeState(1 << 32 | 1, "mta", "pending", False, 0, 0), envelope)


def rows() -> list[QueueRow]:
    """Aged from now: what is made while tests are collected grows older until they run."""
    return [
        row("a.example", 1),
        row("b.example", 7),
        row("b.example", 15),
        row("b.example", 5000),
        row("", 1),
    ]


def test_by_domain(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowQueue] = rows()
    lines = smtpctl("show", "queue", "--by=domain").out.splitlines()
    table = [line.split() for line in lines]
    assert table[0] == ["T", "5", "10", "20", "40", "80", "160", "320", "640", "1280", "1280+"]
    assert table[1:] == [
        ["TOTAL", "5", "2", "1", "1", "0", "0", "0", "0", "0", "0", "1"],
        ["b.example", "3", "0", "1", "1", "0", "0", "0", "0", "0", "0", "1"],
        ["-", "1", "1", "0", "0", "0", "0", "0", "0", "0", "0", "0"],
        ["a.example", "1", "1", "0", "0", "0", "0", "0", "0", "0", "0", "0"],
    ]
    assert len({len(line) for line in lines}) == 1, "columns are aligned"


def test_json(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowQueue] = rows()
    first = json.loads(smtpctl("--json", "show", "queue", "--by=domain").out.splitlines()[0])
    assert first == {
        "domain": "b.example",
        "total": 3,
        "ages": [0, 1, 1, 0, 0, 0, 0, 0, 0, 1],
        "limits": [5, 10, 20, 40, 80, 160, 320, 640, 1280],
    }


def test_with_filters_and_other_fields(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowQueue] = [*rows(), row("c.example", 1, "451 try later")]
    out = smtpctl("show", "queue", "--by=error", "--error=451").out
    assert out.splitlines()[2].split()[:4] == ["451", "try", "later", "1"]
    for field in ("sender", "recipient", "state", "type"):
        assert smtpctl("show", "queue", f"--by={field}").status == 0


def test_an_empty_queue(smtpctl: Any) -> None:
    assert smtpctl("show", "queue", "--by=domain").out.splitlines()[1].split() == ["TOTAL", *"0" * 11]


def test_no_such_field(smtpctl: Any) -> None:
    status, _, err = smtpctl("show", "queue", "--by=colour")
    assert status == 64
    assert "'colour' is nothing to sum up by; domain," in err
