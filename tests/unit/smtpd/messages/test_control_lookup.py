"""smtpd/messages/control_lookup.py: each of its kinds travels whole, and nothing else passes for one."""

from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import MAX_PAYLOAD, Kind
from smtpd.lookup import report
from smtpd.messages import control_lookup
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import CONTROL, LOOKUP

from .conftest import (
    each_kind,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(control_lookup)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x08B1, 0x08C0), frozenset((CONTROL, LOOKUP)))


@each_kind(control_lookup)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(control_lookup)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(control_lookup)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_a_step_of_the_longest_texts_fits_a_frame_behind_a_full_one() -> None:
    text = "\udcff" * (report.TEXT_MAX + 3)
    rule = control_lookup.TriedRule(2**32 - 1, text, text, "no match", text, text, text)
    step = control_lookup.ExplainedStep(2**32 - 1, None, rule, None, None)
    filled = [step._replace(rule=rule._replace(text="x" * (report.FRAME_BYTES - 5 * len(text)))), step]
    _, payload = CATALOGUE.encode(control_lookup.ExplainedSteps(2**32 - 1, filled))
    assert len(payload) <= MAX_PAYLOAD
