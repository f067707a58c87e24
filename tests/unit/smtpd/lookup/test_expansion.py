"""smtpd/lookup/expansion.py: what recipients lead to, after OpenSMTPD's lka_session.c and forward(5)."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd.config.model import Criterion, LocalAction, RelayAction, Rule
from smtpd.lookup.expansion import (
    DEPTH_MAX,
    NODES_MAX,
    OK,
    PERMFAIL,
    TEMPFAIL,
)
from smtpd.lookup.steps import GaveUp, Repeated, Tried, Walked
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import FLAG_INTERNAL, Envelope
from smtpd.protocol.aliases import Recipient

from .world import BASE, INVALID, LATER, LIST_INVALID, LIST_LATER, RELAY, World, failed, here, whom

# users and relays


def test_a_user() -> None:
    (envelope,) = World(users="alice").expand("Alice@here.example").envelopes
    assert envelope == BASE._replace(
        type="mda",
        dispatcher="local",
        rcpt=MailAddress("Alice", "here.example"),
        dest=MailAddress("Alice", "here.example"),
        mda_user="alice",
        ttl=345,
    )


def test_a_relay() -> None:
    (envelope,) = World({"*": RelayAction(name="out", ttl=77)}).expand("Bob@far.example").envelopes
    assert envelope == BASE._replace(
        type="mta",
        dispatcher="out",
        rcpt=MailAddress("Bob", "far.example"),
        dest=MailAddress("Bob", "far.example"),
        ttl=77,
    )


def test_nobody() -> None:
    assert failed(World(users="alice").expand("bob@here.example")) == (PERMFAIL, INVALID)
    assert failed(World(users="down").expand("down@here.example")) == (TEMPFAIL, LATER)


def test_no_rule() -> None:
    world = World(users="alice")
    assert failed(world.expand("alice@elsewhere.example")) == (PERMFAIL, INVALID)
    rejecting = Rule(criteria=(Criterion("for-domain", False, "*"),), reject=True)
    world = World(users="alice", rules=(rejecting,))
    assert failed(world.expand("alice@here.example")) == (PERMFAIL, INVALID)
    broken = Rule(criteria=(Criterion("for-domain", False, "!"),), action="local")
    world = World(users="alice", rules=(broken,))
    assert failed(world.expand("alice@here.example")) == (TEMPFAIL, LATER)


def test_subaddress() -> None:
    assert whom(World(users="alice").expand("Alice+News@here.example")) == ["alice+news"]
    assert whom(World(users="alice").expand("alice+a+b@here.example")) == ["alice+a+b"]
    assert whom(World(users="alice", delimiter="-").expand("alice-x@here.example")) == ["alice+x"]
    assert whom(World(users="alice").expand("alice+@here.example")) == ["alice"]
    assert failed(World(users="alice").expand("+x@here.example")) == (PERMFAIL, INVALID)


def test_only_ascii_letters_have_a_case() -> None:
    """The Kelvin sign is not the k of kim."""
    assert failed(World(users="kim").expand("\u212aim@here.example")) == (PERMFAIL, INVALID)
    assert whom(World(users="kim").expand("KIM@here.example")) == ["kim"]


# aliases


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [
        ({"a": "alice"}, ["alice"]),
        ({"a": "alice, bob"}, ["alice", "bob"]),
        ({"a": "b", "b": "c", "c": "alice"}, ["alice"]),
        ({"a": "alice, alice, bob, alice"}, ["alice", "bob"]),
        ({"a": "b, c", "b": "alice", "c": "alice, bob"}, ["alice", "bob"]),
        ({"a": "b, alice", "b": "a, bob"}, ["alice", "bob"]),  # a loop with ways out
        ({"a": "x@far.example, alice"}, ["-> x@far.example", "alice"]),
        ({"a": "x@far.example, x@far.example"}, ["-> x@far.example"]),
        ({"a": "bob@here.example", "bob": "bob, alice"}, ["bob", "alice"]),
        ({"a": "|cat, /var/mail/x, |cat"}, [
            "_smtpd | cat", "_smtpd | /usr/libexec/smtpd/mail.mboxfile -f %{mbox.from} /var/mail/x",
        ]),
    ],
)  # fmt: skip
def test_aliases(aliases: dict[str, str], expected: list[str]) -> None:
    assert whom(World(here(), aliases=aliases, users="alice bob").expand("a@here.example")) == expected


def test_alias_of_oneself() -> None:
    """A name in its own list is the user."""
    world = World(aliases={"root": "root, alice"}, users="root alice")
    assert whom(world.expand("root@here.example")) == ["root", "alice"]


@pytest.mark.parametrize(
    "aliases", [{"a": "a"}, {"a": "b", "b": "a"}, {"a": "b", "b": "c", "c": "b"}, {"a": "a@here.example"}]
)
def test_loops_end(aliases: dict[str, str]) -> None:
    world = World(aliases=aliases, users="alice")
    assert world.expand("a@here.example").status == PERMFAIL
    assert len(world.asked) < 100


def test_depth() -> None:
    """The first address is at depth 0, the name in it at 1."""
    reaching = {f"a{n}": f"a{n + 1}" for n in range(DEPTH_MAX - 3)}
    last = f"a{DEPTH_MAX - 3}"
    assert whom(World(aliases=reaching | {last: "alice"}, users="alice").expand("a0@here.example")) == [
        "alice"
    ]
    too_deep = reaching | {last: "more", "more": "alice"}
    assert failed(World(aliases=too_deep, users="alice").expand("a0@here.example")) == (
        PERMFAIL,
        LIST_INVALID,
    )


@pytest.mark.parametrize(
    ("aliases", "expected"),
    [
        ({"a+x": "bob", "a": "alice"}, ["bob"]),
        ({"a": "alice"}, ["alice"]),
        ({"a+y": "bob", "a": "alice"}, ["alice"]),
        ({"a": "alice+more"}, ["alice+more"]),
        ({"a+x": "a", "a": "bob"}, ["bob"]),
    ],
)
def test_aliases_with_a_subaddress(aliases: dict[str, str], expected: list[str]) -> None:
    assert whom(World(aliases=aliases, users="alice bob").expand("a+x@here.example")) == expected


def test_alias_table_fails() -> None:
    """Nothing is delivered when one of the list cannot be looked up now."""
    assert failed(World(aliases={"a": "!"}).expand("a@here.example")) == (TEMPFAIL, LIST_LATER)
    world = World(aliases={"a": "alice, b", "b": "!"}, users="alice")
    assert failed(world.expand("a@here.example")) == (TEMPFAIL, LIST_LATER)


def test_one_that_is_unknown_spoils_all() -> None:
    world = World(aliases={"a": "alice, nobody"}, users="alice")
    assert failed(world.expand("a@here.example")) == (PERMFAIL, INVALID)


def test_an_empty_alias_is_none() -> None:
    assert whom(World(aliases={"alice": ""}, users="alice").expand("alice@here.example")) == ["alice"]


def test_the_same_user_for_two_addresses() -> None:
    """Each keeps its own destination (%{dest} in a command)."""
    world = World(aliases={"a": "b@here.example, c@here.example", "b": "alice", "c": "alice"}, users="alice")
    outcome = world.expand("a@here.example")
    assert whom(outcome) == ["alice", "alice"]
    assert [str(envelope.dest) for envelope in outcome.envelopes] == ["b@here.example", "c@here.example"]
    assert {str(envelope.rcpt) for envelope in outcome.envelopes} == {"a@here.example"}


def test_addresses_from_aliases_come_from_here() -> None:
    """Rules see them as local mail; the envelopes themselves are not marked."""
    rules = (
        Rule(criteria=(Criterion("for-domain", False, "here.example"),), action="local"),
        Rule(
            criteria=(Criterion("from-src", False, "local"), Criterion("for-domain", False, "*")),
            action="relay",
        ),
    )
    world = World(here(), aliases={"a": "x@far.example"}, rules=rules)
    outcome = world.expand("a@here.example")
    assert whom(outcome) == ["-> x@far.example"] and outcome.envelopes[0].flags == 0
    assert failed(world.expand("x@far.example")) == (PERMFAIL, INVALID)
    assert whom(world.expand("x@far.example", flags=FLAG_INTERNAL)) == ["-> x@far.example"]


# errors in aliases


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("error:550 gone away", (PERMFAIL, "550 gone away")),
        (":error:451 4.2.0 come back", (TEMPFAIL, "451 4.2.0 come back")),
        ("alice, error:554 no list for you", (PERMFAIL, "554 no list for you")),
    ],
)
def test_error(text: str, expected: tuple[str, str]) -> None:
    assert failed(World(aliases={"a": text}, users="alice").expand("a@here.example")) == expected


# included files


def test_include() -> None:
    world = World(
        here(),
        aliases={"a": "bob, :include:/list"},
        users="alice bob",
        includes={"/list": "alice, x@far.example, bob"},
    )
    assert sorted(whom(world.expand("a@here.example"))) == ["-> x@far.example", "alice", "bob"]


def test_an_included_file_includes_nothing() -> None:
    world = World(
        aliases={"a": ":include:/one"}, users="alice",
        includes={"/one": ":include:/two, alice", "/two": "bob, :include:/one"},
    )  # fmt: skip
    assert whom(world.expand("a@here.example")) == ["alice"]


def test_an_included_file_that_is_empty() -> None:
    world = World(aliases={"a": ":include:/none"}, users="a")
    assert failed(world.expand("a@here.example")) == (PERMFAIL, LIST_INVALID)


# virtual domains

VIRTUAL = {"here.example": LocalAction(name="virtual", method="maildir", virtual="virtuals"), "*": RELAY}


@pytest.mark.parametrize(
    ("rcpt", "expected"),
    [
        ("a+x@here.example", ["one"]),
        ("A+X@Here.example", ["one"]),
        ("a+y@here.example", ["two"]),
        ("a@here.example", ["two"]),
        ("b+x@here.example", ["three"]),
        ("b@here.example", ["four"]),
        ("b+y@here.example", ["four"]),
        ("c+x@here.example", ["five"]),
    ],
)
def test_virtual_from_the_whole_address_to_the_catch_all(rcpt: str, expected: list[str]) -> None:
    world = World(
        {"here.example": VIRTUAL["here.example"], "Here.example": VIRTUAL["here.example"]},
        aliases={
            "a+x@here.example": "one",
            "a@here.example": "two",
            "b+x": "three",
            "b": "four",
            "@here.example": "five",
            "@": "six",
        },
        users="one two three four five six",
    )
    assert whom(world.expand(rcpt)) == expected


def test_virtual_catch_alls() -> None:
    assert whom(World(VIRTUAL, aliases={"@": "all"}, users="all").expand("x@here.example")) == ["all"]
    world = World(VIRTUAL, aliases={"x": "y"}, users="x y z")
    assert whom(world.expand("x@here.example")) == ["y"]
    assert failed(world.expand("z@here.example")) == (PERMFAIL, LIST_INVALID)  # users alone do not count
    assert failed(World(VIRTUAL, aliases={"z@here.example": ""}, users="z").expand("z@here.example")) == (
        PERMFAIL, LIST_INVALID,
    )  # fmt: skip
    assert failed(World(VIRTUAL, aliases={"z": "!"}, users="z").expand("z@here.example")) == (
        TEMPFAIL, LIST_LATER,
    )  # fmt: skip


def test_virtual_names_have_no_catch_all() -> None:
    """What a virtual entry names without a domain is asked without one: the catch-all must not swallow it."""
    world = World(VIRTUAL, aliases={"@here.example": "alice", "@": "bob"}, users="alice bob")
    assert whom(world.expand("x@here.example")) == ["alice"]
    asked = [key for table, key in world.asked if table == "virtuals"]
    assert asked == ["x@here.example", "x", "@here.example", "alice@", "alice"]


def test_virtual_to_elsewhere() -> None:
    world = World(VIRTUAL, aliases={"x@here.example": "y@far.example, error:550 no"}, users="")
    assert failed(world.expand("x@here.example")) == (PERMFAIL, "550 no")
    world.aliases["x@here.example"] = "y@far.example"
    assert whom(world.expand("x@here.example")) == ["-> y@far.example"]


# bounds


def test_long_lists() -> None:
    names = [f"u{number}" for number in range(5000)]
    world = World(aliases={"all": ":include:/all"}, users=" ".join(names))
    world.read_include = lambda path: [Recipient("username", name) for name in names]  # type: ignore[method-assign]
    assert len(world.expand("all@here.example").envelopes) == 5000


def test_too_long_lists() -> None:
    world = World(aliases={"all": ":include:/all"})
    world.read_include = lambda path: [  # type: ignore[method-assign]
        Recipient("username", f"u{number}") for number in range(NODES_MAX)
    ]
    assert failed(world.expand("all@here.example")) == (TEMPFAIL, LIST_LATER)


NAMES = ["a", "b", "c", "d", "e"]
WORDS = st.sampled_from(
    [
        *NAMES,
        *(f"{name}@here.example" for name in NAMES),
        "x@far.example",
        "|cmd",
        "/file",
        ":include:/f",
        "nobody",
    ]
)
GRAPH = st.dictionaries(st.sampled_from(NAMES), st.lists(WORDS, max_size=4).map(", ".join))


@given(
    aliases=GRAPH, forwards=GRAPH, include=st.lists(WORDS, max_size=3).map(", ".join), virtual=st.booleans()
)
@settings(max_examples=200)
def test_any_graph_ends(
    aliases: dict[str, str], forwards: dict[str, str], include: str, virtual: bool
) -> None:
    """With an answer that fits: envelopes or a reply, none of them twice, all well-formed."""
    actions = VIRTUAL if virtual else here()
    world = World(
        actions, aliases=aliases, users=" ".join(NAMES), forwards=forwards, includes={"/f": include}
    )
    outcome = world.expand("a@here.example")
    assert (outcome.status == OK) == bool(outcome.envelopes) == (outcome.reply == "")
    assert outcome.status == OK or outcome.reply[0] == {TEMPFAIL: "4", PERMFAIL: "5"}[outcome.status]
    keys = [(e.type, e.dest, e.mda_user, e.mda_exec, e.mda_subaddress) for e in outcome.envelopes]
    assert len(set(keys)) == len(keys)
    for envelope in outcome.envelopes:
        assert envelope.evpid == BASE.evpid and envelope.dispatcher in world.config.actions
        assert (envelope.type == "mta") == (envelope.mda_user == "")


# what is told


def test_steps(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(aliases={"a": "alice, alice, b", "b": "nobody"}, users="alice")
    world.expand("a@here.example")
    walked = [(step.recipient.text, step.number, step.parent, step.depth) for step in of(world, Walked)]
    assert walked == [
        ("a@here.example", 1, 0, 0), ("a", 2, 1, 1), ("alice", 3, 2, 2), ("b", 4, 2, 2), ("nobody", 5, 4, 3),
    ]  # fmt: skip
    assert [step.recipient.text for step in of(world, Repeated)] == ["alice"]
    assert [step.number for step in of(world, Tried)] == [1]
    assert [(step.status, step.reply) for step in of(world, GaveUp)] == [(PERMFAIL, INVALID)]
    assert [step.mda_user for step in of(world, Envelope)] == ["alice"]


def of(world: World, kind: type) -> list[Any]:
    return [step for step in world.told if isinstance(step, kind)]


def test_nothing_told_is_nothing_lost() -> None:
    """The same with nobody listening."""
    make: Callable[[], World] = lambda: World(aliases={"a": "alice, b"}, users="alice b")  # noqa: E731
    listened = make().expand("a@here.example")
    world = make()
    world.told = type("Deaf", (), {"append": None})()  # type: ignore[assignment]
    assert world.expand("a@here.example") == listened
