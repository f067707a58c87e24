"""smtpd/messages/client_control.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import Kind
from smtpd.messages import client_control
from smtpd.messages.control_process import Counter
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


@each_kind(client_control)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0901, 0x0A00), frozenset((CLIENT, CONTROL)))


@each_kind(client_control)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(client_control)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(client_control)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_every_request_is_ended_by_the_same_reply() -> None:
    requests = [kind for kind in kinds_in(client_control) if CLIENT in kind.senders]
    assert requests and all(kind.reply is client_control.ClientDone for kind in requests)
    rows = [kind for kind in kinds_in(client_control) if CONTROL in kind.senders]
    without_request = {"ServerHello"}
    assert {kind.name for kind in rows if kind.fields[0][0] != "reqid"} == without_request


def test_no_descriptor_from_a_client() -> None:
    assert not any(kind.descriptor for kind in kinds_in(client_control) if CLIENT in kind.senders)


def test_counters_are_those_of_the_processes() -> None:
    round_trip(client_control.StatsRows(1, [Counter("uptime", -1)]))
