"""discover, uncorrupt: what scheduler is told of, and what the administrator hears."""

from pathlib import Path
from typing import Any

from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode
from smtpd.messages.control_queue import DiscoverEnvelopes, EnvelopesDiscovered, UncorruptMessage
from smtpd.messages.queue_scheduler import EnvelopesReady
from smtpd.spool import layout
from smtpd.spool.fs import FsBackend


def ask(world: Any, message: Any) -> EnvelopesDiscovered:
    """The reply, whenever it comes."""
    reply = world.handle("control", message)
    if reply is None:
        world.until(lambda: world.control.sent)
        (reply,) = world.control.take()
    assert isinstance(reply, EnvelopesDiscovered)
    return reply


def announced(world: Any) -> list[int]:
    """What scheduler was told of."""
    told = world.scheduler.take()
    assert all(isinstance(message, EnvelopesReady) for message in told)
    return [times.evpid for message in told for times in message.envelopes]


def test_a_message_and_one_envelope(world: Any, relay: Envelope) -> None:
    first, second = world.received(relay, relay)
    evpids = sorted((first.evpid, second.evpid))
    assert ask(world, DiscoverEnvelopes(first.evpid >> 32))[1:] == ("", 2)
    assert announced(world) == evpids
    assert ask(world, DiscoverEnvelopes(second.evpid))[1:] == ("", 1)
    assert announced(world) == [second.evpid]


def test_nothing_there(world: Any, relay: Envelope) -> None:
    (envelope,) = world.received(relay)
    assert ask(world, DiscoverEnvelopes(0x12345678))[1:] == ("", 0)
    assert ask(world, DiscoverEnvelopes(envelope.evpid ^ 1))[1:] == ("", 0)
    assert announced(world) == []


def test_one_that_cannot_be_used_is_not_scheduled(world: Any, relay: Envelope) -> None:
    good, bad = world.received(relay, relay)
    world.restart()
    world.spool.update(bad.evpid, b"no envelope\n", lambda _result: None)
    assert ask(world, DiscoverEnvelopes(good.evpid >> 32))[1:] == ("", 1)
    assert announced(world) == [good.evpid]
    assert bad.evpid in world.spool.aside


def test_nothing_set_aside(world: Any) -> None:
    reply = ask(world, UncorruptMessage(0x12345678))
    assert (reply.error, reply.number) == ("nothing was set aside of that message", 0)
    assert announced(world) == []


def test_back_from_corrupt(world: Any, relay: Envelope, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    assert layout.prepare(str(spool)) == []
    aside = spool / "corrupt/12345678"
    aside.mkdir()
    (aside / "message").write_bytes(b"Subject: x\n\nbody\n")
    evpids = [0x1234567800000001, 0x1234567800000002]
    for evpid in evpids:
        (aside / f"{evpid:016x}").write_bytes(encode(relay._replace(evpid=evpid)))
    world.restart(FsBackend(str(spool), world.loop, world.log.warn))
    assert ask(world, UncorruptMessage(0x12345678))[1:] == ("", 2)
    assert announced(world) == evpids
    assert list((spool / "corrupt").iterdir()) == []
    assert "queue: message 12345678 moved back from corrupt/" in world.log.lines
    world.loop.run_until_complete(world.process.spool.close())
