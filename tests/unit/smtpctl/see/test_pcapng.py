"""smtpctl/see/pcapng.py: blocks as the format wants them, what was written is read, damage is refused."""

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from traffic import Traffic

from smtpctl.see.pcapng import COMMENT, ENDS, LINK_TYPE, CaptureError, CaptureReader, CaptureWriter
from smtpctl.see.seen import HANDLED, OUT, WITHHELD, Seen
from smtpd.messages.catalogue import CATALOGUE


def written(sightings: list[Seen], lost: int = 0) -> bytes:
    file = io.BytesIO()
    writer = CaptureWriter(file)
    for seen in sightings:
        writer.write(seen)
    writer.finish(lost)
    assert writer.number == len(sightings)
    return file.getvalue()


def blocks(data: bytes) -> list[tuple[int, bytes]]:
    """As https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html 3.1 says."""
    found, at = [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        assert size % 4 == 0 and size >= 12
        assert struct.unpack_from("<I", data, at + size - 4) == (size,)
        found.append((kind, data[at + 8 : at + size - 4]))
        at += size
    assert at == len(data)
    return found


def mail() -> list[Seen]:
    return list(Traffic(handlers=True).mail(0xCB4DE24F, 7))


def test_blocks() -> None:
    sightings = mail()
    section, interface, *packets, statistics = blocks(written(sightings, lost=5))
    assert section[0] == 0x0A0D0D0A and section[1][:8] == struct.pack("<IHH", 0x1A2B3C4D, 1, 0)
    assert f"{COMMENT}{CATALOGUE.digest()}".encode() in section[1]
    assert interface[0] == 1 and struct.unpack_from("<H", interface[1]) == (LINK_TYPE,)
    assert struct.pack("<HHB", 9, 1, 9) in interface[1]  # if_tsresol: ns
    assert statistics[0] == 5 and struct.pack("<HHQ", 5, 8, 5) in statistics[1]
    assert len(packets) == len(sightings)
    for seen, (kind, body) in zip(sightings, packets, strict=True):
        number, high, low, captured, original = struct.unpack_from("<IIIII", body)
        assert (kind, number, high << 32 | low) == (6, 0, seen.time)
        assert 20 + (captured + 3 & ~3) == len(body) and captured <= original
        version, flags, from_, _, to, _, _ = struct.unpack_from("<BBBBBBH", body, 20)
        assert (version, ENDS[from_], ENDS[to]) == (1, seen.sender, seen.receiver)
        assert bool(flags & WITHHELD) == (seen.payload is None)


def test_what_was_written_is_read() -> None:
    sightings = mail()
    reader = CaptureReader(io.BytesIO(written(sightings, lost=5)))
    assert reader.info.digest == CATALOGUE.digest() and reader.info.program.startswith("smtpctl ")
    expected = [s._replace(flags=s.flags | WITHHELD) if s.payload is None else s for s in sightings]
    assert list(reader) == expected
    assert reader.info.lost == 5


@pytest.mark.parametrize(
    ("owner", "other", "read"),
    [
        ("pony2", "queue", ("pony2", "queue")),
        ("pony999", "client", ("pony255", "client")),
        ("nobody", "queue7", ("?", "queue7")),
    ],
)
def test_ends_and_instances(owner: str, other: str, read: tuple[str, str]) -> None:
    sightings = [Seen(1, owner, other, flags, 5, 17, 1, 2, b"x") for flags in (OUT, 0)]
    found = list(CaptureReader(io.BytesIO(written(sightings))))
    assert [(seen.owner, seen.other) for seen in found] == [read, read]


def test_a_handler() -> None:
    mark = Seen(1 << 60, "queue", "pony", HANDLED, 5, 0, 0, 0, (77).to_bytes(8, "little"))
    assert list(CaptureReader(io.BytesIO(written([mark])))) == [mark]


def test_every_way_to_be_cut_off() -> None:
    data = written(mail()[:2])
    whole = {0}
    for _, body in blocks(data):
        whole.add(max(whole) + 12 + len(body))
    for end in range(len(data)):
        try:
            found = list(CaptureReader(io.BytesIO(data[:end])))
        except CaptureError:
            assert end not in whole or end == 0
        else:
            assert end in whole and len(found) <= 2


@pytest.mark.parametrize("at", range(0, 400, 3))
def test_damage_is_refused_or_read(at: int) -> None:
    data = bytearray(written(mail()[:3]))
    data[at] ^= 0xFF
    try:
        list(CaptureReader(io.BytesIO(data)))
    except CaptureError as error:
        assert str(error)


def test_a_capture_of_something_else() -> None:
    data = written([])
    for other in (b"", b"\xd4\xc3\xb2\xa1" * 8, data.replace(COMMENT.encode(), b"x" * len(COMMENT))):
        with pytest.raises(CaptureError):
            CaptureReader(io.BytesIO(other))
    other = data.replace(struct.pack("<HHI", LINK_TYPE, 0, 0), struct.pack("<HHI", 1, 0, 0))
    with pytest.raises(CaptureError, match="link type 1 at byte"):
        list(CaptureReader(io.BytesIO(other)))


@given(
    st.tuples(
        st.integers(-(2**70), 2**70),
        st.sampled_from(["pony", "queue2", "?", ""]),
        st.sampled_from(["queue", "pony300", "x"]),
        *(st.integers(0, 2**32 - 1) for _ in range(5)),
        st.none() | st.binary(max_size=64),
    )
)
def test_whatever_a_broken_tape_says_can_be_written(fields: tuple[Any, ...]) -> None:
    file = io.BytesIO()
    CaptureWriter(file).write(Seen(*fields))
    file.seek(0)
    (read,) = CaptureReader(file)
    assert 0 <= read.time < 2**64 and read.type == fields[4]
    if 0 <= fields[0] < 2**64:
        assert read.time == fields[0]
