"""Figures of a large configuration: rules and tables, load time, memory, look-ups a second.

Run by tools/bench, or alone: `python tools/bench_config.py [LINES [RULES]]` from the top folder of the
repository. Rules name a domain each; tables are files of LINES lines, and of a thousand for comparison. Rates
are a second of processor time, the others are what one waits.
"""

import asyncio
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from smtpd.config import wire
from smtpd.config.model import Config
from smtpd.config.parse import parse_file
from smtpd.config.slices import slice_for
from smtpd.lookup.rules import Rules, Subject
from smtpd.lookup.tables import TableSet
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.mproc.log import Log

SMALL = 1_000
LOOKUPS = 20_000


class Case(NamedTuple):
    """A table: its service, and what a line, a key that is there and one that is not look like."""

    service: str
    line: Callable[[int], str]
    key: Callable[[int], str]
    missing: Callable[[int], str]


def _network(number: int) -> str:
    return f"{10 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


CASES = (
    Case(
        "alias",
        lambda n: f"user{n}: person{n}@mail{n % 97}.example.org",
        lambda n: f"User{n}",
        lambda n: f"nobody{n}",
    ),
    Case(
        "domain",
        lambda n: f"*.host{n}.example.org" if n % 10 == 0 else f"host{n}.example.org",
        lambda n: f"{'a.' if n % 10 == 0 else ''}host{n}.example.org",
        lambda n: f"host{n}.example.net",
    ),
    Case(
        "mailaddr",
        lambda n: f"@domain{n}.example" if n % 10 == 0 else f"user{n}@example.org",
        lambda n: f"anybody@domain{n}.example" if n % 10 == 0 else f"user{n}+tag@example.org",
        lambda n: f"user{n}@example.net",
    ),
    Case(
        "netaddr",
        lambda n: f"{_network(n)}.0/24",
        lambda n: f"{_network(n)}.77",
        lambda n: f"9.{n >> 8 & 255}.{n & 255}.1",
    ),
)
"""The services whose look-ups are more than one hash look-up, and alias."""


class TableFigures(NamedTuple):
    """`seconds`: to read the file. `index_seconds`: the first look-up, which makes the service's index.

    `size`: bytes of memory. `hits`, `misses`: look-ups a second.
    """

    service: str
    entries: int
    seconds: float
    index_seconds: float
    size: int
    hits: float
    misses: float


class ConfigFigures(NamedTuple):
    """`parse`, `send`, `receive`: seconds to parse, to make lookup's slice, to read that, of `size` bytes.

    `memory`: bytes of the parsed configuration. `first`, `last`, `none`: matches a second, of the first rule,
    of the last one, and of none.
    """

    rules: int
    parse: float
    memory: int
    send: float
    receive: float
    size: int
    first: float
    last: float
    none: float


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


async def _no_program(_table: str) -> Any:
    raise OSError("no program here")


def _rate(count: int, question: Callable[[int], Any], expected: bool) -> float:
    """How many coroutines a second are done; RuntimeError when one answers something else."""

    async def ask() -> float:
        start = time.process_time()
        for number in range(count):
            if (await question(number) not in (None, False)) is not expected:
                raise RuntimeError(f"question {number} is answered wrongly")
        return count / (time.process_time() - start)

    return asyncio.run(ask())


def bench_table(folder: Path, case: Case, entries: int, lookups: int = LOOKUPS) -> TableFigures:
    """One file table of so many lines."""
    path = folder / f"{case.service}-{entries}"
    with path.open("w", encoding="ascii") as file:
        file.writelines(f"{case.line(number)}\n" for number in range(entries))
    text = folder / "table.conf"
    text.write_text(
        f'table t "file:{path}"\naction "a" maildir\nmatch for any action "a"\n', encoding="utf-8"
    )
    config = parse_file(str(text))
    before = _resident()
    start = time.perf_counter()
    tables = TableSet(config, Log("lookup"), "", _no_program)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    asyncio.run(tables.match("t", case.service, case.key(0)))
    index_seconds = time.perf_counter() - start
    size = _resident() - before
    chosen = random.Random(1)
    numbers = [chosen.randrange(entries) for _ in range(lookups)]
    hits = _rate(lookups, lambda n: tables.match("t", case.service, case.key(numbers[n])), True)
    misses = _rate(lookups, lambda n: tables.match("t", case.service, case.missing(numbers[n])), False)
    return TableFigures(case.service, entries, seconds, index_seconds, size, hits, misses)


