"""The DATA decoder against a slow one that works line by line."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpd.protocol.smtp import data
from smtpd.protocol.smtp.data import LINE_MAX, DataDecoder


def oracle(stream: bytes) -> tuple[bytes, bytes | None]:
    """Content, and what stands behind the end (None: there is no end), one line after the other."""
    content = b""
    after_crlf = True
    while (newline := stream.find(b"\n")) >= 0:
        line, stream = stream[:newline], stream[newline + 1 :]
        crlf = line.endswith(b"\r")
        text = line[:-1] if crlf else line
        if text == b"." and crlf and after_crlf:
            return content, stream
        content += text.removeprefix(b".") + b"\n"
        after_crlf = crlf
    return content, None


def decode(pieces: list[bytes]) -> tuple[bytes, bytes | None]:
    """The same by the decoder under test."""
    decoder = DataDecoder()
    content = b""
    for n, piece in enumerate(pieces):
        some, rest = decoder.feed(piece)
        content += some
        if decoder.ended:
            return content, rest + b"".join(pieces[n + 1 :])
        assert rest == b""
        assert not decoder.too_long
    return content, None


def check(stream: bytes, pieces: list[bytes]) -> None:
    if oracle(stream)[1] is None:
        # nothing may be given out that its end would have changed
        assert decode(pieces)[1] is None
        stream += b"z\r\n.\r\n"
        pieces = [*pieces, b"z\r\n.\r\n"]
    assert decode(pieces) == oracle(stream)


CASES = [
    (b".\r\n", b"", b""),
    (b"\r\n.\r\n", b"\n", b""),
    (b"a\r\n.\r\nQUIT\r\n", b"a\n", b"QUIT\r\n"),
    (b"..\r\n.\r\n", b".\n", b""),
    (b"..a\r\n.b\r\n...\r\n.\r\n", b".a\nb\n..\n", b""),
    # only CRLF "." CRLF ends it
    (b"a\n.\nb\r\n.\r\n", b"a\n\nb\n", b""),
    (b"a\r\n.\nb\r\n.\r\n", b"a\n\nb\n", b""),
    (b"a\n.\r\nb\r\n.\r\n", b"a\n\nb\n", b""),
    (b"a\r.\rb\r\n.\r\n", b"a\r.\rb\n", b""),
    (b"a\r\n.\rb\r\n.\r\n", b"a\n\rb\n", b""),
    (b"a\r\n.\r\r\n.\r\n", b"a\n\r\n", b""),
    (b".\n.\r\n.\r\n", b"\n\n", b""),
    (b"a\r\r\n.\r\n", b"a\r\n", b""),
    (b"a\x00b\xff\r\n.\r\n", b"a\x00b\xff\n", b""),
]


@pytest.mark.parametrize(("stream", "content", "rest"), CASES)
def test_whole(stream: bytes, content: bytes, rest: bytes) -> None:
    assert decode([stream]) == (content, rest)


@pytest.mark.parametrize(("stream", "content", "rest"), CASES)
def test_byte_by_byte(stream: bytes, content: bytes, rest: bytes) -> None:
    assert decode([stream[n : n + 1] for n in range(len(stream))]) == (content, rest)


@pytest.mark.parametrize(("stream", "content", "rest"), CASES)
def test_with_a_tail(stream: bytes, content: bytes, rest: bytes) -> None:
    tail = b"QUIT\r\n.\r\n"
    for cut in range(len(stream)):
        assert decode([stream[:cut], stream[cut:] + tail]) == (content, rest + tail)


ALPHABET = st.lists(
    st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"a", b"\x00"]), max_size=30
)


@given(ALPHABET.map(b"".join), st.lists(st.integers(0, 60), max_size=8))
@example(b"\r\n.\r", [1, 2, 3])
def test_any_stream_in_any_pieces(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(stream)]
    check(stream, [stream[a:b] for a, b in zip(places, places[1:], strict=False) if a < b])


@given(st.binary(max_size=300), st.binary(max_size=20))
def test_what_is_stuffed_comes_out_again(content: bytes, tail: bytes) -> None:
    content = content.replace(b"\r", b"") + b"\n"
    wire = content.replace(b"\n", b"\r\n").replace(b"\r\n.", b"\r\n..")
    wire = (b"." if wire.startswith(b".") else b"") + wire + b".\r\n" + tail
    assert decode([wire]) == (content, tail)


@pytest.mark.parametrize("step", [1 << 20, 40000, 1000])
def test_longest_line(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    longest = b"a" * (LINE_MAX - 2) + b"\r\n"
    stream = longest + b"short\r\n" + longest * 3 + b".\r\n"
    content, rest = decode([stream[n : n + step] for n in range(0, len(stream), step)])
    assert rest == b""
    assert content == stream[:-3].replace(b"\r\n", b"\n")


@pytest.mark.parametrize("step", [1 << 20, 40000, 1000])
@pytest.mark.parametrize("before", [b"", b"x\r\n", b"x" * 1000 + b"\n"])
@pytest.mark.parametrize("end", [b"", b"\r\n", b"\n", b"\r\n.\r\n", b"a\r\n.\r\n"])
def test_a_line_too_long(step: int, before: bytes, end: bytes) -> None:
    stream = before + b"a" * LINE_MAX + end + b"b"
    decoder = DataDecoder()
    for n in range(0, len(stream), step):
        decoder.feed(stream[n : n + step])
        if decoder.too_long or decoder.ended:
            break
    assert decoder.too_long
    assert not decoder.ended


@given(
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([b"\r\n", b"\n"])), max_size=8),
    st.integers(1, 30),
    st.booleans(),
)
def test_line_length_in_any_pieces(lines: list[tuple[int, bytes]], step: int, ended: bool) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "LINE_MAX", 10)
        stream = b"".join(b"a" * size + end for size, end in lines) + b"\r\n" + (b".\r\n" if ended else b"")
        decoder = DataDecoder()
        for n in range(0, len(stream), step):
            decoder.feed(stream[n : n + step])
            if decoder.too_long or decoder.ended:
                break
        too_long = any(size + (end == b"\r\n") >= 10 for size, end in lines)
        assert decoder.too_long == too_long
        assert decoder.ended == (ended and not too_long)


def test_work_grows_with_the_size_and_not_its_square() -> None:
    # 16 MiB of empty lines in pieces of 64 KiB, and as dots: searches only
    chunk = b"\r\n" * 32768
    decoder = DataDecoder()
    begun = time.process_time()
    for _ in range(64):
        decoder.feed(chunk)
    decoder = DataDecoder()
    for _ in range(64):
        decoder.feed(b"\n." * 32768)
    assert time.process_time() - begun < 3
