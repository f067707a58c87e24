"""smtpd/messages/client_mta.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind
from smtpd.messages import client_mta
from smtpd.messages.links import CLIENT, CONTROL

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(client_mta)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0901, 0x0941), frozenset((CLIENT, CONTROL)))


@each_kind(client_mta)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(client_mta)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(client_mta)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)
