"""Whatever lies in the spool under the name of an envelope: a value, or EnvelopeError."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smtpd.mail.envelope_text import EnvelopeError, decode, encode

CORPUS = sorted((Path(__file__).parent / "corpus" / "envelope_text").iterdir())

LINES = st.lists(
    st.sampled_from([line for path in CORPUS for line in path.read_bytes().splitlines(keepends=True)])
    | st.binary(max_size=40)
    | st.just(b"\n"),
    max_size=40,
).map(b"".join)


def check(data: bytes) -> None:
    try:
        envelope = decode(1 << 32 | 1, data)
    except EnvelopeError:
        return
    again = encode(envelope)  # what can be read can be written, and says the same
    assert decode(1 << 32 | 1, again) == envelope
    assert encode(decode(1 << 32 | 1, again)) == again


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data = path.read_bytes()
    check(data)
    if path.name.startswith("valid-"):
        assert encode(decode(1 << 32 | 1, data)) == data


@given(LINES)
def test_lines(data: bytes) -> None:
    check(data)


@given(st.binary(max_size=2000))
@example(b"version: 3\ntype: bounce\n")
def test_bytes(data: bytes) -> None:
    check(data)


@given(st.sampled_from(CORPUS), st.data())
def test_damage(path: Path, data: st.DataObject) -> None:
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        if text:
            place = data.draw(st.integers(0, len(text) - 1))
            action = data.draw(st.sampled_from(("set", "cut", "end")))
            if action == "set":
                text[place] = data.draw(st.integers(0, 255))
            elif action == "cut":
                del text[place : place + data.draw(st.integers(1, 30))]
            else:
                del text[place:]
    check(bytes(text))
