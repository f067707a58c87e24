"""smtpd/control/switches.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from smtpd.messages.client_control import (
    ClientDone,
    ClientPause,
    ClientResume,
    ClientSetTrace,
    ClientSetVerbose,
    ClientShowStatus,
    StatusRow,
)
from smtpd.messages.control_observation import WipeTape
from smtpd.messages.control_pony import PauseSmtp, ResumeSmtp
from smtpd.messages.control_process import OTHERS, SetTrace, SetVerbose
from smtpd.messages.control_scheduler import PauseDelivery, ResumeDelivery

DONE = ClientDone(0, "", 1)


def test_status_of_a_running_daemon(bench: Any) -> None:
    assert bench.ask(bench.connect(), ClientShowStatus()) == [StatusRow(0, True, True, True), DONE]


@pytest.mark.parametrize("what", ["mda", "mta"])
def test_pause_and_resume_of_deliveries(bench: Any, what: str) -> None:
    client = bench.connect()
    assert bench.ask(client, ClientPause(what)) == [DONE]
    assert bench.heard["scheduler"] == [PauseDelivery(what)]
    assert bench.ask(client, ClientPause(what)) == [ClientDone(0, f"{what} is already paused", 0)]
    assert bench.ask(client, ClientShowStatus()) == [StatusRow(0, what != "mda", what != "mta", True), DONE]
    assert bench.ask(client, ClientResume(what)) == [DONE]
    assert bench.ask(client, ClientResume(what)) == [ClientDone(0, f"{what} is not paused", 0)]
    assert bench.heard["scheduler"] == [PauseDelivery(what), ResumeDelivery(what)]
    assert bench.heard["pony"] == []


def test_pause_and_resume_of_smtp(bench: Any) -> None:
    client = bench.connect()
    assert bench.ask(client, ClientPause("smtp")) == [DONE]
    assert bench.ask(client, ClientShowStatus()) == [StatusRow(0, True, True, False), DONE]
    assert bench.ask(client, ClientResume("smtp")) == [DONE]
    assert bench.heard["pony"] == [PauseSmtp(), ResumeSmtp()]
    assert bench.heard["scheduler"] == []


@pytest.mark.parametrize("request_kind", [ClientPause, ClientResume])
def test_what_cannot_be_paused(bench: Any, request_kind: Any) -> None:
    (done,) = bench.ask(bench.connect(), request_kind("queue"))
    assert done.error.startswith("queue: can not be")
    assert bench.heard["scheduler"] == []


def test_the_daemon_may_start_paused(bench: Any) -> None:
    bench.process.paused = frozenset({"mta", "smtp"})
    bench.process.begin()
    client = bench.connect()
    assert bench.ask(client, ClientShowStatus()) == [StatusRow(0, True, False, False), DONE]
    assert bench.ask(client, ClientResume("mta")) == [DONE]


def test_verbosity_goes_to_every_process(bench: Any) -> None:
    client = bench.connect()
    assert bench.ask(client, ClientSetVerbose(7)) == [DONE]
    assert bench.process.log.verbose
    assert bench.ask(client, ClientSetVerbose(0)) == [DONE]
    assert not bench.process.log.verbose
    for name in OTHERS:
        assert bench.heard[name] == [SetVerbose(1), SetVerbose(0)]


def test_traces_go_to_every_process(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    client = bench.connect()
    assert bench.ask(client, ClientSetTrace("imsg", True)) == [DONE]
    assert bench.process.log.tracing_imsg
    assert bench.ask(client, ClientShowStatus())[-1] == DONE
    assert "control <- client: ClientShowStatus" in capfd.readouterr().err
    assert bench.ask(client, ClientSetTrace("all", False)) == [DONE]
    assert not bench.process.log.tracing_imsg
    for name in OTHERS:
        assert bench.heard[name] == [SetTrace("imsg", True), SetTrace("all", False), WipeTape()]


def test_an_unknown_subsystem_is_refused_with_the_known_ones(bench: Any) -> None:
    (done,) = bench.ask(bench.connect(), ClientSetTrace("smpt", True))
    assert done.error.startswith("no such subsystem: smpt; there are imsg, io, smtp,")
    assert all(heard == [] for heard in bench.heard.values())


def test_every_action_is_logged_with_the_uid(
    bench: Any, own_uid: int, capfd: pytest.CaptureFixture[str]
) -> None:
    client = bench.connect()
    bench.ask(client, ClientPause("mta"))
    bench.ask(client, ClientPause("mta"))
    bench.ask(client, ClientSetVerbose(0))
    bench.ask(client, ClientShowStatus())
    lines = [line.split("control: ", 1)[1] for line in capfd.readouterr().err.splitlines()]
    assert lines == [
        "mta paused",
        f"control: uid={own_uid} pause mta: done",
        f"control: uid={own_uid} pause mta: failed: mta is already paused",
        f"control: uid={own_uid} log brief: done",
    ]
