"""What processes measured of themselves, put together for `show profile`: rows of times, one a message
kind, and more.

A message's line is made of what three processes know: who got it (how often, how long its handler ran),
control (how long it waited in the socket, read from the recorders), and who asked (how long the reply
took).
"""

from collections.abc import Iterable
from typing import NamedTuple

from imsg.histogram import Histogram
from smtpd.messages import client_observation, control_observation
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.control_observation import ProfileRow

from .line import duration

_OURS = {
    kind.name
    for kind in CATALOGUE.by_number.values()
    if kind.cls.__module__ in (control_observation.__name__, client_observation.__name__)
}
"""What is about looking is not shown."""

type Key = tuple[str, str, str, str, str]  # process, subsystem, what, peer, name


class Measures(NamedTuple):
    """All rows. `seconds`: for how long was measured, by process."""

    seconds: dict[str, float]
    rows: dict[Key, Histogram]

    def since(self, earlier: "Measures") -> "Measures":
        """What came after an earlier look."""
        seconds = {name: max(0.0, now - earlier.seconds.get(name, 0.0)) for name, now in self.seconds.items()}
        rows = {
            key: now.since(earlier.rows[key]) if key in earlier.rows else now
            for key, now in self.rows.items()
        }
        return Measures(seconds, {key: row for key, row in rows.items() if row.count})


def measures(parts: Iterable[tuple[str, int, Iterable[ProfileRow]]]) -> Measures:
    """Out of (process, milliseconds, rows)."""
    found = Measures({}, {})
    for process, milliseconds, rows in parts:
        found.seconds[process] = milliseconds / 1000
        for row in rows:
            histogram = Histogram(row.number, row.total, row.most, row.buckets)
            found.rows[process, row.subsystem, row.what, row.peer, row.name] = histogram
    return found


class KindLine(NamedTuple):
    """A message kind between two processes. `handler`, `socket`, `reply`: None if nobody knows."""

    sender: str
    receiver: str
    name: str
    number: int
    size: int
    rate: float
    handler: Histogram
    socket: Histogram | None
    reply: Histogram | None


def kind_lines(found: Measures) -> list[KindLine]:
    """The lines of imsg, those whose handlers took most first."""
    lines: list[KindLine] = []
    for (process, subsystem, what, peer, name), handler in found.rows.items():
        if subsystem != "imsg" or what != "handler" or name in _OURS:
            continue
        frames = found.rows.get((process, "imsg", "in", "", name))
        size = round(frames.mean * handler.count) if frames is not None else 0
        seconds = found.seconds.get(process, 0.0)
        lines.append(
            KindLine(
                peer,
                process,
                name,
                handler.count,
                size,
                handler.count / seconds if seconds else 0.0,
                handler,
                found.rows.get(("control", "imsg", "socket", process, name)),
                found.rows.get((peer, "imsg", "reply", process, name)),
            )
        )
    lines.sort(key=lambda line: -line.handler.total)
    return lines


BAR = 12
NARROW_BAR = 10

