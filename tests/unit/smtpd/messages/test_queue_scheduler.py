"""smtpd/messages/queue_scheduler.py: each of its kinds travels whole, and nothing else passes for one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.message import MAX_PAYLOAD, Kind
from smtpd.messages import queue_scheduler
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import QUEUE, SCHEDULER

from .conftest import (
    each_kind,
    kinds_in,
    messages,
    refuses_other_payloads,
    refuses_wrong_fields,
    round_trip,
    well_declared,
)


@each_kind(queue_scheduler)
def test_declaration(kind: Kind) -> None:
    well_declared(kind, range(0x0701, 0x0800), frozenset((QUEUE, SCHEDULER)))


@each_kind(queue_scheduler)
@given(data=st.data())
@settings(max_examples=12)
def test_round_trip(kind: Kind, data: st.DataObject) -> None:
    round_trip(data.draw(messages(kind)))


@each_kind(queue_scheduler)
@given(data=st.data())
@settings(max_examples=3)
def test_wrong_fields(kind: Kind, data: st.DataObject) -> None:
    refuses_wrong_fields(data.draw(messages(kind)))


@each_kind(queue_scheduler)
@given(payload=st.binary(max_size=40))
@settings(max_examples=12)
def test_other_payloads(kind: Kind, payload: bytes) -> None:
    refuses_other_payloads(kind, payload)


def test_most_times_fit_a_frame() -> None:
    longest = queue_scheduler.EnvelopeTimes(2**64 - 1, "bounce", *[-(2**63)] * 4, 2**16 - 1)
    ready = queue_scheduler.EnvelopesReady([longest] * queue_scheduler.MOST_TIMES)
    assert len(CATALOGUE.encode(ready)[1]) <= MAX_PAYLOAD


@pytest.mark.parametrize(
    "make",
    [
        lambda ids: queue_scheduler.DeliverEnvelopes("bounce", ids),
        queue_scheduler.ExpireEnvelopes,
        queue_scheduler.RemoveEnvelopes,
    ],
)
def test_most_evpids_fit_a_frame(make: Any) -> None:
    ids = [2**64 - 1] * queue_scheduler.MOST_EVPIDS
    assert len(CATALOGUE.encode(make(ids))[1]) <= MAX_PAYLOAD


def test_nothing_but_ids_types_and_times() -> None:
    """The scheduler never sees whom a mail is from or to."""
    for kind in kinds_in(queue_scheduler):
        assert not {"sender", "rcpt", "dest", "hostname", "helo"} & {name for name, _shape in kind.fields}
