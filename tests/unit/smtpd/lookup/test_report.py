"""smtpd/lookup/report.py: what steps become, and that nothing makes them more than the bounds."""

from typing import Any

import pytest

from smtpd.config.dump import Texts
from smtpd.config.model import Config, Criterion, LocalAction, Place, RelayAction, Rule, Table
from smtpd.lookup.expansion import UserInfo
from smtpd.lookup.report import (
    BYTES_MAX,
    ENVELOPES_MAX,
    RULES_MAX,
    STEPS_MAX,
    TEXT_MAX,
    Report,
    planned,
)
from smtpd.lookup.steps import Asked, GaveUp, Repeated, Tried, Walked
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_lookup import ExplainedStep, ExplainedSteps, LookedUp, TriedRule, WalkedRecipient
from smtpd.protocol.aliases import Recipient

CONFIG = Config(
    hostname="mx.example",
    tables={
        "domains": Table(name="domains", backend="static", kind="list", entries=(("here.example", None),)),
        "<dynamic:0>": Table(
            name="<dynamic:0>",
            backend="static",
            kind="list",
            entries=(("a.example", None), ("b.example", None)),
        ),
        "hosts": Table(name="hosts", backend="static", kind="list", entries=(("smtp://r.example", None),)),
    },
    actions={
        "maildir": LocalAction(name="maildir", method="maildir"),
        "folder": LocalAction(name="folder", method="maildir", argument="/mail/%{user.username}"),
        "mbox": LocalAction(name="mbox", method="mbox"),
        "lmtp": LocalAction(name="lmtp", method="lmtp", argument="/run/lmtp"),
        "mda": LocalAction(name="mda", method="mda", argument="deliver -f %{sender}", wrapper="nice"),
        "as": LocalAction(name="as", method="mda", argument="deliver", user="vmail"),
        "broken": LocalAction(name="broken", method="mda", argument="deliver %{nonsense}"),
        "mx": RelayAction(name="mx"),
        "host": RelayAction(name="host", host="hosts"),
        "domain": RelayAction(name="domain", host="hosts", host_is_domain=True),
    },
)

RULE = Rule(
    criteria=(Criterion("from-src", False, "<anyhost>"), Criterion("for-domain", True, "<dynamic:0>")),
    action="mx",
    place=Place("/etc/smtpd.conf", 9),
)

ENVELOPE = Envelope(
    0,
    "mda",
    sender=MailAddress("s", "from.example"),
    rcpt=MailAddress("alice+x", "here.example"),
    dest=MailAddress("alice+x", "here.example"),
    mda_user="alice",
)

ALICE = UserInfo("alice", 1000, 100, "/home/alice")


class Sent:
    """A report and what it sends."""

    def __init__(self) -> None:
        self.frames: list[list[ExplainedStep]] = []
        self.report = Report(CONFIG, self.frames.append)

    def tell(self, *told: Any) -> list[ExplainedStep]:
        for step in told:
            self.report.tell(step)
        self.report.flush()
        return self.steps

    @property
    def steps(self) -> list[ExplainedStep]:
        return [step for frame in self.frames for step in frame]


def walked(number: int = 1, parent: int = 0, text: str = "alice") -> Walked:
    return Walked(number, parent, Recipient("username", text), 0)


def test_recipients() -> None:
    repeated = Repeated(Recipient("filter", "cat"))
    assert Sent().tell(walked(), repeated, walked(2, 1, "bob")) == [
        ExplainedStep(1, WalkedRecipient(0, "username", "alice", False), None, None, None),
        ExplainedStep(1, WalkedRecipient(1, "filter", "cat", True), None, None, None),
        ExplainedStep(2, WalkedRecipient(1, "username", "bob", False), None, None, None),
    ]


def test_rules_and_what_they_asked() -> None:
    asked = Asked("<anyhost>", "netaddr", "local", "found", "")
    steps = Sent().tell(
        walked(),
        asked,
        Asked("<dynamic:0>", "domain", "a.example", "found", ""),
        Tried(1, RULE, "no match", RULE.criteria[1], "a.example"),
        asked,
        Tried(2, RULE, "matched", None, ""),
        Asked("domains", "alias", "x", "none", ""),
        Asked("/home/alice/.forward", "forward", "alice", "none", ""),
    )
    text = 'match from any !for domain { a.example, b.example } action "mx"'
    assert steps[1:] == [
        _looked_up(1, "<anyhost>", "netaddr", "local", "found"),
        _looked_up(1, "{ a.example, b.example }", "domain", "a.example", "found"),
        _rule(
            1,
            text,
            "no match",
            "!for domain { a.example, b.example }",
            "{ a.example, b.example }",
            "a.example",
        ),
        _looked_up(2, "<anyhost>", "netaddr", "local", "found"),
        _rule(2, text, "matched", "", "", ""),
        _looked_up(0, "<domains>", "alias", "x", "none"),
        _looked_up(0, "/home/alice/.forward", "forward", "alice", "none"),
    ]


def _looked_up(rule: int, source: str, service: str, key: str, result: str) -> ExplainedStep:
    return ExplainedStep(1, None, None, LookedUp(rule, source, service, key, result, ""), None)


def _rule(number: int, text: str, result: str, criterion: str, table: str, key: str) -> ExplainedStep:
    rule = TriedRule(number, "/etc/smtpd.conf:9", text, result, criterion, table, key)
    return ExplainedStep(1, None, rule, None, None)


