"""explain RCPT: what would happen to a recipient, and why. A dry run in the daemon; nothing is queued.

explain ENVELOPE-ID is in waiting.py.

After the recipient may stand, each once: `from ADDRESS` (of the client; without it the mail comes over the
local socket), `rdns NAME` (of that address; without it the daemon looks where a rule wants it), `helo NAME`,
`sender ADDRESS` (without it the null sender), `auth USER`, `tag TAG`, `tls`.

The exit status is 0 when the recipient would be accepted, 1 when it would be refused, 75 when it would be
deferred.

JSON, a line a step, with "step":
"recipient"  the expansion came to one: "recipient" (its number), "parent" (number of the one that led there,
             0 for the first), "kind" (address, username, filename, filter, error), "text", "repeated" (found
             before and not expanded again: "recipient" is then that of the parent)
"rule"       was tried for "recipient": "number", "place" (file:line), "text", "result" (matched, no match,
             tempfail), and, unless it matched, "criterion", "table" and "key" that decided
"lookup"     for "recipient", asked by "rule" (0: by the expansion): "source" (table, file or DNS), "service",
             "key", "result" (found, none, tempfail, refused), "value"
"envelope"   of "recipient": "type" (mda, mta), "action", "method", "dest", "user", "command", "wrapper"
"end"        "status" (ok, permfail, tempfail), "reply" (SMTP), "reason", "recipient" (at which it failed, or
             0), "envelopes" (their number), "left_out" (steps not shown because there are too many)
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from smtpd.messages.client_configuration import ClientExplain, ExplanationEnd
from smtpd.messages.control_lookup import ExplainedStep

from ..invocation import Invocation
from ..matching import NoMatch, Parameter
from .explanation import Explanation
from .waiting import explain_envelope

WORDS = {
    "from": "ADDRESS",
    "rdns": "NAME",
    "helo": "NAME",
    "sender": "ADDRESS",
    "auth": "USER",
    "tag": "TAG",
    "tls": "",
}
"""What may follow the recipient, and what follows that."""

_EVPID = re.compile(r"(0[xX])?[0-9A-Fa-f]{9,16}")
"""An envelope's id as it is written everywhere, also without the zeros in front."""

_STATUS = {"ok": 0, "tempfail": os.EX_TEMPFAIL}


def explain(invocation: Invocation, parameters: Sequence[Parameter], _options: Mapping[str, str]) -> int:
    """explain RCPT ... or explain ENVELOPE-ID; NoMatch when the words after it mean nothing."""
    words = parameters[0].value
    if len(words) == 1 and _EVPID.fullmatch(words[0]):
        return explain_envelope(invocation, int(words[0], 16))
    question = read_question(parameters[0].value)
    explanation = Explanation(question)
    status = 0
    for row in invocation.client.rows(question):
        if isinstance(row, ExplanationEnd):
            status = _STATUS.get(row.status, 1)
            explanation.end = row
            if invocation.output.as_json:
                invocation.output.row("", {"step": "end"} | dict(zip(row._fields[1:], row[1:], strict=True)))
            continue
        for step in row.steps:
            if invocation.output.as_json:
                invocation.output.row("", values(step))
            else:
                explanation.add(step)
    if not invocation.output.as_json:
        for text, style in explanation.lines():
            invocation.output.line(text, style)
    return status


def read_question(words: Sequence[str]) -> ClientExplain:
    """The recipient and what follows it; NoMatch."""
    recipient, *rest = words
    given: dict[str, str] = {}
    waiting = iter(rest)
    for word in waiting:
        name = _full(word)
        if name in given:
            raise NoMatch(f"explain: {name} is there twice", _possibilities(), [])
        value = next(waiting, None) if WORDS[name] else ""
        if value is None:
            raise NoMatch(f"explain: {name} needs a value", [f"explain RCPT {name} {WORDS[name]}"], [])
        given[name] = value
    address = given.get("from", "")
    return ClientExplain(
        recipient=_bare(recipient),
        sender=_bare(given.get("sender", "")),
        address="" if address == "local" else address.removeprefix("[").removesuffix("]"),
        rdns=given.get("rdns"),
        helo=given.get("helo", ""),
        tag=given.get("tag", ""),
        username=given.get("auth", ""),
        tls="tls" in given,
    )


def values(step: ExplainedStep) -> dict[str, Any]:
    """A step for --json."""
    for name, part in zip(_NAMES, step[1:], strict=True):
        if part is not None:
            fields = dict(zip(part._fields, part, strict=True))
            return {"step": name, "recipient": step.recipient} | fields
    raise ValueError("a step without content")


_NAMES = ("recipient", "rule", "lookup", "envelope")


def _bare(address: str) -> str:
    """An address without the brackets that people copy with it."""
    return address[1:-1] if address.startswith("<") and address.endswith(">") else address


def _full(word: str) -> str:
    fitting = [word] if word in WORDS else [name for name in WORDS if word and name.startswith(word)]
    if len(fitting) == 1:
        return fitting[0]
    problem = "ambiguous" if fitting else "nothing that can follow a recipient"
    raise NoMatch(f"explain: {word!r} is {problem}", _possibilities(), [])


def _possibilities() -> list[str]:
    return [f"explain RCPT {name} {argument}".rstrip() for name, argument in WORDS.items()]
