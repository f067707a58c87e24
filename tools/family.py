"""Processes below another one, read from /proc (proc(5))."""

import os
import signal
import time
from pathlib import Path


def parents() -> dict[int, int]:
    """pid -> parent's pid of every live process."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                stat = Path(f"/proc/{name}/stat").read_text(errors="replace")
            except OSError:
                continue
            # The command stands in parentheses and may hold blanks and parentheses itself.
            state, parent, *_ = stat.rpartition(")")[2].split()
            if state != "Z":
                table[int(name)] = int(parent)
    return table


def below(pid: int, table: dict[int, int] | None = None) -> list[int]:
    """All descendants of `pid`, each after its parent. `table`: as from `parents`, now without it."""
    children: dict[int, list[int]] = {}
    for child, parent in (parents() if table is None else table).items():
        children.setdefault(parent, []).append(child)
    found = list(children.get(pid, ()))
    for one in found:
        found.extend(children.get(one, ()))
    return found


def pss_kib(pid: int) -> tuple[int, int]:
    """Proportional set size in KiB of `pid` and all below it, and how many processes that is."""
    total = count = 0
    for one in (pid, *below(pid)):
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += parse_pss(rollup)
        count += 1
    return total, count


def parse_pss(rollup: str) -> int:
    """The Pss line of a smaps_rollup, in KiB; 0 when there is none (proc(5))."""
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def processor_seconds(pid: int) -> float:
    """Processor time of `pid` and all below it, and of those of theirs that ended and were waited for."""
    ticks = 0
    for one in (pid, *below(pid)):
        try:
            stat = Path(f"/proc/{one}/stat").read_text(errors="replace")
        except OSError:
            continue
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def title(pid: int) -> str:
    """The command line, which a daemon's process sets to its title."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def status(pid: int) -> dict[str, str]:
    """/proc/PID/status as a table."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def kill_all(pids: list[int]) -> None:
    """SIGKILL for each that is still there. Only ever pids that the caller has started or found below one."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def wait_gone(pids: list[int], seconds: float) -> list[int]:
    """Those of `pids` that are still there after `seconds`."""
    until = time.monotonic() + seconds
    while left := sorted(set(pids) & set(parents())):
        if time.monotonic() > until:
            return left
        time.sleep(0.02)
    return []
