"""What looking costs: `tools/bench see`. The daemon relays while somebody watches, profiles, or nobody.

Rounds of one kind and of the other alternate in one running daemon, the order changing from pair to pair, so
that what else the machine does hits both alike. What is measured is the processor time of the daemon's own
processes for a mail, in ns as the scheduler counts it, which the machine's other work disturbs less than the
rate of mails through accept and relay; that is printed beside. Of the pairs: mean, median, and the interval
of 95 % for the mean. It prints and never judges.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from bench_daemons import Ours, private_machine
from bench_load import Load, Sink, load_tools
from bench_machine import BenchError, adopt_orphans, end_all, take_away, wait_for
from family import below

from imsg import Channel, Recorder
from smtpctl.client import Client
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_observation import ClientSetProfile
from smtpd.messages.pony_queue import CreateMessage

ROOT = Path(__file__).resolve().parent.parent

WARM = 30
"""Mails before each round that are not measured: what is measured is what goes on, not its beginning."""

SETTLE_SECONDS = 0.05
"""After the last mail has arrived: for what is still written about it, which belongs to its round."""


class WithoutRecorder(Ours):
    """The same daemon with its flight recorder off."""

    environment: ClassVar[dict[str, str]] = Ours.environment | {"IMSG_RECORDER": "0"}


class Round(NamedTuple):
    """`rate`: mails a second; `processor`: the daemon's seconds a mail."""

    rate: float
    processor: float


