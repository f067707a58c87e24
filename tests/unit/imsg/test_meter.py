"""imsg/meter.py and csrc/meter.c: the same is measured by both, over real channels and of any bytes."""

import socket
from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg import frame, meter
from imsg.frame import HEADER
from imsg.histogram import Histogram
from imsg.meter import (
    CHANNELS,
    HANDLED,
    KINDS,
    MOST_HISTOGRAMS,
    REPLIED,
    SENT,
    UNMEASURED,
    WAITED,
    Meter,
    first_field,
)

REQUEST, REPLY, OTHER = 7, 8, 9


class Side(NamedTuple):
    """One of the two implementations."""

    meter: Any
    reader: Any
    writer: Any

    def make(self) -> Any:
        return self.meter([REQUEST, 5000], [REPLY, 5001])


def sides() -> list[Side]:
    found = [Side(Meter, frame.FrameReader, frame.FrameWriter)]
    try:
        from imsg import native
    except ImportError:
        return found
    return [*found, Side(native.Meter, native.FrameReader, native.FrameWriter)]


@pytest.fixture(params=sides(), ids=lambda side: side.meter.__module__)
def side(request: pytest.FixtureRequest) -> Side:
    found: Side = request.param
    return found


class Ends:
    """A writer and a reader of one channel, whose peer is the test."""

    def __init__(self, side: Side, serial: int = 1) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.reader, self.writer = side.reader(self.ours), side.writer(self.ours)
        self.serial = serial

    def measure(self, meter: Any, name: str = "queue") -> None:
        number = 0 if meter is None else meter.channel(name)
        self.reader.measure(meter, number, self.serial)
        self.writer.measure(meter, number, self.serial)

    def ask(self, *peerids: int, number: int = REQUEST) -> None:
        for peerid in peerids:
            self.writer.add([number], [b"\x90"], peerid, 1)

    def got(self, *frames: tuple[int, bytes]) -> int:
        """What arrives: numbers and payloads."""
        data = b"".join(HEADER.pack(number, 16 + len(p), 1, 2) + p for number, p in frames)
        count: int = self.reader.feed(data)
        return count

    def close(self) -> None:
        self.reader.close()
        self.writer.close()
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def ends(side: Side) -> Iterator[Ends]:
    found = Ends(side)
    yield found
    found.close()


def rows(meter: Any) -> dict[tuple[int, str, int], Histogram]:
    return {row[:3]: row[3] for row in meter.rows()}


def numbers(meter: Any) -> dict[tuple[int, str, int], int]:
    return {key: histogram.count for key, histogram in rows(meter).items()}


def reply(reqid: int) -> tuple[int, bytes]:
    return REPLY, msgpack.packb([reqid, "x"])


def test_values_and_names(side: Side) -> None:
    meter = side.make()
    queue = meter.channel("queue")
    assert queue == meter.channel("queue") != meter.channel("pony")
    for value in (0, 31, 32, 1000, 2**63 - 1):
        meter.add(WAITED, queue, OTHER, value)
    meter.add(WAITED, queue, KINDS + 3, 5)
    found = rows(meter)
    assert set(found) == {(WAITED, "queue", OTHER), (WAITED, "queue", 0)}
    same = Histogram()
    same.extend([0, 31, 32, 1000, 2**63 - 1])
    measured = found[WAITED, "queue", OTHER]
    assert (measured.count, measured.total, measured.most) == (5, same.total, 2**63 - 1)
    assert measured.buckets == same.buckets
    meter.clear()
    assert meter.rows() == [] and meter.left_out == 0


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_any_values_as_the_histogram_has_them(values: list[int]) -> None:
    for side in sides():
        meter, same = side.make(), Histogram()
        for value in values:
            meter.add(HANDLED, 0, OTHER, value)
            same.add(value)
        for found in rows(meter).values():
            assert found.buckets == same.buckets and found.count == same.count and found.most == same.most
            assert found.total == same.total % 2**64 or side.meter is Meter


def test_bounds(side: Side) -> None:
    meter = side.make()
    named = [meter.channel(str(number)) for number in range(CHANNELS + 5)]
    assert named == [*range(1, CHANNELS), *[0] * 6]
    for number in range(1, MOST_HISTOGRAMS + 6):
        meter.add(HANDLED, 1, number, 1)
    meter.add(HANDLED, 1, 1, 1)
    assert len(meter.rows()) == MOST_HISTOGRAMS and meter.left_out == 5
    assert rows(meter)[HANDLED, "0", 1].count == 2


def test_a_reply_is_measured_once_under_its_request(side: Side, ends: Ends) -> None:
    meter = side.make()
    ends.ask(1)
    ends.measure(meter)
    ends.ask(2, 3, 300, 70000)
    ends.ask(4, number=OTHER)
    assert meter.sent(1, 2) > 0 and meter.sent(1, 1) == meter.sent(2, 2) == meter.sent(1, 4) == 0
    ends.got(reply(2), reply(1), reply(2), reply(4), (OTHER, b"\x91\x03"), (REPLY, b""), (REPLY, b"\xc0"))
    assert numbers(meter) == {(REPLIED, "queue", REQUEST): 1}
    assert 0 < rows(meter)[REPLIED, "queue", REQUEST].total < 10**10
    ends.got(reply(300), reply(70000))
    assert numbers(meter) == {(REPLIED, "queue", REQUEST): 3}
    assert meter.sent(1, 2) == meter.sent(1, 300) == 0 < meter.sent(1, 3)
    ends.measure(None)
    ends.got(reply(3))
    assert numbers(meter) == {(REPLIED, "queue", REQUEST): 3}


