"""Envelopes for control."""

from typing import Any

from smtpd.mail.envelope import Envelope
from smtpd.messages.control_queue import DescribeEnvelopes


def test_in_the_order_asked_without_those_that_are_gone(world: Any, relay: Envelope) -> None:
    [a], [b] = world.received(relay), world.received(relay)
    reply = world.handle("control", DescribeEnvelopes([b.evpid, 5, a.evpid]))
    assert reply.taken == 3
    assert reply.envelopes == [b, a]


def test_nothing(world: Any) -> None:
    assert world.handle("control", DescribeEnvelopes([]))[1:] == (0, [])


def test_as_many_as_one_frame_holds(world: Any, relay: Envelope) -> None:
    long = relay._replace(errorline="e" * 2000, username="u" * 255, dsn_orcpt="rfc822;" + "o" * 400)
    stored = world.received(*[long] * 20)
    evpids = [envelope.evpid for envelope in stored]
    described: list[Envelope] = []
    rounds = 0
    while len(described) < 20:
        reply = world.handle("control", DescribeEnvelopes(evpids[len(described) :]))
        assert reply.taken == len(reply.envelopes) >= 3
        described += reply.envelopes
        rounds += 1
    assert described == stored and rounds <= 7
