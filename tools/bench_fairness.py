"""`tools/bench fairness`: do domains with one mail each wait for a large one, or for slow and dead hosts?

Every domain has a host of its own, an address of 127/8, which a table of `relay domain <table>` gives it; one
sink answers for all of them. A slow host takes 2 s for each reply, a dead one takes connections and says
nothing. The large domain's mail comes first, then the slow and the dead ones', then that of the many. A
mail's waiting time is from its 250 to its arrival. It prints and never judges.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from bench_daemons import LIMITS, SMTP_LIMIT, Ours
from bench_machine import BenchError, adopt_orphans, end_all, free_port

ROOT = Path(__file__).resolve().parent.parent
CONTENT = b"Subject: fair\r\n\r\n" + b"x" * 70 + b"\r\n"
SLOW_SECONDS = 2.0
SENDERS = 10

CONFIGURATION = """\
{limits}table hosts file:{table}
listen on 127.0.0.1 port {port}
action "relay" relay domain <hosts>
match from any for any action "relay"
"""


class Kind(NamedTuple):
    """So many domains with so many mails each; the second octet of their hosts' addresses is its own."""

    name: str
    octet: int
    domains: int
    mails: int

    def domain(self, number: int) -> str:
        return f"{self.name}{number}.test"

    def host(self, number: int) -> str:
        return f"127.{self.octet}.{number // 250}.{number % 250 + 1}"


class Row(NamedTuple):
    """Seconds of waiting of those that arrived."""

    kind: str
    sent: int
    arrived: int
    p50: float
    p99: float
    most: float


def share(waits: list[float], part: float) -> float:
    """The waiting time that `part` of all do not exceed; 0 of none."""
    return sorted(waits)[min(len(waits) - 1, int(len(waits) * part))] if waits else 0.0


class Daemon(Ours):
    """This tree's, with a host for each domain."""

    kinds: tuple[Kind, ...] = ()

    def configure(self, sink_port: int, raised: bool) -> None:
        table = self.work / "hosts"
        lines = [
            f"{kind.domain(number)}\tsmtp://{kind.host(number)}:{sink_port}\n"
            for kind in self.kinds
            for number in range(kind.domains)
        ]
        table.write_text("".join(lines))
        self.configuration = self.work / "smtpd.conf"
        limits = LIMITS if raised else SMTP_LIMIT
        self.configuration.write_text(CONFIGURATION.format(limits=limits, table=table, port=self.port))


