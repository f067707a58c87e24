"""smtpctl/see/ids.py: ids wherever they stand in a message, by name."""

from typing import NamedTuple

import pytest
from traffic import envelope

from imsg.message import U32, Id32, Id64, Opt, kind_of, message
from smtpctl.see.ids import NONE, Ids, ids_of
from smtpd.messages.links import PONY, QUEUE
from smtpd.messages.lookup_queue import SubmitEnvelopes
from smtpd.messages.pony_lookup import FindMx, RecipientExpanded, ReverseName

MSGID = 0xCB4DE24F
EVPID = MSGID << 32 | 5


class Inner(NamedTuple):
    evpid: Id64
    session: Opt[Id64]


@message(9, PONY, QUEUE)
class Deep(NamedTuple):
    msgid: Opt[Id32]
    inner: Opt[list[Inner]]
    session: U32
    evpids: list[Id64]


def ids(item: object) -> tuple[set[int], set[int], set[int]]:
    found = ids_of(kind_of(item), item)
    return set(found.sessions), set(found.msgids), set(found.evpids)


@pytest.mark.parametrize(
    ("item", "sessions", "msgids", "evpids"),
    [
        (ReverseName("192.0.2.1", 7), {7}, set(), set()),
        (ReverseName("192.0.2.1", 0), set(), set(), set()),
        (FindMx("example.org"), set(), set(), set()),
        (RecipientExpanded(1, "ok", "", [EVPID, EVPID + 1]), set(), {MSGID}, {EVPID, EVPID + 1}),
        (SubmitEnvelopes(MSGID, False, [envelope(MSGID << 32, "", "a@b")]), set(), {MSGID}, set()),
        (Deep(None, None, 4, []), set(), set(), set()),
        (Deep(9, [Inner(EVPID, None), Inner(EVPID, 3)], 4, [1]), {3}, {9, MSGID, 0}, {EVPID, 1}),
    ],
)
def test_what_a_message_names(item: object, sessions: set[int], msgids: set[int], evpids: set[int]) -> None:
    assert ids(item) == (sessions, msgids, evpids)


def test_of_two() -> None:
    one, two = Ids(frozenset({1}), frozenset(), frozenset()), Ids(frozenset({2}), frozenset({3}), frozenset())
    assert one.union(two) == Ids(frozenset({1, 2}), frozenset({3}), frozenset())
    assert one.union(NONE) is one and NONE.union(one) is one
    assert one and not NONE
