"""Filling scheduler at start."""

from typing import Any

from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode
from smtpd.messages.queue_scheduler import EnvelopesReady


def told(world: Any) -> list[int]:
    evpids = []
    for message in world.scheduler.take():
        assert isinstance(message, EnvelopesReady)
        evpids += [times.evpid for times in message.envelopes]
    return evpids


def test_every_envelope_once(world: Any, relay: Envelope, local: Envelope) -> None:
    expected = [one.evpid for _ in range(20) for one in world.received(relay, local)]
    world.restart()
    world.process.begin()
    assert sorted(told(world)) == sorted(expected)
    assert world.log.lines[-1] == "debug: queue: done loading queue into scheduler: 40 envelopes"


def test_an_empty_spool(world: Any) -> None:
    world.process.begin()
    assert world.scheduler.sent == []


def test_it_waits_for_scheduler(world: Any, relay: Envelope) -> None:
    for _ in range(5):
        world.received(relay)
    world.restart()
    world.scheduler.full = True
    world.process.begin()
    total = len(told(world))
    assert total == 1
    for _ in range(4):
        world.scheduler.drained.pop()()
        total += len(told(world))
    assert total == 5
    world.scheduler.full = False
    world.scheduler.drained.pop()()
    assert world.log.lines[-1].endswith("scheduler: 5 envelopes")


def test_unusable_envelopes_are_left_out(world: Any, relay: Envelope) -> None:
    good, bad, unknown = world.received(relay, relay, relay)
    texts = world.spool._envelopes[good.evpid >> 32]
    texts[bad.evpid] = b"\0"
    texts[unknown.evpid] = encode(unknown._replace(dispatcher="gone"))
    world.restart()
    world.process.begin()
    assert told(world) == [good.evpid]
    assert set(world.spool.aside) == {bad.evpid}


def test_many_of_one_message_fit_their_frames(world: Any, relay: Envelope) -> None:
    for evpid in range(1, 1002):
        world.spool._envelopes.setdefault(7, {})[7 << 32 | evpid] = encode(relay)
    world.process.begin()
    assert [len(message.envelopes) for message in world.scheduler.sent] == [200] * 5 + [1]


def test_it_stops_with_the_daemon(world: Any, relay: Envelope) -> None:
    for _ in range(5):
        world.received(relay)
    world.restart()
    world.scheduler.full = True
    world.process.begin()
    world.process._loading.stop()
    world.scheduler.drained.pop()()
    assert world.scheduler.drained == []
