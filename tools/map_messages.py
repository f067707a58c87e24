"""The table process x process x message: declared; sent in the tests; seen in a capture.

What is declared is the catalogue (smtpd/messages). What the tests sent is what the recorders of their daemons
counted in the last run (tests/support/kinds.py). A message in a capture over an edge that is not declared is
said, and the exit status is then 1: no process would take it.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from imsg.layout import HANDLED  # noqa: E402
from smtpctl.see.flow import COLUMNS  # noqa: E402
from smtpctl.see.pcapng import CaptureError, CaptureReader  # noqa: E402
from smtpctl.see.seen import Seen  # noqa: E402
from smtpd.messages.catalogue import CATALOGUE  # noqa: E402
from smtpd.messages.links import linked  # noqa: E402

TESTED = ROOT / ".cache/message_kinds.json"

type Edge = tuple[str, str, str]  # sender, receiver, kind


class Row(NamedTuple):
    """A kind over an edge. `tested`: None if no tests have run with these kinds; `captured`: how often."""

    sender: str
    receiver: str
    kind: str
    number: int
    reply: str
    descriptor: bool
    secret: tuple[str, ...]
    tested: bool | None
    captured: int | None


def declared() -> dict[Edge, int]:
    """Every kind over every link that it may take -> its number."""
    return {
        (sender, receiver, kind.name): number
        for number, kind in CATALOGUE.by_number.items()
        for sender in kind.senders
        for receiver in kind.receivers
        if linked(sender, receiver)
    }


def tested(path: Path) -> set[Edge] | None:
    """What tests have sent, None if they have not run since the kinds changed."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    if content["catalogue"] != CATALOGUE.digest():
        return None
    return {(sender, receiver, kind) for sender, receiver, kind in content["edges"]}


def captured(sightings: Iterable[Seen]) -> dict[Edge, int]:
    """How often each was seen. A message between two processes is seen at both ends, and counted once."""
    sent: dict[Edge, int] = {}
    got: dict[Edge, int] = {}
    for seen in sightings:
        if seen.flags & HANDLED:
            continue
        kind = CATALOGUE.by_number.get(seen.type)
        name = kind.name if kind is not None else f"message {seen.type:#06x}"
        edge = (seen.sender.rstrip("0123456789"), seen.receiver.rstrip("0123456789"), name)
        counts = sent if seen.owner == seen.sender else got
        counts[edge] = counts.get(edge, 0) + 1
    return {edge: max(sent.get(edge, 0), got.get(edge, 0)) for edge in {*sent, *got}}


def rows(in_tests: set[Edge] | None, in_capture: Mapping[Edge, int] | None) -> list[Row]:
    """All that is declared, by edge and number."""
    found = []
    for edge, number in declared().items():
        kind = CATALOGUE.by_number[number]
        found.append(
            Row(
                *edge,
                number,
                "" if kind.reply is None else kind.reply.__name__,
                kind.descriptor is not False,
                tuple(kind.secret),
                None if in_tests is None else edge in in_tests,
                None if in_capture is None else in_capture.get(edge, 0),
            )
        )
    return sorted(found, key=lambda row: (_place(row.sender), _place(row.receiver), row.number))


def _place(name: str) -> int:
    return COLUMNS.index(name) if name in COLUMNS else len(COLUMNS)


def undeclared(in_capture: Mapping[Edge, int]) -> list[Edge]:
    """What was seen and nobody may send."""
    return sorted(edge for edge in in_capture if edge not in declared())


def table(found: list[Row]) -> list[str]:
    """Sender (down) x receiver (across): how many kinds are declared / sent in the tests / in the capture."""
    names = [name for name in COLUMNS if any(name in row[:2] for row in found)]
    parts = ["declared"]
    parts += ["sent in the tests"] * (found[0].tested is not None)
    parts += ["in the capture"] * (found[0].captured is not None)
    lines = [f"kinds: {' / '.join(parts)}; from the left to the top", ""]
    lines.append(" " * 10 + "".join(f"{name:>13}" for name in names))
    for sender in names:
        cells = []
        for receiver in names:
            there = [row for row in found if row[:2] == (sender, receiver)]
            counts = [len(there)]
            counts += [sum(bool(row.tested) for row in there)] * (found[0].tested is not None)
            counts += [sum(bool(row.captured) for row in there)] * (found[0].captured is not None)
            cells.append(f"{'/'.join(map(str, counts)) if there else '·':>13}")
        lines.append(f"{sender:>10}" + "".join(cells))
    return lines


def listed(found: list[Row]) -> list[str]:
    """A line a kind, by edge."""
    lines: list[str] = []
    edge = ("", "")
    for row in found:
        if row[:2] != edge:
            edge = row.sender, row.receiver
            lines += ["", f"{row.sender} -> {row.receiver}"]
        words = [f"  {row.number:#06x} {row.kind:<24}"]
        words.append("" if row.tested is None else "tested " if row.tested else "NEVER SENT")
        if row.captured is not None:
            words.append(f"{row.captured:>8} captured")
        words += [f"reply {row.reply}"] * bool(row.reply) + ["descriptor"] * row.descriptor
        words += [f"secret {', '.join(row.secret)}"] * bool(row.secret)
        lines.append(" ".join(words).rstrip())
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/message_map", description="Who may say what to whom.")
    parser.add_argument("--read", type=Path, metavar="FILE", help="with what is in this capture")
    parser.add_argument("--json", action="store_true", help="an object a line")
    options = parser.parse_args(argv)
    in_capture = None
    if options.read is not None:
        try:
            with open(options.read, "rb") as file:
                in_capture = captured(CaptureReader(file))
        except OSError as error:
            parser.error(f"{options.read}: {error.strerror}")
        except CaptureError as error:
            parser.error(f"{options.read}: {error}")
    in_tests = tested(TESTED)
    found = rows(in_tests, in_capture)
    if options.json:
        print(*(json.dumps(row._asdict()) for row in found), sep="\n")
    else:
        print(*table(found), *listed(found), sep="\n")
        if in_tests is None:
            print("\nno tests have run with these kinds: tools/test tests/system")
        else:
            never = [row.kind for row in found if not row.tested]
            print(f"\n{len(found)} declared, {len(never)} of them never sent in the tests")
    wrong = undeclared(in_capture or {})
    for sender, receiver, kind in wrong:
        print(f"NOT DECLARED: {sender} -> {receiver} {kind}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as every tool whose output goes into a pager
    sys.exit(main())
