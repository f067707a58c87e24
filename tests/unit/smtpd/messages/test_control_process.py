"""smtpd/messages/control_process.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import MAX_PAYLOAD, Kind
from smtpd.messages import control_process
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CONTROL, PROCESSES

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(control_process)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0801, 0x0880))


@each_kind(control_process)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(control_process)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(control_process)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_everybody_can_be_asked() -> None:
    assert {*control_process.OTHERS, CONTROL} == set(PROCESSES)


def test_many_counters_fit_a_frame() -> None:
    """OpenSMTPD knows about a hundred."""
    counters = [control_process.Counter(f"smtp.session.a.long.name.{i}", 2**63 - 1) for i in range(300)]
    assert len(CATALOGUE.encode(control_process.Counters(2**32 - 1, counters))[1]) <= MAX_PAYLOAD