def test_who_does_not_measure_still_remembers(side: Side, ends: Ends) -> None:
    meter = side.make()
    meter.measuring = False
    assert not meter.measuring
    ends.measure(meter)
    ends.ask(1, 2)
    ends.got(reply(1))
    ends.reader.stamps[0], ends.reader.stamps[1] = 10, 30
    ends.reader.settle()
    assert meter.rows() == [] and meter.sent(1, 1) == 0 < meter.sent(1, 2)
    meter.measuring = True
    ends.got(reply(2))
    assert numbers(meter) == {(REPLIED, "queue", REQUEST): 1}


def test_channels_do_not_answer_each_other(side: Side) -> None:
    meter = side.make()
    first, second = Ends(side, 1), Ends(side, 2)
    for each in (first, second):
        each.measure(meter, "agent")
        each.ask(1)
    second.got(reply(1), reply(1))
    assert numbers(meter) == {(REPLIED, "agent", REQUEST): 1}
    assert meter.sent(1, 1) > 0 == meter.sent(2, 1)
    first.close()
    second.close()


def test_a_newer_request_takes_the_place_of_one_never_answered(side: Side, ends: Ends) -> None:
    meter = side.make()
    ends.measure(meter)
    ends.ask(1, 1 + SENT)
    ends.got(reply(1), reply(1 + SENT))
    assert numbers(meter) == {(REPLIED, "queue", REQUEST): 1}


def test_handlers_take_from_stamp_to_stamp(side: Side, ends: Ends) -> None:
    meter = side.make()
    ends.measure(meter)
    kinds = (REQUEST, OTHER, OTHER, REQUEST, OTHER)
    ends.got(*[(number, b"\x90") for number in kinds])
    stamps = ends.reader.stamps
    ends.reader.settle()
    assert meter.rows() == [], "nothing has begun"
    stamps[0], stamps[1] = 100, 110
    ends.reader.settle()
    assert numbers(meter) == {(HANDLED, "queue", REQUEST): 1}
    stamps[2], stamps[3], stamps[4] = (
        140 | UNMEASURED,
        141,
        90,
    )  # somebody else's; one; a clock that goes back
    ends.reader.settle()
    ends.reader.settle()
    found = rows(meter)
    assert set(found) == {(HANDLED, "queue", REQUEST), (HANDLED, "queue", OTHER)}
    assert found[HANDLED, "queue", REQUEST].total == 10 and found[HANDLED, "queue", OTHER].total == 1
    stamps[5] = 95
    ends.got((OTHER, b"\x90"))
    assert rows(meter)[HANDLED, "queue", OTHER].total == 6, "the rest is measured at the next"
    assert list(stamps[:7]) == [0] * 7
    ends.got((OTHER, b"\x90"))
    assert rows(meter)[HANDLED, "queue", OTHER].count == 2


def test_a_meter_that_is_changed_gets_what_was_its(side: Side, ends: Ends) -> None:
    one, other = side.make(), side.make()
    ends.measure(one)
    ends.got((OTHER, b"\x90"), (OTHER, b"\x90"))
    ends.reader.stamps[0], ends.reader.stamps[1] = 5, 6
    ends.measure(other)
    ends.reader.stamps[2] = 9
    ends.measure(None)
    assert (rows(one)[HANDLED, "queue", OTHER].total, rows(other)[HANDLED, "queue", OTHER].total) == (1, 3)


@given(st.binary(max_size=12))
def test_the_first_field_of_any_bytes(payload: bytes) -> None:
    found = first_field(payload)
    assert found is None or 0 <= found < 2**32
    try:
        value = msgpack.unpackb(payload)
    except Exception:
        value = None
    if isinstance(value, list) and value and type(value[0]) is int and 0 <= value[0] < 2**32:
        assert found == value[0] or payload[:1] == b"\xdd" or payload[1:2] == b"\xcf"
    for side in sides():
        ends, meter = Ends(side), side.make()
        ends.measure(meter)
        ends.ask(found or 1)
        ends.got((REPLY, payload))
        assert len(meter.rows()) == (found is not None and found > 0)
        ends.close()


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 20)), max_size=40))
def test_both_measure_the_same(steps: list[tuple[int, int]]) -> None:
    counts = []
    for side in sides():
        ends, meter = Ends(side), side.make()
        ends.measure(meter)
        for step, number in steps:
            if step == 0:
                ends.ask(number)
            elif step == 1:
                ends.got(reply(number), (OTHER, b"\x90"))
            else:
                ends.reader.stamps[0:3] = array("Q", (1, 2, 3)) if ends.reader.stamps is not None else ()
        counts.append((numbers(meter), [meter.sent(1, number) > 0 for number in range(21)]))
        ends.close()
    assert counts.count(counts[0]) == len(counts)


def test_serials_are_never_twice() -> None:
    assert meter.next_serial() != meter.next_serial()
