"""smtpd/lookup/rules.py: expectation tables after OpenSMTPD's ruleset.c, each criterion with each answer."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config.model import Config, Criterion, Rule
from smtpd.lookup.rules import LOCAL, UNKNOWN_HOST, Rules, Subject, TableTempfail
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import FLAG_AUTHENTICATED, FLAG_BOUNCE, FLAG_INTERNAL, Envelope

YES, NO, TEMPFAIL = "yes", "no", "tempfail"

ENVELOPE = Envelope(
    evpid=0x1234567800000000,
    type="mda",
    tag="in",
    helo="client.example",
    hostname="mail.client.example",
    username="alice",
    sockaddr="192.0.2.1",
    sender=MailAddress("Sender+tag", "from.example"),
    rcpt=MailAddress("first", "rcpt.example"),
    dest=MailAddress("Dest", "dest.example"),
)


class Tables:
    """Answers everything alike; `asked` says what."""

    def __init__(self, answer: str = YES) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, str]] = []

    async def match(self, table: str, service: str, key: str) -> bool:
        self.asked.append((table, service, key))
        if self.answer == TEMPFAIL:
            raise TableTempfail(table)
        return self.answer == YES


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


def holds(
    criterion: Criterion, envelope: Envelope = ENVELOPE, *, answer: str = YES, tls: bool = False
) -> tuple[str, list[tuple[str, str, str]]]:
    """Whether a criterion holds, and what tables were asked."""
    tables = Tables(answer)
    try:
        found = run(Rules(Config(), tables).holds(criterion, Subject(envelope, tls)))
    except TableTempfail:
        return TEMPFAIL, tables.asked
    return YES if found else NO, tables.asked


def negation(answer: str) -> str:
    """Yes and no are exchanged, a temporary failure stays."""
    return {YES: NO, NO: YES, TEMPFAIL: TEMPFAIL}[answer]


# criteria that ask a table: what they ask, and that the answer counts as it is or turned round

ASKING = [
    ("tag", "string", "in"),
    ("from-src", "netaddr", "192.0.2.1"),
    ("from-rdns", "netaddr", "mail.client.example"),
    ("for-domain", "domain", "dest.example"),
    ("helo", "domain", "client.example"),
    ("mail-from", "mailaddr", "Sender+tag@from.example"),
    ("rcpt-to", "mailaddr", "Dest@dest.example"),
    ("auth", "string", "alice"),
]


@pytest.mark.parametrize("answer", [YES, NO, TEMPFAIL])
@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("regex", [False, True])
@pytest.mark.parametrize(("what", "service", "key"), ASKING)
def test_criteria_with_a_table(
    what: str, service: str, key: str, regex: bool, negated: bool, answer: str
) -> None:
    envelope = ENVELOPE._replace(flags=FLAG_AUTHENTICATED)
    result, asked = holds(Criterion(what, negated, "t", regex), envelope, answer=answer)
    assert asked == [("t", "regex" if regex else service, key)]
    assert result == (negation(answer) if negated else answer)


# the client's side

INTERNAL = ENVELOPE._replace(flags=FLAG_INTERNAL)
SOCKET = ENVELOPE._replace(sockaddr="local")
NAMELESS = ENVELOPE._replace(hostname=UNKNOWN_HOST)
UNNAMED = ENVELOPE._replace(hostname="")


@pytest.mark.parametrize(
    ("criterion", "envelope", "expected"),
    [
        # ruleset_match_from, flag_from_socket
        (Criterion("from-socket"), ENVELOPE, NO),
        (Criterion("from-socket"), SOCKET, YES),
        (Criterion("from-socket", True), ENVELOPE, YES),
        (Criterion("from-socket", True), SOCKET, NO),
        # flag_from_rdns without a table
        (Criterion("from-rdns"), ENVELOPE, YES),
        (Criterion("from-rdns"), NAMELESS, NO),
        (Criterion("from-rdns"), UNNAMED, NO),
        (Criterion("from-rdns", True), ENVELOPE, NO),
        (Criterion("from-rdns", True), NAMELESS, YES),
        # with a table and without a host name it is false, negated or not, and the table is not asked
        (Criterion("from-rdns", False, "t"), NAMELESS, NO),
        (Criterion("from-rdns", True, "t"), NAMELESS, NO),
        (Criterion("from-rdns", True, "t"), UNNAMED, NO),
        # mail that came from within: a rule without a table for clients is none for it
        (Criterion("from-socket"), INTERNAL, NO),
        (Criterion("from-socket", True), INTERNAL, NO),
        (Criterion("from-rdns"), INTERNAL, NO),
        (Criterion("from-rdns", True), INTERNAL, NO),
        (Criterion("from-socket"), SOCKET._replace(flags=FLAG_INTERNAL), NO),
    ],
)  # fmt: skip
def test_clients_without_asking(criterion: Criterion, envelope: Envelope, expected: str) -> None:
    assert holds(criterion, envelope, answer=TEMPFAIL) == (expected, [])


@pytest.mark.parametrize("what", ["from-src", "from-rdns", "from-socket"])
@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("answer", [YES, NO, TEMPFAIL])
@pytest.mark.parametrize("envelope", [INTERNAL, INTERNAL._replace(hostname=UNKNOWN_HOST, sockaddr="")])
def test_internal_mail_is_local(what: str, negated: bool, answer: str, envelope: Envelope) -> None:
    result, asked = holds(Criterion(what, negated, "t"), envelope, answer=answer)
    assert asked == [("t", "netaddr", LOCAL)]
    assert result == (negation(answer) if negated else answer)


def test_other_flags_make_no_mail_internal() -> None:
    envelope = ENVELOPE._replace(flags=FLAG_AUTHENTICATED | FLAG_BOUNCE)
    assert holds(Criterion("from-src", False, "t"), envelope)[1] == [("t", "netaddr", "192.0.2.1")]


# authentication


@pytest.mark.parametrize("answer", [YES, NO, TEMPFAIL])
@pytest.mark.parametrize("negated", [False, True])
@pytest.mark.parametrize("table", ["", "t"])
def test_nobody_authenticated(negated: bool, answer: str, table: str) -> None:
    expected = YES if negated else NO
    assert holds(Criterion("auth", negated, table), ENVELOPE, answer=answer) == (expected, [])


def test_somebody_authenticated() -> None:
    envelope = ENVELOPE._replace(flags=FLAG_AUTHENTICATED)
    assert holds(Criterion("auth"), envelope, answer=TEMPFAIL) == (YES, [])
    assert holds(Criterion("auth", True), envelope, answer=TEMPFAIL) == (NO, [])


def test_a_user_name_that_is_an_address() -> None:
    envelope = ENVELOPE._replace(flags=FLAG_AUTHENTICATED, username="alice@example.org")
    assert holds(Criterion("auth", False, "t"), envelope) == (
        YES, [("t", "mailaddr", "alice@example.org")],
    )  # fmt: skip


# the rest


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("negated", [False, True])
def test_tls(tls: bool, negated: bool) -> None:
    assert holds(Criterion("tls", negated), tls=tls, answer=TEMPFAIL) == (YES if tls != negated else NO, [])


def test_the_empty_sender() -> None:
    """mailaddr_to_text of a bounce's sender is "@"."""
    envelope = ENVELOPE._replace(sender=EMPTY)
    assert holds(Criterion("mail-from", False, "t"), envelope)[1] == [("t", "mailaddr", "@")]


