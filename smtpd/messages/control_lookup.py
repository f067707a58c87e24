"""control and lookup: why a recipient gets where it gets; tables read again (numbers 0x08bx).

The steps of an explanation are the same on their way on to smtpctl (client_control.py).
"""

from typing import NamedTuple

from imsg.message import U32, Opt, message

from .links import CONTROL, LOOKUP


class WalkedRecipient(NamedTuple):
    """The expansion came to a recipient.

    `parent`: the number of the recipient that led here, 0 for the first. `kind`: "address", "username",
    "filename", "filter" (a command) or "error"; `text`: as in aliases(5), without prefix. `repeated`: it was
    found before and is not expanded again; such a step belongs to its parent.
    """

    parent: U32
    kind: str
    text: str
    repeated: bool


class TriedRule(NamedTuple):
    """A rule was held against the recipient, an address. `number`: from 1; `place`: "file:line".

    `text`: the rule as in smtpd.conf(5). `result`: "matched", "no match" or "tempfail". `criterion`: the one
    that decided, as in smtpd.conf(5), `table`: what it asked, and `key`: for what; empty when all hold, and
    `table` where none was asked.
    """

    number: U32
    place: str
    text: str
    result: str
    criterion: str
    table: str
    key: str


class LookedUp(NamedTuple):
    """Something was looked up. `rule`: the number of the rule that asked, 0 when none did.

    `source`: a table as in smtpd.conf(5), the path of a file, or "DNS". `service`: as in table(5), or
    "forward", "include" or "rdns". `result`: "found", "none", "tempfail" or "refused" (a .forward that may
    not be used). `value`: what was found; for "tempfail" and "refused" the reason.
    """

    rule: U32
    source: str
    service: str
    key: str
    result: str
    value: str


class PlannedEnvelope(NamedTuple):
    """An envelope that mail for this recipient would have.

    `type`: "mda" or "mta". `method`: the action's, such as "maildir" or "relay". `user`: who it is delivered
    as; "" for mta. `command`: what is run, or the folder or host that it goes to; `wrapper`: the name of the
    `mda wrapper` around it.
    """

    type: str
    action: str
    method: str
    dest: str
    user: str
    command: str
    wrapper: str


class ExplainedStep(NamedTuple):
    """One step: exactly one of the four is there. `recipient`: the number of the one it belongs to."""

    recipient: U32
    walked: Opt[WalkedRecipient]
    rule: Opt[TriedRule]
    lookup: Opt[LookedUp]
    envelope: Opt[PlannedEnvelope]


@message(0x08B1, LOOKUP, CONTROL)
class RecipientExplained(NamedTuple):
    """Reply to ExplainRecipient; every step was sent before it.

    `status`: "ok", "tempfail", "permfail", or "refused" when the question makes no sense. `reply`: the SMTP
    reply line for "tempfail" and "permfail"; `reason`: why. `recipient`: the number of the one at which it
    ended, 0 for "ok". `envelopes`: how many there would be. `left_out`: how many steps were not sent.
    """

    reqid: U32
    status: str
    reply: str
    reason: str
    recipient: U32
    envelopes: U32
    left_out: U32


@message(0x08B2, CONTROL, LOOKUP, reply=RecipientExplained)
class ExplainRecipient(NamedTuple):
    """What would happen to RCPT TO:<recipient>? Nothing is queued.

    `question`: control's own number, for the steps. `address`: the client's, numeric, or "" for the local
    socket. `rdns`: its name; absent, it is found as a session finds it. `username`: it is authenticated as,
    or "". `helo`: "" for the name of this host.
    """

    question: U32
    recipient: str
    sender: str
    address: str
    rdns: Opt[str]
    helo: str
    tag: str
    username: str
    tls: bool


@message(0x08B3, LOOKUP, CONTROL)
class ExplainedSteps(NamedTuple):
    """Some steps of a question, in order."""

    question: U32
    steps: list[ExplainedStep]


@message(0x08B4, LOOKUP, CONTROL)
class TableUpdated(NamedTuple):
    """Reply to UpdateTable. `error`: empty, or why the table answers as before."""

    reqid: U32
    error: str


@message(0x08B5, CONTROL, LOOKUP, reply=TableUpdated)
class UpdateTable(NamedTuple):
    """Read the source of a table again."""

    table: str
