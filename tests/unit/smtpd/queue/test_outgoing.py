"""Envelopes on their way out."""

import os
import time
from typing import Any

from smtpd.mail.envelope import Envelope
from smtpd.messages.pony_queue import (
    DeliverMda,
    HastenEnvelopes,
    HoldEnvelope,
    OpenMessage,
    RelayMta,
    ReleaseHold,
)
from smtpd.messages.queue_scheduler import (
    DeliverEnvelopes,
    EnvelopeDone,
    EnvelopeHeld,
    EnvelopesHastened,
    HoldReleased,
)


def test_due(world: Any, relay: Envelope, local: Envelope) -> None:
    first, second = world.received(relay, local)
    before = int(time.time())
    world.handle("scheduler", DeliverEnvelopes("mta", [first.evpid]))
    world.handle("scheduler", DeliverEnvelopes("mda", [second.evpid]))
    relayed, delivered = world.pony.take()
    assert isinstance(relayed, RelayMta) and isinstance(delivered, DeliverMda)
    assert before <= relayed.envelope.last_try <= time.time()
    assert relayed.envelope._replace(last_try=0) == first
    assert delivered.envelope._replace(last_try=0) == second
    assert world.stored(first.evpid) == first  # the time of a try is stored when it has failed
    assert world.scheduler.sent == []


def test_due_after_a_restart(world: Any, relay: Envelope) -> None:
    evpids = [world.received(relay)[0].evpid for _ in range(5)]
    world.restart()
    world.handle("scheduler", DeliverEnvelopes("mta", evpids))
    assert [message.envelope.evpid for message in world.pony.take()] == evpids


def test_due_but_gone(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    world.handle("scheduler", DeliverEnvelopes("mta", [5 << 32 | 1, stored.evpid]))
    assert world.scheduler.take() == [EnvelopeDone(5 << 32 | 1, "corrupt")]
    assert [message.envelope.evpid for message in world.pony.take()] == [stored.evpid]
    assert world.log.lines[-1] == "warn: queue: deliver: failed to load envelope 0000000500000001"


def test_due_but_leased_by_another_node(world: Any, relay: Envelope) -> None:
    first, second = world.received(relay, relay)
    world.spool.take = lambda evpids, until, then: then(evpids[1:])
    world.handle("scheduler", DeliverEnvelopes("mta", [first.evpid, second.evpid]))
    assert [message.envelope.evpid for message in world.pony.take()] == [second.evpid]


def test_the_content(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay, content=b"Subject: x\n\nhello\n")
    assert world.handle("pony", OpenMessage(stored.evpid >> 32)).error == ""
    fd = world.pony.fds.pop()
    assert os.read(fd, 100) == b"Subject: x\n\nhello\n"
    os.close(fd)


def test_content_that_is_gone_takes_the_message_along(world: Any, relay: Envelope) -> None:
    first, second = world.received(relay, relay)
    msgid = first.evpid >> 32
    os.close(world.spool._contents[msgid])
    del world.spool._contents[msgid]
    world.spool._remove_message = lambda msgid: bool(world.spool._envelopes.pop(msgid, None))
    reply = world.handle("pony", OpenMessage(msgid))
    assert reply.error and world.pony.fds == []
    assert world.spool.aside == {msgid: None}
    world.handle("scheduler", DeliverEnvelopes("mta", [second.evpid]))
    assert world.scheduler.take() == [EnvelopeDone(second.evpid, "corrupt")]


def test_content_that_cannot_be_opened_now(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    world.spool.fails = {"open_message"}
    assert world.handle("pony", OpenMessage(stored.evpid >> 32)).error == "No space left on device"
    assert world.spool.aside == {} and world.stored(stored.evpid) == stored


def test_hold_queues(world: Any) -> None:
    world.handle("pony", HoldEnvelope(5, 9))
    world.handle("pony", ReleaseHold("mta", 9, 3))
    world.handle("pony", ReleaseHold("mda", 8, 0, True))
    assert world.scheduler.take() == [
        EnvelopeHeld(5, 9),
        HoldReleased("mta", 9, 3, False),
        HoldReleased("mda", 8, 0, True),
    ]


def test_what_waited_for_a_destination_is_hastened(world: Any) -> None:
    world.handle("pony", HastenEnvelopes([5, 7]))
    assert world.scheduler.take() == [EnvelopesHastened([5, 7])]