class Sink:
    """Notes when mail for which recipient has arrived."""

    def __init__(self, slow: int, dead: int) -> None:
        self.slow, self.dead = f"127.{slow}.", f"127.{dead}."
        self.arrived: dict[str, float] = {}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        host: str = writer.get_extra_info("sockname")[0]
        try:
            if host.startswith(self.dead):
                await reader.read()
                return
            await self._converse(reader, writer, SLOW_SECONDS if host.startswith(self.slow) else 0)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float
    ) -> None:
        writer.write(b"220 sink.test ESMTP\r\n")
        rcpt = ""
        while line := await reader.readline():
            if delay:
                await asyncio.sleep(delay)
            verb = line[:4].upper()
            if verb == b"EHLO":
                writer.write(b"250-sink.test\r\n250 PIPELINING\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                self.arrived[rcpt] = time.monotonic()
                writer.write(b"250 ok\r\n")
            else:
                if verb == b"RCPT":
                    rcpt = line.decode().partition("<")[2].partition(">")[0]
                writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


async def submit(port: int, rcpts: list[str], taken: dict[str, float]) -> None:
    """One session after the other's share: each mail's time of its 250 goes into `taken`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readline()
    writer.write(b"EHLO source.test\r\n")
    while (await reader.readline())[3:4] == b"-":
        pass
    while rcpts:
        rcpt = rcpts.pop()
        writer.write(f"MAIL FROM:<a@source.test>\r\nRCPT TO:<{rcpt}>\r\nDATA\r\n".encode())
        for code in (b"250", b"250", b"354"):
            if not (line := await reader.readline()).startswith(code):
                raise BenchError(f"refused: {line.decode(errors='replace').strip()}")
        writer.write(CONTENT + b".\r\n")
        if not (line := await reader.readline()).startswith(b"250"):
            raise BenchError(f"refused: {line.decode(errors='replace').strip()}")
        taken[rcpt] = time.monotonic()
    writer.close()


async def run(options: argparse.Namespace, work: Path) -> tuple[list[Row], float]:
    """The rows, and the rate of all mail that does not go to a slow or dead host."""
    large = Kind("large", 10, 1, options.large)
    slow = Kind("slow", 20, options.slow, 3)
    dead = Kind("dead", 30, options.dead, 3)
    small = Kind("small", 40, options.domains, 1)
    kinds = (large, slow, dead, small)
    sink = Sink(slow.octet, dead.octet)
    port = free_port()
    server = await asyncio.start_server(sink.serve, "0.0.0.0", port, backlog=1000)
    type.__setattr__(Daemon, "kinds", kinds)
    loop = asyncio.get_running_loop()
    daemon = await loop.run_in_executor(None, Daemon, work, port, options.limits == "raised")
    try:
        rcpts = {
            kind.name: [
                f"user{mail}@{kind.domain(n)}" for n in range(kind.domains) for mail in range(kind.mails)
            ]
            for kind in kinds
        }
        taken: dict[str, float] = {}
        left = [rcpt for kind in kinds for rcpt in rcpts[kind.name]][::-1]
        began = time.monotonic()
        await asyncio.gather(*(submit(daemon.port, left, taken) for _ in range(SENDERS)))
        quick = [*rcpts["large"], *rcpts["small"]]
        wanted = [*quick, *rcpts["slow"]]
        until = time.monotonic() + options.seconds
        while not all(rcpt in sink.arrived for rcpt in wanted) and time.monotonic() < until:
            await asyncio.sleep(0.2)
        rows = []
        for kind in kinds:
            waits = [
                max(0.0, sink.arrived[rcpt] - taken[rcpt])
                for rcpt in rcpts[kind.name]
                if rcpt in sink.arrived
            ]
            sent = len(rcpts[kind.name])
            rows.append(
                Row(kind.name, sent, len(waits), share(waits, 0.5), share(waits, 0.99), max(waits, default=0))
            )
        ends = [sink.arrived[rcpt] for rcpt in quick if rcpt in sink.arrived]
        return rows, len(ends) / (max(ends, default=began + 1) - began)
    finally:
        await loop.run_in_executor(None, daemon.stop)
        server.close()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench fairness", description="Who waits for whom.")
    add = parser.add_argument
    add("--domains", type=int, default=1000, help="domains with one mail each (default: 1000)")
    add("--large", type=int, default=10_000, help="mails for the large domain (default: 10000)")
    add("--slow", type=int, default=20, help="domains whose host takes 2 s a reply (default: 20)")
    add("--dead", type=int, default=20, help="domains whose host says nothing (default: 20)")
    add("--limits", choices=("raised", "default"), default="default", help="(default: default)")
    add("--seconds", type=float, default=300, help="how long to wait for the last (default: 300)")
    add("--work", type=Path, default=ROOT / ".cache/bench", help="where the spool lies")
    options = parser.parse_args(argv)
    adopt_orphans()
    work: Path = options.work / f"fairness-{os.getpid()}"
    work.mkdir(parents=True)
    try:
        rows, rate = asyncio.run(run(options, work))
    except BenchError as error:
        print(f"tools/bench fairness: {error}", file=sys.stderr)
        return 1
    finally:
        end_all()
        shutil.rmtree(work, ignore_errors=True)
    print(f"{options.limits} limits; {rate:.0f} mails a second but for those to slow and dead hosts")
    print("domains        sent  arrived   waiting: p50      p99      most")
    for row in rows:
        waits = f"{row.p50:10.2f} s {row.p99:6.2f} s {row.most:7.2f} s"
        print(f"{row.kind:10} {row.sent:8} {row.arrived:8}   {waits}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
