"""Load and its far ends: Postfix's smtp-source and smtp-sink, and the maildir that fills.

The times are wall-clock seconds from the first connection on; nothing here decides what a rate means.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

from bench_machine import BenchError, Program, free_port, greets, wait_for
from postfix import Unpacked

_COUNTER = re.compile(rb"mesg=(\d+)")


def load_tools(folder: Path) -> Unpacked:
    """Where smtp-source and smtp-sink are; BenchError where they are not."""
    try:
        return Unpacked(folder)
    except FileNotFoundError as error:
        raise BenchError(str(error)) from None


class Sink:
    """An smtp-sink that counts what it got."""

    def __init__(self, postfix: Unpacked, work: Path) -> None:
        self.port = free_port()
        self.counter = work / "sink.counter"
        self.counter.write_bytes(b"")
        arguments = [postfix.sink, "-c", "-m", "1000", "-h", "sink.test"]
        if os.geteuid() == 0:
            arguments += ["-u", "nobody"]
        arguments += [f"127.0.0.1:{self.port}", "1000"]
        self.program = Program(
            arguments, work / "sink.log", environment=postfix.environment, output=self.counter
        )
        try:
            wait_for("smtp-sink", lambda: greets(self.port), 10)
        except BenchError as error:
            self.program.stop(1)
            raise BenchError(f"{error}\n{self.program.tail()}") from None

    def messages(self) -> int:
        """How many messages it has answered with 250."""
        with open(self.counter, "rb") as counter:
            counter.seek(max(0, self.counter.stat().st_size - 200))
            return last_count(counter.read())

    def stop(self) -> None:
        self.program.stop(2)


def last_count(text: bytes) -> int:
    """The last `mesg=` of smtp-sink's running counters; 0 before the first."""
    counts = _COUNTER.findall(text)
    return int(counts[-1]) if counts else 0


class Maildir:
    """The maildir that deliveries end in."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def messages(self) -> int:
        try:
            with os.scandir(self.path / "new") as entries:
                return sum(1 for _ in entries)
        except FileNotFoundError:
            return 0


class Load:
    """One smtp-source run: what to send, where, over how many sessions at once."""

    def __init__(self, postfix: Unpacked, port: int, rcpt: str, size: int, keep: bool) -> None:
        self.postfix = postfix
        self.port = port
        self.rcpt = rcpt
        self.size = size
        self.keep = keep

    def send(self, sessions: int, messages: int, seconds: float) -> float:
        """Send `messages`; seconds until the last 250. BenchError past `seconds` or when one is refused.

        A few sessions a program, one program after the other: OpenSMTPD listens with a backlog of 5
        (SMTPD_BACKLOG), and what a larger burst measures is how long the kernel waits to repeat a lost SYN.
        """
        began = time.monotonic()
        until = began + seconds
        running: list[subprocess.Popen[bytes]] = []
        try:
            for of_sessions, of_messages in shares(sessions, messages):
                if running:
                    time.sleep(BURST_GAP)
                running.append(self._start(of_sessions, of_messages))
            for program in running:
                try:
                    _, said = program.communicate(timeout=max(0.1, until - time.monotonic()))
                except subprocess.TimeoutExpired:
                    raise BenchError(
                        f"smtp-source: {messages} messages not taken within {seconds:g} s"
                    ) from None
                if program.returncode != 0:
                    raise BenchError(f"smtp-source: {said.decode(errors='replace').strip()[-300:]}")
        finally:
            for program in running:
                if program.poll() is None:
                    program.kill()
                    program.communicate()
        return time.monotonic() - began

    def _start(self, sessions: int, messages: int) -> subprocess.Popen[bytes]:
        arguments = [self.postfix.source, "-M", "source.test", "-f", "sender@source.test", "-t", self.rcpt]
        arguments += ["-s", str(sessions), "-m", str(messages), "-l", str(self.size)]
        if self.keep:
            arguments.append("-d")
        arguments.append(f"127.0.0.1:{self.port}")
        return subprocess.Popen(
            arguments,
            env={**os.environ, **self.postfix.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )


BURST = 5
"""Sessions that one smtp-source opens at once."""

BURST_GAP = 0.02
"""Seconds between the starts of two of them."""


def shares(sessions: int, messages: int) -> list[tuple[int, int]]:
    """(sessions, messages) of each program: `BURST` sessions at most, the messages in proportion."""
    found: list[tuple[int, int]] = []
    while sessions > 0:
        part = min(BURST, sessions)
        mails = messages * part // sessions
        if mails:
            found.append((min(part, mails), mails))
        sessions -= part
        messages -= mails
    return found
