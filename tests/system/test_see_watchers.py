"""Watchers that stop, vanish or are told to go: the mail goes on, and nothing of them stays."""

import mmap
import os
import signal
import time
from collections.abc import Callable

from daemon import Daemon
from looking import Looking

from imsg.layout import TAPE_ON_AT
from smtpctl.client import Client
from smtpctl.see.watching import recorders
from smtpd.messages.client_observation import ClientShowRecorders

EVERYTHING = ("trace", "imsg", "--watch", "--count=0", "--seconds=0")


def taping(daemon: Daemon) -> dict[str, bool]:
    """Which processes put messages on their tape."""
    with Client(daemon.state / "smtpd.sock") as client:
        return {each.process: bool(each.memory[TAPE_ON_AT]) for each in recorders(client)}


def until_no_process_tapes(daemon: Daemon) -> None:
    deadline = time.monotonic() + 5
    while any(taping(daemon).values()):
        assert time.monotonic() < deadline, taping(daemon)
        time.sleep(0.05)


def test_watchers_that_stopped_hold_up_nothing(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    watchers = [Looking(one, *EVERYTHING) for _ in range(3)]
    assert set(taping(one).values()) == {True} and len(taping(one)) == 6
    for each in watchers:
        each.process.send_signal(signal.SIGSTOP)
    with one.smtp() as client:
        for _ in range(50):
            client.sendmail("ann@client.test", "you@localhost", b"Subject: x\r\n\r\n" + b"x" * 1000)
    one.mails("you", 50)
    for each in watchers:
        each.process.send_signal(signal.SIGCONT)
        each.process.send_signal(signal.SIGINT)
        assert "messages" in each.end()[1]
    until_no_process_tapes(one)


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