class Bed:
    """A daemon, where it relays to, and the load."""

    def __init__(self, kind: type[Ours], work: Path, sessions: int) -> None:
        work.mkdir(parents=True)
        postfix = load_tools(ROOT / ".cache/debian/postfix")
        self.sessions = sessions
        self.sink = Sink(postfix, work)
        self.daemon = kind(work, self.sink.port, raised=True)
        self.load = Load(postfix, self.daemon.port, "rcpt@relay.test", 1000, True)
        self.sent = 0

    def drive(self, messages: int) -> Round:
        """Send so many, wait for the last to arrive."""
        before = processor_seconds(self.daemon.program.pid)
        began = time.monotonic()
        self.sent += messages
        self.load.send(self.sessions, messages, 120)
        wait_for("the last mail", lambda: self.sink.messages() >= self.sent, 120, 0.005)
        seconds = time.monotonic() - began
        time.sleep(SETTLE_SECONDS)
        spent = processor_seconds(self.daemon.program.pid) - before
        return Round(messages / seconds, spent / messages)

    def round(self, messages: int) -> Round:
        """As `drive`, after WARM others."""
        self.drive(WARM)
        return self.drive(messages)

    def frames(self) -> int:
        """How many frames all processes have sent and received in all."""
        command = [*self.daemon.control(), "--json", "show", "recorder", "--counts"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        return sum(row["count_in"] + row["count_out"] for row in rows)

    def stop(self) -> None:
        self.daemon.stop()
        self.sink.stop()


def processor_seconds(pid: int) -> float:
    """Seconds on a processor of a process and all that descend from it, as the scheduler counts them."""
    spent = 0
    for member in (pid, *below(pid)):
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{member}/task").iterdir():
                with contextlib.suppress(OSError):
                    spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


@contextlib.contextmanager
def watching(bed: Bed, number: int, *, slow: bool) -> Iterator[list[subprocess.Popen[bytes]]]:
    """So many `trace imsg --watch` of everything; slow: stopped as soon as they have begun."""
    command = [*bed.daemon.control(), "trace", "imsg", "--watch", "--count=0", "--seconds=0"]
    with open(os.devnull, "wb") as null:
        started = [subprocess.Popen(command, stdout=null, stderr=subprocess.PIPE) for _ in range(number)]
    time.sleep(1)
    for each in started:
        if slow:
            each.send_signal(signal.SIGSTOP)
    try:
        yield started
    finally:
        for each in started:
            each.send_signal(signal.SIGCONT)
            each.terminate()  # an interrupt would be ignored where this runs in a shell's background
            each.communicate(timeout=120)


@contextlib.contextmanager
def profiling(bed: Bed, subsystem: str) -> Iterator[None]:
    """`profile SUBSYSTEM`, without the program: rounds may be short then, and many."""
    with Client(bed.daemon.state / "smtpd.sock") as client:
        client.ask(ClientSetProfile(subsystem, True))
        try:
            yield
        finally:
            client.ask(ClientSetProfile(subsystem, False))


@contextlib.contextmanager
def capturing(bed: Bed) -> Iterator[None]:
    """`capture` of everything into a file."""
    path = bed.daemon.work / "capture.pcapng"
    command = [*bed.daemon.control(), "capture", "-w", str(path), "--count=0", "--seconds=0"]
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    try:
        yield
    finally:
        started.terminate()
        started.wait(120)


def recorder_seconds(rounds: int = 40, messages: int = 4000) -> list[float]:
    """Processor time that the recorders at both ends add to a message between them, in each of the pairs.

    The rounds of whole mails say the same with more noise than there is to measure.
    """
    added = []
    for number in range(rounds):
        order = (None, Recorder()) if number % 2 == 0 else (Recorder(), None)
        spent = {recorder is not None: _pass(recorder, messages) for recorder in order}
        added.append(spent[True] - spent[False])
    return [each / messages for each in added]


def _pass(recorder: Recorder | None, messages: int) -> float:
    """Seconds of processor time for so many messages between two ends in this process."""
    ours, theirs = socket.socketpair()
    sending = Channel(ours, CATALOGUE, name="queue", recorder=recorder)
    receiving = Channel(theirs, CATALOGUE, name="pony", recorder=recorder)
    began = time.process_time()
    for session in range(messages):
        sending.put(CreateMessage(session))
        sending.flush()
        receiving.receive()
    spent = time.process_time() - began
    sending.close()
    receiving.close()
    return spent


class Line(NamedTuple):
    """One thing that costs. `limit`: what it may cost at most, by the project's own word.

    `rate`: the share of mails a second that it costs; `processor`: the share of processor time that it adds;
    both are medians of pairs of rounds. `mean`, `low`, `high`: of `processor`, without the tenth of the pairs
    at each end, and the interval of 95 %. `mails`, `milliseconds`: a second, and a mail, while it goes on.
    """

    name: str
    limit: float
    rate: float
    processor: float
    mails: float
    milliseconds: float
    mean: float
    low: float
    high: float


def trimmed_mean(values: list[float]) -> float:
    """Without the least tenth and the greatest: where the machine did something else nothing is said."""
    cut = len(values) // 10
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def interval(values: list[float], times: int = 4000) -> tuple[float, float]:
    """Where the mean lies in 95 of 100 cases: by drawing from the values again and again."""
    drawn = random.Random(1)
    means = sorted(trimmed_mean(drawn.choices(values, k=len(values))) for _ in range(times))
    return means[times // 40], means[-1 - times // 40]


def compare(
    name: str, limit: float, rounds: int, plain: Callable[[], Round], other: Callable[[], Round]
) -> Line:
    """Pairs of one round of each, the order changing from pair to pair."""
    pairs = []
    for number in range(rounds):
        first, second = (plain, other) if number % 2 == 0 else (other, plain)
        one, two = first(), second()
        pairs.append((one, two) if number % 2 == 0 else (two, one))
    # Logarithms: the mean of ratios that scatter is over 1 where nothing was added.
    added = [math.log(after.processor / before.processor) for before, after in pairs]
    return Line(
        name,
        limit,
        statistics.median(1 - after.rate / before.rate for before, after in pairs),
        math.expm1(statistics.median(added)),
        statistics.median(after.rate for _, after in pairs),
        statistics.median(after.processor for _, after in pairs) * 1000,
        *map(math.expm1, (trimmed_mean(added), *interval(added))),
    )


def always(options: argparse.Namespace, work: Path, bed: Bed, plain: Callable[[], Round]) -> Iterator[Line]:
    """What the flight recorder costs, which is always on: by itself, and in whole mails."""
    frames, mails = bed.frames(), bed.sent
    alone = [plain() for _ in range(5)]
    ends = (bed.frames() - frames) / (bed.sent - mails)
    mail = statistics.median(each.processor for each in alone)
    costs = [each * ends / 2 for each in recorder_seconds()]
    added = [cost / (mail - cost) for cost in costs]
    yield Line(
        f"flight recorder, {ends:.0f} frames a mail",
        0.02,
        statistics.median(costs) / mail,
        statistics.median(added),
        statistics.median(each.rate for each in alone),
        mail * 1000,
        trimmed_mean(added),
        *interval(added),
    )
    yield compare("nobody looks, twice: the noise", 0, options.rounds, plain, plain)
    again = Bed(Ours, work / "again", options.sessions)
    try:
        again.drive(max(200, options.messages // 4))
        other = lambda: again.round(options.messages)  # noqa: E731
        yield compare("another daemon like it: the noise", 0, options.rounds, other, plain)
    finally:
        again.stop()
    bare = Bed(WithoutRecorder, work / "without", options.sessions)
    try:
        bare.drive(max(200, options.messages // 4))
        without = lambda: bare.round(options.messages)  # noqa: E731
        yield compare("flight recorder, always on", 0.02, options.rounds, without, plain)
    finally:
        bare.stop()


def measure(options: argparse.Namespace, work: Path) -> Iterator[Line]:
    """All lines, one after the other."""
    messages: int = options.messages
    bed = Bed(Ours, work / "with", options.sessions)

    def plain() -> Round:
        return bed.round(messages)

    def within(way: Callable[[], contextlib.AbstractContextManager[Any]]) -> Callable[[], Round]:
        def drive() -> Round:
            with way():
                return bed.round(messages)

        return drive

    try:
        bed.drive(max(200, messages // 4))
        if not options.only:
            yield from always(options, work, bed, plain)
        else:
            yield compare("nobody looks, twice: the noise", 0, options.rounds, plain, plain)
        ways: tuple[tuple[str, float, Callable[[], contextlib.AbstractContextManager[Any]]], ...] = (
            ("trace imsg --watch, everything", 0.10, lambda: watching(bed, 1, slow=False)),
            ("three watchers that have stopped", 0.10, lambda: watching(bed, 3, slow=True)),
            ("capture -w, everything", 0.10, lambda: capturing(bed)),
            ("profile all", 0.05, lambda: profiling(bed, "all")),
            ("profile imsg", 0.05, lambda: profiling(bed, "imsg")),
            ("profile mproc", 0.05, lambda: profiling(bed, "mproc")),
            ("profile queue", 0.05, lambda: profiling(bed, "queue")),
        )
        for name, limit, way in ways:
            if options.only not in name:
                continue
            yield compare(name, limit, options.rounds, plain, within(way))
    finally:
        bed.stop()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench see", description="What looking inside costs.")
    parser.add_argument("--messages", type=int, default=150, help="mails a round (default: 150)")
    parser.add_argument("--rounds", type=int, default=40, help="pairs of rounds a line (default: 40)")
    parser.add_argument("--sessions", type=int, default=10, help="SMTP sessions at once (default: 10)")
    parser.add_argument("--only", default="", metavar="WORD", help="only the lines with this in their name")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache/bench", help="where spools lie")
    parser.add_argument("--json", action="store_true", help="an object a line")
    options = parser.parse_args(argv)
    adopt_orphans()
    work: Path = options.work / f"see-{os.getpid()}"
    try:
        if os.geteuid() == 0:
            work.mkdir(parents=True)
            private_machine(work)
        print(f"of accept+relay, {options.sessions} sessions, {options.rounds} pairs of rounds of which")
        print("processor time: mean (its interval of 95 %; median); rates: median")
        for line in measure(options, work):
            if options.json:
                print(json.dumps(line._asdict()), flush=True)
                continue
            print(
                f"  {line.name:<34} {line.milliseconds:6.3f} ms of processor/mail: {100 * line.mean:+5.1f} %"
                f" ({100 * line.low:+.1f} to {100 * line.high:+.1f}; median {100 * line.processor:+.1f})   "
                f"{line.mails:5.0f} mails/s: {-100 * line.rate:+5.1f} %"
                + (f"   (at most {100 * line.limit:.0f} %)" if line.limit else ""),
                flush=True,
            )
    except BenchError as error:
        print(f"tools/bench see: {error}", file=sys.stderr)
        return 1
    finally:
        end_all()
        take_away()
    return 0


if __name__ == "__main__":
    sys.exit(main())
