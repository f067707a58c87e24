"""The control socket in the hands of whoever can reach it: who misbehaves is dropped, and mail goes on.

tests/fuzz/test_control_socket.py asks the same of control alone, with any bytes; here the whole daemon works
meanwhile, and its memory and descriptors are looked at from outside.
"""

import contextlib
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import programs
import pytest
from daemon import LOCAL, RELAY, USER_ID, Daemon

from smtpd.messages.client_catalogue import CLIENT_CATALOGUE
from smtpd.messages.client_control import ClientOpenSession, ClientShowStats, ClientShowStatus
from smtpd.messages.client_queue import ClientShowQueue

RECIPIENTS = 250
MESSAGES = 12

GROWN_MOST = 24 * 1024
"""KiB that control may grow by while it is abused: bounds of 32 clients of a user, and what malloc keeps."""


def frame(request: Any, number: int = 1) -> bytes:
    kind, payload = CLIENT_CATALOGUE.encode(request)
    return struct.pack("=IIII", kind, 16 + len(payload), number, os.getpid()) + payload


def connect(daemon: Daemon) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(str(daemon.state / "smtpd.sock"))
    return client


def resident(pid: int) -> int:
    """KiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def is_dropped(client: socket.socket) -> bool:
    """Whether the daemon closes the connection in time; what it says before is read over."""
    try:
        while client.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


@pytest.fixture(scope="module")
def filled() -> Iterator[Daemon]:
    """A daemon with thousands of envelopes that wait; it has to stop cleanly, as all have to."""
    one = Daemon(RELAY, sink=9)
    try:
        one.start()
        one.ctl("pause", "mta")
        for number in range(MESSAGES):
            rcpts = [f"rcpt{number}.{rcpt}@relay.test" for rcpt in range(RECIPIENTS)]
            one.send("sender@source.test", rcpts)
        one.ctl("show", "queue")
        yield one
    finally:
        one.close()


@pytest.fixture
def long_queue(filled: Daemon) -> Iterator[Daemon]:
    """The same, watched: afterwards control holds no more than before."""
    pid = filled.child("control")
    before = resident(pid), descriptors(pid)
    yield filled
    wait_until(lambda: descriptors(pid) <= before[1], "control has closed what it had opened")
    assert resident(pid) - before[0] < GROWN_MOST
    assert filled.child("control") == pid
    assert len(filled.envelopes()) == MESSAGES * RECIPIENTS


def mail_flows(daemon: Daemon) -> None:
    """Over SMTP, and over the socket that is abused."""
    new = daemon.maildir("you") / "new"
    there = len(list(new.glob("*")))
    daemon.send("a@source.test", "you@localhost")
    assert programs.run(daemon, "sendmail", "you@localhost", data=b"Subject: x\n\nx\n").returncode == 0
    daemon.mails("you", there + 2)


def test_what_is_no_request_drops_the_client_alone(long_queue) -> None:
    one = long_queue
    good = connect(one)
    right = frame(ClientShowStatus())
    wrong = (
        b"GET / HTTP/1.0\r\n\r\n",
        bytes(64),
        b"\xff" * 16384,
        struct.pack("=IIII", 0x0905, 0x7FFFFFFF, 1, 1),  # a length that nobody sends
        struct.pack("=IIII", 0x0905, 15, 1, 1),  # shorter than its own header
        struct.pack("=IIII", 0x0905, 16384, 1, 1)
        + b"\xdf\xff\xff\xff\xff" * 3273
        + b"xxx",  # a map of 2**32-1
        struct.pack("=IIII", 0x0903, 17, 1, 1) + b"\x91",  # an array that ends too early
        struct.pack("=IIII", 0x0101, 17, 1, 1) + b"\x90",  # a message between other processes
        struct.pack("=IIII", 0x0902, 19, 1, 1) + b"\x93\x01\x00",  # a reply
        right + bytes(32),
    )
    for data in wrong:
        with connect(one) as client:
            with contextlib.suppress(OSError):
                client.sendall(data)
            assert is_dropped(client), data[:40]
    with connect(one) as client:  # descriptors that nobody asked for
        reading, writing = os.pipe()
        socket.send_fds(client, [right], [writing] * 20)
        os.close(writing)
        assert is_dropped(client)
        assert select.select([reading], [], [], 20)[0], "the daemon holds none of them"
        assert os.read(reading, 1) == b""
        os.close(reading)
    with good:
        good.sendall(right)
        wait_until(lambda: b"\x00" in good.recv(4096), "an answer for the one that does nothing wrong")
    mail_flows(one)


def test_those_who_hold_the_door_open_let_others_through(long_queue) -> None:
    """Half frames, 500 connections at once, clients that vanish while they are answered."""
    one = long_queue
    with contextlib.ExitStack() as opened:
        halves = [opened.enter_context(connect(one)) for _ in range(10)]
        for client in halves:
            client.sendall(frame(ClientShowQueue(0))[:17])
        for _ in range(500):
            with contextlib.suppress(OSError):
                opened.enter_context(connect(one))
        mail_flows(one)
        for _ in range(40):
            with connect(one) as client:
                client.sendall(frame(ClientShowQueue(0)))
                client.recv(1)
        mail_flows(one)
    assert one.ctl("show", "status").startswith("MDA running")


def test_floods_and_readers_that_do_not_read(long_queue) -> None:
    one = long_queue
    with contextlib.ExitStack() as opened:
        silent = [opened.enter_context(connect(one)) for _ in range(20)]
        for client in silent:
            client.sendall(frame(ClientShowQueue(0)))
        flood = opened.enter_context(connect(one))
        flood.setblocking(False)
        sent = 0
        requests = b"".join(frame(ClientShowStats(), number) for number in range(1, 200))
        until = time.monotonic() + 2
        while time.monotonic() < until and sent < 1 << 20:
            try:
                sent += flood.send(requests)
            except OSError:  # it is not read any more, or closed
                break
        assert sent > 0
        mail_flows(one)
        lines = one.envelopes()
        assert len(lines) == MESSAGES * RECIPIENTS
        # Slow is not silent: the whole list arrives, however long its reader looks at each piece.
        slow = silent.pop()
        taken = len(slow.recv(1000))
        for _ in range(20):
            time.sleep(0.01)
            taken += len(slow.recv(10_000))
        slow.settimeout(1)
        with contextlib.suppress(TimeoutError):
            while data := slow.recv(65536):
                taken += len(data)
        assert taken > 180 * len(lines)
    mail_flows(one)


@pytest.mark.root
@pytest.mark.usefixtures("privileged")
def test_others_may_submit_and_nothing_else(daemon) -> None:
    one = daemon(LOCAL, mode="privileged")
    for words in (
        ("show", "queue"),
        ("pause", "mta"),
        ("remove", "all"),
        ("trace", "all"),
        ("--json", "show", "stats"),
    ):
        done = programs.run_as(one, USER_ID, "main", *words)
        assert done.returncode == 1, words
        assert b"need root privileges" in done.stdout + done.stderr
    log = one.log_since_start()
    for kind in (
        "ClientShowQueue",
        "ClientPause",
        "ClientChangeEnvelopes",
        "ClientSetTrace",
        "ClientShowStats",
    ):
        assert f"control: uid={USER_ID} {kind}: refused, no rights" in log
    assert one.ctl("show", "status").count("running") == 3
    assert frame(ClientOpenSession())
    done = programs.run_as(one, USER_ID, "sendmail", "alice@localhost", data=b"Subject: x\n\nx\n")
    assert done.returncode == 0
    one.mails("alice")


def test_every_action_is_logged_with_who_asked(daemon) -> None:
    one = daemon()
    me = os.geteuid()
    for words, said in (
        (("pause", "mta"), "pause mta: done"),
        (("resume", "mta"), "resume mta: done"),
        (("log", "verbose"), "log verbose: done"),
        (("trace", "smtp"), "trace smtp: done"),
        (("untrace", "all"), "untrace all: done"),
        (("schedule", "all"), "schedule all"),
        (("pause", "envelope", "all"), "suspend all"),
        (("remove", "all"), "remove all"),
        (("pause", "mta", "from", "192.0.2.1", "for", "x.test"), "pause mta from 192.0.2.1 for x.test: done"),
        (("profile", "imsg"), "profile imsg: done"),
        (("update", "table", "nothing"), "update table nothing: failed"),
        (("discover", "0123456789abcdef"), "discover 0123456789abcdef: "),
        (("uncorrupt", "01234567"), "uncorrupt 01234567: failed"),
        (("resume", "route", "7"), "resume route 7: done"),
    ):
        one.ctl(*words, status=int(said.endswith("failed")))
        assert f"control: uid={me} {said}" in one.log_since_start(), words
