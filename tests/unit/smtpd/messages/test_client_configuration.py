"""smtpd/messages/client_configuration.py: each of its kinds travels whole, nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import MAX_PAYLOAD, Kind
from smtpd.control import configuration
from smtpd.messages import client_configuration, control_lookup
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CLIENT, CONTROL

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(client_configuration)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0941, 0x0960), frozenset((CLIENT, CONTROL)))


@each_kind(client_configuration)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(client_configuration)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(client_configuration)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_a_row_of_the_configuration_fits_a_frame_whatever_its_bytes() -> None:
    row = client_configuration.ConfigurationRow(2**32 - 1, "\udcff" * configuration.PIECE)
    assert len(CATALOGUE.encode(row)[1]) <= MAX_PAYLOAD


def test_the_end_of_an_explanation_is_that_of_lookup() -> None:
    assert client_configuration.ExplanationEnd._fields == control_lookup.RecipientExplained._fields
    assert client_configuration.ClientExplain._fields == control_lookup.ExplainRecipient._fields[1:]
