"""smtpd/messages/pony_lookup.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind, kind_of
from smtpd.messages import pony_lookup
from smtpd.messages.links import LOOKUP, PONY

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(pony_lookup)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0401, 0x0500), frozenset((LOOKUP, PONY)))


@each_kind(pony_lookup)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(pony_lookup)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(pony_lookup)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_every_question_has_an_answer() -> None:
    for kind in kinds_in(pony_lookup):
        assert (kind.reply is not None) == (kind.senders == (PONY,))
        assert kind.descriptor is False
    statuses = [cls for cls in (kind.cls for kind in kinds_in(pony_lookup)) if kind_of(cls).reply is None]
    assert all(kind_of(cls).fields[1][0] == "status" for cls in statuses)
