import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd.protocol.berkeley_hash import MAGIC, PAGE_SIZE, FormatError, hash_of, read, write

SMALL = {b"root\0": b"joe\0", b"jane\0": b"a, b\0"}


def test_what_is_written_is_read() -> None:
    assert dict(read(write(SMALL.items()))) == SMALL
    assert dict(read(write([]))) == {}
    assert dict(read(write([(b"a", b"1"), (b"a", b"2")]))) == {b"a": b"2"}


def test_hash_function() -> None:
    # The library writes the hash of this text into each file, to see whether it has the same function.
    assert hash_of(b"%$sniglet^&\0") == 0x5E688DD1


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.binary(max_size=8) | st.integers(1, 3 * PAGE_SIZE).map(lambda n: b"k" * n),
        st.binary(max_size=8) | st.integers(1, 3 * PAGE_SIZE).map(lambda n: b"v" * n),
        max_size=30,
    )
)
def test_any_pairs(pairs: dict[bytes, bytes]) -> None:
    assert dict(read(write(pairs.items()))) == pairs


def test_many_pairs_and_where_they_are() -> None:
    pairs = {b"key%d\0" % number: b"value%d\0" % number for number in range(3000)}
    data = write(pairs.items(), b"i" * 20)
    assert dict(read(data)) == pairs
    magic, version, size = struct.unpack_from("<III", data, 12)
    assert (magic, version, size, data[52:72]) == (MAGIC, 9, PAGE_SIZE, b"i" * 20)
    most, high, low, _, count = struct.unpack_from("<IIIII", data, 72)
    assert (high, low, count) == (most, most // 2, 3000)
    # The library goes to the page of a key's bucket: it must be there, or in the pages that follow it.
    key = b"key77\0"
    page = 1 + (hash_of(key) & high)
    found = b""
    while page:
        found += data[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
        page = struct.unpack_from("<I", data, page * PAGE_SIZE + 16)[0]
    assert b"\1" + key in found


def test_the_other_byte_order() -> None:
    meta = struct.pack(">12xIII", MAGIC, 9, 512).ljust(512, b"\0")
    items = b"\1value" + b"\1key"
    page = struct.pack(">8xIIIHHBB", 1, 0, 0, 2, 502, 0, 13) + struct.pack(">HH", 508, 502)
    data = meta + page.ljust(512 - len(items), b"\0") + items
    assert list(read(data)) == [(b"key", b"value")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "too small"),
        (b"root: joe\n" * 100, "not a Berkeley DB"),
        (b"SQLite format 3\0" + bytes(600), "SQLite"),
        (struct.pack("<12xIII", 0x053162, 9, 4096) + bytes(600), "btree"),
        (struct.pack(">II", MAGIC, 2) + bytes(600), "1.85"),
        (struct.pack("<12xIII", MAGIC, 7, 4096) + bytes(600), "version 7"),
        (write(SMALL.items())[:-1], "cut off"),
        (struct.pack("<12xIIIB", MAGIC, 9, 512, 1).ljust(512, b"\0"), "encryption"),
    ],
)
def test_other_files(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        list(read(data))


WHOLE = write({**SMALL, b"large\0": b"x" * 5000}.items())


@settings(max_examples=200)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_no_crash(at: int, byte: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[at] = byte
    try:
        assert len(list(read(bytes(damaged)))) <= 10
    except FormatError:
        pass


@given(st.binary(max_size=200), st.integers(0, 3))
def test_any_page(noise: bytes, count: int) -> None:
    head = struct.pack("<8xIIIHHBB", 1, 0, 0, count, 0, 0, 13)
    data = struct.pack("<12xIII", MAGIC, 9, 512).ljust(512, b"\0") + (head + noise).ljust(512, b"\1")
    try:
        list(read(data))
    except FormatError:
        pass
