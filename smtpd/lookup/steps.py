"""The steps of an expansion, as rules and expansion tell them to whoever wants to know.

That is a trace (`trace_line` is their form in the log) or `smtpctl explain` (explaining.py). They are plain
values, made only while somebody listens. What a table answered is told by watched.py to those who explain,
and by tables.py to the trace. Nothing here decides anything.
"""

from collections.abc import Callable
from typing import NamedTuple

from smtpd.config.model import Criterion, Rule
from smtpd.mail.envelope import MDA, Envelope
from smtpd.protocol.aliases import Recipient

MATCHED = "matched"
NO_MATCH = "no match"

FOUND = "found"
NONE = "none"
REFUSED = "refused"

TEMPFAIL = "tempfail"


class Walked(NamedTuple):
    """The walk comes to a recipient; what is told from here on, up to the next one, belongs to it.

    `number`: from 1, as they were found; `parent`: of the one that led here, 0 for the first.
    """

    number: int
    parent: int
    recipient: Recipient
    depth: int


class Repeated(NamedTuple):
    """The recipient that is walked leads to one that was found before: that is not walked again."""

    recipient: Recipient


class Tried(NamedTuple):
    """A rule was held against the recipient. `number`: from 1. `result`: MATCHED, NO_MATCH or TEMPFAIL.

    `criterion`: the one that decided, with `key`, what it was asked for; None and "" when all hold.
    """

    number: int
    rule: Rule
    result: str
    criterion: Criterion | None
    key: str


class Asked(NamedTuple):
    """Something was looked up. `source`: a table's name, or the path of a file.

    `service`: as in table(5), or "forward" or "include". `result`: FOUND, NONE, TEMPFAIL, or REFUSED (a
    .forward that may not be used). `value`: what was found, in words; for TEMPFAIL the reason.
    """

    source: str
    service: str
    key: str
    result: str
    value: str


class GaveUp(NamedTuple):
    """The expansion fails at the recipient that is walked.

    `reply`: the line for the client; `reason`: for the operator.
    """

    status: str
    reply: str
    reason: str


type Step = Walked | Repeated | Tried | Asked | Envelope | GaveUp
"""An Envelope is one that was made; it counts only when the whole expansion succeeds."""

type Tell = Callable[[Step], None]


def trace_line(step: Step) -> tuple[str, str]:
    """The subsystem that a step belongs to ("rules", "expand" or "lookup"), and its line."""
    match step:
        case Walked(_, _, recipient, depth):
            return "expand", f"{recipient.kind} {recipient.text} [depth={depth}]"
        case Repeated(recipient):
            return "expand", f"{recipient.kind} {recipient.text}: was expanded before"
        case Tried(number, rule, result, criterion, key):
            return "rules", f"rule {number} ({rule.place}): {_decided(rule, result, criterion, key)}"
        case Asked(source, service, key, result, value):
            return "lookup", f'"{key}" as {service} in {source}: {result}{f" ({value})" if value else ""}'
        case Envelope():
            whom = f"mda user={step.mda_user}" if step.type == MDA else step.type
            return "expand", f'envelope {whom} action="{step.dispatcher}" dest=<{step.dest.path}>'
        case GaveUp(status, reply, reason):
            return "expand", f"{status}: {reply} ({reason})"


def _decided(rule: Rule, result: str, criterion: Criterion | None, key: str) -> str:
    if criterion is None:
        return f"{result}, reject" if rule.reject else f'{result}, action "{rule.action}"'
    negation = "!" if criterion.negated else ""
    regex = " regex" if criterion.regex else ""
    table = f" {criterion.table}" if criterion.table else ""
    return f'{result}, {negation}{criterion.what}{regex}{table} with "{key}"'
