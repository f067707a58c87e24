"""LF to CRLF and dot-stuffing, against an oracle that goes line by line, at every chunk border."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpd.protocol.smtp.client_content import ContentEncoder


def oracle(data: bytes) -> bytes:
    """Slow and plain: RFC 5321 4.5.2, and a blank for each bare CR."""
    out = bytearray()
    line_start = True
    for octet in data:
        if line_start and octet == ord("."):
            out += b"."
        if octet == ord("\n"):
            out += b"\r\n"
        else:
            out.append(ord(" ") if octet == ord("\r") else octet)
        line_start = octet == ord("\n")
    if not line_start:
        out += b"\r\n"
    return bytes(out) + b".\r\n"


def encode(chunks: list[bytes]) -> tuple[bytes, int]:
    encoder = ContentEncoder()
    out = b"".join(encoder.encode(chunk) for chunk in chunks) + encoder.finish()
    return out, encoder.octets


def test_examples() -> None:
    assert encode([b""])[0] == b".\r\n"
    assert encode([b"a\nb\n"])[0] == b"a\r\nb\r\n.\r\n"
    assert encode([b"a"])[0] == b"a\r\n.\r\n"
    assert encode([b".\n..\n"])[0] == b"..\r\n...\r\n.\r\n"
    assert encode([b"a\n", b".b"])[0] == b"a\r\n..b\r\n.\r\n"
    assert encode([b"a", b".b\n"])[0] == b"a.b\r\n.\r\n"
    assert encode([b"a\n", b"", b".b\n"])[0] == b"a\r\n..b\r\n.\r\n"
    assert encode([b"\n.\n.\n"])[0] == b"\r\n..\r\n..\r\n.\r\n"


@pytest.mark.parametrize(
    "end", [b"\r.\n", b"\r.\r", b"\r.\r\n", b"\n.\r\n", b"\r\n.\r\n", b"\n.\n", b"\r\r\n.\r"]
)
def test_no_content_looks_like_an_end_to_anybody(end: bytes) -> None:
    """Nor to one that takes bare CR or bare LF for the end of a line."""
    out = encode([b"one" + end + b"MAIL FROM:<evil@x.example>\n"])[0]
    assert out.endswith(b"\r\n.\r\n")
    lines = out.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert lines.index(b".") == len(lines) - 2


CONTENT = st.lists(st.sampled_from([b".", b"\n", b"\r", b"ab", b"\n.", b"..", b"\r\n"]), max_size=40).map(
    b"".join
)


@given(CONTENT, st.lists(st.integers(0, 60), max_size=8))
@example(b"a\n.b", [2])
@example(b".", [0])
def test_any_chunks_give_the_oracle_s_bytes(data: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    chunks = [data[a:b] for a, b in zip(places, places[1:], strict=False)]
    out, octets = encode(chunks)
    assert out == oracle(data)
    assert octets == len(out) - len(b".\r\n")


@given(CONTENT)
def test_a_server_reads_the_same_lines_back(data: bytes) -> None:
    out, _ = encode([data])
    lines = out.split(b"\r\n")
    end = lines.index(b".")
    assert end == len(lines) - 2
    undone = [line[1:] if line.startswith(b".") else line for line in lines[:end]]
    # a CR before a LF of the content makes CR CR LF: only a split at CRLF alone would lose nothing there
    if b"\r" not in data:
        wanted = data.split(b"\n")
        assert undone == (wanted[:-1] if wanted[-1] == b"" else wanted)
