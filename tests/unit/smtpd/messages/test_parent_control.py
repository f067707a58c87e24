"""smtpd/messages/parent_control.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind, kind_of
from smtpd.messages import parent_control
from smtpd.messages.links import CONTROL, PARENT

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(parent_control)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0201, 0x0280), frozenset((CONTROL, PARENT)))


@each_kind(parent_control)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(parent_control)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(parent_control)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_descriptors() -> None:
    assert kind_of(parent_control.ControlSocket).descriptor is True
