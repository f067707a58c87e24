"""Content of a message: head in front, header treated, what is wrong with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol import rfc5322
from smtpd.protocol.smtp import reply
from smtpd.protocol.smtp.content import HOPELESS, IncomingContent
from smtpd.protocol.smtp.data import LINE_MAX

HEAD = b"Received: here\n"


def make(limit: int = 1000, overrun: int = 1000) -> IncomingContent:
    return IncomingContent(HEAD, rfc5322.HeaderSection(b"d.example", {}), limit, overrun)


def feed(one: IncomingContent, stream: bytes, step: int) -> bytes:
    out = b""
    for n in range(0, len(stream), step):
        out += one.feed(stream[n : n + step])
        if one.ended or one.problem in HOPELESS:
            break
    return out


@pytest.mark.parametrize("step", [1, 7, 100])
def test_a_message(step: int) -> None:
    one = make()
    out = feed(one, b"From: a\r\nBcc: c\r\n\r\n..\r\n.\r\nQUIT\r\n", step)
    assert out == HEAD + b"From: a@d.example\n\n.\n"
    assert one.ended
    assert one.problem == b""
    assert one.size == len(out)


def test_the_rest() -> None:
    one = make()
    one.feed(b"\r\n.\r\nQUIT\r\n")
    assert one.rest == b"QUIT\r\n"


@pytest.mark.parametrize("step", [1, 7, 100])
def test_nothing_but_a_header(step: int) -> None:
    one = make()
    assert feed(one, b"From: a\r\n.\r\n", step) == HEAD + b"From: a@d.example\n"
    assert one.problem == b""


def test_no_content() -> None:
    one = make()
    assert feed(one, b".\r\n", 100) == HEAD
    assert one.problem == b""


MESSAGES = [
    (b"no header\r\n\r\nbody\r\n.\r\n", reply.MALFORMED),
    (b"Received: x\r\n" * 100 + b"\r\n.\r\n", reply.LOOP),
    (b"A: b\r\n\r\n" + b"x" * 998 + b"\r\n.\r\n", reply.TOO_BIG),
    (b"no header\r\n" + b"x" * 998 + b"\r\n.\r\n", reply.TOO_BIG),
    (b"A: b\r\n\r\n" + b"x\r\n" * 1000, reply.ENDLESS),
    (b"A: b\r\n\r\n" + b"x" * LINE_MAX, reply.LINE_TOO_LONG),
]


@pytest.mark.parametrize(("stream", "problem"), MESSAGES)
@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_problems(stream: bytes, problem: bytes, step: int) -> None:
    one = make(10000 if problem == reply.LOOP else 1000, 1 << 20 if problem == reply.LINE_TOO_LONG else 900)
    feed(one, stream, step)
    assert one.problem == problem
    assert one.ended == (problem not in HOPELESS)


def test_exactly_the_limit() -> None:
    one = make(10)
    assert feed(one, b"A: b\r\n\r\n123\r\n.\r\n", 100) == HEAD + b"A: b\n\n123\n"
    assert one.problem == b""
    one = make(9)
    feed(one, b"A: b\r\n\r\n123\r\n.\r\n", 100)
    assert one.problem == reply.TOO_BIG


def test_full() -> None:
    one = make()
    assert one.feed(b"A: b\r\n\r\nc\r\nd") != b""
    one.full = True
    assert one.feed(b"e\r\n.\r\n") == b""
    assert one.ended
    assert one.problem == reply.FULL


@given(
    st.lists(st.sampled_from([b"A: b", b"To: x", b" y", b"", b".", b"..", b"z" * 30, b"no"]), max_size=20),
    st.integers(1, 40),
)
def test_pieces_do_not_matter(lines: list[bytes], step: int) -> None:
    stream = b"".join(line + b"\r\n" for line in lines) + b".\r\n"
    whole, pieces = make(200, 100), make(200, 100)
    out = feed(whole, stream, len(stream))
    cut = feed(pieces, stream, step)
    assert pieces.problem == whole.problem
    assert pieces.ended or whole.problem == reply.ENDLESS
    if not whole.problem:
        assert cut == out
        assert pieces.size == whole.size
