"""smtpd/queue/measuring.py, in a process whose spool lies in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.mail.envelope import Envelope
from smtpd.queue.measuring import ANSWERED, CALLED
from smtpd.spool import durable
from smtpd.spool.backend import Backend


@pytest.fixture
def measured(world: Any) -> Iterator[Any]:
    """The process, while its spool is measured."""
    world.process.profiling.profile("queue", True)
    yield world
    world.process.profiling.profile("queue", False)
    assert durable.measured is None


def counts(world: Any, what: str) -> dict[str, int]:
    rows = world.process.profiling.part(1, 0).rows
    return {row.name: row.number for row in rows if (row.subsystem, row.what) == ("queue", what)}


def test_what_is_measured_is_what_a_spool_has() -> None:
    assert all(callable(getattr(Backend, name)) for name in (*ANSWERED, *CALLED))


def test_operations_of_a_message(measured: Any, relay: Envelope) -> None:
    (stored,) = measured.received(relay)
    assert counts(measured, "operation") == {"open_incoming": 1, "commit": 1, "load": 1}
    measured.received(relay, relay)
    assert counts(measured, "operation") == {"open_incoming": 2, "commit": 2, "load": 3}
    assert stored.dest == relay.dest, "the answers are those of the spool"


def test_a_rollback(measured: Any) -> None:
    measured.process.spool.rollback(measured.process.spool.new_msgid())
    assert counts(measured, "operation") == {"rollback": 1}


def test_each_fsync(measured: Any, tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        for _ in range(3):
            durable.fsync(file.fileno())
    assert counts(measured, "fsync") == {"fsync": 3}
    assert counts(measured, "fsync") == {"fsync": 3}, "taken over once"


def test_a_failed_operation_is_measured_too(measured: Any) -> None:
    answers: list[Any] = []
    measured.process.spool.open_message(0x1234, answers.append)
    measured.until(lambda: answers)
    assert not isinstance(answers[0], int)
    assert counts(measured, "operation") == {"open_message": 1}


def test_nothing_stands_before_the_spool_while_nobody_profiles(world: Any, relay: Envelope) -> None:
    own = set(vars(world.spool))
    world.received(relay)
    assert counts(world, "operation") == {}
    world.process.profiling.profile("queue", True)
    assert set(vars(world.spool)) - own == {*ANSWERED, *CALLED}
    world.process.profiling.profile("queue", True)  # again: measured once, not twice
    world.received(relay)
    assert counts(world, "operation")["commit"] == 1
    world.process.profiling.profile("queue", False)
    assert set(vars(world.spool)) == own and durable.measured is None
    world.received(relay)
    assert counts(world, "operation")["commit"] == 1, "what was measured stays, no more is"
