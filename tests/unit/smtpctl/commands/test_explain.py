"""smtpctl/commands/explain.py: what is asked of the daemon, and the JSON of its answer."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpctl.commands.explain import read_question
from smtpctl.matching import Command, NoMatch, Table
from smtpd.messages.client_configuration import ClientExplain, ExplanationEnd, ExplanationRows
from smtpd.messages.control_lookup import (
    ExplainedStep,
    LookedUp,
    PlannedEnvelope,
    TriedRule,
    WalkedRecipient,
)

PLAIN = ClientExplain("a@b.example", "", "", None, "", "", "", False)

STEPS = [
    ExplainedStep(1, WalkedRecipient(0, "address", "a@b.example", False), None, None, None),
    ExplainedStep(1, None, None, LookedUp(1, "<t>", "domain", "b.example", "found", ""), None),
    ExplainedStep(1, None, TriedRule(1, "c:7", "match ...", "matched", "", "", ""), None, None),
    ExplainedStep(1, None, None, None, PlannedEnvelope("mta", "out", "relay", "a@b.example", "", "MX", "")),
]
END = ExplanationEnd(0, "ok", "", "", 0, 1, 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", PLAIN),
        ("from 192.0.2.1", PLAIN._replace(address="192.0.2.1")),
        ("from [2001:db8::1]", PLAIN._replace(address="2001:db8::1")),
        ("from local", PLAIN),
        ("rdns x.example", PLAIN._replace(rdns="x.example")),
        ("sender <s@c.example>", PLAIN._replace(sender="s@c.example")),
        ("sender <>", PLAIN),
        ("auth joe", PLAIN._replace(username="joe")),
        ("helo h", PLAIN._replace(helo="h")),
        ("tag IN", PLAIN._replace(tag="IN")),
        ("tls", PLAIN._replace(tls=True)),
        ("tls auth tls from 192.0.2.1", PLAIN._replace(tls=True, username="tls", address="192.0.2.1")),
        ("f 192.0.2.1 s x au y he z ta t r n tl", ClientExplain(
            "a@b.example", "x", "192.0.2.1", "n", "z", "t", "y", True)),
    ],
)  # fmt: skip
def test_what_is_asked(words: str, expected: ClientExplain) -> None:
    assert read_question(["a@b.example", *words.split()]) == expected
    assert read_question(["<a@b.example>", *words.split()]) == expected


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("from", "explain: from needs a value"),
        ("tls sender", "explain: sender needs a value"),
        ("t", "explain: 't' is ambiguous"),
        ("form 192.0.2.1", "explain: 'form' is nothing that can follow a recipient"),
        ("tls tls", "explain: tls is there twice"),
        ("sender a s b", "explain: sender is there twice"),
    ],
)
def test_words_without_sense(smtpctl: Any, daemon: Any, words: str, reason: str) -> None:
    status, out, err = smtpctl("explain", "a@b.example", *words.split())
    assert (status, out) == (64, "")
    assert err.startswith(f"smtpctl: {reason}\n") and "explain RCPT " in err
    assert daemon.asked == []


def test_an_empty_word_is_none_either() -> None:
    with pytest.raises(NoMatch):
        read_question(["a", ""])


@given(st.lists(st.text(max_size=6), min_size=1, max_size=6))
def test_any_words_are_a_question_or_none(words: list[str]) -> None:
    try:
        question = read_question(words)
    except NoMatch:
        return
    assert question.recipient in (words[0], words[0][1:-1])


@pytest.mark.parametrize(("status", "expected"), [("ok", 0), ("permfail", 1), ("tempfail", 75)])
def test_the_exit_status_is_the_recipients(smtpctl: Any, daemon: Any, status: str, expected: int) -> None:
    daemon.rows[ClientExplain] = [ExplanationEnd(0, status, "x", "y", 1, 0, 0)]
    assert smtpctl("explain", "a@b.example").status == expected
    assert smtpctl("--json", "explain", "a@b.example").status == expected
    assert daemon.asked == [PLAIN, PLAIN]


def test_json(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientExplain] = [ExplanationRows(0, STEPS[:1]), ExplanationRows(0, STEPS[1:]), END]
    lines = [json.loads(line) for line in smtpctl("--json", "explain", "a@b.example").out.splitlines()]
    assert lines == [
        {
            "step": "recipient",
            "recipient": 1,
            "parent": 0,
            "kind": "address",
            "text": "a@b.example",
            "repeated": False,
        },
        {
            "step": "lookup",
            "recipient": 1,
            "rule": 1,
            "source": "<t>",
            "service": "domain",
            "key": "b.example",
            "result": "found",
            "value": "",
        },
        {
            "step": "rule",
            "recipient": 1,
            "number": 1,
            "place": "c:7",
            "text": "match ...",
            "result": "matched",
            "criterion": "",
            "table": "",
            "key": "",
        },
        {
            "step": "envelope",
            "recipient": 1,
            "type": "mta",
            "action": "out",
            "method": "relay",
            "dest": "a@b.example",
            "user": "",
            "command": "MX",
            "wrapper": "",
        },
        {
            "step": "end",
            "status": "ok",
            "reply": "",
            "reason": "",
            "recipient": 0,
            "envelopes": 1,
            "left_out": 0,
        },
    ]


def test_text(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientExplain] = [ExplanationRows(0, STEPS), END]
    status, out, err = smtpctl("explain", "a@b.example")
    assert (status, err) == (0, "")
    assert out.splitlines()[0] == "RCPT TO:<a@b.example>, MAIL FROM:<>, from the local socket"
    assert "accepted, 1 envelope:" in out.splitlines()


def test_the_daemon_refuses_the_question(smtpctl: Any, daemon: Any) -> None:
    daemon.error = "not a recipient: 'x y'"
    assert smtpctl("explain", "x y") == (1, "command failed: not a recipient: 'x y'\n", "")


def test_it_says_what_is_missing(smtpctl: Any, daemon: Any) -> None:
    status, _, err = smtpctl("explain")
    assert status == 64 and "explain: more words are needed" in err
    assert "RCPT [from ADDRESS]" in smtpctl("help", "explain").out


def test_there_is_a_place_for_envelopes() -> None:
    """`explain EVPID` is a command of its own, and takes nothing from recipients."""
    commands = (Command("explain <evpid>", int, ""), Command("explain <words>", int, ""))
    table = Table(commands)
    assert table.match(["explain", "0123456789abcdef"]).command is commands[0]
    for words in (["explain", "alice"], ["explain", "0123456789abcdef@x.example"], ["explain", "a", "tls"]):
        assert table.match(words).command is commands[1]
