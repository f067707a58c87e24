"""smtpd/messages/control_scheduler.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import MAX_PAYLOAD, Kind
from smtpd.messages import control_scheduler
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CONTROL, SCHEDULER

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(control_scheduler)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x08A1, 0x0900), frozenset((CONTROL, SCHEDULER)))


@each_kind(control_scheduler)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(control_scheduler)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(control_scheduler)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_states_in_a_frame() -> None:
    state = control_scheduler.EnvelopeState(2**64 - 1, "bounce", "inflight", True, 2**16 - 1, -(2**63))
    listed = control_scheduler.EnvelopesListed(2**32 - 1, 2**64 - 1, [state] * 250)
    assert len(CATALOGUE.encode(listed)[1]) <= MAX_PAYLOAD
