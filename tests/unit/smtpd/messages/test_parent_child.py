"""smtpd/messages/parent_child.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind, kind_of
from smtpd.messages import parent_child
from smtpd.messages.links import CHILDREN, PARENT

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(parent_child)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0101, 0x0200))


@each_kind(parent_child)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(parent_child)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(parent_child)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_every_child_is_sent_the_same() -> None:
    for kind in kinds_in(parent_child):
        assert (kind.senders, kind.receivers) in (((PARENT,), CHILDREN), (CHILDREN, (PARENT,)))
        assert kind.reply is None


def test_descriptors() -> None:
    always = {parent_child.Setup, parent_child.RecorderMemory, parent_child.PeerLink}
    for kind in kinds_in(parent_child):
        assert kind.descriptor is (kind.cls in always)
    assert kind_of(parent_child.Setup).fields[0][0] == "digest", "read first, whatever else is different"