def test_no_such_criterion() -> None:
    with pytest.raises(ValueError, match="no such criterion: moon-phase"):
        holds(Criterion("moon-phase"))


# whole rules


class Scripted:
    """A table's name is its answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def match(self, table: str, service: str, key: str) -> bool:
        self.asked.append(table)
        if table.startswith(TEMPFAIL):
            raise TableTempfail(table)
        return table.startswith(YES)


def matched(*rules: Rule) -> tuple[int | None, list[str]]:
    """The number of the rule that matches (-1: a temporary failure), and the tables that were asked."""
    tables = Scripted()
    try:
        found = run(Rules(Config(rules=rules), tables).match(Subject(ENVELOPE, False)))
    except TableTempfail:
        return -1, tables.asked
    if found is None:
        return None, tables.asked
    number, rule = found
    assert rule is rules[number - 1]
    return number, tables.asked


def rule(*answers: str, action: str = "a") -> Rule:
    whats = ("tag", "from-src", "for-domain", "helo", "mail-from", "rcpt-to")
    criteria = tuple(
        Criterion(what, answer.startswith("!"), answer.removeprefix("!"))
        for what, answer in zip(whats, answers, strict=False)
    )
    return Rule(criteria=criteria, action=action)


@pytest.mark.parametrize(
    ("rules", "number", "asked"),
    [
        ([], None, []),
        ([rule()], 1, []),
        ([rule("yes", "yes1", "yes2")], 1, ["yes", "yes1", "yes2"]),
        ([rule("yes", "no", "yes")], None, ["yes", "no"]),
        ([rule("no"), rule("yes")], 2, ["no", "yes"]),
        ([rule("yes"), rule("yes1")], 1, ["yes"]),
        ([rule("!no", "!yes")], None, ["no", "yes"]),
        ([rule("!yes"), rule("!no")], 2, ["yes", "no"]),
        # a failure ends it all, but only when it is come to
        ([rule("tempfail"), rule("yes")], -1, ["tempfail"]),
        ([rule("!tempfail"), rule("yes")], -1, ["tempfail"]),
        ([rule("no", "tempfail"), rule("yes")], 2, ["no", "yes"]),
        ([rule("yes"), rule("tempfail")], 1, ["yes"]),
        ([rule("yes", "yes", "tempfail"), rule("yes")], -1, ["yes", "yes", "tempfail"]),
    ],
)
def test_rules_in_order(rules: list[Rule], number: int | None, asked: list[str]) -> None:
    assert matched(*rules) == (number, asked)


ANSWERS = st.lists(st.sampled_from(["yes", "no", "!yes", "!no", "tempfail", "!tempfail"]), max_size=6)


@given(st.lists(ANSWERS, max_size=5))
def test_rules_against_an_oracle(scripts: list[list[str]]) -> None:
    expected: int | None = None
    for number, script in enumerate(scripts, 1):
        verdict = YES
        for answer in script:
            if "tempfail" in answer:
                verdict = TEMPFAIL
                break
            if answer in ("no", "!yes"):
                verdict = NO
                break
        if verdict != NO:
            expected = number if verdict == YES else -1
            break
    assert matched(*(rule(*script) for script in scripts))[0] == expected


def test_a_rejecting_rule_matches_as_any() -> None:
    rejecting = Rule(criteria=(Criterion("from-socket", True),), reject=True)
    assert matched(rejecting, rule())[0] == 1