def _subject(domain: str) -> Subject:
    rcpt = MailAddress("user", domain)
    return Subject(Envelope(1 << 32, "", sockaddr="192.0.2.1", rcpt=rcpt, dest=rcpt), False)


def bench_rules(folder: Path, rules: int, matches: int = 0) -> ConfigFigures:
    """A configuration of so many rules, each with a domain of its own in place."""
    path = folder / "rules.conf"
    with path.open("w", encoding="ascii") as file:
        file.write('action "local" maildir\n')
        file.writelines(
            f'match from any for domain "domain{n}.example" action "local"\n' for n in range(rules)
        )
    before = _resident()
    start = time.perf_counter()
    config = parse_file(str(path))
    parse = time.perf_counter() - start
    memory = _resident() - before
    start = time.perf_counter()
    data = wire.dumps(slice_for(config, "lookup"))
    send = time.perf_counter() - start
    start = time.perf_counter()
    config = wire.loads(Config, data)
    receive = time.perf_counter() - start
    asked = Rules(config, TableSet(config, Log("lookup"), "", _no_program))
    count = matches or max(10, 200_000 // rules)

    def rate(times: int, domain: str, found: bool) -> float:
        subject = _subject(domain)
        return _rate(times, lambda _n: asked.match(subject), found)

    first = rate(LOOKUPS, "domain0.example", True)
    last = rate(count, f"domain{rules - 1}.example", True)
    none = rate(count, "elsewhere.example", False)
    return ConfigFigures(rules, parse, memory, send, receive, len(data), first, last, none)


def apart[T](function: Callable[[], T]) -> T:
    """What a function returns, run in a process of its own: the memory is that of this one thing, then."""
    context = multiprocessing.get_context("fork")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sending.send(function()))
    process.start()
    sending.close()
    try:
        result: T = receiving.recv()
    except EOFError:
        raise RuntimeError("a measurement has failed") from None
    finally:
        process.join()
        receiving.close()
    return result


def main(argv: list[str]) -> int:
    """Print the figures."""
    entries = int(argv[1]) if len(argv) > 1 else 1_000_000
    rules = int(argv[2]) if len(argv) > 2 else 5_000
    with tempfile.TemporaryDirectory(prefix="smtpd-bench-") as name:
        folder = Path(name)
        figures = apart(lambda: bench_rules(folder, rules))
        print(f"configuration of {figures.rules:,} rules")
        print(f"  parse     {figures.parse:8.2f} s, {figures.memory / 2**20:.1f} MB")
        print(f"  to lookup {figures.send + figures.receive:8.2f} s, {figures.size / 2**20:.1f} MB")
        print(f"  match     {figures.first:8,.0f} a second, the first rule")
        print(f"            {figures.last:8,.0f} a second, the last rule")
        print(f"            {figures.none:8,.0f} a second, none")
        print("tables           entries    read   index    memory     found  not found")
        for case in CASES:
            for count in (min(SMALL, entries), entries):
                table = apart(partial(bench_table, folder, case, count))
                print(
                    f"  {table.service:10} {table.entries:12,}"
                    f" {table.seconds:6.2f}s {table.index_seconds:6.2f}s"
                    f" {table.size / 2**20:6.1f} MB {table.hits:9,.0f}  {table.misses:9,.0f} a second"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
