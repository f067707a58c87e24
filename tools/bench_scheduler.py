"""Figures of the scheduler's queue with simulated envelopes: memory an envelope, and operations a second.

Run by tools/bench, or alone: `python tools/bench_scheduler.py [COUNT ...]` from the top folder of the
repository.
"""

import gc
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from smtpd.config.model import SchedulerLimits
from smtpd.scheduler.ramqueue import EVERY_EVPID, MDA, MTA, RamQueue

OPENSMTPD_BYTES = 166
"""What OpenSMTPD's scheduler takes for an envelope, for comparison."""


MOST_BYTES = 250
"""What ours may take."""

SIZES = [10_000, 100_000, 1_000_000]


class SchedulerFigures(NamedTuple):
    """Results of `bench`: sizes in bytes, rates in operations a second."""

    envelopes: int
    bytes_an_envelope: float
    inserts: float
    lists: float
    pops: float
    finishes: float


def _resident() -> int:
    """Bytes of this process in memory."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * 4096


def bench(count: int = 1_000_000, seed: int = 1) -> SchedulerFigures:
    """Fill a queue with `count` envelopes of random ids and times, list, take out and finish them."""
    chosen = random.Random(seed)
    now = 1_700_000_000
    # Made beforehand, in flat memory, so that neither their time nor their memory is counted.
    ids = [chosen.getrandbits(64) | 1 << 32 for _ in range(count)]
    ages = [chosen.randrange(1, 86400) for _ in range(count)]
    gc.collect()
    gc.freeze()

    queue = RamQueue(SchedulerLimits(max_inflight=count, max_schedule=1000))
    before = _resident()
    start = time.perf_counter()
    for evpid, age in zip(ids, ages, strict=True):
        # Tried often enough that each waits for another second of the next days.
        queue.insert(evpid, MTA if evpid & 1 else MDA, now - age, 4 * 86400, 20 if evpid & 1 else 120, now)
    inserts = count / (time.perf_counter() - start)
    size = (_resident() - before) / count

    start = time.perf_counter()
    rows, following = queue.page(*EVERY_EVPID, 256)
    listed = len(rows)
    while following:
        rows, following = queue.page(following, EVERY_EVPID[1], 256)
        listed += len(rows)
    lists = listed / (time.perf_counter() - start)

    later = now + 3 * 86400
    start = time.perf_counter()
    popped = 0
    while batch := queue.batch(later):
        popped += sum(map(len, batch))
    pops = popped / (time.perf_counter() - start)

    start = time.perf_counter()
    for evpid in ids:
        queue.finish(evpid)
    finishes = count / (time.perf_counter() - start)
    gc.unfreeze()
    if popped != count or listed != count or len(queue):
        raise RuntimeError(f"of {count} envelopes {listed} were listed, {popped} popped, {len(queue)} left")
    return SchedulerFigures(count, size, inserts, lists, pops, finishes)


def main(argv: list[str]) -> int:
    """Print the figures for each size."""
    sizes = [int(word) for word in argv[1:]] or SIZES
    print("scheduler: microseconds for an envelope, with so many in the queue; insert and pop grow by log n")
    print(f"  {'envelopes':>10} {'insert':>8} {'list':>8} {'pop':>8} {'finish':>8}")
    figures = None
    for size in sizes:
        figures = bench(size)
        rates = (figures.inserts, figures.lists, figures.pops, figures.finishes)
        print(f"  {size:10,} " + " ".join(f"{1e6 / rate:8.2f}" for rate in rates), flush=True)
    if figures is not None:
        print(
            f"  {figures.bytes_an_envelope:.0f} bytes an envelope at {figures.envelopes:,} "
            f"(OpenSMTPD: {OPENSMTPD_BYTES}; to stay under {MOST_BYTES})"
        )
        if figures.envelopes >= SIZES[-1] and figures.bytes_an_envelope > MOST_BYTES:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
