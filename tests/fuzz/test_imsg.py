"""Whatever a peer sends, in whatever pieces and with whatever descriptors: messages or one clear error, the
same from the C core and from plain Python, and not one descriptor more than before."""

import os
import socket
from array import array
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imsg import channel as channel_module
from imsg import frame
from imsg.channel import Channel, ChannelClosed, FrameError
from imsg.message import U64, Catalogue, MessageError, Opt, describe, message

try:
    from imsg import native
except ImportError:
    native = None  # type: ignore[assignment]

CORPUS = sorted((Path(__file__).parent / "corpus" / "imsg").iterdir())


class Address(NamedTuple):
    user: str
    domain: str


@message(1, "a", "b")
class Note(NamedTuple):
    session: U64
    sender: Address
    tags: list[str]
    extra: Opt[bytes]
    flag: bool


@message(2, "a", "b", descriptor="optional")
class Opened(NamedTuple):
    reqid: U64


@message(3, "a", "b")
class Data(NamedTuple):
    data: bytes


CATALOGUE = Catalogue([Note, Opened, Data])


class Outcome(NamedTuple):
    messages: list[tuple[int, Any, int, bool]]
    error: str


def outcome(core: ModuleType, chunks: Sequence[bytes], descriptors: Sequence[int]) -> Outcome:
    """Send chunks, each with so many descriptors, to a Channel, until it ends or fails."""
    before = len(os.listdir("/proc/self/fd"))
    left, right = socket.socketpair()
    channel_module.FrameReader = core.FrameReader  # type: ignore[misc]
    channel_module.FrameWriter = core.FrameWriter  # type: ignore[misc]
    channel = Channel(right, CATALOGUE)
    messages: list[tuple[int, Any, int, bool]] = []
    error = ""
    try:
        for index, chunk in enumerate(chunks):
            count = descriptors[index] if index < len(descriptors) and chunk else 0
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [0] * count))] if count else []
            left.sendmsg([chunk], rights)
            while received := channel.receive():
                for number, item, peerid, descriptor in received:
                    messages.append((number, item, peerid, descriptor is not None))
                    if descriptor is not None:
                        os.close(descriptor)
                    assert describe(item).isprintable() and CATALOGUE.decode(*CATALOGUE.encode(item)) == item
        left.close()
        channel.receive()
        error = "nothing at the end"
    except (FrameError, MessageError, ChannelClosed) as fault:
        error = f"{type(fault).__name__}: {fault}"
    finally:
        left.close()
        channel.close()
        channel_module.FrameReader, channel_module.FrameWriter = SAVED  # type: ignore[misc]
    assert len(os.listdir("/proc/self/fd")) <= before
    return Outcome(messages, error)


SAVED = (channel_module.FrameReader, channel_module.FrameWriter)


def check(chunks: Sequence[bytes], descriptors: Sequence[int] = ()) -> Outcome:
    pure = outcome(frame, chunks, descriptors)
    assert pure.error != "nothing at the end"
    if native is not None:
        assert outcome(native, chunks, descriptors) == pure
    return pure


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data = path.read_bytes()
    for count in range(4):
        check([data], [count])
    pieces = [data[i : i + 1] for i in range(min(len(data), 200))] + [data[200:]]
    for at in (None, 0, 16, 17):
        bytewise = check(pieces, [int(i == at) for i in range(len(pieces))])
        if at is None and not bytewise.error.startswith("Message"):
            # a bad message takes the good ones of its own read with it; apart from that pieces change nothing
            assert bytewise.error == check([data]).error


@given(data=st.data())
@settings(max_examples=150)
def test_damaged_corpus(data: st.DataObject) -> None:
    stream = bytearray(data.draw(st.sampled_from(CORPUS), label="file").read_bytes()[:2000])
    for _ in range(data.draw(st.integers(0, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=4)))
    chunks = [bytes(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    check(chunks, data.draw(st.lists(st.integers(0, 2), max_size=5)))


@given(st.lists(st.binary(max_size=60), max_size=4), st.lists(st.integers(0, 20), max_size=4))
def test_noise(chunks: list[bytes], descriptors: list[int]) -> None:
    check(chunks, descriptors)
