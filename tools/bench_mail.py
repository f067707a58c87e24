"""tools/bench, mail: this tree's daemon, Debian's OpenSMTPD and Debian's Postfix, in turns in one run.

accept: mails taken a second while nothing goes out. relay: until the last has arrived at an smtp-sink.
drain: a queue that has come together meanwhile, from its release until the last has arrived. maildir: until
the last lies in the maildir. Each measurement starts a fresh daemon on an empty spool.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench_daemons import USER, Daemon, OpenSMTPD, Ours, OursPrivileged, PostfixServer, private_machine
from bench_load import Load, Maildir, Sink, load_tools
from bench_machine import BenchError, adopt_orphans, end_all, file_system, take_away, wait_for

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = ("accept", "relay", "drain", "maildir")
BOTH = "both"


class Figure(NamedTuple):
    """One measurement."""

    scenario: str
    limits: str
    daemon: str
    round: int
    sessions: int
    messages: int
    seconds: float
    rate: float
    """Messages a second, until the last had arrived where the scenario says."""
    accept_rate: float
    """Messages a second until the last 250; but in accept, the daemon delivers at the same time."""
    pss_idle: int
    pss_after: int
    """KiB over all its processes, before the load and right after."""
    processes: int
    processor: float
    """Milliseconds of processor time a message, of all the daemon's processes."""
    error: str


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench", description=__doc__)
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="scenario", help="accept, relay, drain, maildir (default: all)")
    add("--sessions", default="1,10,50", help="sessions at once, a list (default: 1,10,50)")
    add("--messages", type=int, default=2000, help="messages a measurement (default: 2000)")
    add("--seconds", type=float, help="as many messages as take about so long, in place of --messages")
    add(
        "--rounds",
        type=int,
        default=1,
        help="each measurement so often, in turns; the median counts (default: 1)",
    )
    add("--size", type=int, default=1000, help="bytes of payload of a message (default: 1000)")
    add("--reconnect", action="store_true", help="a connection for each message, not for all")
    add("--limits", choices=("raised", "default", BOTH), default="raised", help="(default: raised)")
    add("--only", choices=("ours", "rival"), help="one side alone")
    add("--privileged", action="store_true", help="start ours as root with its users and chroots too")
    add("--work", type=Path, default=ROOT / ".cache/bench", help="where spools and maildirs lie")
    add("--json", type=Path, metavar="FILE", help="write every figure to FILE, - for stdout")
    options = parser.parse_args(argv)
    for name in options.scenarios:
        if name not in SCENARIOS:
            parser.error(f"no scenario {name!r}: there are {', '.join(SCENARIOS)}")
    options.scenarios = options.scenarios or list(SCENARIOS)
    try:
        options.sessions = [int(word) for word in options.sessions.split(",")]
    except ValueError:
        parser.error("--sessions wants numbers with commas between them")
    return options


