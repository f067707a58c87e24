"""smtpd/lookup/expansion.py: what .forward files lead to (forward(5))."""

from typing import Any

import pytest

from smtpd.lookup.expansion import (
    PERMFAIL,
    TEMPFAIL,
)

from .world import LATER, LIST_INVALID, LIST_LATER, World, failed, here, whom


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (None, ["alice"]),
        ("", ["alice"]),
        ("bob", ["bob"]),
        ("alice", ["alice"]),
        ("\\alice", ["alice"]),
        ("\\alice, bob", ["alice", "bob"]),
        ("bob\nx@far.example", ["bob", "-> x@far.example"]),
        ("|prog -x, /boxes/alice", [
            "alice | prog -x", "alice | /usr/libexec/smtpd/mail.mboxfile -f %{mbox.from} /boxes/alice",
        ]),
        (":include:/list, bob", ["bob"]),  # included files are for aliases alone
        (":include:/list", None),
    ],
)  # fmt: skip
def test_forward(forward: str | None, expected: list[str] | None) -> None:
    forwards = {} if forward is None else {"alice": forward}
    world = World(here(), users="alice bob", forwards=forwards, includes={"/list": "eve"})
    outcome = world.expand("alice@here.example")
    if expected is None:
        assert failed(outcome) == (PERMFAIL, LIST_INVALID)
    else:
        assert whom(outcome) == expected


def test_forward_keeps_no_subaddress() -> None:
    """What is forwarded to oneself comes without it, as in OpenSMTPD."""
    assert whom(World(users="alice", forwards={"alice": "alice"}).expand("alice+x@here.example")) == ["alice"]
    assert whom(World(users="alice").expand("alice+x@here.example")) == ["alice+x"]


def test_forward_of_each_in_turn() -> None:
    world = World(users="a b c", forwards={"a": "b", "b": "c", "c": "a, c"})
    assert whom(world.expand("a@here.example")) == ["c"]


@pytest.mark.parametrize(
    ("forward", "expected"), [("!", (TEMPFAIL, LIST_LATER)), ("insecure", (PERMFAIL, LIST_INVALID))]
)
def test_forward_that_cannot_be_used(forward: str, expected: tuple[str, str]) -> None:
    assert failed(World(users="alice", forwards={"alice": forward}).expand("alice@here.example")) == expected


def test_forward_loops_end() -> None:
    world = World(users="a b", forwards={"a": "b@here.example", "b": "a@here.example"})
    assert failed(world.expand("a@here.example")) == (PERMFAIL, LIST_INVALID)
    world = World(users="a b", forwards={"a": "b", "b": "a"})
    assert failed(world.expand("a@here.example")) == (PERMFAIL, LIST_INVALID)


@pytest.mark.parametrize("what", ["|prog", "/boxes/root"])
def test_nothing_runs_as_root(what: str) -> None:
    world = World(users={"root": 0}, forwards={"root": what})
    assert failed(world.expand("root@here.example")) == (TEMPFAIL, LATER)
    assert whom(World(users={"root": 0}).expand("root@here.example")) == [
        "root"
    ]  # its own mail is pony's matter
    world = World(users={"root": 0, "alice": 1000}, forwards={"root": "alice", "alice": what})
    assert whom(world.expand("root@here.example"))[0].startswith("alice | ")


def test_the_same_command_of_two_users() -> None:
    world = World(aliases={"a": "u, v"}, users="u v", forwards={"u": "|prog, |prog", "v": "|prog"})
    assert whom(world.expand("a@here.example")) == ["u | prog", "v | prog"]


@pytest.mark.parametrize(
    ("method", "forward", "expected"),
    [
        ("forward-only", None, (TEMPFAIL, LIST_LATER)),
        ("forward-only", "", (TEMPFAIL, LIST_LATER)),
        ("forward-only", "|prog", (TEMPFAIL, LATER)),
        ("forward-only", "/file", (TEMPFAIL, LATER)),
        ("forward-only", "error:550 no", (TEMPFAIL, LATER)),
        ("forward-only", "x@far.example", ["-> x@far.example"]),
        ("forward-only", "alice", ["alice"]),
        ("expand-only", None, (PERMFAIL, LIST_INVALID)),
        ("expand-only", "", (PERMFAIL, LIST_INVALID)),
        ("expand-only", "|prog", ["alice | prog"]),
        ("expand-only", "error:550 no", (PERMFAIL, "550 no")),
        ("expand-only", "x@far.example", ["-> x@far.example"]),
    ],
)
def test_actions_without_a_delivery(method: str, forward: str | None, expected: Any) -> None:
    forwards = {} if forward is None else {"alice": forward}
    outcome = World(here(method=method), users="alice", forwards=forwards).expand("alice@here.example")
    assert (whom(outcome) if isinstance(expected, list) else failed(outcome)) == expected


def test_delivery_as_somebody_else() -> None:
    """Other users' .forward files do not count then, that user's own does."""
    world = World(here(user="vmail"), users="alice vmail", forwards={"alice": "bob", "vmail": "alice+x"})
    assert whom(world.expand("alice@here.example")) == ["alice"]
    assert whom(world.expand("vmail@here.example")) == ["alice+x"]


def test_userbase() -> None:
    world = World(here(userbase="people"), users="alice")
    world.expand("alice@here.example")
    assert ("people", "alice") in world.asked
