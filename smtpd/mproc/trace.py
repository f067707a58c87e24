"""The message trace: a log line for each message in and out (smtpctl(8), "trace imsg").

Fields that their declaration calls secret are masked. While nothing is traced the channels carry no hook at
all.
"""

from collections.abc import Iterable
from typing import Any

from imsg import describe
from imsg.message import kind_of

from .log import Log
from .peer import Peer


def trace_messages(log: Log, name: str, peers: Iterable[Peer]) -> None:
    """Hook the trace into the channels of all peers, or take it out."""
    for peer in peers:
        peer.channel.on_trace = _line_writer(log, name, peer.name) if log.tracing_imsg else None


def _line_writer(log: Log, name: str, peer: str) -> Any:
    def on_trace(direction: str, message: Any, peerid: int, size: int) -> None:
        arrow = f"{name} -> {peer}" if direction == "out" else f"{name} <- {peer}"
        kind = kind_of(type(message)).name
        fields = describe(message).removeprefix(kind)
        log.trace("imsg", f"{arrow}: {kind}#{peerid} (len={size}){fields}")

    return on_trace
