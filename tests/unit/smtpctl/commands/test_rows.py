"""smtpctl/commands/rows.py."""

from typing import Any

import pytest

from smtpctl.client import NotRunning
from smtpctl.commands.rows import Row, rows
from smtpctl.invocation import Invocation
from smtpctl.output import Output
from smtpctl.places import Places
from smtpd.mail.envelope import Envelope
from smtpd.messages.client_queue import ClientShowQueue, QueueRow
from smtpd.messages.control_scheduler import EnvelopeState

ENVELOPE = Envelope(evpid=1 << 32 | 1, type="mda")
STATE = EnvelopeState(1 << 32 | 1, "mda", "inflight", False, 0, 1)


def test_rows_come_one_at_a_time(daemon: Any, state: Any) -> None:
    invocation = Invocation(Places(state / "smtpd.sock", state / "spool", state), Output())

    def endless() -> Any:
        while True:
            yield QueueRow(1, STATE, ENVELOPE)

    daemon.rows[ClientShowQueue] = endless()
    several = rows(invocation, 0)
    assert [next(several) for _ in range(3)] == [Row(ENVELOPE, STATE)] * 3
    assert next(several).runstate == "inflight"
    invocation.close()


def test_an_empty_spool_without_a_daemon_has_no_rows(daemon: Any, state: Any) -> None:
    invocation = Invocation(Places(state / "smtpd.sock", state / "spool", state), Output())
    daemon.running = False
    assert list(rows(invocation, 0)) == []
    assert Row(ENVELOPE, None).runstate == "offline"
    nowhere = Invocation(Places(state / "smtpd.sock", state / "no-spool", state), Output())
    with pytest.raises(NotRunning):
        list(rows(nowhere, 0))
