"""Watchers that stop, vanish or are told to go: the mail goes on, and nothing of them stays."""

import mmap
import os
import re
import signal
import struct
import threading
import time
from collections.abc import Callable
from fcntl import ioctl
from itertools import batched, count
from pathlib import Path
from termios import FIONREAD
from typing import IO

import pytest
from daemon import Daemon
from looking import Looking

from imsg.layout import TAPE_ON_AT
from imsg.recorder import DEFAULT_ENTRIES
from smtpctl.client import Client
from smtpctl.see.watching import recorders
from smtpd.messages.client_observation import ClientShowRecorders

EVERYTHING = ("trace", "imsg", "--watch", "--count=0", "--seconds=0")
MAILS, RECIPIENTS = 300, 8
MOST_GROWTH = 16 << 20


def taping(daemon: Daemon) -> dict[str, bool]:
    """Which processes put messages on their tape."""
    with Client(daemon.state / "smtpd.sock") as client:
        return {each.process: bool(each.memory[TAPE_ON_AT]) for each in recorders(client)}


def until_no_process_tapes(daemon: Daemon) -> None:
    deadline = time.monotonic() + 5
    while any(taping(daemon).values()):
        assert time.monotonic() < deadline, taping(daemon)
        time.sleep(0.05)


def anonymous(daemon: Daemon) -> dict[str, int]:
    """Bytes of memory of its own that each process has in use; a recorder's are shared and of one size."""
    found = {}
    for process, pid in {"parent": daemon.pid, **daemon.processes()}.items():
        status = Path(f"/proc/{pid}/status").read_text()
        found[process] = int(status.split("RssAnon:")[1].split()[0]) << 10
    return found


def send(daemon: Daemon, mails: int, name: str) -> None:
    """Mails that make their messages long: to some recipients each, with long names. None is refused."""
    for session in batched(range(mails), 50):  # a session may not send many more
        with daemon.smtp() as client:
            for number in session:
                to = [f"you+{name}-{number}-{each}{'x' * 40}@localhost" for each in range(RECIPIENTS)]
                assert client.sendmail("ann@client.test", to, b"Subject: x\r\n\r\n" + b"x" * 1000) == {}


class Slow:
    """Reads what somebody writes, a little now and then, until it ends."""

    def __init__(self, file: IO[bytes]) -> None:
        self.got = 0
        self._file = file
        self._hurry = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while new := os.read(self._file.fileno(), 64 if not self._hurry.is_set() else 1 << 16):
            self.got += len(new)
            self._hurry.wait(0.02)

    def end(self) -> None:
        """Read the rest."""
        self._hurry.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_watchers_that_are_slow_or_stopped_hold_up_nothing(daemon: Callable[..., Daemon]) -> None:
    """One is stopped, one's reader reads nothing, one's reads slowly, and more passes than a tape holds."""
    one = daemon()
    send(one, 20, "before")
    one.mails("you", 20 * RECIPIENTS)
    before = anonymous(one)
    watchers = [Looking(one, *EVERYTHING) for _ in range(3)]
    try:
        watched_while(one, before, *watchers)
    finally:
        for each in watchers:
            if each.process.returncode is None:
                each.kill()
    until_no_process_tapes(one)


def watched_while(
    one: Daemon, before: dict[str, int], stopped: Looking, unread: Looking, slow: Looking
) -> None:
    """Mails pass; how much memory was in use before."""
    assert set(taping(one).values()) == {True} and len(taping(one)) == 6
    stopped.process.send_signal(signal.SIGSTOP)
    assert slow.process.stdout is not None
    reading = Slow(slow.process.stdout)
    send(one, MAILS, "meanwhile")
    one.mails("you", (20 + MAILS) * RECIPIENTS, 60)
    one.wait_empty()
    one.assert_clean_log()

    grown = {process: size - before[process] for process, size in anonymous(one).items()}
    assert max(grown.values()) < MOST_GROWTH, grown
    with Client(one.state / "smtpd.sock") as client:
        for memory in recorders(client):
            entries = memory.entries
            first = entries[0].sequence
            assert [entry.sequence for entry in entries] == list(range(first, first + len(entries)))
            if memory.process in ("pony", "queue", "lookup"):
                assert len(entries) == DEFAULT_ENTRIES

    stopped.process.send_signal(signal.SIGCONT)
    slow.process.send_signal(signal.SIGINT)
    reading.end()
    assert reading.got > 10_000
    stopped.process.send_signal(signal.SIGINT)
    unread.process.send_signal(signal.SIGINT)
    for each in (stopped, unread, slow):
        said = each.end(60)[1]
        # How much of it is for want of processors depends on the machine.
        missed = re.search(
            r"\d+ messages(?:, (\d+) left out: this machine was busy)?"
            r"(?:, (\d+) not seen: this end was too slow)?; ended: interrupted",
            said,
        )
        assert missed is not None and sum(int(count or 0) for count in missed.groups()) > 100, said


