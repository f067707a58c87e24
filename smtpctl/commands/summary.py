"""`show queue --by=FIELD`: how many envelopes wait for whom, and how old they are (as Postfix's qshape).

JSON, a line a group, the largest first: the field's name ("domain" ...), "total", "ages" (a list of counts,
one for each limit in "limits", minutes, and one for those older than the last). Memory grows with the groups
alone.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable

from ..failure import BadFilter
from ..invocation import Invocation
from ..output import screened
from .rows import Row

LIMITS = (5, 10, 20, 40, 80, 160, 320, 640, 1280)
"""Minutes; the upper ends of the columns."""

FIELDS: dict[str, Callable[[Row], str]] = {
    "domain": lambda row: row.envelope.dest.domain or "-",
    "sender": lambda row: str(row.envelope.sender),
    "recipient": lambda row: str(row.envelope.dest),
    "state": lambda row: row.runstate,
    "type": lambda row: row.envelope.type,
    "error": lambda row: row.envelope.errorline or "-",
}
BY = tuple(FIELDS)

WIDEST = 60
"""Characters of a name."""


def show_summary(invocation: Invocation, field: str, rows: Iterable[Row]) -> int:
    """The table; BadFilter if there is no such field."""
    key = FIELDS.get(field)
    if key is None:
        raise BadFilter(f"{field!r} is nothing to sum up by; {', '.join(BY)} are")
    groups: dict[str, list[int]] = {}
    for row in rows:
        counts = groups.setdefault(key(row), [0] * (len(LIMITS) + 1))
        counts[bisect_left(LIMITS, (invocation.now - row.envelope.ctime) / 60)] += 1
    total = [sum(column) for column in zip(*groups.values(), strict=True)] or [0] * (len(LIMITS) + 1)
    width = max([len("TOTAL"), *(min(len(name), WIDEST) for name in groups)])
    heads = ("T", *map(str, LIMITS), f"{LIMITS[-1]}+")
    digits = max(len(heads[-1]), len(str(sum(total))))
    output = invocation.output
    output.text(output.styled(_line("", heads, width, digits), "bold"))
    output.text(_line("TOTAL", (sum(total), *total), width, digits))
    for name, counts in sorted(groups.items(), key=lambda group: (-sum(group[1]), group[0])):
        output.row(
            _line(_cut(name) if output.width else name, (sum(counts), *counts), width, digits),
            {field: name, "total": sum(counts), "ages": counts, "limits": list(LIMITS)},
        )
    return 0


def _cut(name: str) -> str:
    """At a terminal columns line up, whatever somebody calls himself."""
    name = screened(name)
    return name if len(name) <= WIDEST else name[: WIDEST - 3] + "..."


def _line(name: str, columns: Iterable[object], width: int, digits: int) -> str:
    return f"{name:>{width}} " + " ".join(f"{column:>{digits}}" for column in columns)
