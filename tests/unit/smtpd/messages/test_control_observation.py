"""smtpd/messages/control_observation.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import MAX_PAYLOAD, Kind
from smtpd.messages import control_observation
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_process import OTHERS
from smtpd.messages.links import CONTROL, PARENT

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(control_observation)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0820, 0x0880))


@each_kind(control_observation)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(control_observation)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(control_observation)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_control_asks_every_process_and_parent_alone_brings_memory() -> None:
    for kind in kinds_in(control_observation):
        if kind.cls is control_observation.ProcessMemory:
            assert (kind.senders, kind.receivers, kind.descriptor) == ((PARENT,), (CONTROL,), True)
        else:
            assert (kind.senders, kind.receivers) in (((CONTROL,), OTHERS), (OTHERS, (CONTROL,)))
            assert kind.descriptor is False, "nobody but parent hands memory around"


def test_every_kind_there_is_can_be_wanted_on_the_tape() -> None:
    every = list(CATALOGUE.by_number)
    assert len(CATALOGUE.encode(control_observation.SetTape(True, True, every))[1]) <= MAX_PAYLOAD
