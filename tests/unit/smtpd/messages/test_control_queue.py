"""smtpd/messages/control_queue.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import MAX_PAYLOAD, Kind
from smtpd.messages import control_queue
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CONTROL, QUEUE

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(control_queue)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0891, 0x08A0), frozenset((CONTROL, QUEUE)))


@each_kind(control_queue)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(control_queue)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(control_queue)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_ids_of_a_request_fit_a_frame() -> None:
    ids = [2**64 - 1] * 1000
    assert len(CATALOGUE.encode(control_queue.DescribeEnvelopes(ids))[1]) <= MAX_PAYLOAD
