"""kill -9 of the whole daemon during a load, again and again: what got its 250 arrives, and arrives whole."""

import random
import smtplib
import threading
import time
import zlib

import pytest
from daemon import RELAY, Daemon

ROUNDS = 20
MESSAGES = 500
SESSIONS = 5
LINE = b"0123456789abcdefghijklmnopqrstuvwxyz"


def content_of(name: str) -> bytes:
    """A message that shows by itself whether it is whole: its name first and last, and the lines between."""
    lines = 5 + zlib.crc32(name.encode()) % 60
    head = f"Subject: {name}\r\nX-Lines: {lines}\r\n\r\n".encode()
    return head + b"".join(LINE + b"\r\n" for _ in range(lines)) + f"end of {name}\r\n".encode()


def whole(content: bytes) -> str:
    """The name of a message that has arrived; AssertionError when a part of it is missing."""
    content = content.replace(b"\r\n", b"\n")
    header, _, body = content.partition(b"\n\n")
    fields = dict(
        line.split(b": ", 1) for line in header.splitlines() if line[:1].isupper() and b": " in line
    )
    name = fields[b"Subject"].decode()
    expected = (LINE + b"\n") * int(fields[b"X-Lines"]) + f"end of {name}\n".encode()
    assert body == expected, f"{name} is not whole: {len(body)} bytes of {len(expected)}"
    return name


class Load(threading.Thread):
    """One session after the other from one client, until it has sent its share or the daemon is gone."""

    def __init__(self, daemon: Daemon, names: list[str]) -> None:
        super().__init__(daemon=True)
        self.target = daemon
        self.names = names
        self.accepted: list[str] = []

    def run(self) -> None:
        try:
            with self.target.smtp() as client:
                for name in self.names:
                    # Every second mail stays here, the other goes on.
                    rcpt = "you@localhost" if name.endswith(tuple("02468")) else "you@relay.test"
                    if client.sendmail("a@source.test", [rcpt], content_of(name)) == {}:
                        self.accepted.append(name)
        except (OSError, smtplib.SMTPException):
            return


@pytest.mark.timeout(600)
def test_nothing_that_was_accepted_is_lost(daemon, sink) -> None:
    to = sink()
    one = daemon(RELAY, sink=to.port)
    chance = random.Random()
    accepted: set[str] = set()
    taken = 0.4
    for round_number in range(ROUNDS):
        loads = [
            Load(one, [f"mail-{round_number}-{number}" for number in range(first, MESSAGES, SESSIONS)])
            for first in range(SESSIONS)
        ]
        began = time.monotonic()
        for load in loads:
            load.start()
        # Somewhere in the load; how long a whole one takes is learned from those that were not cut short.
        time.sleep(chance.uniform(0.02, taken))
        if not any(load.is_alive() for load in loads):
            taken = time.monotonic() - began
        else:
            taken = min(taken * 1.3, 5)
        one.kill9()
        for load in loads:
            load.join(30)
            assert not load.is_alive()
            accepted.update(load.accepted)
        one.start()
    one.ctl("schedule", "all")
    one.wait_empty(120)
    here = [whole(content) for content in one.mails("you", 0)]
    gone = [whole(taken.content) for taken in to.taken]
    arrived = {*here, *gone}
    print(
        f"{ROUNDS} kills, {len(accepted)} accepted, {len(here) + len(gone)} arrived, {len(arrived)} different"
    )
    assert len(accepted) > ROUNDS
    assert accepted - arrived == set()
    # Nothing but mail came out of it, and no half one is left.
    assert list((one.state / "spool/corrupt").glob("*")) == []
    assert list((one.maildir("you") / "tmp").glob("*")) == [] or len(here) >= 1
