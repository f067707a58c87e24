"""Which kinds of message the tests have really sent: counted by the recorders of all daemons that they start.

A daemon's recorders stay mapped here after its end, so that what is said at the end counts too. Every run of
the tests has a folder, with a file for each daemon; they become FILE, which tools/message_map reads.
"""

import json
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import tree

from imsg import Recorder
from smtpctl.client import Client, ControlError
from smtpctl.see.watching import Memory, recorders
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import PROCESSES, linked

FILE = tree.ROOT / ".cache/message_kinds.json"
RUN = "SMTPD_TEST_KINDS"
"""The environment variable that names this run's folder, for those who test at the same time."""

type Edge = tuple[str, str, str]  # sender, receiver, kind


def begin() -> None:
    """A run of tests begins."""
    FILE.parent.mkdir(exist_ok=True)
    os.environ[RUN] = tempfile.mkdtemp(prefix="kinds-", dir=FILE.parent)


def map_recorders(socket: Path) -> list[Memory]:
    """The recorders of a daemon; none if it does not lend them."""
    if RUN not in os.environ:
        return []
    try:
        with Client(socket) as client:
            return recorders(client)
    except (ControlError, OSError):
        return []


def note(memories: list[Memory]) -> None:
    """Keep what a daemon has sent in its life, and let its recorders go."""
    edges = edges_of({each.process: each.memory for each in memories})
    if edges:
        descriptor, _ = tempfile.mkstemp(dir=os.environ[RUN], suffix=".json")
        with os.fdopen(descriptor, "w") as file:
            json.dump(sorted(edges), file)
    for each in memories:
        each.memory.close()


def edges_of(memories: dict[str, mmap.mmap]) -> set[Edge]:
    """Who has sent what to whom.

    One end's word is enough where the other has no recorder: smtpctl, a delivery agent, a child before it got
    its own.
    """
    sent: dict[int, set[str]] = {}
    got: dict[int, set[str]] = {}
    for process, memory in memories.items():
        for number, count in Recorder.counts(memory).items():
            if count.count_out:
                sent.setdefault(number, set()).add(process)
            if count.count_in:
                got.setdefault(number, set()).add(process)
    found = set()
    for number, kind in CATALOGUE.by_number.items():
        for sender in kind.senders:
            for receiver in kind.receivers:
                out = sender in sent.get(number, ())
                into = receiver in got.get(number, ())
                out_unknown = sender not in PROCESSES or number not in sent
                into_unknown = receiver not in PROCESSES or number not in got
                if (out and (into or into_unknown) or into and out_unknown) and linked(sender, receiver):
                    found.add((sender, receiver, kind.name))
    return found


def end() -> set[Edge]:
    """Put together what this run has seen."""
    folder = Path(os.environ.pop(RUN))
    edges: set[Edge] = set()
    for path in folder.glob("*.json"):
        edges |= {(sender, receiver, kind) for sender, receiver, kind in json.loads(path.read_text())}
    shutil.rmtree(folder, ignore_errors=True)
    return edges


def write(edges: Iterable[Edge], *, whole: bool) -> None:
    """Into FILE. Unless `whole`, what earlier runs have seen stays, if the kinds are still the same."""
    known = set(edges)
    if not whole and FILE.exists():
        before = json.loads(FILE.read_text())
        if isinstance(before, dict) and before.get("catalogue") == CATALOGUE.digest():
            known |= {tuple(edge) for edge in before["edges"]}
    FILE.parent.mkdir(exist_ok=True)
    content = {"catalogue": CATALOGUE.digest(), "edges": sorted(known)}
    part = FILE.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(content))
    part.replace(FILE)


def unsent(edges: Iterable[Edge]) -> list[str]:
    """The kinds that are in none of them."""
    names = {kind for _, _, kind in edges}
    return sorted(kind.name for kind in CATALOGUE.by_number.values() if kind.name not in names)
