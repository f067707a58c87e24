"""Envelopes in memory and in the spool."""

from typing import Any

import pytest

from smtpd.mail.envelope import BOUNCE, Envelope
from smtpd.mail.envelope_text import encode
from smtpd.queue import envelopes as module
from smtpd.spool.backend import CORRUPT, ERROR, GONE, Failure, Stored


def get(world: Any, evpid: int) -> Envelope | None:
    answers: list[Envelope | None] = []
    world.process.envelopes.get(evpid, answers.append)
    assert len(answers) == 1
    return answers[0]


def counter(world: Any, name: str) -> int:
    value: int = world.process.stat.get(f"queue.evpcache.{name}")
    return value


def test_a_new_one_is_not_read_back(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    world.spool.fails = {"load"}
    assert get(world, stored.evpid) == stored
    assert (counter(world, "load.hit"), counter(world, "load.missed"), counter(world, "size")) == (1, 0, 1)


def test_one_that_is_not_in_memory_is_read_once(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    world.restart()
    assert get(world, stored.evpid) == stored
    world.spool.fails = {"load"}
    assert get(world, stored.evpid) == stored
    assert (counter(world, "load.hit"), counter(world, "load.missed")) == (1, 1)


def test_the_one_used_longest_ago_goes_first(
    world: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CACHED", 3)
    [a], [b], [c] = (world.received(relay) for _ in range(3))
    get(world, a.evpid)
    [d] = world.received(relay)
    kept = world.process.envelopes._cache
    assert list(kept) == [c.evpid, a.evpid, d.evpid]
    assert counter(world, "size") == 3
    assert get(world, b.evpid) == b


def test_update_changes_disk_then_memory(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    changed = stored._replace(retry=3)
    results: list[Failure | None] = []
    world.spool.fails = {"update"}
    world.process.envelopes.update(changed, results.append)
    assert get(world, stored.evpid) == stored
    world.spool.fails = set()
    world.process.envelopes.update(changed, results.append)
    assert get(world, stored.evpid) == changed == world.stored(stored.evpid)
    assert results[0] is not None and results[1] is None
    assert counter(world, "update.hit") == 1


def test_what_cannot_be_written_is_a_failure(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    results: list[Failure | None] = []
    world.process.envelopes.update(stored._replace(errorline="a\nb"), results.append)
    world.process.envelopes.add(stored._replace(evpid=stored.evpid ^ 1, type="x"), results.append)
    assert [result.kind for result in results if result] == [ERROR, ERROR]
    assert get(world, stored.evpid) == stored


def test_delete(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    results: list[Failure | None] = []
    world.process.envelopes.delete(stored.evpid, results.append)
    assert get(world, stored.evpid) is None
    world.process.envelopes.delete(stored.evpid, results.append)
    assert results[0] is None and results[1] is not None and results[1].kind == GONE
    assert counter(world, "size") == 0


def test_add(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    bounce = stored._replace(evpid=stored.evpid ^ 1, type=BOUNCE, bounce_type="failed")
    results: list[Failure | None] = []
    world.process.envelopes.add(bounce, results.append)
    assert results == [None]
    assert get(world, bounce.evpid) == bounce == world.stored(bounce.evpid)


def test_several_in_the_order_asked(world: Any, relay: Envelope) -> None:
    [a], [b] = world.received(relay), world.received(relay)
    world.restart()
    get(world, b.evpid)
    answers: list[Any] = []
    world.process.envelopes.get_many([a.evpid, 12345 << 32 | 1, b.evpid], answers.append)
    assert answers == [[(a.evpid, a), (12345 << 32 | 1, None), (b.evpid, b)]]
    world.process.envelopes.get_many([], answers.append)
    assert answers[1] == []


def test_those_who_only_look_drive_nothing_out(world: Any, relay: Envelope) -> None:
    [a], [b] = world.received(relay), world.received(relay)
    world.restart()
    get(world, b.evpid)
    answers: list[Any] = []
    world.process.envelopes.get_many([a.evpid, b.evpid], answers.append, keep=False)
    assert answers == [[(a.evpid, a), (b.evpid, b)]]
    assert list(world.process.envelopes._cache) == [b.evpid]


def test_a_trace(world: Any, relay: Envelope) -> None:
    world.log.set_trace("queue", True)
    [stored] = world.received(relay)
    world.process.envelopes.update(stored, lambda _result: None)
    world.process.envelopes.delete(stored.evpid, lambda _result: None)
    get(world, stored.evpid)
    msgid = f"{stored.evpid >> 32:08x}"
    assert world.log.lines == [
        f"queue: create msg:{msgid}: ok",
        f"queue: commit msg:{msgid}: ok",
        f"queue: update evp:{stored.evpid:016x}: ok",
        f"queue: delete evp:{stored.evpid:016x}: ok",
        f"queue: load evp:{stored.evpid:016x}: no",
    ]


def test_a_message_that_was_set_aside_is_forgotten(world: Any, relay: Envelope) -> None:
    first, second = world.received(relay, relay)
    [other] = world.received(relay)
    world.process.envelopes.forget(first.evpid >> 32)
    assert world.process.envelopes.cached(first.evpid) is None
    assert world.process.envelopes.cached(second.evpid) is None
    assert world.process.envelopes.cached(other.evpid) == other
    assert counter(world, "size") == 1


# what cannot be used


@pytest.mark.parametrize("data", [b"", b"garbage", b"version: 3\ntype: mta\nretry: x\n"])
def test_text_that_is_none_is_set_aside(world: Any, relay: Envelope, data: bytes) -> None:
    [bad] = world.received(relay)
    [good] = world.received(relay)
    world.spool._envelopes[bad.evpid >> 32][bad.evpid] = data
    world.restart()
    assert get(world, bad.evpid) is None
    assert get(world, good.evpid) == good
    assert world.spool.aside == {bad.evpid: data}
    [line] = [line for line in world.log.lines if "invalid envelope" in line]
    assert line.startswith(f"warn: invalid envelope {bad.evpid:016x}: ") and line.endswith(
        "moved to corrupt/"
    )


def test_a_failure_to_set_aside_is_logged(world: Any, relay: Envelope) -> None:
    [bad] = world.received(relay)
    world.spool._envelopes[bad.evpid >> 32][bad.evpid] = b"x"
    world.restart()
    world.spool.fails = {"set_aside"}
    assert get(world, bad.evpid) is None
    assert world.log.lines[-1] == f"warn: queue: envelope {bad.evpid:016x}: No space left on device"


def test_a_fault_of_the_disk_is_not_held_against_the_envelope(world: Any, relay: Envelope) -> None:
    envelopes = world.process.envelopes
    assert envelopes.decoded(Stored(5, Failure(ERROR, "read envelope: Input/output error"))) is None
    assert world.log.lines[-1] == "warn: queue: envelope 0000000000000005: read envelope: Input/output error"
    assert envelopes.decoded(Stored(5, Failure(GONE, "gone"))) is None
    assert world.spool.aside == {}
    [bad] = world.received(relay)
    assert envelopes.decoded(Stored(bad.evpid, Failure(CORRUPT, "not a file"))) is None
    assert set(world.spool.aside) == {bad.evpid}


def test_an_action_that_is_no_more(world: Any, relay: Envelope) -> None:
    """Another configuration may bring it back: the envelope stays where it is."""
    [stored] = world.received(relay)
    text = encode(stored._replace(dispatcher="gone"))
    world.spool._envelopes[stored.evpid >> 32][stored.evpid] = text
    world.restart()
    assert get(world, stored.evpid) is None
    assert world.spool.aside == {} and world.stored(stored.evpid).dispatcher == "gone"
    assert "unknown dispatcher 'gone'" in world.log.lines[-1]


def test_the_ttl_is_that_of_the_configuration(world: Any, relay: Envelope, local: Envelope) -> None:
    """OpenSMTPD writes 0; were it taken for one, all of its spool would expire at once."""
    envelopes = world.process.envelopes
    stored = Stored(5 << 32 | 1, encode(local._replace(ctime=1700000000)))
    envelope = envelopes.decoded(stored)
    assert envelope is not None and envelope.ttl == 3600
    times = envelopes.times(relay._replace(evpid=9, ctime=5, ttl=1, last_try=6, last_bounce=7, retry=8))
    assert times == (9, "mta", 5, 345600, 6, 7, 8)
