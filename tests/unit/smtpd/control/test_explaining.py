"""smtpd/control/explaining.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from imsg.message import kind_of
from smtpd.control import explaining
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.client_configuration import (
    ClientExplain,
    ClientExplainEnvelope,
    ExplanationEnd,
    ExplanationRows,
)
from smtpd.messages.client_control import ClientDone
from smtpd.messages.control_lookup import (
    ExplainedStep,
    ExplainedSteps,
    ExplainRecipient,
    RecipientExplained,
    WalkedRecipient,
)
from smtpd.messages.control_queue import DescribeEnvelopes, EnvelopesDescribed
from smtpd.messages.control_scheduler import EnvelopeFound, FindEnvelope, Waits
from smtpd.messages.control_tries import FindHindrances, Hindered, HindrancesFound

REQUEST = ClientExplain("a@b.example", "s@c.example", "192.0.2.1", None, "h", "t", "u", True)


def step(number: int) -> ExplainedStep:
    return ExplainedStep(
        number, WalkedRecipient(number - 1, "username", f"u{number}", False), None, None, None
    )


def explains(bench: Any, *frames: list[ExplainedStep], end: RecipientExplained | None) -> None:
    """Have lookup answer with these frames and this end."""

    def answer(name: str, peerid: int, message: ExplainRecipient) -> RecipientExplained | None:
        for frame in frames:
            bench.ends[name].put(ExplainedSteps(message.question, frame))
        bench.ends[name].flush()
        return end and end._replace(reqid=peerid)

    bench.answers[ExplainRecipient] = answer


def test_steps_go_to_the_client_as_they_come(bench: Any) -> None:
    explains(bench, [step(1)], [step(2), step(3)], end=RecipientExplained(0, "ok", "", "", 0, 4, 1))
    assert bench.ask(bench.connect(), REQUEST) == [
        ExplanationRows(0, [step(1)]),
        ExplanationRows(0, [step(2), step(3)]),
        ExplanationEnd(0, "ok", "", "", 0, 4, 1),
        ClientDone(0, "", 4),
    ]
    (asked,) = bench.heard["lookup"]
    assert asked[1:] == REQUEST


def test_a_failure_is_explained_all_the_same(bench: Any) -> None:
    explains(bench, end=RecipientExplained(0, "permfail", "550 No", "because", 1, 0, 0))
    assert bench.ask(bench.connect(), REQUEST) == [
        ExplanationEnd(0, "permfail", "550 No", "because", 1, 0, 0),
        ClientDone(0, "", 0),
    ]


def test_a_question_without_sense(bench: Any) -> None:
    explains(bench, end=RecipientExplained(0, "refused", "", "not a recipient: 'x y'", 0, 0, 0))
    assert bench.ask(bench.connect(), REQUEST) == [ClientDone(0, "not a recipient: 'x y'", 0)]


def test_questions_have_numbers_of_their_own(bench: Any) -> None:
    explains(bench, [step(1)], end=RecipientExplained(0, "ok", "", "", 0, 0, 0))
    for _ in range(3):
        assert len(bench.ask(bench.connect(), REQUEST)) == 3
    assert len({asked.question for asked in bench.heard["lookup"]}) == 3


def test_lookup_does_not_answer(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "ANSWER_SECONDS", 0.01)
    explains(bench, [step(1)], end=None)
    done = bench.ask(bench.connect(), REQUEST, turns=400)[-1]
    assert done == ClientDone(0, "lookup does not answer", 0)


def test_lookup_goes_away(bench: Any) -> None:
    client = bench.connect()
    client.put(REQUEST)
    client.flush()
    bench.turn()
    bench.ends.pop("lookup").close()
    bench.turn()
    assert [message for _, message, _, _ in client.receive()][-1].error == "lookup does not answer"


def test_a_client_that_goes_away_leaves_nothing_behind(bench: Any) -> None:
    explains(bench, end=None)
    client = bench.connect()
    client.put(REQUEST)
    client.flush()
    bench.turn()
    (asked,) = bench.heard["lookup"]
    client.close()
    bench.clients.remove(client)
    bench.turn()
    end = bench.ends["lookup"]
    end.put(ExplainedSteps(asked.question, [step(1)]))
    end.flush()
    bench.turn()
    assert bench.process.handler(kind_of(ClientExplain)).__self__._waiting == {}
    explains(bench, end=RecipientExplained(0, "ok", "", "", 0, 1, 0))
    assert bench.ask(bench.connect(), REQUEST)[-1] == ClientDone(0, "", 1)


DEST = MailAddress("b", "z.example")
ENVELOPE = Envelope(0xAB00000001, "mta", "out")._replace(dest=DEST, errorline="x" * 5000)
WAITS = Waits("held", "mta", False, 1, 300, 9000, 77, False, 5, 10)
HINDERED = Hindered("", "[relay]", "", [], [], [], [])


def knows(bench: Any, waits: Waits, envelopes: list[Envelope], hindered: Hindered) -> None:
    """What scheduler, queue and pony answer."""
    bench.answers[FindEnvelope] = lambda name, peerid, message: EnvelopeFound(peerid, waits)
    bench.answers[DescribeEnvelopes] = lambda name, peerid, message: EnvelopesDescribed(peerid, 1, envelopes)
    bench.answers[FindHindrances] = lambda name, peerid, message: HindrancesFound(peerid, hindered)


def test_an_envelope(bench: Any) -> None:
    knows(bench, WAITS, [ENVELOPE], HINDERED)
    row, done = bench.ask(bench.connect(), ClientExplainEnvelope(ENVELOPE.evpid))
    assert done == ClientDone(0, "", 1)
    assert (row.waits, row.hindered) == (WAITS, HINDERED)
    assert row.envelope == ENVELOPE._replace(errorline="x" * 1000)
    assert bench.heard["pony"] == [FindHindrances(ENVELOPE.evpid, 77, "z.example")]


def test_an_envelope_that_is_not_there(bench: Any) -> None:
    gone = ClientDone(0, "no envelope 000000ab00000001 in the queue", 0)
    knows(bench, WAITS._replace(state=""), [], HINDERED)
    assert bench.ask(bench.connect(), ClientExplainEnvelope(ENVELOPE.evpid)) == [gone]
    knows(bench, WAITS, [], HINDERED)
    assert bench.ask(bench.connect(), ClientExplainEnvelope(ENVELOPE.evpid)) == [gone]
