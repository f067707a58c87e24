"""smtpd/control/watchers.py, in a whole process whose peers and clients the test holds (conftest.py)."""

import asyncio
import os
import socket
from typing import Any

import pytest

from imsg import Channel
from imsg.message import kind_of
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.client_control import ClientDone, ClientSetTrace
from smtpd.messages.client_observation import ClientShowRecorders, ClientWatch, RecorderRow
from smtpd.messages.control_observation import ProcessMemory, SetTape, WipeTape
from smtpd.messages.control_process import OTHERS
from smtpd.messages.pony_queue import CommitMessage, CreateMessage

from .conftest import receive

CREATE, COMMIT = kind_of(CreateMessage).number, kind_of(CommitMessage).number
OFF = SetTape(False, False, [])


def memory_of(bench: Any, process: str, pid: int, content: bytes) -> None:
    """parent has started a process."""
    fd = os.memfd_create(process)
    os.write(fd, content)
    bench.ends["parent"].put(ProcessMemory(process, 0, pid, len(content)), fd)
    bench.ends["parent"].flush()
    bench.turn()


def told(bench: Any) -> list[SetTape]:
    """What every other process was told of the tape, since the last time."""
    heard = [[m for m in bench.heard[name] if isinstance(m, SetTape)] for name in OTHERS]
    assert all(one == heard[0] for one in heard)
    for name in OTHERS:
        bench.heard[name].clear()
    return heard[0]


def begin(bench: Any, client: Channel, *watch: Any) -> None:
    client.put(ClientWatch(*watch))
    client.flush()
    bench.turn()


def heard(bench: Any, client: Channel) -> list[Any]:
    """What a client was sent; a memory's row with its content in place of the request's id."""
    bench.turn()
    found: list[Any] = []
    for _number, message, _peerid, fd in receive(client):
        if isinstance(message, RecorderRow):
            assert fd is not None
            found.append((os.pread(fd, 100, 0), *message[1:]))
            os.close(fd)
        else:
            assert fd is None
            found.append(message._replace(reqid=0))
    return found


def test_the_memories_are_lent(bench: Any) -> None:
    memory_of(bench, "pony", 77, b"tape of pony")
    memory_of(bench, "queue", 78, b"tape of queue")
    client = bench.connect()
    client.put(ClientShowRecorders())
    client.flush()
    assert heard(bench, client) == [
        (b"tape of pony", "pony", 0, 77, 12),
        (b"tape of queue", "queue", 0, 78, 13),
        ClientDone(0, "", 2),
    ]
    assert told(bench) == [], "to lend is not to watch"


def test_a_process_that_was_started_again(bench: Any) -> None:
    memory_of(bench, "pony", 77, b"old")
    before = len(os.listdir("/proc/self/fd"))
    memory_of(bench, "pony", 79, b"new tape")
    assert len(os.listdir("/proc/self/fd")) <= before
    client = bench.connect()
    client.put(ClientShowRecorders())
    client.flush()
    assert heard(bench, client) == [(b"new tape", "pony", 0, 79, 8), ClientDone(0, "", 1)]


def test_memory_without_a_descriptor(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong: list[str] = []
    monkeypatch.setattr(bench.process, "fatal", wrong.append)
    bench.process.watchers.process_memory(bench.process.peer("parent"), ProcessMemory("pony", 0, 1, 1), None)
    assert wrong == ["parent: ProcessMemory without a descriptor"]
    assert bench.process.watchers.memories == {}


def test_processes_are_told_what_all_watchers_want(bench: Any) -> None:
    memory_of(bench, "pony", 77, b"tape")
    one, two = bench.connect(), bench.connect()
    begin(bench, one, [CREATE], False, 0)
    assert heard(bench, one) == [(b"tape", "pony", 0, 77, 4)], "and the request is under way"
    assert told(bench) == [SetTape(True, False, [CREATE])]
    begin(bench, two, [COMMIT, CREATE], True, 0)
    assert told(bench) == [SetTape(True, True, sorted((CREATE, COMMIT)))]
    heard(bench, two)
    begin(bench, three := bench.connect(), [], False, 0)
    assert told(bench) == [SetTape(True, True, [])]
    heard(bench, three)
    for client, left in (
        (two, [SetTape(True, False, [])]),
        (three, [SetTape(True, False, [CREATE])]),
        (one, [OFF]),
    ):
        client.close()
        bench.turn()
        assert told(bench) == left


def test_a_watch_ends_after_its_time(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    timeout = asyncio.timeout
    monkeypatch.setattr(asyncio, "timeout", lambda seconds: timeout(seconds and seconds / 50))
    client = bench.connect()
    begin(bench, client, [], False, 1)
    assert told(bench) == [SetTape(True, False, [])] and heard(bench, client) == []
    bench.loop.run_until_complete(asyncio.sleep(0.05))
    assert heard(bench, client) == [ClientDone(0, "", 0)]
    assert told(bench) == [OFF]


def test_a_watch_ends_when_its_client_wants_something_else(bench: Any) -> None:
    client = bench.connect()
    begin(bench, client, [], False, 0)
    client.put(ClientShowRecorders())
    client.flush()
    assert heard(bench, client) == [ClientDone(0, "", 0), ClientDone(0, "", 0)]
    assert told(bench) == [SetTape(True, False, []), OFF]


@pytest.mark.parametrize("subsystem", ["imsg", "all"])
def test_untrace_ends_every_watch(bench: Any, subsystem: str) -> None:
    client = bench.connect()
    begin(bench, client, [], False, 0)
    told(bench)
    bench.ask(bench.connect(), ClientSetTrace(subsystem, False))
    assert heard(bench, client) == [ClientDone(0, f"ended by untrace {subsystem}", 0)]
    for name in OTHERS:
        assert (WipeTape() in bench.heard[name]) == (subsystem == "all")
    assert told(bench) == [OFF]


def test_the_end_of_another_trace_ends_no_watch(bench: Any) -> None:
    client = bench.connect()
    begin(bench, client, [], False, 0)
    bench.ask(bench.connect(), ClientSetTrace("smtp", False))
    assert heard(bench, client) == [] and told(bench) == [SetTape(True, False, [])]


@pytest.mark.parametrize("watched", [False, True])
def test_a_fresh_link_hears_of_the_watchers(bench: Any, watched: bool) -> None:
    client = bench.connect()
    if watched:
        begin(bench, client, [CREATE], True, 0)
    ours, theirs = socket.socketpair()
    old, bench.ends["pony"] = bench.ends["pony"], Channel(theirs, CATALOGUE)
    bench.heard["pony"].clear()
    bench.process.attach("pony", 0, Channel(ours, CATALOGUE))
    old.close()
    bench.turn()
    again = [message for message in bench.heard["pony"] if isinstance(message, SetTape)]
    assert again == ([SetTape(True, True, [CREATE])] if watched else [])


def test_close(bench: Any) -> None:
    memory_of(bench, "pony", 77, b"tape")
    (memory,) = bench.process.watchers.memories.values()
    bench.process.watchers.close()
    with pytest.raises(OSError):
        os.fstat(memory.fd)
    assert bench.process.watchers.memories == {}
