"""smtpd/control/explaining.py, in a whole process whose peers the test holds (conftest.py)."""

from typing import Any

import pytest

from imsg.message import kind_of
from smtpd.control import explaining
from smtpd.messages.client_configuration import ClientExplain, ExplanationEnd, ExplanationRows
from smtpd.messages.client_control import ClientDone
from smtpd.messages.control_lookup import (
    ExplainedStep,
    ExplainedSteps,
    ExplainRecipient,
    RecipientExplained,
    WalkedRecipient,
)

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
