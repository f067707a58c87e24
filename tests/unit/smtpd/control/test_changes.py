"""smtpd/control/changes.py, in a whole process whose peers the test holds (conftest.py)."""

import re
from typing import Any

import pytest

from smtpd.control.changes import CHANGES, named
from smtpd.messages.client_control import (
    ClientChangeEnvelopes,
    ClientDiscover,
    ClientDone,
    ClientUncorrupt,
    ProgressRow,
)
from smtpd.messages.control_queue import DiscoverEnvelopes, EnvelopesDiscovered, UncorruptMessage
from smtpd.messages.control_scheduler import ChangeEnvelopes, EnvelopesAffected
from smtpd.scheduler import ramqueue


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("identifier", [0, 0x6C472DE9, 0x6C472DE90A0B0C0D])
def test_passed_on_to_the_scheduler(
    bench: Any, own_uid: int, capfd: pytest.CaptureFixture[str], change: str, identifier: int
) -> None:
    bench.answers[ChangeEnvelopes] = lambda name, peerid, message: EnvelopesAffected(peerid, 12)
    assert bench.ask(bench.connect(), ClientChangeEnvelopes(change, identifier)) == [ClientDone(0, "", 12)]
    assert bench.heard["scheduler"] == [ChangeEnvelopes(change, identifier)]
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].endswith(f"control: uid={own_uid} {change} {named(identifier)}")
    assert lines[1].endswith(f"control: {change} {named(identifier)}: 12 envelopes")


def test_batch_by_batch_with_the_number_so_far(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    def affected(_name: str, peerid: int, message: ChangeEnvelopes) -> EnvelopesAffected:
        return EnvelopesAffected(peerid, 10, message.start + 1 if message.start < 3 else 0)

    bench.answers[ChangeEnvelopes] = affected
    assert bench.ask(bench.connect(), ClientChangeEnvelopes("remove", 0)) == [
        *(ProgressRow(0, number) for number in (10, 20, 30)),
        ClientDone(0, "", 40),
    ]
    assert [message.start for message in bench.heard["scheduler"]] == [0, 1, 2, 3]
    assert capfd.readouterr().err.endswith("control: remove all: 40 envelopes\n")


def test_when_the_client_goes_it_ends(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    asked: list[int] = []

    def affected(_name: str, peerid: int, message: ChangeEnvelopes) -> EnvelopesAffected:
        asked.append(message.start)
        if len(asked) == 3:
            client.close()
            bench.clients.remove(client)
        return EnvelopesAffected(peerid, 10, message.start + 1)

    bench.answers[ChangeEnvelopes] = affected
    client = bench.connect()
    client.put(ClientChangeEnvelopes("remove", 0))
    client.flush()
    bench.turn(100)
    assert 3 <= len(asked) < 10
    assert re.search(r"control: remove all: broken off after \d0 envelopes\n$", capfd.readouterr().err)


def test_the_same_changes_as_the_scheduler_knows() -> None:
    assert set(CHANGES) == set(ramqueue.CHANGES)


def test_another_change_is_refused(bench: Any) -> None:
    assert bench.ask(bench.connect(), ClientChangeEnvelopes("delete", 0)) == [
        ClientDone(0, "no such change: delete", 0)
    ]
    assert bench.heard["scheduler"] == []


def test_a_scheduler_that_is_gone(bench: Any) -> None:
    bench.ends.pop("scheduler").close()
    assert bench.ask(bench.connect(), ClientChangeEnvelopes("remove", 0)) == [
        ClientDone(0, "the scheduler does not answer", 0)
    ]


@pytest.mark.parametrize(
    ("asked", "passed_on", "logged"),
    [
        (ClientDiscover(0x6C472DE9), DiscoverEnvelopes(0x6C472DE9), "discover 6c472de9"),
        (ClientDiscover(2**32), DiscoverEnvelopes(2**32), "discover 0000000100000000"),
        (ClientUncorrupt(0x6C472DE9), UncorruptMessage(0x6C472DE9), "uncorrupt 6c472de9"),
    ],
)
def test_passed_on_to_queue(
    bench: Any, own_uid: int, capfd: pytest.CaptureFixture[str], asked: Any, passed_on: Any, logged: str
) -> None:
    bench.answers[type(passed_on)] = lambda name, peerid, message: EnvelopesDiscovered(peerid, "", 3)
    assert bench.ask(bench.connect(), asked) == [ClientDone(0, "", 3)]
    assert bench.heard["queue"] == [passed_on]
    assert capfd.readouterr().err.endswith(f"control: uid={own_uid} {logged}: done\n")
    bench.answers[type(passed_on)] = lambda name, peerid, message: EnvelopesDiscovered(peerid, "no", 0)
    assert bench.ask(bench.connect(), asked) == [ClientDone(0, "no", 0)]
    assert capfd.readouterr().err.endswith(f"control: uid={own_uid} {logged}: failed: no\n")
    bench.ends.pop("queue").close()
    assert bench.ask(bench.connect(), asked) == [ClientDone(0, "queue does not answer", 0)]


def test_ids_as_the_user_wrote_them() -> None:
    assert [named(0), named(1), named(2**32)] == ["all", "00000001", "0000000100000000"]