def test_a_watcher_that_vanishes_ends_its_watch(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    first, second = Looking(one, *EVERYTHING), Looking(one, *EVERYTHING)
    first.kill()
    time.sleep(0.2)
    assert set(taping(one).values()) == {True}
    second.kill()
    until_no_process_tapes(one)


def test_untrace_ends_every_watch(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    watchers = [Looking(one, *EVERYTHING), Looking(one, "capture", "-w", os.devnull)]
    one.ctl("untrace", "all")
    said = [part for each in watchers for part in each.end()]
    assert sum("ended by untrace all" in part for part in said) == 2
    until_no_process_tapes(one)


def test_limits_hold_without_being_asked_for(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    watch = Looking(one, "trace", "imsg", "--watch", "--seconds=1", "--count=30")
    one.send("ann@client.test", "you@localhost")
    assert "the limit of" in watch.end()[1]
    until_no_process_tapes(one)


def test_sigterm_ends_a_watch_as_an_interrupt_does(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    """Nothing is lost of what was there: EnvelopeDone is sent only a moment before the queue is empty."""
    one = daemon()
    path = tmp_path / "a.pcapng"
    for words in (EVERYTHING, ("capture", "-w", str(path))):
        watch = Looking(one, *words)
        watch.process.send_signal(signal.SIGSTOP)  # it looks when all is over, and only then
        one.send("ann@client.test", "you@localhost")
        one.wait_empty()
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGCONT):  # as timeout(1) does
            watch.process.send_signal(number)
        said = "".join(watch.end())
        assert "ended: interrupted" in said and "missed" not in said and "not seen" not in said
        shown = said if words is EVERYTHING else one.ctl("show", "flow", "all", f"--read={path}")
        assert "CommitMessage" in shown and "EnvelopeDone" in shown


@pytest.mark.parametrize("words", [EVERYTHING, ("--json", *EVERYTHING), ("capture", "--count=0")])
def test_a_watch_that_nobody_reads_ends_all_the_same(
    daemon: Callable[..., Daemon], words: tuple[str, ...]
) -> None:
    """After some seconds, with the number of those that nobody has seen; at a second ^C at once."""
    one = daemon()
    watchers = [Looking(one, *words) for _ in range(2)]
    try:
        until_stuck(one, *watchers)
        patient, impatient = (watcher.process for watcher in watchers)
        impatient.send_signal(signal.SIGINT)
        patient.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 30
        while impatient.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            impatient.send_signal(signal.SIGINT)
        assert impatient.returncode == 130
        assert patient.wait(60) == 0
        assert patient.stderr is not None
        said = patient.stderr.read().decode()
        found = re.search(r'(\d+) not seen: |, (\d+) missed; ended|"lost": (\d+)', said)
        assert found is not None and int(found[found.lastindex or 0]) > 0, said
        assert "interrupted" in said and "Traceback" not in said
    finally:
        for each in watchers:
            each.kill()
    until_no_process_tapes(one)


def until_stuck(one: Daemon, *watchers: Looking) -> None:
    """Mails pass until nothing more gets into what each of them writes to."""
    deadline = time.monotonic() + 60
    before: list[int] = []
    for number in count():
        waiting = []
        for each in watchers:
            assert each.process.stdout is not None
            waiting += struct.unpack("i", ioctl(each.process.stdout, FIONREAD, bytes(4)))
        if waiting == before and min(waiting) > 1 << 15:
            return
        assert time.monotonic() < deadline, waiting
        before = waiting
        send(one, 5, f"stuck{number}")
        one.wait_empty()


def test_the_memory_is_lent_for_reading_alone(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    with Client(one.state / "smtpd.sock") as client:
        for row, fd in client.rows_with_descriptors(ClientShowRecorders()):
            assert fd is not None
            try:
                mmap.mmap(fd, row.size)
            except PermissionError:
                pass
            else:
                raise AssertionError(f"the recorder of {row.process} can be written")
            finally:
                os.close(fd)