def test_what_is_looked_up_before_the_first_recipient_belongs_to_none() -> None:
    assert Sent().tell(Asked("DNS", "rdns", "192.0.2.1", "none", ""), walked())[0].recipient == 0


def test_giving_up() -> None:
    sent = Sent()
    assert len(sent.tell(walked(), walked(2, 1), GaveUp("permfail", "550 No", "because"))) == 2
    assert (sent.report.reason, sent.report.failed_at) == ("because", 2)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("maildir", ("maildir", "alice", "/home/alice/Maildir", "")),
        ("folder", ("maildir", "alice", "/mail/alice", "")),
        ("mbox", ("mbox", "alice", "", "")),
        ("lmtp", ("lmtp", "alice", "/run/lmtp", "")),
        ("mda", ("mda", "alice", "deliver -f s@from.example", "nice")),
        ("as", ("mda", "vmail", "deliver", "")),
        (
            "broken",
            ("mda", "alice", "deliver %{nonsense} (cannot be expanded: unknown specifier 'nonsense')", ""),
        ),
        ("mx", ("relay", "", "MX of here.example", "")),
        ("host", ("relay", "", "<hosts>", "")),
        ("domain", ("relay", "", "here.example in <hosts>", "")),
    ],
)
def test_what_is_planned(action: str, expected: tuple[str, ...]) -> None:
    plan = planned(CONFIG, Texts(CONFIG), ENVELOPE._replace(dispatcher=action), ALICE)
    assert (plan.method, plan.user, plan.command, plan.wrapper) == expected
    assert (plan.type, plan.action, plan.dest) == ("mda", action, "alice+x@here.example")


def test_a_command_of_an_alias_is_planned_instead_of_the_actions() -> None:
    envelope = ENVELOPE._replace(dispatcher="maildir", mda_user="_smtpd", mda_exec="box -f %{mbox.from} ~/x")
    plan = planned(CONFIG, Texts(CONFIG), envelope, None)
    assert (plan.method, plan.user, plan.command) == ("mda", "_smtpd", "box -f s@from.example ~/x")


def test_envelopes_count_only_when_it_succeeds() -> None:
    sent = Sent()
    envelope = ENVELOPE._replace(dispatcher="mx", type="mta")
    assert [step.envelope for step in sent.tell(walked(), envelope)] == [None]
    sent.report.plan({})
    sent.report.flush()
    assert sent.steps[-1].recipient == 1
    assert sent.steps[-1].envelope == planned(CONFIG, Texts(CONFIG), envelope, None)


def test_bound_of_steps() -> None:
    sent = Sent()
    sent.tell(*(walked(number) for number in range(1, STEPS_MAX + 8)))
    assert len(sent.steps) == STEPS_MAX and sent.report.left_out == 7
    sent.tell(Asked("t", "alias", "k", "none", ""), Tried(1, RULE, "matched", None, ""))
    assert len(sent.steps) == STEPS_MAX and sent.report.left_out == 9


def test_bound_of_bytes() -> None:
    sent = Sent()
    many = BYTES_MAX // TEXT_MAX
    sent.tell(*(Asked("t", "alias", "k" * 5000, "found", "v" * 5000) for _ in range(many)))
    assert 0 < len(sent.steps) < many
    assert sent.report.left_out == many - len(sent.steps)
    assert sum(len(CATALOGUE.encode(ExplainedSteps(1, frame))[1]) for frame in sent.frames) < 2 * BYTES_MAX


def test_bound_of_rules_that_do_not_match_leaves_the_one_that_does() -> None:
    sent = Sent()
    asked = Asked("t", "domain", "k", "none", "")
    for number in range(1, RULES_MAX + 11):
        sent.tell(asked, Tried(number, RULE, "no match", RULE.criteria[1], "k"))
    sent.tell(asked, Tried(RULES_MAX + 11, RULE, "matched", None, ""))
    rules = [step.rule.number for step in sent.steps if step.rule is not None]
    assert rules == [*range(1, RULES_MAX + 1), RULES_MAX + 11]
    assert sent.report.left_out == 20
    sent.tell(walked(2), Tried(1, RULE, "no match", RULE.criteria[1], "k"))  # anew for each recipient
    assert sent.report.left_out == 20


def test_bound_of_envelopes() -> None:
    sent = Sent()
    sent.tell(walked(), *(ENVELOPE._replace(dispatcher="mx") for _ in range(ENVELOPES_MAX + 3)))
    sent.report.plan({})
    sent.report.flush()
    assert len(sent.steps) == 1 + ENVELOPES_MAX and sent.report.left_out == 3


def test_long_texts_are_cut_and_frames_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Texts, "rule", lambda self, rule: "\udc80" * 9000)
    monkeypatch.setattr(Texts, "criterion", lambda self, criterion: "ä" * 9000)
    sent = Sent()
    for number in range(40):
        sent.tell(Tried(number, RULE, "tempfail", RULE.criteria[1], "x" * 9000))
        sent.tell(Asked("s" * 9000, "alias", "k" * 9000, "found", "v" * 9000))
    for frame in sent.frames:
        number, payload = CATALOGUE.encode(ExplainedSteps(2**32 - 1, frame))
        assert CATALOGUE.decode(number, payload).steps == frame
    step = next(step for step in sent.steps if step.rule is not None)
    assert step.rule is not None and step.rule.key == "x" * TEXT_MAX + "..."
