"""What every backend that keeps something has to do."""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from smtpd.spool.backend import EXISTS, GONE, Failure
from smtpd.spool.ram import RamBackend


@pytest.fixture(params=["fs", "ram"])
def spool(
    request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop, open_spool: Callable[[], Any]
) -> Iterator[Any]:
    fs = open_spool()
    if request.param == "fs":
        yield fs
        return
    ram = type(fs)(loop, RamBackend())
    yield ram
    ram.close()


def test_a_message_from_coming_in_to_going_out(spool: Any) -> None:
    first, second = spool.commit(b"Subject: x\n\nbody\n", (b"one\n", b"two\n"))
    assert first >> 32 == second >> 32
    assert spool.content(first >> 32) == b"Subject: x\n\nbody\n"
    assert (spool.text(first), spool.text(second)) == (b"one\n", b"two\n")
    assert spool.ask("delete", first) is None
    assert spool.text(first).kind == GONE
    assert spool.content(first >> 32) == b"Subject: x\n\nbody\n"
    assert spool.ask("delete", second) is None
    assert spool.content(first >> 32).kind == GONE
    assert spool.walk() == {}


def test_readers_do_not_share_a_position(spool: Any) -> None:
    [evpid] = spool.commit(b"content\n")
    one, other = spool.ask("open_message", evpid >> 32), spool.ask("open_message", evpid >> 32)
    assert os.read(one, 4) == b"cont" and os.read(other, 100) == b"content\n"
    os.close(one)
    os.close(other)


def test_an_open_content_outlives_its_message(spool: Any) -> None:
    [evpid] = spool.commit(b"old\n")
    fd = spool.ask("open_message", evpid >> 32)
    spool.ask("delete", evpid)
    for _ in range(3):
        spool.commit(b"a later message\n")
    assert os.read(fd, 100) == b"old\n"
    os.close(fd)


def test_rollback(spool: Any) -> None:
    msgid, [evpid] = spool.write(b"never\n")
    spool.backend.rollback(msgid)
    spool.backend.rollback(msgid)
    assert spool.content(msgid).kind == GONE
    assert spool.ask("commit", msgid, [(evpid, b"e\n")]).kind == GONE
    assert spool.walk() == {}


def test_rollback_of_what_is_queued_does_nothing(spool: Any) -> None:
    [evpid] = spool.commit()
    spool.backend.rollback(evpid >> 32)
    assert spool.text(evpid) == b"envelope\n"


def test_a_message_is_opened_once(spool: Any) -> None:
    msgid, [evpid] = spool.write(b"content\n")
    assert spool.ask("open_incoming", msgid).kind == EXISTS
    assert spool.ask("commit", msgid, [(evpid, b"e\n")]) is None
    assert spool.content(msgid) == b"content\n"


def test_commit_without_content(spool: Any) -> None:
    msgid = spool.backend.new_msgid()
    assert spool.ask("commit", msgid, []).kind == GONE


def test_update(spool: Any) -> None:
    [evpid] = spool.commit()
    assert spool.ask("update", evpid, b"new\n") is None
    assert spool.text(evpid) == b"new\n"
    spool.ask("delete", evpid)
    assert spool.ask("update", evpid, b"newer\n").kind == GONE
    assert spool.walk() == {}


def test_add(spool: Any) -> None:
    [evpid] = spool.commit()
    bounce = spool.backend.new_evpid(evpid >> 32)
    assert spool.ask("add", bounce, b"bounce\n") is None
    assert spool.ask("add", bounce, b"again\n").kind == EXISTS
    assert spool.ask("delete", evpid) is None
    assert spool.text(bounce) == b"bounce\n"
    assert spool.content(evpid >> 32) == b"content\n"
    assert spool.ask("delete", bounce) is None
    assert spool.content(evpid >> 32).kind == GONE


def test_add_to_nothing(spool: Any) -> None:
    msgid = spool.backend.new_msgid()
    assert spool.ask("add", spool.backend.new_evpid(msgid), b"bounce\n").kind == GONE


def test_load_answers_in_the_order_asked(spool: Any) -> None:
    [one] = spool.commit(texts=(b"1\n",))
    [two] = spool.commit(texts=(b"2\n",))
    missing = spool.backend.new_evpid(one >> 32)
    stored = spool.ask("load", [two, missing, one])
    assert [evpid for evpid, _data in stored] == [two, missing, one]
    assert [data if isinstance(data, bytes) else data.kind for _evpid, data in stored] == [
        b"2\n",
        GONE,
        b"1\n",
    ]


def test_delete_twice(spool: Any) -> None:
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    assert spool.ask("delete", first) is None
    assert spool.ask("delete", first).kind == GONE
    assert spool.text(second) == b"2\n"


def test_set_aside(spool: Any) -> None:
    bad, good = spool.commit(texts=(b"bad\n", b"good\n"))
    assert spool.ask("set_aside", bad) is None
    assert spool.text(bad).kind == GONE
    assert spool.text(good) == b"good\n"
    assert spool.ask("set_aside", bad).kind == GONE
    assert spool.ask("delete", good) is None
    assert spool.content(good >> 32).kind == GONE


def test_set_aside_a_message(spool: Any) -> None:
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    assert spool.ask("set_aside_message", first >> 32) is None
    assert spool.text(first).kind == GONE and spool.text(second).kind == GONE
    assert spool.ask("set_aside_message", first >> 32).kind == GONE


def test_ids_are_new(spool: Any) -> None:
    msgids = {spool.backend.new_msgid() for _ in range(1000)}
    assert len(msgids) > 990 and 0 not in msgids and max(msgids) < 1 << 32
    msgid = msgids.pop()
    evpids = {spool.backend.new_evpid(msgid) for _ in range(1000)}
    assert {evpid >> 32 for evpid in evpids} == {msgid}
    assert all(evpid & 0xFFFFFFFF for evpid in evpids)


def test_a_store_of_one_node_leases_everything(spool: Any) -> None:
    evpids = spool.commit(texts=(b"1\n", b"2\n"))
    answer: list[list[int]] = []
    spool.backend.take(evpids, 0.0, answer.append)
    assert answer == [evpids]


def test_close_finishes_what_was_begun(spool: Any, loop: asyncio.AbstractEventLoop) -> None:
    results: list[Failure | None] = []
    for _ in range(20):
        msgid, [evpid] = spool.write(b"content\n")
        spool.backend.commit(msgid, [(evpid, b"e\n")], results.append)
    spool.write(b"never committed\n")
    spool.close()
    assert results == [None] * 20
