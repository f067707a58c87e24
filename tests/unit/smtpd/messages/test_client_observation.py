"""smtpd/messages/client_observation.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind
from smtpd.messages import client_observation
from smtpd.messages.client_control import ClientDone
from smtpd.messages.links import CLIENT, CONTROL

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(client_observation)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0980, 0x0A00), frozenset((CLIENT, CONTROL)))


@each_kind(client_observation)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(client_observation)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(client_observation)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_every_request_is_ended_by_the_same_reply() -> None:
    requests = [kind for kind in kinds_in(client_observation) if CLIENT in kind.senders]
    assert requests and all(kind.reply is ClientDone for kind in requests)
    rows = [kind for kind in kinds_in(client_observation) if CONTROL in kind.senders]
    assert rows and all(kind.fields[0][0] == "reqid" for kind in rows)


def test_descriptors_go_to_clients_alone() -> None:
    carrying = [kind for kind in kinds_in(client_observation) if kind.descriptor]
    assert [kind.cls for kind in carrying] == [client_observation.RecorderRow]
