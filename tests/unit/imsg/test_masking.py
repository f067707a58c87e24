"""imsg/masking.py: what a masked payload shows; and csrc/mask.c does the same, byte for byte."""

from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsg.masking import Unmaskable, mask

try:
    from imsg._core import ffi, lib
except ImportError:
    lib = None

Mask = Callable[[bytes, int, int], "bytes | None"]


def pure(payload: bytes, secret: int, most: int) -> bytes | None:
    try:
        return mask(payload, secret, most)
    except Unmaskable:
        return None


def native(payload: bytes, secret: int, most: int) -> bytes | None:
    room = ffi.new("unsigned char[]", most + 8)
    length = lib.imsg_mask(payload, len(payload), secret, room, most)
    assert bytes(ffi.buffer(room, most + 8)[most:]) == bytes(8)
    return None if length < 0 else bytes(ffi.buffer(room, length))


sides = pytest.mark.parametrize(
    "side",
    [
        pytest.param(pure, id="pure"),
        pytest.param(
            native, id="native", marks=pytest.mark.skipif(lib is None, reason="no C core was built")
        ),
    ],
)

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=300)
    | st.binary(max_size=300)
)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=20), max_leaves=30)
payloads = st.lists(values, max_size=20).map(msgpack.packb)


@sides
def test_each_type(side: Mask) -> None:
    fields = ["user", "hunter2", b"key", 77, True, None, ["a", [1, b"b"]], -1, 2**63]
    plain = msgpack.packb(fields)
    assert side(plain, 0, 1000) == plain
    hidden = side(plain, 0b111111110, 1000)
    assert hidden is not None
    assert msgpack.unpackb(hidden) == ["user", "***", b"***", 0, False, None, ["***", [0, b"***"]], 0, 0]


@sides
def test_wide_heads(side: Mask) -> None:
    fields = ["s" * 40, "m" * 300, "l" * 70000, b"b" * 300, b"c" * 70000, [1] * 20, ["x"] * 70000]
    hidden = side(msgpack.packb(fields), 0b1111111, 500_000)
    assert hidden is not None
    assert msgpack.unpackb(hidden) == ["***"] * 3 + [b"***"] * 2 + [[0] * 20, ["***"] * 70000]


@sides
def test_no_trace_of_a_secret_nor_of_its_length(side: Mask) -> None:
    one = side(msgpack.packb(["ann", "", 1]), 0b110, 100)
    other = side(msgpack.packb(["ann", "a very long password" * 9, 2**40]), 0b110, 100)
    assert one == other and one is not None and b"password" not in one


@sides
@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc0", b"\xa3abc", b"\x91", b"\x92\x01", b"\x91\xc1", b"\x91\xcb" + bytes(8), b"\x91\x80"]
    + [b"\x90\x00", b"\xdc\x00", b"\xdd\xff\xff\xff\xff", b"\x91\xd9\x05abc", b"\x91\xdb\xff\xff\xff\xff"]
    + [b"\x91\xdd\xff\xff\xff\xff", b"\x91\xcd\x00", b"\x91\xc4", b"\x91\xc5\x00"],
)
def test_what_is_not_one_array_is_withheld(side: Mask, payload: bytes) -> None:
    assert side(payload, 1, 100) is None
    assert side(payload, 0, 100) is None


@sides
def test_room(side: Mask) -> None:
    payload = msgpack.packb([""] * 10)
    assert side(payload, 0b1111111111, 41) is not None
    assert side(payload, 0b1111111111, 40) is None
    assert side(payload, 0, 11) == payload and side(payload, 0, 10) is None


@sides
def test_a_field_beyond_the_64th_is_shown(side: Mask) -> None:
    payload = msgpack.packb(["x"] * 70)
    hidden = side(payload, 2**64 - 1, 1000)
    assert hidden is not None and msgpack.unpackb(hidden) == ["***"] * 64 + ["x"] * 6


@pytest.mark.skipif(lib is None, reason="no C core was built")
@given(payloads | st.binary(max_size=60), st.integers(0, 2**20), st.integers(0, 2000))
@settings(max_examples=300)
def test_both_sides_agree(payload: bytes, secret: int, most: int) -> None:
    assert native(payload, secret, most) == pure(payload, secret, most)


def plain_types(value: object) -> object:
    """The tree of types: what masking must keep."""
    if isinstance(value, list):
        return [plain_types(item) for item in value]
    return type(value)


@given(st.lists(values, max_size=10), st.integers(0, 2**10))
def test_types_stay_and_the_rest_is_untouched(fields: list[object], secret: int) -> None:
    hidden = msgpack.unpackb(mask(msgpack.packb(fields), secret, 1 << 20))
    assert plain_types(hidden) == plain_types(fields)
    for index, (before, after) in enumerate(zip(fields, hidden, strict=True)):
        if not secret >> index & 1:
            assert before == after
