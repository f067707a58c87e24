"""One mail's way as an SVG drawing of its own: lifelines, arrows that slope with the time in the socket,
bars while a request is open; the fields of a message appear when the mouse rests on it.
"""

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from .flow import Flow
from .joining import Message
from .line import clock, duration
from .values import shown_fields

COLUMN = 170
ROW = 26
LEFT = 110
TOP = 64
SLOPE = 14
"""At most so many pixels does an arrow fall."""

COLOURS = {
    "parent": "#7a5195",
    "control": "#58508d",
    "lookup": "#00798c",
    "pony": "#d1495b",
    "queue": "#b8860b",
    "scheduler": "#2e7d32",
    "client": "#616161",
    "delivery": "#8d6e63",
}
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-size:11px;fill:#777;text-anchor:end}"
    ".p{font-weight:600;text-anchor:middle}.h{font-size:16px;font-weight:600}.m{text-anchor:middle}"
    ".l{stroke:#bbb}.a{stroke-width:1.4;fill:none}.r{stroke-dasharray:5 3}.e{font-size:10px;fill:#777}"
    "g:hover .a{stroke-width:3}g:hover .m{font-weight:600}"
)


def svg(flow: Flow) -> Iterator[str]:
    """The lines of the file."""
    processes = flow.processes
    at = {name: LEFT + COLUMN // 2 + index * COLUMN for index, name in enumerate(processes)}
    width = LEFT + COLUMN * len(processes) + 20
    height = TOP + ROW * (len(flow.messages) + 1) + 20
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}">'
    )
    yield f"<style>{_STYLE}</style>"
    yield "<defs>"
    for name in processes:
        yield (
            f'<marker id={quoteattr(f"head-{name}")} viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            f'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{colour_of(name)}"/></marker>'
        )
    yield "</defs>"
    yield f'<rect width="{width}" height="{height}" fill="#fff"/>'
    yield f'<text class="h" x="16" y="24">{escape(flow.title)}</text>'
    if flow.messages:
        yield f'<text class="e" x="16" y="40">{clock(flow.begin)}</text>'
    for name, x in at.items():
        yield f'<text class="p" x="{x}" y="{TOP - 12}" style="fill:{colour_of(name)}">{escape(name)}</text>'
        yield f'<line class="l" x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{height - 10}"/>'
    rows = {id(message): TOP + ROW * (row + 1) for row, message in enumerate(flow.messages)}
    yield from _bars(flow, at, rows)
    for message in flow.messages:
        yield from _message(flow, message, at, rows[id(message)])
    yield "</svg>"


def _bars(flow: Flow, at: dict[str, int], rows: dict[int, int]) -> Iterator[str]:
    """A bar at the process that has a request open, from the request to its reply."""
    for message in flow.messages:
        reply = message.reply
        if reply is not None and id(reply) in rows and message.receiver in at:
            x, y = at[message.receiver], rows[id(message)]
            yield (
                f'<rect x="{x - 4}" y="{y}" width="8" height="{rows[id(reply)] - y}" '
                f'fill="{colour_of(message.receiver)}" fill-opacity=".22"/>'
            )


def _message(flow: Flow, message: Message, at: dict[str, int], y: int) -> Iterator[str]:
    x1, x2 = at[message.sender], at[message.receiver]
    colour = colour_of(message.sender)
    waited = message.waited or 0
    fall = min(SLOPE, waited / 1e6)  # a pixel a millisecond
    kind, fields = message.kind, message.fields
    told = [f"{message.sender} → {message.receiver}: {message.name} #{message.peerid}"]
    if kind is not None and fields is not None:
        told += [f"{name}={text}" for name, _, text in shown_fields(kind, fields)]
    if message.waited is not None:
        told.append(f"{duration(waited)} in the socket")
    text = message.name + (" ⊕" if message.descriptor else "")
    yield "<g>"
    yield f"<title>{escape(chr(10).join(told))}</title>"
    yield f'<text class="t" x="{LEFT - 10}" y="{y + 4}">{(message.time - flow.begin) / 1e6:.3f} ms</text>'
    reply = " r" if message.request is not None else ""
    yield (
        f'<path class="a{reply}" d="M{x1} {y}L{x2} {y + fall:.1f}" stroke="{colour}" '
        f"marker-end={quoteattr(f'url(#head-{message.sender})')}/>"
    )
    yield f'<text class="m" x="{(x1 + x2) // 2}" y="{y - 4}">{escape(text)}</text>'
    if message.elapsed is not None:
        beside = max(x1, x2) + 8
        yield f'<text class="e" x="{beside}" y="{y + 4}">after {duration(message.elapsed)}</text>'
    yield "</g>"


def colour_of(process: str) -> str:
    """The colour of a process in all drawings."""
    return COLOURS.get(process.rstrip("0123456789"), "#444")