class Bench:
    """All measurements of one call."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.tools = load_tools(ROOT / ".cache/debian/postfix")
        self.notes: list[str] = []
        self.daemons = self._daemons()
        self.figures: list[Figure] = []
        self.count = 0

    def _daemons(self) -> list[type[Daemon]]:
        found: list[type[Daemon]] = []
        root = os.geteuid() == 0
        if self.options.only != "rival":
            found.append(Ours)
            if self.options.privileged:
                if root:
                    found.append(OursPrivileged)
                else:
                    self.notes.append("--privileged left out: not root")
        if self.options.only != "ours":
            version = OpenSMTPD.version()
            if version and root:
                OpenSMTPD.name = f"OpenSMTPD {version}"
                found.append(OpenSMTPD)
            elif version:
                self.notes.append("OpenSMTPD left out: it starts as root only")
            else:
                self.notes.append("OpenSMTPD left out: not installed (tools/system_needs does it)")
            if root and (self.tools.daemons / "master").exists():
                PostfixServer.unpacked = self.tools
                found.append(PostfixServer)
            else:
                self.notes.append(
                    "Postfix left out: it starts as root only, and where tools/system_needs ran"
                )
        return found

    def run(self) -> None:
        limits = ("raised", "default") if self.options.limits == BOTH else (self.options.limits,)
        for scenario in self.options.scenarios:
            for which in limits:
                for sessions in self.options.sessions:
                    for number in range(self.options.rounds):
                        for kind in self.daemons:
                            figure = self.measure(scenario, which, sessions, number, kind)
                            self.figures.append(figure)
                            print(line_of(figure), file=sys.stderr, flush=True)

    def measure(self, scenario: str, limits: str, sessions: int, number: int, kind: type[Daemon]) -> Figure:
        self.count += 1
        work: Path = self.options.work / str(os.getpid()) / str(self.count)
        work.mkdir(parents=True)
        sink = Sink(self.tools, work)
        daemon: Daemon | None = None
        head = (scenario, limits, kind.name, number, sessions)
        try:
            daemon = kind(work, sink.port, limits == "raised")
            return Figure(*head, *self._measure(scenario, sessions, daemon, sink))
        except BenchError as error:
            return Figure(*head, 0, 0, 0, 0, 0, 0, 0, 0, str(error))
        finally:
            if daemon is not None:
                daemon.stop()
            sink.stop()

    def _measure(
        self, scenario: str, sessions: int, daemon: Daemon, sink: Sink
    ) -> tuple[int, float, float, float, int, int, int, float, str]:
        """The rest of a Figure, from `messages` on."""
        rcpt = f"{USER}@maildir.test" if scenario == "maildir" else "rcpt@relay.test"
        load = Load(self.tools, daemon.port, rcpt, self.options.size, not self.options.reconnect)
        arrived: Callable[[], int] = sink.messages
        if scenario == "maildir":
            arrived = Maildir(daemon.maildir).messages
        elif scenario == "accept":
            daemon.hold()

        sent = 0
        held = False
        allowance = max(120.0, (self.options.seconds or 0) * 12)

        def arrival() -> None:
            wait_for(
                f"the last of {sent} ({arrived()} arrived so far)", lambda: arrived() >= sent, allowance, 0.01
            )

        def drive(messages: int) -> tuple[float, float]:
            """Seconds until the last 250, and until the last arrived."""
            nonlocal sent
            before = sent
            sent += messages
            began = time.monotonic()
            accepted = load.send(sessions, messages, allowance)
            if scenario == "accept":
                return accepted, accepted
            if held:
                if arrived() != before:
                    raise BenchError(f"{arrived() - before} mails went out while they were held")
                began = time.monotonic()
                daemon.release()
            arrival()
            return accepted, time.monotonic() - began

        # The first mails open files and connections; they also tell how many fit into the time asked for.
        warm = max(100, sessions * 4)
        rate = warm / drive(warm)[1]
        idle, processes = daemon.memory()
        messages: int = self.options.messages
        if self.options.seconds:
            messages = max(200, min(50_000, int(rate * self.options.seconds)))
        if scenario in ("relay", "drain"):
            daemon.settle()
        if scenario == "drain":
            daemon.hold()
            held = True
        processor = daemon.processor()
        accepted, whole = drive(messages)
        processor = daemon.processor() - processor
        after, _ = daemon.memory()
        return (
            messages,
            whole,
            messages / whole,
            messages / accepted,
            idle,
            after,
            processes,
            processor * 1000 / messages,
            "",
        )


def line_of(figure: Figure) -> str:
    """One measurement as a line."""
    head = f"{figure.scenario:8} {figure.limits:7} {figure.sessions:3} sessions  {figure.daemon:18}"
    if figure.error:
        return f"{head} failed: {figure.error}"
    return (
        f"{head} {figure.rate:8.0f}/s  ({figure.messages} in {figure.seconds:.2f} s; "
        f"250s at {figure.accept_rate:.0f}/s)  {figure.processor:.2f} ms of processor a mail  "
        f"PSS {figure.pss_after / 1024:6.1f} MiB in {figure.processes}"
    )


type Case = tuple[str, str, int]
"""Scenario, limits, sessions."""


def medians(figures: list[Figure]) -> dict[tuple[Case, str], Figure]:
    """Of each case and daemon the figure with the median rate; a failed one only where all failed."""
    groups: dict[tuple[Case, str], list[Figure]] = {}
    for figure in figures:
        groups.setdefault((case_of(figure), figure.daemon), []).append(figure)
    found = {}
    for key, group in groups.items():
        good = sorted((figure for figure in group if not figure.error), key=lambda figure: figure.rate)
        found[key] = good[len(good) // 2] if good else group[0]
    return found


def case_of(figure: Figure) -> Case:
    """What daemons are compared in."""
    return figure.scenario, figure.limits, figure.sessions


def ratio(figures: list[Figure], case: Case, one: str, other: str) -> float | None:
    """How many times the rate of `other` that of `one` is: the median over the rounds that both got through.

    What else the machine does changes from minute to minute, and hits a round's measurements alike.
    """
    rates: dict[int, dict[str, float]] = {}
    for figure in figures:
        if case_of(figure) == case and not figure.error:
            rates.setdefault(figure.round, {})[figure.daemon] = figure.rate
    found = [each[one] / each[other] for each in rates.values() if one in each and other in each]
    return statistics.median(found) if found else None


def table(figures: list[Figure], ours: list[str], rivals: list[str]) -> str:
    """Rates, processor time and memory of each daemon in one row a case, then ours by theirs."""
    names = [*ours, *rivals]
    pairs = [(one, other) for one in ours for other in rivals]
    header = f"{'scenario':8} {'limits':7} {'sessions':>8}"
    for name in names:
        header += f" {name + ' /s':>22} {'ms':>5} {'MiB':>6}"
    for one, other in pairs:
        header += f"   {one + ' : ' + other}"
    rows = [header, "-" * len(header)]
    cells = medians(figures)
    for case in dict.fromkeys(case_of(figure) for figure in figures):
        scenario, limits, sessions = case
        row = f"{scenario:8} {limits:7} {sessions:8}"
        for name in names:
            cell = cells.get((case, name))
            if cell is None or cell.error:
                row += f" {'-':>22} {'-':>5} {'-':>6}"
            else:
                row += f" {cell.rate:22.0f} {cell.processor:5.2f} {cell.pss_after / 1024:6.1f}"
        for one, other in pairs:
            times = ratio(figures, case, one, other)
            row += f"   {'-' if times is None else f'{times:.2f}x':>{len(one) + len(other) + 3}}"
        rows.append(row)
    return "\n".join(rows)


def main(argv: list[str]) -> int:
    options = arguments(argv)
    own = options.work / str(os.getpid())
    own.mkdir(parents=True)
    adopt_orphans()
    try:
        bench = Bench(options)
        if os.geteuid() == 0:
            private_machine(own)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    about: dict[str, Any] = {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "file system": file_system(options.work),
        "size": options.size,
        "messages a connection": "one" if options.reconnect else "many",
        "limits": options.limits,
        "durable": {kind.name: f"{'yes' if kind.durable else 'NO'}: {kind.about}" for kind in bench.daemons},
        "notes": bench.notes,
    }
    try:
        bench.run()
    finally:
        end_all()
        take_away()
        shutil.rmtree(own, ignore_errors=True)
    ours = [kind.name for kind in bench.daemons if kind.ours]
    rivals = [kind.name for kind in bench.daemons if not kind.ours]
    text = json.dumps({"about": about, "figures": [figure._asdict() for figure in bench.figures]}, indent=2)
    if options.json is not None and str(options.json) != "-":
        options.json.write_text(text + "\n")
    if options.json is not None and str(options.json) == "-":
        print(text)
        return 0
    print(
        f"\n{about['cores']} cores, files on {about['file system']}, Python {about['python']}, mails "
        f"of {options.size} bytes, {about['messages a connection']} a connection, "
        f"medians of {options.rounds} rounds, ratios those of the rounds; ms: processor time a mail"
    )
    for name, durable in about["durable"].items():
        print(f"  durable, {name}: {durable}")
    for note in bench.notes:
        print(f"  *** {note}")
    print("\n" + table(bench.figures, ours, rivals))
    return 1 if any(figure.error for figure in bench.figures) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
