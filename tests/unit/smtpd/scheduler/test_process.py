"""smtpd/scheduler/process.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from smtpd.messages.control_scheduler import (
    ChangeEnvelopes,
    PauseDelivery,
    ResumeDelivery,
)
from smtpd.messages.queue_scheduler import (
    DeliverEnvelopes,
    EnvelopeDone,
    EnvelopesReady,
    EnvelopeTimes,
    HoldReleased,
)


def test_the_daemon_may_start_paused(bench: Any) -> None:
    bench.process.paused = frozenset({"mda", "mta", "smtp"})
    bench.process.begin()
    bench.tell("queue", EnvelopesReady([bench.times(1), bench.times(2, "mda")]))
    assert bench.hear("queue") == []
    assert bench.standing()[0] == [True, True]


def test_a_new_queue_is_told_again(bench: Any) -> None:
    bench.tell("queue", EnvelopesReady([bench.times(1), bench.times(2)]))
    bench.hear("queue")
    bench.tell("queue", EnvelopeDone(bench.evpid(1), "ok"))
    bench.hear("queue")
    bench.ends["queue"].close()
    bench.hear("control")
    assert bench.process.peer("queue").lost
    bench.process.turns.wake()
    bench.hear("control")
    bench.connect("queue")
    assert bench.hear("queue") == [DeliverEnvelopes("mta", [bench.evpid(2)])]
    bench.tell("queue", EnvelopesReady([bench.times(2), bench.times(3)]))
    assert bench.hear("queue") == [DeliverEnvelopes("mta", [bench.evpid(3)])], "what is known stays as it is"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("queue", EnvelopesReady([EnvelopeTimes(1 << 32 | 1, "smtp", 0, 0, 0, 0, 0)])),
        ("queue", HoldReleased("smtp", 1, 0)),
        ("control", PauseDelivery("bounce")),
        ("control", ResumeDelivery("")),
        ("control", ChangeEnvelopes("delete", 0)),
    ],
)
def test_words_that_do_not_exist_are_a_fault_of_the_sender(
    bench: Any, monkeypatch: pytest.MonkeyPatch, name: str, message: Any
) -> None:
    faults: list[str] = []
    monkeypatch.setattr(bench.process, "violation", lambda peer, text: faults.append(f"{peer.name}: {text}"))
    bench.tell(name, message)
    assert bench.hear(name) == []
    assert len(faults) == 1
    assert faults[0].startswith(name)
