"""Which process may talk to which: the links of DESIGN, section 1, and no message on any other."""

import pytest

from imsg.message import Kind
from smtpd.messages import links
from smtpd.messages.catalogue import CATALOGUE

DESIGN = {
    frozenset(pair.split())
    for pair in (
        "parent control", "parent lookup", "parent pony", "parent queue", "parent scheduler",
        "control lookup", "control pony", "control queue", "control scheduler",
        "pony lookup", "pony queue", "queue lookup", "queue scheduler",
    )
}  # fmt: skip

KINDS = sorted(CATALOGUE.by_number.values(), key=lambda kind: kind.number)


def routes(kind: Kind) -> list[tuple[str, str]]:
    return [(sender, receiver) for sender in kind.senders for receiver in kind.receivers]


def test_the_links_are_those_of_the_design() -> None:
    assert links.LINKS == DESIGN


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_goes_over_an_existing_link(kind: Kind) -> None:
    edges = DESIGN | links.EDGE_LINKS
    assert [route for route in routes(kind) if frozenset(route) not in edges or len(set(route)) != 2] == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.reply], ids=lambda kind: kind.name)
def test_a_reply_goes_back_the_same_way(kind: Kind) -> None:
    assert kind.reply is not None
    reply = next(other for other in KINDS if other.cls is kind.reply)
    back = set(routes(reply))
    assert all((receiver, sender) in back for sender, receiver in routes(kind))


def test_what_is_not_a_process_has_one_link_only() -> None:
    for edge in links.EDGE_LINKS:
        outside = edge - set(links.PROCESSES)
        assert len(outside) == 1, f"{set(edge)} is no edge"


def test_every_link_is_used() -> None:
    used = {frozenset(route) for kind in KINDS for route in routes(kind)}
    assert DESIGN - used == set()


def test_numbers_and_names_are_unique() -> None:
    assert len({kind.number for kind in KINDS}) == len({kind.name for kind in KINDS}) == len(KINDS)
