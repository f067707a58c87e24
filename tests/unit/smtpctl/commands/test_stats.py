"""smtpctl/commands/stats.py."""

import json
import time
from typing import Any

import pytest

from smtpctl.commands.stats import MONITORED, monitor_line, monitored
from smtpd.messages.client_control import ClientShowStats, StatsRows
from smtpd.messages.control_process import Counter


def rows(**counters: int) -> list[StatsRows]:
    return [StatsRows(1, [Counter(name.replace("_", "."), value)]) for name, value in counters.items()]


def test_show_stats(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowStats] = rows(uptime=90061, smtp_session=3, control_session=1)
    assert smtpctl("show", "stats") == (
        0,
        "control.session=1\nsmtp.session=3\nuptime=90061\nuptime.human=1d1h1m1s\n",
        "",
    )
    assert json.loads(smtpctl("--json", "show", "stats").out) == {
        "uptime": 90061,
        "smtp.session": 3,
        "control.session": 1,
    }


def test_what_could_be_had_is_shown_when_a_process_is_silent(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowStats] = rows(control_session=1)
    daemon.error = "no answer from pony"
    assert smtpctl("show", "stats") == (0, "control.session=1\n", "smtpctl: no answer from pony\n")
    daemon.rows.clear()
    assert smtpctl("show", "stats").status == 1


COUNTERS = {
    "smtp.session": 2,
    "smtp.session.inet4": 5,
    "smtp.session.inet6": 4,
    "smtp.session.local": 1,
    "scheduler.envelope": 7,
    "scheduler.delivery.ok": 20,
    "scheduler.delivery.tempfail": 3,
    "scheduler.delivery.permfail": 4,
    "scheduler.delivery.loop": 1,
    "scheduler.envelope.expired": 2,
    "scheduler.envelope.removed": 6,
    "queue.bounce": 8,
}


def test_totals_of_the_columns() -> None:
    assert monitored(COUNTERS) == {
        "clients": 2, "connected": 10, "disconnected": 8,
        "envelopes": 7, "enqueued": 40, "dequeued": 33,
        "ok": 20, "tempfail": 3, "permfail": 4, "loop": 1,
        "expired": 2, "removed": 6, "bounced": 8,
    }  # fmt: skip
    assert monitored({}) == dict.fromkeys(MONITORED, 0)


def test_monitor(smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter(range(1, 28))

    def sleep(_seconds: float) -> None:
        second = next(seconds, None)
        if second is None:
            raise KeyboardInterrupt
        later = COUNTERS | {"smtp.session.inet4": 5 + second, "scheduler.delivery.ok": 20 + 2 * second}
        daemon.rows[ClientShowStats] = [StatsRows(1, [Counter(*pair) for pair in later.items()])]

    daemon.rows[ClientShowStats] = [StatsRows(1, [Counter(*pair) for pair in COUNTERS.items()])]
    monkeypatch.setattr(time, "sleep", sleep)
    status, out, _ = smtpctl("monitor")
    lines = out.splitlines()
    assert status == 130
    assert lines[0].startswith("--- client ---  -- envelope --")
    assert lines[2].split() == ["2", "10", "8", "7", "40", "33", "20", "3", "4", "1", "2", "6", "8"]
    assert lines[3].split() == ["2", "1", "1", "7", "2", "2", "2", "0", "0", "0", "0", "0", "0"]
    assert lines[27:30] == ["", lines[0], lines[1]], "the heading comes again every 25 lines"
    assert len(lines) == 28 + 2 + 3


def test_monitor_as_json(smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(_seconds: float) -> None:
        raise KeyboardInterrupt

    daemon.rows[ClientShowStats] = [StatsRows(1, [Counter(*pair) for pair in COUNTERS.items()])]
    monkeypatch.setattr(time, "sleep", sleep)
    (line,) = smtpctl("--json", "monitor").out.splitlines()
    values = json.loads(line)
    assert tuple(values) == ("time", *MONITORED)
    assert values["enqueued"] == 40


def test_a_line_as_opensmtpd_prints_it() -> None:
    assert monitor_line(dict(zip(MONITORED, range(1, 14), strict=True))) == (
        "   1    2    3     4    5    6    7       8       9   10     11     12     13"
    )
