"""Typed messages, with descriptors, between processes: OpenBSD libimsg's frames, msgpack inside.

Declare kinds with `@message`, collect them in a `Catalogue`, talk through a `Channel`. See README.md.
"""

from imsg.channel import Channel, ChannelClosed, ChannelFull, FrameError, Received
from imsg.core import NATIVE, Meter
from imsg.message import (
    I64,
    U8,
    U16,
    U32,
    U64,
    Catalogue,
    DeclarationError,
    Id32,
    Id64,
    Kind,
    MessageError,
    Opt,
    describe,
    kind_of,
    message,
)
from imsg.recorder import KindCount, Recorder, RecorderEntry

__all__ = [
    "I64",
    "NATIVE",
    "U8",
    "U16",
    "U32",
    "U64",
    "Catalogue",
    "Channel",
    "ChannelClosed",
    "ChannelFull",
    "DeclarationError",
    "FrameError",
    "Id32",
    "Id64",
    "Kind",
    "KindCount",
    "MessageError",
    "Meter",
    "Opt",
    "Received",
    "Recorder",
    "RecorderEntry",
    "describe",
    "kind_of",
    "message",
]
