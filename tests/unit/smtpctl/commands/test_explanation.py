"""smtpctl/commands/explanation.py: whole explanations as text."""

from hypothesis import given
from hypothesis import strategies as st

from smtpctl.commands.explanation import Explanation
from smtpctl.output import STYLES
from smtpd.messages.client_configuration import ClientExplain, ExplanationEnd
from smtpd.messages.control_lookup import (
    ExplainedStep,
    LookedUp,
    PlannedEnvelope,
    TriedRule,
    WalkedRecipient,
)

QUESTION = ClientExplain("root", "", "", None, "", "", "", False)
OK = ExplanationEnd(0, "ok", "", "", 0, 2, 0)


def walked(number: int, parent: int, kind: str, text: str) -> ExplainedStep:
    return ExplainedStep(number, WalkedRecipient(parent, kind, text, False), None, None, None)


def repeated(number: int, kind: str, text: str) -> ExplainedStep:
    return ExplainedStep(number, WalkedRecipient(number, kind, text, True), None, None, None)


def rule(
    of: int, number: int, result: str, criterion: str = "", table: str = "", key: str = ""
) -> ExplainedStep:
    tried = TriedRule(
        number, f"/etc/mail/smtpd.conf:{number}", f"match {number}", result, criterion, table, key
    )
    return ExplainedStep(of, None, tried, None, None)


def found(
    of: int, by: int, source: str, service: str, key: str, result: str, value: str = ""
) -> ExplainedStep:
    return ExplainedStep(of, None, None, LookedUp(by, source, service, key, result, value), None)


def envelope(of: int, *fields: str) -> ExplainedStep:
    return ExplainedStep(of, None, None, None, PlannedEnvelope(*fields))


def text(steps: list[ExplainedStep], end: ExplanationEnd | None, question: ClientExplain = QUESTION) -> str:
    explanation = Explanation(question)
    for step in steps:
        explanation.add(step)
    explanation.end = end
    lines = list(explanation.lines())
    assert all(style in ("", *STYLES) for _, style in lines)
    return "".join(f"{line}\n" for line, _ in lines)


# the walk goes in breadth: bob comes before alice's .forward
ACCEPTED = [
    walked(1, 0, "address", "root@mx.example"),
    found(1, 1, "<anyhost>", "netaddr", "local", "found"),
    rule(1, 1, "no match", "for domain <away>", "<away>", "mx.example"),
    found(1, 2, "<localhost>", "netaddr", "local", "found"),
    rule(1, 2, "matched"),
    walked(2, 1, "username", "root"),
    found(2, 0, "<aliases>", "alias", "root", "found", "alice, |cat, root"),
    repeated(2, "username", "root"),
    walked(3, 2, "username", "alice"),
    found(3, 0, "<aliases>", "alias", "alice", "none"),
    found(3, 0, "/home/alice/.forward", "forward", "alice", "found", "a@far.example"),
    walked(4, 2, "filter", "cat"),
    walked(5, 3, "address", "a@far.example"),
    rule(5, 1, "matched"),
    envelope(4, "mda", "local", "mda", "root@mx.example", "_smtpd", "cat", "nice"),
    envelope(5, "mta", "out", "relay", "a@far.example", "", "MX of far.example", ""),
]


def test_accepted() -> None:
    assert text(ACCEPTED, OK) == (
        "RCPT TO:<root>, MAIL FROM:<>, from the local socket\n"
        "\n"
        "root@mx.example\n"
        '  rule 1 (smtpd.conf:1) does not match: for domain <away> with "mx.example"\n'
        "  rule 2 (smtpd.conf:2) matches: match 2\n"
        '    netaddr "local" in <localhost>: found\n'
        "    root\n"
        '      alias "root" in <aliases>: alice, |cat, root\n'
        "        root: was expanded before, not again\n"
        "        alice\n"
        '          alias "alice" in <aliases>: none\n'
        "          forward /home/alice/.forward: a@far.example\n"
        "            a@far.example\n"
        "              rule 1 (smtpd.conf:1) matches: match 1\n"
        "              => envelope 2\n"
        "        |cat\n"
        "          => envelope 1\n"
        "\n"
        "accepted, 2 envelopes:\n"
        '  1  mda <root@mx.example> action "local" as _smtpd: mda cat (in wrapper nice)\n'
        '  2  mta <a@far.example> action "out": relay MX of far.example\n'
    )


def test_refused() -> None:
    steps = [
        found(0, 0, "DNS", "rdns", "192.0.2.1", "none", "no such name"),
        walked(1, 0, "address", "x@far.example"),
        rule(1, 1, "no match", "auth"),
        rule(1, 2, "no match", "helo <h>", "<h>", ""),
    ]
    end = ExplanationEnd(0, "permfail", "550 Invalid recipient", "no rule matches", 1, 0, 0)
    question = ClientExplain("x@far.example", "s@c.example", "192.0.2.1", "", "h", "T", "joe", True)
    assert text(steps, end, question) == (
        "RCPT TO:<x@far.example>, MAIL FROM:<s@c.example>, from 192.0.2.1, rdns none, HELO h, "
        "authenticated as joe, tag T, over TLS\n"
        "\n"
        'rdns "192.0.2.1" in DNS: none (no such name)\n'
        "x@far.example\n"
        "  rule 1 (smtpd.conf:1) does not match: auth\n"
        '  rule 2 (smtpd.conf:2) does not match: helo <h> with ""\n'
        "  => 550 Invalid recipient: no rule matches\n"
        "\n"
        "550 Invalid recipient\n"
    )


def test_deferred_and_left_out() -> None:
    steps = [
        walked(1, 0, "address", "x@far.example"),
        rule(1, 1, "no match", "tls"),
        rule(1, 9, "tempfail", "for domain <slow>", "<slow>", "far.example"),
        found(1, 0, "<slow>", "domain", "far.example", "tempfail", "no answer"),
    ]
    end = ExplanationEnd(0, "tempfail", "451 Temporary failure", "<slow>: no answer", 1, 0, 14)
    assert text(steps, end).splitlines()[3:] == [
        "  rule 1 (smtpd.conf:1) does not match: tls",
        "  rules 2 to 8 do not match either",
        '  rule 9 (smtpd.conf:9) cannot be decided now: for domain <slow> with "far.example"',
        '  domain "far.example" in <slow>: tempfail (no answer)',
        "  => 451 Temporary failure: <slow>: no answer",
        "",
        "(14 more steps are not shown)",
        "451 Temporary failure",
    ]


def test_without_an_end_there_is_what_came() -> None:
    assert text(ACCEPTED[:1], None).splitlines()[-1] == "root@mx.example"


@given(st.lists(st.sampled_from(ACCEPTED), max_size=30))
def test_no_order_and_no_gap_breaks_it(steps: list[ExplainedStep]) -> None:
    assert text(steps, OK).startswith("RCPT TO:<root>")
