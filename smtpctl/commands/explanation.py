"""An explanation as text: the recipients as a tree, below each what was asked and decided for it.

In: the steps of a dry run. Out: lines and their styles (output.STYLES). Nothing is read or written here.
"""

from collections.abc import Iterator
from posixpath import basename

from smtpd.messages.client_configuration import ClientExplain, ExplanationEnd
from smtpd.messages.control_lookup import ExplainedStep, LookedUp, PlannedEnvelope, TriedRule, WalkedRecipient

type Line = tuple[str, str]

INDENT = "    "

_KINDS = {"filter": "|", "error": "error:"}


class Explanation:
    """Collects steps; `end` is set when the last row has come."""

    def __init__(self, question: ClientExplain) -> None:
        self.end: ExplanationEnd | None = None
        self._question = question
        self._steps: dict[int, list[ExplainedStep]] = {}
        self._children: dict[int, list[int]] = {}
        self._envelopes: list[PlannedEnvelope] = []
        self._numbers: dict[int, list[int]] = {}

    def add(self, step: ExplainedStep) -> None:
        """The next step."""
        if step.envelope is not None:
            self._envelopes.append(step.envelope)
            self._numbers.setdefault(step.recipient, []).append(len(self._envelopes))
        else:
            self._steps.setdefault(step.recipient, []).append(step)
            if step.walked is not None and not step.walked.repeated:
                self._children.setdefault(step.walked.parent, []).append(step.recipient)

    def lines(self) -> Iterator[Line]:
        """All of it."""
        yield self._asked(), "bold"
        yield "", ""
        for step in self._steps.get(0, ()):
            if step.lookup is not None:
                yield _looked_up(step.lookup), ""
        # A tree of at most ten levels (lookup's bound), walked without recursion all the same.
        waiting = [(number, 0) for number in reversed(self._children.get(0, ()))]
        while waiting:
            number, level = waiting.pop()
            yield from self._recipient(number, level)
            waiting += [(child, level + 1) for child in reversed(self._children.get(number, ()))]
        yield from self._result()

    def _asked(self) -> str:
        asked = self._question
        parts = [f"RCPT TO:<{asked.recipient}>", f"MAIL FROM:<{asked.sender}>"]
        parts.append(f"from {asked.address}" if asked.address else "from the local socket")
        if asked.rdns is not None:
            parts.append(f"rdns {asked.rdns or 'none'}")
        if asked.helo:
            parts.append(f"HELO {asked.helo}")
        if asked.username:
            parts.append(f"authenticated as {asked.username}")
        if asked.tag:
            parts.append(f"tag {asked.tag}")
        if asked.tls:
            parts.append("over TLS")
        return ", ".join(parts)

    def _recipient(self, number: int, level: int) -> Iterator[Line]:
        indent = INDENT * level
        tried = 0
        steps = self._steps[number]
        for i, step in enumerate(steps):
            if step.walked is not None:
                yield from _walked(step.walked, indent)
            elif step.rule is not None:
                if tried and step.rule.number > tried + 1:
                    between = f"rules {tried + 1} to {step.rule.number - 1} do not match either"
                    yield f"{indent}  {between}", "dim"
                tried = step.rule.number
                yield _rule(step.rule, indent)
                if step.rule.result == "matched":
                    asked = [each.lookup for each in steps[:i] if each.lookup is not None]
                    for lookup in asked:
                        if lookup.rule == tried:
                            yield f"{indent}    {_looked_up(lookup)}", ""
            elif step.lookup is not None and not step.lookup.rule:
                yield f"{indent}  {_looked_up(step.lookup)}", ""
        for envelope in self._numbers.get(number, ()):
            yield f"{indent}  => envelope {envelope}", "good"
        if self.end is not None and self.end.recipient == number:
            yield f"{indent}  => {self.end.reply}: {self.end.reason}", "bad"

    def _result(self) -> Iterator[Line]:
        if self.end is None:
            return
        yield "", ""
        if self.end.left_out:
            yield f"({self.end.left_out} more steps are not shown)", "bad"
        if self.end.status != "ok":
            yield self.end.reply, "bad"
            return
        number = self.end.envelopes
        yield f"accepted, {number} envelope{'' if number == 1 else 's'}:", "good"
        for count, envelope in enumerate(self._envelopes, 1):
            yield f"  {count}  {_planned(envelope)}", ""


def _walked(walked: WalkedRecipient, indent: str) -> Iterator[Line]:
    text = f"{_KINDS.get(walked.kind, '')}{walked.text}"
    if walked.repeated:
        yield f"{indent}    {text}: was expanded before, not again", "dim"
    else:
        yield f"{indent}{text}", "bold"


def _rule(rule: TriedRule, indent: str) -> Line:
    name = f"{indent}  rule {rule.number} ({basename(rule.place)})"
    if rule.result == "matched":
        return f"{name} matches: {rule.text}", "good"
    key = f' with "{rule.key}"' if rule.key or rule.table else ""
    if rule.result == "tempfail":
        return f"{name} cannot be decided now: {rule.criterion}{key}", "bad"
    return f"{name} does not match: {rule.criterion}{key}", "dim"


def _looked_up(lookup: LookedUp) -> str:
    asked = (
        lookup.source if lookup.service in ("forward", "include") else f'"{lookup.key}" in {lookup.source}'
    )
    answer = lookup.value or lookup.result
    if lookup.result != "found" and lookup.value:
        answer = f"{lookup.result} ({lookup.value})"
    return f"{lookup.service} {asked}: {answer}"


def _planned(envelope: PlannedEnvelope) -> str:
    what = f"{envelope.method} {envelope.command}".rstrip()
    if envelope.wrapper:
        what += f" (in wrapper {envelope.wrapper})"
    user = f" as {envelope.user}" if envelope.user else ""
    return f'{envelope.type} <{envelope.dest}> action "{envelope.action}"{user}: {what}'
