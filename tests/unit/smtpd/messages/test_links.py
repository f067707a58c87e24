"""smtpd/messages/links.py: who may talk to whom (DESIGN.md, section 1)."""

import pytest

from smtpd.messages import links
from smtpd.messages.links import (
    CHILDREN,
    CLIENT,
    CONTROL,
    DELIVERY,
    EDGE_LINKS,
    LINKS,
    LOOKUP,
    PARENT,
    PONY,
    PROCESSES,
    QUEUE,
    SCHEDULER,
    linked,
    peers_of,
)

EXPECTED = {
    PARENT: {CONTROL, LOOKUP, PONY, QUEUE, SCHEDULER},
    CONTROL: {PARENT, LOOKUP, PONY, QUEUE, SCHEDULER},
    PONY: {PARENT, CONTROL, LOOKUP, QUEUE},
    QUEUE: {PARENT, CONTROL, LOOKUP, PONY, SCHEDULER},
    LOOKUP: {PARENT, CONTROL, PONY, QUEUE},
    SCHEDULER: {PARENT, CONTROL, QUEUE},
}


def test_processes() -> None:
    assert PROCESSES == ("parent", "control", "lookup", "pony", "queue", "scheduler")
    assert PROCESSES == (PARENT, *CHILDREN)
    assert not {CLIENT, DELIVERY} & set(PROCESSES)


@pytest.mark.parametrize("one", PROCESSES)
@pytest.mark.parametrize("other", PROCESSES)
def test_links(one: str, other: str) -> None:
    assert linked(one, other) == linked(other, one) == (other in EXPECTED[one])


@pytest.mark.parametrize("name", PROCESSES)
def test_peers(name: str) -> None:
    assert set(peers_of(name)) == EXPECTED[name]
    assert list(peers_of(name)) == sorted(peers_of(name), key=PROCESSES.index)
    assert len(set(peers_of(name))) == len(peers_of(name))


def test_the_edges() -> None:
    outside = {CLIENT: {CONTROL}, DELIVERY: {PARENT, PONY}}
    for name in (*PROCESSES, CLIENT, DELIVERY):
        for edge, inner in outside.items():
            assert linked(edge, name) == linked(name, edge) == (name in inner)
    assert peers_of(CLIENT) == peers_of(DELIVERY) == (), "no socket to them is made at start"
    assert not LINKS & EDGE_LINKS


def test_nobody_else() -> None:
    assert not linked(PARENT, "butler") and not linked("", "") and peers_of("butler") == ()
    assert all(len(pair) == 2 for pair in LINKS | EDGE_LINKS)
    assert {value for name, value in vars(links).items() if name.isupper() and isinstance(value, str)} == {
        *PROCESSES, CLIENT, DELIVERY,
    }  # fmt: skip
