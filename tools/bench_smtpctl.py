"""tools/bench smtpctl: what each command of smtpctl takes on a long queue, next to OpenSMTPD's.

Both daemons get the same mails from smtp-source while their transfers are paused; then the same commands are
timed from the outside, as a script pays for them, the start of the program included. With --spool N ours
alone starts on a spool of N envelopes that was written beforehand, and what listing them does to the memory
of each process is told.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import family
from bench_daemons import Daemon, OpenSMTPD, Ours, private_machine
from bench_load import Load, Sink, load_tools
from bench_machine import BenchError, adopt_orphans, end_all, file_system, take_away, wait_for

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode
from smtpd.mail.ids import format_evpid, format_msgid, make_evpid
from smtpd.spool import layout

ROOT = Path(__file__).resolve().parent.parent

ENVELOPES_A_MESSAGE = 10
"""In a spool that is written."""

ALLOWANCE = 900.0
"""Seconds for one command; what takes longer has failed."""


class Timing(NamedTuple):
    """One command at one daemon: the median of `calls`, each of so many seconds."""

    step: str
    daemon: str
    calls: int
    seconds: float
    error: str = ""


class Step(NamedTuple):
    """A command as it is typed. `words`: given the envelope it is for; `ours`: OpenSMTPD has none like it."""

    name: str
    words: Callable[[str], tuple[str, ...]]
    ours: bool = False
    rounds: int = 5
    removes: bool = False


def _same(text: str) -> Callable[[str], tuple[str, ...]]:
    """A command in which EVPID and MSGID stand for ids."""
    return lambda evpid: tuple(text.replace("EVPID", evpid).replace("MSGID", evpid[:8]).split())


STEPS = (
    Step("show stats", _same("show stats")),
    Step("show status", _same("show status")),
    Step("show queue", _same("show queue"), rounds=2),
    Step("show queue MSGID", _same("show queue MSGID")),
    Step("show queue --sender=...", _same("show queue --sender=nobody@elsewhere"), True, 2),
    Step("show queue --sort=recipient", _same("show queue --sort=recipient"), True, 2),
    Step("show queue --by=domain", _same("show queue --by=domain"), True, 2),
    Step("show queue --limit=100", _same("show queue --limit=100"), True),
    Step("show envelope EVPID", _same("show envelope EVPID")),
    Step("show message EVPID", _same("show message EVPID")),
    Step("pause envelope EVPID", _same("pause envelope EVPID")),
    Step("resume envelope EVPID", _same("resume envelope EVPID")),
    Step("pause envelope all", _same("pause envelope all"), rounds=1),
    Step("resume envelope all", _same("resume envelope all"), rounds=1),
    Step("schedule EVPID", _same("schedule EVPID")),
    Step("schedule all", _same("schedule all"), rounds=1),
    Step("remove EVPID", _same("remove EVPID"), rounds=200, removes=True),
    Step("remove all", _same("remove all"), rounds=1),
)


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/bench smtpctl", description=__doc__)
    add = parser.add_argument
    add("--envelopes", type=int, default=10_000, help="in the queue (default: 10000)")
    add("--only", choices=("ours", "rival"), help="one side alone")
    add("--spool", type=int, metavar="N", help="ours on a written spool of N envelopes, in place of the rest")
    add("--work", type=Path, default=ROOT / ".cache/bench", help="where spools lie")
    add("--json", type=Path, metavar="FILE", help="write every figure to FILE, - for stdout")
    return parser.parse_args(argv)


def environment(work: Path) -> dict[str, str]:
    """As an installed program has it: its byte code is there."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(work / "bytecode")}


class Caller:
    """Runs the commands of one daemon's smtpctl."""

    def __init__(self, daemon: Daemon, work: Path) -> None:
        self._daemon = daemon
        self._environment = environment(work)
        self.highest = 0
        """KiB of memory that the last command had at most."""

    def __call__(self, *words: str, output: int = subprocess.DEVNULL) -> float:
        """Seconds a command took; BenchError when it failed."""
        began = time.monotonic()
        running = subprocess.Popen(
            [*self._daemon.control(), *words],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
        )
        assert running.stderr is not None
        said = running.stderr.read()
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        running.stderr.close()
        took = time.monotonic() - began
        self.highest = usage.ru_maxrss
        if running.returncode != 0 or took > ALLOWANCE:
            raise BenchError(f"smtpctl {' '.join(words)}: status {running.returncode}: {said.decode()[:200]}")
        return took


