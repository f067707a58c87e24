"""smtpd/messages/parent_pony.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind, kind_of
from smtpd.messages import parent_pony
from smtpd.messages.links import PARENT, PONY

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(parent_pony)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0281, 0x0300), frozenset((PARENT, PONY)))


@each_kind(parent_pony)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(parent_pony)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(parent_pony)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_descriptors() -> None:
    assert kind_of(parent_pony.ListenSocket).descriptor is True
    assert kind_of(parent_pony.CommandOutput).descriptor is True
    assert kind_of(parent_pony.OpenAgent).reply is parent_pony.AgentOpened
    assert kind_of(parent_pony.OpenCommand).reply is parent_pony.CommandOpened
    for reply in (parent_pony.AgentOpened, parent_pony.CommandOpened):
        assert kind_of(reply).descriptor == "optional"
    assert not any(kind.descriptor for kind in kinds_in(parent_pony) if PONY in kind.senders)
