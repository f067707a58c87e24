"""One mail's way as a ladder in the terminal: a column a process, an arrow a message, time going down."""

from collections.abc import Iterator, Sequence

from .flow import Flow
from .joining import Message
from .line import duration
from .values import shown_fields

WIDTH = 11
"""Of a column."""

PAUSE_NS = 20_000_000
"""From so long a silence on a line says so."""


def ladder(flow: Flow, *, width: int = 0, colour: bool = False) -> Iterator[str]:
    """The lines. `width`: of the terminal, 0 for no limit; `colour`: with ANSI colours."""
    processes = flow.processes
    yield flow.title
    yield " " * 13 + "".join(f"{name:^{WIDTH}}" for name in processes).rstrip()
    last = flow.begin
    for message in flow.messages:
        if message.time - last >= PAUSE_NS:
            rails = "".join("┊".center(WIDTH) for _ in processes)
            yield f"{'':13}{rails}  ({duration(message.time - last)} later)"
        last = message.time
        since = f"{(message.time - flow.begin) / 1e6:9.3f} ms "
        text = _text(message)
        line = f"{since} {_arrow(message, processes)}  {message.name}{text}"
        if width and len(line) > width:
            line = line[: width - 1] + "…"
        yield _painted(line, len(since) + 1 + WIDTH * len(processes) + 2, message, colour)


def _text(message: Message) -> str:
    words = []
    kind, fields = message.kind, message.fields
    if message.elapsed is not None:
        words.append(f"after {duration(message.elapsed)}")
    if message.waited is not None and message.waited >= PAUSE_NS:
        words.append(f"{duration(message.waited)} in the socket")
    times = f"  ({', '.join(words)})" if words else ""
    if kind is None or fields is None:
        return times
    shown = [
        f"{name}={text}"
        for name, _, text in shown_fields(kind, fields)
        if not (name == "reqid" and message.request is not None) and text not in ("''", "0", "no", "[]")
    ]
    return f"{times}  {' '.join(shown)}" if shown else times


def _arrow(message: Message, processes: Sequence[str]) -> str:
    """The rails of all processes with an arrow between two of them."""
    middle = WIDTH // 2
    cells = [" "] * (WIDTH * len(processes))
    for index in range(len(processes)):
        cells[index * WIDTH + middle] = "│"
    if message.sender not in processes or message.receiver not in processes:
        return "".join(cells)
    start = processes.index(message.sender) * WIDTH + middle
    end = processes.index(message.receiver) * WIDTH + middle
    line = "╌" if message.request is not None else "─"
    for at in range(min(start, end) + 1, max(start, end)):
        cells[at] = "┼" if cells[at] == "│" else line
    cells[start] = "├" if start < end else "┤"
    cells[end - 1 if start < end else end + 1] = "▶" if start < end else "◀"
    if message.descriptor:
        cells[(start + end) // 2] = "⊕"
    return "".join(cells)


def _painted(line: str, name_at: int, message: Message, colour: bool) -> str:
    if not colour:
        return line.rstrip()
    end = name_at + len(message.name)
    return f"\033[2m{line[:name_at]}\033[0;1m{line[name_at:end]}\033[0m{line[end:]}"