WIDE, MEDIUM = 190, 145
"""Columns from which on all is shown, and most; below is what goes into 80."""
_BLOCKS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int = BAR) -> str:
    """A share of 1 as a bar."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_BLOCKS[rest] if rest else "")).ljust(width)


def times(row: Histogram | None, percents: tuple[int, ...] = (50, 90, 99)) -> str:
    """Percentiles and the greatest, in columns."""
    if row is None or not row.count:
        return " ".join(f"{'-':>8}" for _ in (*percents, 100))
    return " ".join(f"{duration(value):>8}" for value in (*(row.percentile(p) for p in percents), row.most))


def imsg_table(found: Measures, columns: int = WIDE) -> list[str]:
    """The lines of `show profile` for imsg: all that is known from WIDE columns on, less below."""
    lines = kind_lines(found)
    if not lines:
        return []
    most = max(line.handler.total for line in lines) or 1
    if columns < MEDIUM:
        return [
            f"{'from':>9} → {'to':<9} {'kind':<18} {'rate':>8} {'handling':>8} {'reply':>8}  p99",
            *(
                f"{line.sender:>9} → {line.receiver:<9} {line.name:<18} {line.rate:>6.0f}/s "
                f"{duration(line.handler.percentile(99)):>8} {_percentile(line.reply):>8}  "
                f"{bar(line.handler.total / most, NARROW_BAR)}"
                for line in lines
            ),
        ]
    wide = columns >= WIDE
    handler, socket, reply = ((50, 90, 99), (50, 99), (50, 90, 99)) if wide else ((50, 99), (99,), (99,))
    titles = ("handler", handler), ("in the socket", socket), ("reply", reply)
    groups = " ".join(f"{title:^{9 * len(percents) + 8}}" for title, percents in titles)
    under = " ".join(f"{head:>8}" for _, percents in titles for head in (*map("p{}".format, percents), "max"))
    table = [
        f"{'':67} {groups}",
        f"{'from':>9} → {'to':<9} {'kind':<18} {'number':>8} {'rate':>8} {'bytes':>7} {under}  share",
    ]
    for line in lines:
        table.append(
            f"{line.sender:>9} → {line.receiver:<9} {line.name:<18} {line.number:>8} {line.rate:>6.0f}/s "
            f"{amount(line.size):>7} {times(line.handler, handler)} {times(line.socket, socket)} "
            f"{times(line.reply, reply)}  {bar(line.handler.total / most)}"
        )
    missed = found.rows.get(("control", "imsg", "missed", "", "socket"))
    if missed is not None and missed.count:
        table.append(
            f"in the socket: {missed.count} messages more, which were overwritten before control looked"
        )
    return table


def _percentile(row: Histogram | None) -> str:
    return "-" if row is None or not row.count else duration(row.percentile(99))


def mproc_table(found: Measures, columns: int = WIDE) -> list[str]:
    """The lines for mproc: how busy each process is, and what waits."""
    table: list[str] = []
    narrow = columns < MEDIUM
    percents = (50, 99) if narrow else (50, 90, 99)
    heads = " ".join(f"{head:>8}" for head in (*map("p{}".format, percents), "max"))
    for process in found.seconds:
        busy = found.rows.get((process, "mproc", "busy", "", "loop"))
        if busy is None or not busy.count:
            continue
        threads = found.rows.get((process, "mproc", "busy", "", "all threads"), busy)
        late = found.rows.get((process, "mproc", "late", "", "loop"))
        if not table:
            table.append(
                f"{'process':>9} {'busy':>5} {'p99':>5}  {'':{BAR}} {'threads':>7}   "
                f"late {heads.removeprefix('     ')}"
            )
        table.append(
            f"{process:>9} {busy.mean / 10:4.0f}% {busy.percentile(99) / 10:4.0f}%  {bar(busy.mean / 1000)} "
            f"{threads.mean / 10:6.0f}%   {times(late, percents)}"
        )
    queues = [key for key in found.rows if key[1:3] == ("mproc", "queued") and key[4] == "out"]
    if queues:
        p99 = ("", "", "") if narrow else (f"{'p99':>13} ", f"{'p99':>12} ", f"{'p99':>14} ")
        table += [
            "",
            f"{'of':>9}   {'to':<9} {p99[0]}{'out max':>8} {p99[1]}{'in max':>8} "
            f"{p99[2]}{'unanswered max':>14} {'oldest max':>10}",
        ]
    for process, _, _, peer, _ in sorted(queues):
        out = found.rows[process, "mproc", "queued", peer, "out"]
        unread = found.rows.get((process, "mproc", "queued", peer, "in"), Histogram())
        waiting = found.rows.get((process, "mproc", "unanswered", peer, "requests"), Histogram())
        oldest = found.rows.get((process, "mproc", "oldest", peer, "request"), Histogram())
        if not (out.most or unread.most or waiting.most):
            continue
        p99 = (
            ("", "", "")
            if narrow
            else (
                f"{amount(out.percentile(99)):>13} ",
                f"{amount(unread.percentile(99)):>12} ",
                f"{waiting.percentile(99):>14} ",
            )
        )
        table.append(
            f"{process:>9}   {peer:<9} {p99[0]}{amount(out.most):>8} {p99[1]}{amount(unread.most):>8} "
            f"{p99[2]}{waiting.most:>14} {duration(oldest.most):>10}"
        )
    return table


def queue_table(found: Measures, columns: int = WIDE) -> list[str]:
    """The lines for queue: what each operation of the spool cost, and fsync."""
    rows = {key: row for key, row in found.rows.items() if key[1] == "queue" and row.count}
    if not rows:
        return []
    most = max(row.total for row in rows.values()) or 1
    percents = (50, 99) if columns < MEDIUM else (50, 90, 99)
    names = ("number", "rate", *map("p{}".format, percents), "max", "in all")
    heads = " ".join(f"{head:>8}" for head in names)
    table = [f"{'operation':<18} {heads}"]
    for (process, _, _, _, name), row in sorted(rows.items(), key=lambda item: -item[1].total):
        seconds = found.seconds.get(process, 0.0)
        rate = row.count / seconds if seconds else 0.0
        table.append(
            f"{name:<18} {row.count:>8} {rate:>6.0f}/s {times(row, percents)} {duration(row.total):>8}  "
            f"{bar(row.total / most, BAR if columns >= MEDIUM else NARROW_BAR // 2)}"
        )
    return table


def amount(number: float) -> str:
    """A number of bytes, short: 950, 12.3k, 4.56M."""
    for unit, size in (("", 1), ("k", 1000), ("M", 1000_000), ("G", 1000_000_000)):
        if number < 1000 * size or unit == "G":
            return f"{number:.0f}" if not unit else f"{number / size:.3g}{unit}"
    return ""
