"""smtpd/messages/pony_queue.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind, kind_of
from smtpd.messages import pony_queue
from smtpd.messages.links import PONY, QUEUE

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(pony_queue)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0501, 0x0600), frozenset((PONY, QUEUE)))


@each_kind(pony_queue)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(pony_queue)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(pony_queue)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_descriptors_go_from_queue_to_pony_alone() -> None:
    carrying = {kind.cls for kind in kinds_in(pony_queue) if kind.descriptor}
    assert carrying == {pony_queue.IncomingOpened, pony_queue.MessageOpened}
    assert all(kind_of(cls).senders == (QUEUE,) for cls in carrying)
