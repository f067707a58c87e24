"""smtpd/lookup/explaining.py: a dry run does and finds what a real one does, and leaves nothing behind."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.config.model import Config, Criterion, LocalAction, RelayAction, Rule, Table
from smtpd.lookup.expansion import Expander, ForwardRefused, UserInfo
from smtpd.lookup.explaining import MOST_AT_ONCE, BadQuestion, Explaining, asked_envelope
from smtpd.lookup.resolver import ResolveError
from smtpd.lookup.rules import Rules, TableTempfail
from smtpd.mail.envelope import FLAG_AUTHENTICATED
from smtpd.messages.control_lookup import ExplainedSteps, ExplainRecipient, RecipientExplained
from smtpd.protocol.aliases import Recipient, parse_line

QUESTION = ExplainRecipient(7, "all@here.example", "s@from.example", "", None, "", "", "", False)

CONFIG = Config(
    hostname="mx.example",
    tables={
        name: Table(name=name, backend="static", kind="list", entries=((name, None),))
        for name in ("here.example", "slow.example", "named.example", "*", "aliases")
    },
    actions={
        "local": LocalAction(name="local", method="maildir", alias="aliases"),
        "out": RelayAction(name="out"),
    },
    rules=(
        Rule(criteria=(Criterion("from-rdns", False, "named.example"),), reject=True),
        Rule(criteria=(Criterion("for-domain", False, "slow.example"),), action="out"),
        Rule(criteria=(Criterion("for-domain", False, "here.example"),), action="local"),
        Rule(criteria=(Criterion("auth"), Criterion("for-domain", False, "*")), action="out"),
    ),
)

ALIASES = {
    "all": "alice, bob, out@far.example, |cat, all",
    "loop": "pool",
    "pool": "loop",
    "bad": "error:550 5.1.1 No such list",
    "down": "!",
    "home": "guarded",
    "list": ":include:/list",
}


class World:
    """Tables, files and names; `asked`: every question to them, in order."""

    def __init__(self, config: Config = CONFIG) -> None:
        self.config = config
        self.asked: list[tuple[str, ...]] = []
        self.sent: list[ExplainedSteps] = []
        self.name: str | ResolveError = "client.example"
        process = SimpleNamespace(config=config)
        forwards = SimpleNamespace(read=self.read_forward)
        includes = SimpleNamespace(read=self.read_include)
        resolver = SimpleNamespace(reverse=self.reverse)
        self.peer = SimpleNamespace(send=self.sent.append)
        self.explaining = Explaining(process, self, forwards, includes, resolver)  # type: ignore[arg-type]
        self.expander = Expander(config, Rules(config, self), self, forwards, includes)  # type: ignore[arg-type]

    async def match(self, table: str, service: str, key: str) -> bool:
        self.asked.append((table, service, key))
        if key == "slow.example" == table:
            raise TableTempfail("slow.example: no answer")
        return table in ("*", key)

    async def alias(self, table: str, key: str) -> list[Recipient] | None:
        self.asked.append((table, "alias", key))
        line = ALIASES.get(key)
        if line == "!":
            raise TableTempfail("aliases: down")
        return None if line is None else parse_line(line)

    async def user(self, table: str, name: str) -> UserInfo | None:
        self.asked.append((table, "userinfo", name))
        return (
            UserInfo(name, 1000, 100, f"/home/{name}") if name in ("alice", "bob", "all", "guarded") else None
        )

    async def read_forward(self, user: UserInfo, msgid: int) -> list[Recipient] | None:
        self.asked.append((".forward", user.username))
        if user.username == "guarded":
            raise ForwardRefused(user.username)
        return parse_line("\\bob, bob2@far.example") if user.username == "bob" else None

    def read_include(self, path: str) -> list[Recipient]:
        self.asked.append((":include:", path))
        return parse_line("alice, bob")

    async def reverse(self, address: str) -> str:
        self.asked.append(("DNS", address))
        if isinstance(self.name, ResolveError):
            raise self.name
        return self.name

    def explain(self, question: ExplainRecipient = QUESTION) -> RecipientExplained:
        return asyncio.run(self.explaining.explain_recipient(self.peer, 5, question))  # type: ignore[arg-type]

    @property
    def steps(self) -> list[Any]:
        assert all(sent.question == QUESTION.question for sent in self.sent)
        return [step for sent in self.sent for step in sent.steps]

    def envelopes(self) -> list[tuple[str, str, str, str]]:
        return [
            (step.envelope.type, step.envelope.action, step.envelope.dest, step.envelope.user)
            for step in self.steps
            if step.envelope is not None
        ]


def test_a_whole_one() -> None:
    world = World()
    end = world.explain(QUESTION._replace(username="joe"))
    assert end == RecipientExplained(5, "ok", "", "", 0, 6, 0)
    assert world.envelopes() == [
        ("mda", "local", "all@here.example", "alice"),
        ("mta", "out", "out@far.example", ""),
        ("mda", "local", "all@here.example", "_smtpd"),
        ("mda", "local", "all@here.example", "all"),
        ("mda", "local", "all@here.example", "bob"),
        ("mta", "out", "bob2@far.example", ""),
    ]


WORDS = st.sampled_from([*ALIASES, "alice", "bob", "nobody", "guarded", "alice+tag"])
DOMAINS = st.sampled_from(["here.example", "slow.example", "far.example", ""])


@given(WORDS, DOMAINS, st.sampled_from(["", "joe"]), st.booleans())
def test_it_is_what_a_real_one_is(word: str, domain: str, username: str, tls: bool) -> None:
    rcpt = f"{word}@{domain}" if domain else word
    question = QUESTION._replace(recipient=rcpt, username=username, tls=tls)
    dry, real = World(), World()
    end = dry.explain(question)
    outcome = asyncio.run(real.expander.expand(asked_envelope(CONFIG, question), tls))
    assert (end.status, end.reply, end.envelopes) == (outcome.status, outcome.reply, len(outcome.envelopes))
    assert dry.asked == real.asked
    users = [each.mda_user for each in outcome.envelopes]
    expected = [(each.type, each.dispatcher, each.dest.path) for each in outcome.envelopes]
    assert dry.envelopes() == [(*each, user) for each, user in zip(expected, users, strict=True)]
    assert bool(end.reason) == bool(end.recipient) == (end.status != "ok")


@pytest.mark.parametrize(
    ("rcpt", "status", "reply", "reason"),
    [
        ("x@far.example", "permfail", "550 Invalid recipient", "no rule matches"),
        ("nobody@here.example", "permfail", "550 Invalid recipient", "no user nobody in <getpwnam>"),
        ("bad@here.example", "permfail", "550 5.1.1 No such list", "an alias says so"),
        ("x@slow.example", "tempfail", "451 Temporary failure", "slow.example: no answer"),
        (
            "down@here.example",
            "tempfail",
            "424 4.2.4 Mailing list expansion problem",
            "aliases: down",
        ),
        (
            "home@here.example",
            "permfail",
            "524 5.2.4 Mailing list expansion problem",
            ".forward of guarded is not secure",
        ),
        (
            "loop@here.example",
            "permfail",
            "524 5.2.4 Mailing list expansion problem",
            "nothing to deliver to is left",
        ),
    ],
)
def test_failures_are_told_with_their_reason(rcpt: str, status: str, reply: str, reason: str) -> None:
    world = World()
    end = world.explain(QUESTION._replace(recipient=rcpt))
    assert (end.status, end.reply, end.reason, end.envelopes) == (status, reply, reason, 0)
    assert end.recipient > 0 and world.envelopes() == []


def test_the_name_of_the_client_is_looked_up_where_rules_want_it() -> None:
    world = World()
    world.name = "named.example"
    end = world.explain(QUESTION._replace(address="192.0.2.1"))
    assert (end.status, end.reason) == ("permfail", "rule 1 rejects it")
    assert world.asked[0] == ("DNS", "192.0.2.1")
    lookup = world.steps[0].lookup
    assert (world.steps[0].recipient, lookup.source, lookup.service) == (0, "DNS", "rdns")
    assert (lookup.key, lookup.result, lookup.value) == ("192.0.2.1", "found", "named.example")


@pytest.mark.parametrize("rdns", ["other.example", ""])
def test_but_not_when_it_is_given(rdns: str) -> None:
    world = World()
    world.explain(QUESTION._replace(address="192.0.2.1", rdns=rdns))
    assert not any(asked[0] == "DNS" for asked in world.asked)


def test_nor_when_no_rule_wants_it() -> None:
    world = World(Config(hostname="mx.example"))
    assert world.explain(QUESTION._replace(address="192.0.2.1")).reason == "no rule matches"
    assert world.asked == []


@pytest.mark.parametrize(("temporary", "result"), [(True, "tempfail"), (False, "none")])
def test_a_client_without_a_name(temporary: bool, result: str) -> None:
    world = World()
    world.name = ResolveError("1.2.0.192.in-addr.arpa", temporary=temporary)
    question = QUESTION._replace(recipient="alice@here.example", address="192.0.2.1")
    assert world.explain(question).status == "ok"
    assert world.steps[0].lookup.result == result


def test_the_envelope_is_that_of_such_a_session() -> None:
    envelope = asked_envelope(CONFIG, QUESTION)
    assert (envelope.sockaddr, envelope.hostname, envelope.helo) == ("local", "localhost", "mx.example")
    assert envelope.flags == 0 and str(envelope.rcpt) == str(envelope.dest) == "all@here.example"
    question = ExplainRecipient(1, "bob", "", "2001:DB8::1", "", "h.example", "IN", "joe", True)
    envelope = asked_envelope(CONFIG, question)
    assert (envelope.sockaddr, envelope.hostname, envelope.helo) == (
        "[2001:db8::1]",
        "<unknown>",
        "h.example",
    )
    assert (envelope.flags, envelope.username, envelope.tag) == (FLAG_AUTHENTICATED, "joe", "IN")
    assert str(envelope.rcpt) == "bob@mx.example" and envelope.sender.path == ""
    assert asked_envelope(CONFIG, question._replace(rdns=None)).hostname == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipient", ""),
        ("recipient", "a b@c.example"),
        ("recipient", "x" * 300 + "@c.example"),
        ("recipient", "a@b@c.example"),
        ("recipient", "ä@c.example"),
        ("sender", "a b"),
        ("address", "192.0.2.256"),
        ("address", "localhost"),
        ("address", "\udcff"),
    ],
)
def test_questions_that_make_no_sense(field: str, value: str) -> None:
    question = QUESTION._replace(**{field: value})
    with pytest.raises(BadQuestion):
        asked_envelope(CONFIG, question)
    world = World()
    end = world.explain(question)
    assert end.status == "refused" and end.reason.startswith("not a")
    assert world.sent == world.asked == []


def test_not_too_many_at_once() -> None:
    world = World()
    arrived: list[Callable[[], None]] = []

    async def slow(table: str, key: str) -> None:
        waiting = asyncio.Event()
        arrived.append(waiting.set)
        await waiting.wait()

    world.alias = slow  # type: ignore[method-assign, assignment]

    async def all_of_them() -> tuple[RecipientExplained, list[RecipientExplained]]:
        ask = world.explaining.explain_recipient
        tasks = [asyncio.create_task(ask(world.peer, n, QUESTION)) for n in range(MOST_AT_ONCE)]  # type: ignore[arg-type]
        while len(arrived) < MOST_AT_ONCE:
            await asyncio.sleep(0)
        refused = await ask(world.peer, 99, QUESTION)  # type: ignore[arg-type]
        for go in arrived:
            go()
        return refused, await asyncio.gather(*tasks)

    refused, answers = asyncio.run(all_of_them())
    assert (refused.status, refused.reason) == ("refused", "too many explanations are under way")
    assert [answer.reqid for answer in answers] == list(range(MOST_AT_ONCE))
    assert world.explain(QUESTION._replace(recipient="x@far.example")).status == "permfail"
