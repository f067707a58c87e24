"""Where time went, as collapsed stacks: a line "process;kind;part microseconds" each, as flamegraph.pl,
inferno and speedscope take them (https://github.com/brendangregg/FlameGraph).

The parts of a message are: waiting in the socket; its handler (captured with --handlers); and for a request
the rest of the time until the reply was sent, in which others worked. Of a request to somebody who has no
tape, a delivery agent, all the time until its reply came is that.
"""

from collections.abc import Iterable, Iterator

from .joining import Message

SOCKET = "waiting in the socket"
HANDLER = "handler"
OPEN = "open, others work"


def folded(messages: Iterable[Message]) -> Iterator[str]:
    """The lines, sorted. What took less than half a microsecond in all is left out."""
    sums: dict[tuple[str, str, str], int] = {}
    for message in messages:
        for part, ns in _parts(message):
            key = message.receiver, message.name, part
            sums[key] = sums.get(key, 0) + ns
    for (process, name, part), ns in sorted(sums.items()):
        if ns >= 500:
            yield f"{process};{name};{part} {round(ns / 1000)}"


def _parts(message: Message) -> Iterator[tuple[str, int]]:
    if message.waited is not None:
        yield SOCKET, message.waited
    handled = sum(took for _, took in message.handled)
    yield HANDLER, handled
    reply = message.reply
    if reply is not None:
        began = message.received if message.received is not None else message.time
        yield OPEN, max(0, reply.time - began - handled)
