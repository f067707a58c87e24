"""imsg/native.py: what only the C core has. Its frames are compared with the pure ones in test_frame.py."""

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.frame import HEADER, MAX_FEED
from imsg.message import unpack_joined

native = pytest.importorskip("imsg.native", reason="no C core was built", exc_type=ImportError)
core = pytest.importorskip("imsg._core", reason="no C core was built", exc_type=ImportError)

# what a message can hold, and what it cannot
numbers = st.integers(-(2**63), 2**64 - 1)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=40) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=6).map(tuple),
    max_leaves=8,
)
strange = st.floats(allow_nan=False) | st.dictionaries(st.text(max_size=2), st.integers(0, 9), max_size=2)


def one_object(payload: bytes) -> bool:
    return bool(core.lib.imsg_one_object(payload, len(payload)))


def wire(payload: bytes) -> bytes:
    return HEADER.pack(1, 16 + len(payload), 1, 1) + payload


@given(values)
def test_one_object_knows_every_message(value: object) -> None:
    payload = msgpack.packb(value)
    assert one_object(payload)
    assert not one_object(payload + b"\xc0")
    assert not one_object(payload[:-1])


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000])
def test_one_object_at_every_width(size: int) -> None:
    for value in ("x" * size, bytes(size), (None,) * size):
        payload = msgpack.packb(value)
        assert one_object(payload) and not one_object(payload[:-1]) and not one_object(payload + b"\0")


@given(strange)
def test_one_object_vouches_for_nothing_else(value: object) -> None:
    assert not one_object(msgpack.packb(value))


@given(st.binary(max_size=40) | st.lists(st.sampled_from(range(0x90, 0x100)), max_size=12).map(bytes))
@settings(max_examples=500)
def test_what_it_vouches_for_is_exactly_one_object(payload: bytes) -> None:
    if one_object(payload):
        msgpack.unpackb(payload, use_list=False, unicode_errors="surrogateescape")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"\xdd\xff\xff\xff\xff",
        b"\xdc\xff\xff" + bytes(100),
        b"\xdb\xff\xff\xff\xff",
        b"\xc4",
    ]
    + [b"\x80", b"\xca\0\0\0\0", b"\xd4\1\1", b"\xd9", b"\xda\0", b"\xcd\0", b"\x92\x90", b"\xdd\0\0\0"],
)
def test_one_object_reads_no_byte_beyond(payload: bytes) -> None:
    assert not one_object(payload)


@given(st.lists(values, max_size=8))
def test_joined_payloads_are_the_payloads(items: list[object]) -> None:
    reader = native.FrameReader()
    payloads = [msgpack.packb(item) for item in items]
    assert reader.feed(b"".join(wire(p) for p in payloads)) == len(items)
    joined = reader.joined()
    assert (joined is None) == (not items)
    if joined is not None:
        assert list(unpack_joined(joined)) == items
    assert reader.payloads() == payloads


@given(st.lists(values.map(msgpack.packb) | st.binary(max_size=5), min_size=1, max_size=5))
def test_joined_only_if_every_payload_is_sound(payloads: list[bytes]) -> None:
    reader = native.FrameReader()
    assert reader.feed(b"".join(wire(p) for p in payloads)) == len(payloads)
    assert (reader.joined() is not None) == all(one_object(p) for p in payloads)


def test_joined_at_the_most_and_the_longest() -> None:
    reader = native.FrameReader()
    count = MAX_FEED // 17
    assert reader.feed(wire(b"\xc0") * count) == count
    assert unpack_joined(reader.joined()) == (None,) * count
    longest = msgpack.packb(bytes(16384 - 16 - 3))
    assert reader.feed(wire(longest) * 3) == 3
    assert unpack_joined(reader.joined()) == (bytes(16384 - 16 - 3),) * 3
