"""smtpd/messages/lookup_queue.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind, kind_of
from smtpd.messages import lookup_queue
from smtpd.messages.links import LOOKUP, QUEUE

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(lookup_queue)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0601, 0x0700), frozenset((LOOKUP, QUEUE)))


@each_kind(lookup_queue)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(lookup_queue)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(lookup_queue)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_requests_both_ways() -> None:
    assert kind_of(lookup_queue.SubmitEnvelopes).reply is lookup_queue.EnvelopesSubmitted
    assert kind_of(lookup_queue.ExpandBounce).reply is lookup_queue.BounceExpanded
    assert kind_of(lookup_queue.SubmitEnvelopes).senders == (LOOKUP,)
    assert kind_of(lookup_queue.ExpandBounce).senders == (QUEUE,)
