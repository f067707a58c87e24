"""smtpctl/see/watching.py: tapes of a daemon in shared memory, read in place and put in order."""

import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imsg import Recorder
from imsg.layout import MIN_TAPE, OUT, TAPED, TAPED_IN, TAPED_OUT
from smtpctl.client import Incompatible
from smtpctl.see import watching
from smtpctl.see.watching import Watching, on_tape, recorders
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_control import ClientDone
from smtpd.messages.client_observation import ClientShowRecorders, ClientWatch, RecorderRow
from smtpd.messages.links import PROCESSES
from smtpd.messages.pony_queue import CreateMessage

NUMBER, PAYLOAD = CATALOGUE.encode(CreateMessage(7))
SIZE = -(-Recorder.size(4, MIN_TAPE) // mmap.PAGESIZE) * mmap.PAGESIZE


class Process:
    """A process with its recorder in a memfd."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("recorder")
        os.ftruncate(self.fd, SIZE)
        self.recorder = Recorder(mmap.mmap(self.fd, SIZE), entries=4)
        self.recorder.tape_on({NUMBER: TAPED | TAPED_IN | TAPED_OUT})

    def row(self, name: str, instance: int = 0) -> tuple[RecorderRow, int | None]:
        return RecorderRow(1, name, instance, 103, SIZE), os.dup(self.fd)

    def pass_(self, flags: int, other: str, peerid: int = 1) -> None:
        channel = self.recorder.channel(other)
        self.recorder.write(flags, channel, [NUMBER], [30], [peerid], [103], [False], [PAYLOAD])


class Client:
    """In place of smtpctl.client.Client: answers with what lies in `answers`."""

    def __init__(self, _path: Path = Path()) -> None:
        self.asked: list[Any] = []
        self.answers: list[tuple[Any, int | None]] = []
        self.closed = False

    def begin(self, request: Any) -> None:
        self.asked.append(request)

    def poll(self, _seconds: float) -> tuple[Any, int | None] | None:
        return self.answers.pop(0) if self.answers else None

    def rows_with_descriptors(self, request: Any) -> Iterator[tuple[Any, int | None]]:
        self.begin(request)
        yield from self.answers

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client()
    monkeypatch.setattr(watching, "Client", lambda _path: made)
    return made


@pytest.fixture
def pony() -> Iterator[Process]:
    made = Process()
    yield made
    os.close(made.fd)


def test_recorders_and_what_is_on_tape(pony: Process, client: Any) -> None:
    queue = Process()
    pony.pass_(OUT, "queue")
    queue.pass_(0, "pony")
    client.answers = [queue.row("queue"), pony.row("pony", 2)]
    memories = recorders(client)
    assert client.asked == [ClientShowRecorders()]
    assert [(each.process, each.pid, len(each.entries)) for each in memories] == [
        ("queue", 103, 1),
        ("pony2", 103, 1),
    ]
    assert [(seen.sender, seen.receiver) for seen in on_tape(memories)] == [
        ("pony2", "queue"),
        ("pony", "queue"),
    ]
    os.close(queue.fd)


def test_a_watch_sees_what_comes_after_it(pony: Process, client: Client) -> None:
    pony.pass_(OUT, "queue", 1)
    with Watching(Path("socket"), {9, 5}, handlers=True, seconds=3) as watch:
        assert client.asked == [ClientWatch([5, 9], True, 3)]
        client.answers = [pony.row("pony")]
        assert watch.look(0) == []
        pony.pass_(OUT, "queue", 2)
        (seen,) = watch.look(0)
        assert (seen.peerid, seen.payload, watch.lost, watch.over) == (2, PAYLOAD, 0, False)
        for peerid in range(10000):
            pony.pass_(OUT, "queue", peerid)
        found = watch.look(0)
        assert len(found) + watch.lost == 10000 and watch.lost > 0
        missed = watch.lost
        for peerid in range(10000):
            pony.pass_(OUT, "queue", peerid)
        assert len(watch.last()) + watch.lost - missed == 10000 and watch.lost > missed
        client.answers = [(ClientDone(1, "all traces were ended", 0), None)]
        pony.pass_(OUT, "queue", 3)
        assert [seen.peerid for seen in watch.look(0)] == [3]
        assert (watch.over, watch.why) == (True, "all traces were ended")
    assert client.closed


def test_a_rest_leaves_out_what_is_too_much(pony: Process, client: Client) -> None:
    with Watching(Path("socket")) as watch:
        client.answers = [pony.row("pony")]
        watch.look(0)
        for peerid in range(5):
            pony.pass_(OUT, "queue", peerid)
        assert watch.rest(0, 5) == 0
        assert [seen.peerid for seen in watch.look(0)] == [0, 1, 2, 3, 4]
        for peerid in range(6):
            pony.pass_(OUT, "queue", peerid)
        assert (watch.rest(0, 5), watch.lost) == (6, 6)
        pony.pass_(OUT, "queue", 7)
        assert [seen.peerid for seen in watch.look(0)] == [7]
        for peerid in range(6):
            pony.pass_(OUT, "queue", peerid)
        client.answers = [(ClientDone(1, "all traces were ended", 0), None)]
        assert watch.rest(0, 5) == 0  # nothing follows: this is shown
        assert len(watch.look(0)) == 6 and watch.lost == 6


def test_it_has_begun_when_all_processes_tape(pony: Process, client: Client) -> None:
    late = Process()
    late.recorder.tape_off()
    with Watching(Path("socket")) as watch:
        assert not watch.began
        client.answers = [pony.row(name) for name in PROCESSES[1:]]
        watch.look(0)
        assert not watch.began
        client.answers = [late.row(PROCESSES[0])]
        watch.look(0)
        assert not watch.began
        late.recorder.tape_on({NUMBER: TAPED})
        assert watch.began
        late.recorder.tape_off()
        assert watch.began
    os.close(late.fd)


def test_what_is_too_new_waits_for_the_next_look(
    pony: Process, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watching(Path("socket"))
    client.answers = [pony.row("pony")]
    assert watch.look(0) == []
    pony.pass_(OUT, "queue", 1)
    with monkeypatch.context() as patched:
        patched.setattr("time.clock_gettime_ns", lambda _clock: 0)
        assert watch.look(0) == []
    assert [seen.peerid for seen in watch.look(0)] == [1]


def test_the_last_look_gives_back_what_was_kept_and_what_is_too_new(
    pony: Process, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Watching(Path("socket"))
    client.answers = [pony.row("pony")]
    assert watch.look(0) == []
    monkeypatch.setattr("time.clock_gettime_ns", lambda _clock: 0)
    pony.pass_(OUT, "queue", 1)
    assert watch.look(0) == []
    pony.pass_(OUT, "queue", 2)
    assert [seen.peerid for seen in watch.last()] == [1, 2]
    assert watch.last() == []


def test_no_recorder_in_a_row(pony: Process, client: Any) -> None:
    row, fd = pony.row("pony")
    assert fd is not None
    for answer in ((row, None), (ClientDone(1, "", 0), os.dup(fd)), (row._replace(size=SIZE * 9), fd)):
        client.answers = [answer]
        with pytest.raises(Incompatible):
            recorders(client)
    with pytest.raises(OSError):
        os.fstat(fd)  # it was closed
