"""smtpd/lookup/steps.py: every step has its line in the log."""

from typing import Any, get_args

import pytest

from smtpd.config.model import Criterion, Place, Rule
from smtpd.lookup import steps
from smtpd.lookup.steps import Asked, GaveUp, Repeated, Tried, Walked, trace_line
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.protocol.aliases import Recipient

RULE = Rule(criteria=(), action="local", place=Place("smtpd.conf", 7))
REJECT = Rule(criteria=(), reject=True, place=Place("smtpd.conf", 8))
ENVELOPE = Envelope(0, "mda", dispatcher="local", dest=MailAddress("a", "b.example"), mda_user="alice")

LINES: list[tuple[Any, str, str]] = [
    (Walked(2, 1, Recipient("username", "alice"), 3), "expand", "username alice [depth=3]"),
    (Repeated(Recipient("filter", "cat")), "expand", "filter cat: was expanded before"),
    (Tried(1, RULE, "matched", None, ""), "rules", 'rule 1 (smtpd.conf:7): matched, action "local"'),
    (Tried(2, REJECT, "matched", None, ""), "rules", "rule 2 (smtpd.conf:8): matched, reject"),
    (
        Tried(3, RULE, "no match", Criterion("from-src", True, "<lan>"), "192.0.2.1"),
        "rules",
        'rule 3 (smtpd.conf:7): no match, !from-src <lan> with "192.0.2.1"',
    ),
    (
        Tried(3, RULE, "tempfail", Criterion("helo", False, "h", True), "x"),
        "rules",
        'rule 3 (smtpd.conf:7): tempfail, helo regex h with "x"',
    ),
    (
        Tried(3, RULE, "no match", Criterion("tls"), ""),
        "rules",
        'rule 3 (smtpd.conf:7): no match, tls with ""',
    ),
    (
        Asked("aliases", "alias", "root", "found", "alice"),
        "lookup",
        '"root" as alias in aliases: found (alice)',
    ),
    (Asked("aliases", "alias", "root", "none", ""), "lookup", '"root" as alias in aliases: none'),
    (ENVELOPE, "expand", 'envelope mda user=alice action="local" dest=<a@b.example>'),
    (ENVELOPE._replace(type="mta"), "expand", 'envelope mta action="local" dest=<a@b.example>'),
    (GaveUp("permfail", "550 No", "no rule matches"), "expand", "permfail: 550 No (no rule matches)"),
]


@pytest.mark.parametrize(("step", "subsystem", "line"), LINES)
def test_lines(step: Any, subsystem: str, line: str) -> None:
    assert trace_line(step) == (subsystem, line)


def test_every_kind_of_step_is_among_them() -> None:
    assert {type(step) for step, _, _ in LINES} == set(get_args(steps.Step.__value__))
