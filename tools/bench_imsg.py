"""Messages a second through a socketpair: `tools/bench imsg`.

One-way figures have sender and receiver in one process, so that one core does everything a message costs:
encode, check, frame, send, receive, decode, check. They are per second of the process's CPU time, which on an
idle core is the clock's second. Round trips are between two processes and by the clock. It prints and never
judges.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

from imsg import NATIVE, U32, U64, Catalogue, Channel, ChannelClosed, Recorder, message

ROUNDS = 5  # the best counts: the machine has other work too


@message(2, "server", "client")
class Answer(NamedTuple):
    reqid: U32
    status: U32
    text: str


@message(1, "client", "server", reply=Answer)
class Question(NamedTuple):
    session: U64
    size: U32
    flags: U32
    name: str


CATALOGUE = Catalogue([Question, Answer])


def pair(recorder: bool) -> tuple[Channel, Channel]:
    left, right = socket.socketpair()
    rings = [Recorder() if recorder else None for _ in range(2)]
    return Channel(left, CATALOGUE, recorder=rings[0]), Channel(right, CATALOGUE, recorder=rings[1])


def rate(seconds: float, turn: Callable[[], int], clock: Callable[[], float]) -> float:
    """Messages in a second of that clock: turn() does some and says how many."""
    count = 0
    begin = clock()
    while (spent := clock() - begin) < seconds:
        count += turn()
    return count / spent


def one_way(batch: int, seconds: float, *, build: bool, recorder: bool = True) -> float:
    """Messages a second in batches; build: the time to construct each message counts too."""
    sender, receiver = pair(recorder)
    ready = [Question(n, 4096, 3, "mail.example.org") for n in range(batch)]
    put = sender.put

    def turn() -> int:
        if build:
            for n in range(batch):
                put(Question(n, 4096, 3, "mail.example.org"))
        else:
            for item in ready:
                put(item)
        sender.flush()
        left = batch
        while left:
            left -= len(receiver.receive())
        return batch

    try:
        turn()
        return max(rate(seconds, turn, time.process_time) for _ in range(ROUNDS))
    finally:
        sender.close()
        receiver.close()


def recorder_cost(seconds: float) -> float:
    """What part of the rate the recorder takes, as the median of pairs measured one after the other."""
    shares = []
    for _ in range(2 * ROUNDS + 1):
        without = one_way(256, seconds / 4, build=False, recorder=False)
        shares.append(1 - one_way(256, seconds / 4, build=False) / without)
    return statistics.median(shares)


def answer_all(channel: Channel) -> None:
    """The other process: a reply for every request, until the channel is closed."""
    while True:
        select.select([channel], [], [])
        try:
            for _, request, peerid, _ in channel.receive():
                channel.put(Answer(peerid, request.flags, request.name))
            channel.flush()
        except ChannelClosed:
            return


def round_trips(outstanding: int, seconds: float) -> float:
    """Requests a second that a second process answers, with so many on their way at once."""
    ours, theirs = pair(recorder=True)
    child = os.fork()
    if child == 0:
        ours.close()
        answer_all(theirs)
        os._exit(0)
    theirs.close()

    def turn() -> int:
        for n in range(outstanding):
            ours.put(Question(n, 4096, 3, "mail.example.org"))
        ours.flush()
        left = outstanding
        while left:
            select.select([ours], [], [])
            left -= len(ours.receive())
        return outstanding

    try:
        turn()
        return max(rate(seconds, turn, time.perf_counter) for _ in range(ROUNDS))
    finally:
        ours.close()
        os.waitpid(child, 0)


def report(seconds: float) -> None:
    """Print the figures of the core that this process uses."""
    print(f"imsg, {'C core' if NATIVE else 'plain Python'}")
    for batch in (256, 64, 8, 1):
        ready = one_way(batch, seconds, build=False)
        built = one_way(batch, seconds, build=True)
        print(f"  one way, batches of {batch:3} {ready:10,.0f} messages/s, {built:10,.0f} with building each")
    print(f"  flight recorder            {100 * recorder_cost(seconds):7.1f} % of the rate (256 at once)")
    for outstanding in (64, 1):
        trips = round_trips(outstanding, seconds)
        print(f"  round trips, {outstanding:2} at once  {trips:10,.0f} a second, two processes", flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/bench imsg", description="Messages a second.")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each of five rounds of a figure")
    parser.add_argument("--only", action="store_true", help="this core only, not plain Python as well")
    options = parser.parse_args(arguments)
    report(options.seconds)
    if NATIVE and not options.only:
        command = [sys.executable, __file__, "--seconds", str(options.seconds), "--only"]
        return subprocess.run(command, env=os.environ | {"IMSG_PURE": "1"}, check=False).returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
