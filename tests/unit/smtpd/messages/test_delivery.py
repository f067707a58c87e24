"""smtpd/messages/delivery.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind, kind_of
from smtpd.messages import delivery
from smtpd.messages.links import DELIVERY, PARENT, PONY

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(delivery)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0F01, 0x1000))
    others = {*kind.senders, *kind.receivers} - {DELIVERY}
    assert others == ({PONY} if kind.number < 0x0F11 else {PARENT})


@each_kind(delivery)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(delivery)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(delivery)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_descriptors() -> None:
    assert kind_of(delivery.DeliverMaildir).descriptor is True
    assert kind_of(delivery.StartAgent).descriptor is True
    assert not any(kind.descriptor for kind in kinds_in(delivery) if DELIVERY in kind.senders)