def envelopes(daemon: Daemon) -> list[str]:
    """The ids of all envelopes."""
    done = subprocess.run([*daemon.control(), "show", "queue"], capture_output=True, text=True, check=True)
    return [line.partition("|")[0] for line in done.stdout.splitlines()]


def measure(daemon: Daemon, work: Path, name: str, ours: bool) -> Iterator[Timing]:
    """Every step."""
    call = Caller(daemon, work)
    call("show", "status")  # what is loaded for the first time, byte code too
    waiting = envelopes(daemon)
    for step in STEPS:
        if step.ours and not ours:
            continue
        taken: list[float] = []
        error = ""
        try:
            for round_ in range(min(step.rounds, len(waiting))):
                evpid = waiting.pop() if step.removes else waiting[round_ * len(waiting) // step.rounds]
                taken.append(call(*step.words(evpid)))
        except BenchError as failed:
            error = str(failed)
        yield Timing(step.name, name, len(taken), statistics.median(taken) if taken else 0.0, error)


def line_of(timing: Timing) -> str:
    head = f"{timing.step:28} {timing.daemon:16}"
    return f"{head} failed: {timing.error}" if timing.error else f"{head} {timing.seconds * 1000:9.1f} ms"


def table(timings: list[Timing]) -> str:
    """A row a command, a column a daemon; with both, how many times ours takes as long."""
    names = list(dict.fromkeys(timing.daemon for timing in timings))
    cells = {(timing.step, timing.daemon): timing for timing in timings}
    rows = [f"{'milliseconds a command':28}" + "".join(f" {name:>16}" for name in names)]
    for step in dict.fromkeys(timing.step for timing in timings):
        row = f"{step:28}"
        good = [cells[step, name] for name in names if (step, name) in cells and not cells[step, name].error]
        for name in names:
            cell = cells.get((step, name))
            row += f" {'-':>16}" if cell is None or cell.error else f" {cell.seconds * 1000:16.1f}"
        if len(good) == 2:
            row += f" {good[0].seconds / good[1].seconds:9.1f}x"
        rows.append(row)
    return "\n".join(rows)


def write_spool(spool: Path, count: int) -> None:
    """A spool with `count` envelopes, that wait to be relayed to a thousand domains."""
    wrong = layout.prepare(str(spool))
    if wrong:
        raise BenchError(wrong[0])
    now = int(time.time())
    number = 0
    for message in range(-(-count // ENVELOPES_A_MESSAGE)):
        # Multiplied by an odd number, ids are spread over all folders and none comes twice.
        msgid = (message + 1) * 2654435761 % 2**32
        folder = spool / "queue" / f"{msgid >> 24:02x}" / format_msgid(msgid)
        folder.mkdir(parents=True)
        (folder / "message").write_bytes(b"Subject: in a long queue\n\nHello.\n")
        for low in range(1, min(ENVELOPES_A_MESSAGE, count - number) + 1):
            number += 1
            evpid = make_evpid(msgid, low)
            envelope = _envelope(evpid, message, number, now)
            (folder / format_evpid(evpid)).write_bytes(encode(envelope))


def _envelope(evpid: int, message: int, number: int, now: int) -> Envelope:
    rcpt = MailAddress(f"user{number}", f"domain{number % 1000}.test")
    return Envelope(
        evpid=evpid,
        type="mta",
        dispatcher="relay",
        smtpname="bench.test",
        helo="client.test",
        hostname="localhost",
        sockaddr="192.0.2.1",
        sender=MailAddress(f"sender{message % 100}", "source.test"),
        rcpt=rcpt,
        dest=rcpt,
        ctime=now - number % 86400,
        last_try=now - 60,
        ttl=4 * 86400,
        retry=1,
        errorline="" if number % 3 else "Connection timeout",
    )


class Long(NamedTuple):
    """A command on a spool that was written: seconds, lines, and KiB that the listed processes grew by."""

    step: str
    seconds: float
    lines: int
    smtpctl: int
    grown: dict[str, int]


LONG = (
    ("show", "queue"),
    ("show", "queue", "--domain=domain7.test"),
    ("show", "queue", "--sort=recipient"),
    ("show", "queue", "--sort=-created", "--limit=20"),
    ("show", "queue", "--by=domain"),
    ("--json", "show", "queue", "--error=timeout", "--limit=1000"),
)


def resident(pid: int) -> int:
    """KiB in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def measure_spool(work: Path, count: int) -> Iterator[Long]:
    """Write a spool, start ours on it and list it."""

    class OnSpool(Ours):
        def command(self) -> list[str]:
            return [*super().command(), "-P", "mta", "-P", "mda"]

        def prepare(self) -> None:
            super().prepare()
            began = time.monotonic()
            self.state.mkdir()
            write_spool(self.state / "spool", count)
            print(f"written in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    began = time.monotonic()
    daemon = OnSpool(work, 9, True)
    try:
        call = Caller(daemon, work)
        wait_for("the queue to be read", lambda: _scheduled(daemon) >= count, ALLOWANCE, 0.5)
        print(f"read after {time.monotonic() - began:.0f} s in all", file=sys.stderr, flush=True)
        pids = {
            family.title(pid).removeprefix("smtpd: ").partition(" ")[0]: pid
            for pid in family.below(daemon.program.pid)
        }
        watched = {name: pids[name] for name in ("control", "queue", "scheduler")}
        start = {name: resident(pid) for name, pid in watched.items()}
        print(f"KiB before: {start}", file=sys.stderr, flush=True)
        for words in LONG:
            before = {name: resident(pid) for name, pid in watched.items()}
            with open(work / "listed", "wb+") as listed:
                seconds = call(*words, output=listed.fileno())
                listed.seek(0)
                lines = sum(piece.count(b"\n") for piece in iter(lambda: listed.read(1 << 20), b""))
            grown = {name: resident(pid) - before[name] for name, pid in watched.items()}
            yield Long(" ".join(words), seconds, lines, call.highest, grown)
    finally:
        daemon.stop()


def _scheduled(daemon: Daemon) -> int:
    for line in daemon.ctl("show", "stats").splitlines():
        if line.startswith("scheduler.envelope="):
            return int(line.partition("=")[2])
    return 0


def line_of_long(long: Long) -> str:
    grown = ", ".join(f"{name} {kib:+}" for name, kib in long.grown.items())
    return (
        f"{long.step:46} {long.seconds:7.1f} s {long.lines:9} lines   smtpctl at most {long.smtpctl} KiB; "
        f"KiB more: {grown}"
    )


def run(options: argparse.Namespace, work: Path) -> list[Timing]:
    """Both daemons, one after the other."""
    postfix = load_tools(ROOT / ".cache/debian/postfix")
    kinds: list[type[Daemon]] = [] if options.only == "rival" else [Ours]
    if options.only != "ours":
        version = OpenSMTPD.version()
        if version and os.geteuid() == 0:
            OpenSMTPD.name = f"OpenSMTPD {version}"
            kinds.append(OpenSMTPD)
        else:
            print("OpenSMTPD left out: it has to be installed, and starts as root only", file=sys.stderr)
    timings: list[Timing] = []
    for number, kind in enumerate(kinds):
        place = work / str(number)
        place.mkdir()
        sink = Sink(postfix, place)
        daemon = kind(place, sink.port, True)
        try:
            daemon.ctl("pause", "mta")
            load = Load(postfix, daemon.port, "rcpt@relay.test", 1000, True)
            load.send(min(10, options.envelopes), options.envelopes, ALLOWANCE)
            for timing in measure(daemon, place, kind.name, kind.ours):
                timings.append(timing)
                print(line_of(timing), file=sys.stderr, flush=True)
        finally:
            daemon.stop()
            sink.stop()
    return timings


def main(argv: list[str]) -> int:
    options = arguments(argv)
    work = options.work / str(os.getpid())
    work.mkdir(parents=True)
    adopt_orphans()
    timings: list[Timing] = []
    longs: list[Long] = []
    try:
        if os.geteuid() == 0:
            private_machine(work)
        if options.spool:
            for long in measure_spool(work, options.spool):
                longs.append(long)
                print(line_of_long(long), file=sys.stderr, flush=True)
        else:
            timings = run(options, work)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        end_all()
        take_away()
        shutil.rmtree(work, ignore_errors=True)
    if options.json is not None:
        text = json.dumps(
            {"timings": [each._asdict() for each in timings], "spool": [each._asdict() for each in longs]}
        )
        if str(options.json) == "-":
            print(text)
        else:
            options.json.write_text(text + "\n")
        return 0
    about = (
        f"{os.cpu_count()} cores, files on {file_system(options.work)}, Python {platform.python_version()}"
    )
    print(f"\n{about}, {options.spool or options.envelopes} envelopes")
    print(table(timings) if timings else "\n".join(map(line_of_long, longs)))
    return 1 if any(timing.error for timing in timings) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
