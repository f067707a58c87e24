"""Telling senders: bounce envelopes and notifications."""

import email
import email.policy
import os
import time
from typing import Any

import pytest

from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import (
    BOUNCE_TTL,
    DSN_DELAY,
    DSN_FAILURE,
    DSN_NEVER,
    DSN_SUCCESS,
    FLAG_AUTHENTICATED,
    FLAG_BOUNCE,
    Envelope,
)
from smtpd.messages.lookup_queue import BounceExpanded, ExpandBounce, SubmitEnvelopes
from smtpd.messages.pony_queue import DeliveryOk, DeliveryPermfail, DeliveryTempfail
from smtpd.messages.queue_scheduler import (
    DeliverEnvelopes,
    EnvelopeDone,
    EnvelopeRetry,
    EnvelopesReady,
)
from smtpd.queue import bounces

CONTENT = b"Subject: lunch\nFrom: ann\n\nAt noon?\n"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for others here."""
    monkeypatch.setattr(bounces, "GATHER_SECONDS", 0.0)


def bounced(world: Any, *envelopes: Envelope) -> list[int]:
    """A message all of whose envelopes failed; its bounce envelopes."""
    for stored in world.received(*envelopes, content=CONTENT):
        world.handle("pony", DeliveryPermfail(stored.evpid, "550 5.1.1 no such user", 5, 11))
    evpids = [
        times.evpid
        for message in world.scheduler.take()
        if isinstance(message, EnvelopesReady)
        for times in message.envelopes
    ]
    assert {world.stored(evpid).type for evpid in evpids} <= {"bounce"}
    return evpids


def due(world: Any, *evpids: int, expected: int = 1) -> None:
    """Have bounce envelopes in flight until lookup was asked about so many notifications."""
    count = len(world.lookup.asked) + expected
    world.handle("scheduler", DeliverEnvelopes("bounce", list(evpids)))
    world.until(lambda: len(world.lookup.asked) >= count)


def expand(world: Any, status: str = "ok", error: str = "", envelopes: int = 1) -> ExpandBounce:
    """Answer the oldest question to lookup; the question."""
    message, then = world.lookup.asked.pop(0)
    assert isinstance(message, ExpandBounce)
    msgid = message.envelope.evpid >> 32
    if status == "ok":
        one = message.envelope._replace(dispatcher="relay", evpid=0)
        assert world.handle("lookup", SubmitEnvelopes(msgid, False, [one] * envelopes)).error == ""
    then(BounceExpanded(0, status, error))
    return message


def notification(world: Any, msgid: int) -> Any:
    """The new message's content, parsed."""
    answers: list[int] = []
    world.spool.open_message(msgid, answers.append)
    with os.fdopen(answers[0], "rb") as file:
        return email.message_from_bytes(file.read(), policy=email.policy.default)


# bounce envelopes


def test_the_bounce_envelope(world: Any, local: Envelope) -> None:
    cause = local._replace(
        dsn_notify=DSN_FAILURE, dsn_ret="FULL", dsn_envid="QQ", dsn_orcpt="rfc822;x@y", retry=3
    )
    [evpid] = bounced(world, cause)
    bounce = world.stored(evpid)
    assert bounce == cause._replace(
        evpid=evpid,
        type="bounce",
        ctime=bounce.ctime,
        ttl=BOUNCE_TTL,
        retry=0,
        errorline="550 5.1.1 no such user",
        esc_class=5,
        esc_code=11,
        mda_user="",
        bounce_type="failed",
    )
    assert world.process.envelopes.cached(evpid) == bounce


@pytest.mark.parametrize(
    ("notify", "told"),
    [
        (0, True),
        (DSN_FAILURE, True),
        (DSN_FAILURE | DSN_DELAY | DSN_SUCCESS, True),
        (DSN_SUCCESS, False),
        (DSN_DELAY, False),
        (DSN_NEVER, False),
    ],
)
def test_a_failure_only_where_it_is_wanted(world: Any, relay: Envelope, notify: int, told: bool) -> None:
    """RFC 3461 4.1: without NOTIFY a failure is told, with it only if it says so."""
    assert bool(bounced(world, relay._replace(dsn_notify=notify))) is told
    assert bool(world.queued()) is told


def test_a_bounce_that_fails_is_dropped(world: Any, relay: Envelope) -> None:
    [evpid] = bounced(world, relay)
    world.handle("pony", DeliveryPermfail(evpid, "550", 5, 0))
    assert world.queued() == []
    assert "warn: queue: double bounce!" in world.log.lines
    assert world.scheduler.take() == [EnvelopeDone(evpid, "permfail")]


# warnings


def tempfail(world: Any, stored: Envelope) -> None:
    world.handle("pony", DeliveryTempfail(stored.evpid, "421 busy", 4, 41))


def old(world: Any, relay: Envelope, age: int, **changes: Any) -> Envelope:
    """A queued envelope of some age, in seconds."""
    [stored] = world.received(relay)
    stored = stored._replace(ctime=stored.ctime - age, **changes)
    results: list[Any] = []
    world.process.envelopes.update(stored, results.append)
    assert results == [None]
    return stored


@pytest.mark.parametrize(
    ("age", "last_bounce", "delay"),
    [
        (0, None, 0),
        (14399, None, 0),
        (14400, None, 14400),
        (86399, None, 14400),
        (86400, None, 86400),  # one warning, the later one
        (20000, 14400, 0),
        (86400, 14400, 86400),
        (400000, 86400, 0),
    ],
)
def test_a_warning_when_an_interval_is_over(
    world: Any, relay: Envelope, age: int, last_bounce: int | None, delay: int
) -> None:
    stored = old(world, relay, age)
    if last_bounce is not None:
        stored = stored._replace(last_bounce=stored.ctime + last_bounce)
        world.process.envelopes.update(stored, lambda _result: None)
    tempfail(world, stored)
    after = world.stored(stored.evpid)
    warnings = [one for one in world.queued() if one.type == "bounce"]
    if delay:
        assert after.last_bounce == stored.ctime + delay
        [warning] = warnings
        assert (warning.bounce_type, warning.bounce_delay, warning.bounce_ttl) == ("delayed", delay, 345600)
        assert (warning.errorline, warning.esc_class) == ("421 busy", 4)
    else:
        assert warnings == [] and after.last_bounce == stored.last_bounce
    assert after.retry == 1
    assert isinstance(world.scheduler.take()[-1], EnvelopeRetry)


def test_a_warning_is_sent_once(world: Any, relay: Envelope) -> None:
    stored = old(world, relay, 15000)
    for _ in range(3):
        tempfail(world, stored)
    assert len(world.queued()) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"dsn_notify": DSN_NEVER},
        {"dsn_notify": DSN_FAILURE},
        {"sender": EMPTY},
        {"type": "bounce", "bounce_type": "failed"},
    ],
)
def test_no_warning(world: Any, relay: Envelope, changes: dict[str, Any]) -> None:
    stored = old(world, relay, 400000, **changes)
    tempfail(world, stored)
    assert len(world.queued()) == 1 and world.stored(stored.evpid).last_bounce == 0


def test_a_warning_that_cannot_be_stored_comes_later(world: Any, relay: Envelope) -> None:
    stored = old(world, relay, 15000)
    world.spool.fails = {"add"}
    tempfail(world, stored)
    assert world.stored(stored.evpid).last_bounce == 0 and world.stored(stored.evpid).retry == 1
    world.spool.fails = set()
    tempfail(world, stored)
    assert len(world.queued()) == 2


# notifications


def test_a_notification(world: Any, relay: Envelope) -> None:
    [evpid] = bounced(world, relay)
    before = int(time.time())
    due(world, evpid)
    asked = expand(world).envelope
    assert asked == Envelope(
        asked.evpid,
        "mta",
        smtpname="mx.example.org",
        helo="mx.example.org",
        hostname="mx.example.org",
        sockaddr="local",
        rcpt=MailAddress("ann", "example.net"),
        dest=MailAddress("ann", "example.net"),
        ctime=asked.ctime,
        ttl=345600,
        flags=FLAG_AUTHENTICATED | FLAG_BOUNCE,
    )
    assert before <= asked.ctime <= time.time()
    [new] = world.queued()
    assert new.sender == EMPTY and new.rcpt == relay.sender and new.evpid >> 32 == asked.evpid >> 32
    message = notification(world, new.evpid >> 32)
    assert message["Subject"] == "Delivery status notification: failed"
    assert message["To"] == "ann@example.net"
    *_, original = message.iter_parts()
    assert original.get_content() == "Subject: lunch\nFrom: ann\n"
    done, ready = world.scheduler.take()
    assert isinstance(ready, EnvelopesReady) and [times.evpid for times in ready.envelopes] == [new.evpid]
    assert done == EnvelopeDone(evpid, "ok")
    assert world.process.stat.get("bounce.session") == world.process.stat.get("bounce.envelope") == 0


def test_a_trace(world: Any, relay: Envelope) -> None:
    world.log.set_trace("bounce", True)
    [evpid] = bounced(world, relay)
    due(world, evpid)
    msgid = expand(world).envelope.evpid >> 32
    about = f"bounce: msg:{msgid:08x} failed on {evpid >> 32:08x}: "
    assert [line for line in world.log.lines if line.startswith("bounce: ")] == [
        about + "1 recipients, asking for the way to <ann@example.net>",
        about + "ok ",
        about + "queued",
    ]


def test_the_new_message_is_on_disk_before_the_bounce_envelope_goes(world: Any, relay: Envelope) -> None:
    [evpid] = bounced(world, relay)
    due(world, evpid)
    held: list[Any] = []
    real = world.spool.commit
    world.spool.commit = lambda *arguments: held.append(arguments)
    expand(world)
    assert world.find(evpid) is not None and world.scheduler.sent == []
    real(*held[0])
    assert world.find(evpid) is None


def test_one_notification_for_all_recipients_of_a_message(world: Any, relay: Envelope) -> None:
    other = relay._replace(dest=MailAddress("carol", "example.com"))
    evpids = bounced(world, relay, other)
    due(world, *evpids)
    expand(world)
    [new] = world.queued()
    report = next(iter(notification(world, new.evpid >> 32).iter_parts())).get_content()
    assert "bob@example.com: 550" in report and "carol@example.com: 550" in report
    assert [message.evpid for message in world.scheduler.take()[:2]] == evpids


def test_what_differs_is_told_apart(world: Any, relay: Envelope) -> None:
    evpids = bounced(world, relay, relay._replace(dsn_ret="FULL"))
    evpids += bounced(world, relay)
    due(world, *evpids, expected=3)
    assert len(world.lookup.asked) == 3
    for _ in range(3):
        expand(world)
    wholes = [
        part.get_content_type()
        for new in world.queued()
        for part in list(notification(world, new.evpid >> 32).iter_parts())[2:]
    ]
    assert sorted(wholes) == ["message/rfc822", "text/rfc822-headers", "text/rfc822-headers"]


def test_a_full_group_does_not_wait(world: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounces, "GATHER_SECONDS", 3600.0)
    monkeypatch.setattr(bounces, "ENVELOPES_MOST", 2)
    evpids = bounced(world, relay, relay, relay)
    due(world, *evpids)
    expand(world)
    assert len(world.scheduler.take()) == 3
    assert world.find(evpids[2]) is not None


def test_not_too_many_at_a_time(world: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounces, "RUNNING_MOST", 2)
    evpids = [bounced(world, relay)[0] for _ in range(5)]
    due(world, *evpids, expected=2)
    for left in (5, 4, 3, 2, 1):
        assert len(world.lookup.asked) == min(left, 2)
        expand(world)
    assert len(world.queued()) == 5 and {one.type for one in world.queued()} == {"mta"}


@pytest.mark.parametrize("without_dsn", [True, False])
def test_success(world: Any, relay: Envelope, local: Envelope, without_dsn: bool) -> None:
    cause = (relay if without_dsn else local)._replace(dsn_notify=DSN_SUCCESS)
    [stored] = world.received(cause, content=CONTENT)
    world.handle("pony", DeliveryOk(stored.evpid, without_dsn))
    [bounce] = world.queued()
    world.restart()  # what kind of delivery it was must be found out from the envelope
    due(world, bounce.evpid)
    expand(world)
    [new] = world.queued()
    action = "relayed" if without_dsn else "delivered"
    assert notification(world, new.evpid >> 32)["Subject"] == f"Delivery status notification: {action}"


def test_a_warning_says_how_long(world: Any, relay: Envelope) -> None:
    stored = old(world, relay, 15000)
    tempfail(world, stored)
    [bounce] = [one for one in world.queued() if one.type == "bounce"]
    due(world, bounce.evpid)
    expand(world)
    [new] = [one for one in world.queued() if one.evpid >> 32 != stored.evpid >> 32]
    report = next(iter(notification(world, new.evpid >> 32).iter_parts())).get_content()
    assert "more than 4 hours" in report and "for 4 days" in report


# when it does not work


def check_tried_again(world: Any, evpid: int, reason: str) -> None:
    bounce = world.stored(evpid)
    assert bounce.retry == 1 and bounce.last_try > 0
    assert bounce.errorline == "550 5.1.1 no such user"  # what the sender has to know
    [retry] = world.scheduler.take()
    assert isinstance(retry, EnvelopeRetry) and retry.envelope.evpid == evpid
    assert any(
        line.startswith("warn: TempFail injecting failure report on message") and line.endswith(reason)
        for line in world.log.lines
    )
    assert world.process.incoming._messages == {} and world.spool._incoming == {}
    assert world.process.stat.get("bounce.session") == 0
    due(world, evpid)
    expand(world)
    assert [one.type for one in world.queued()] == ["mta"]


def test_lookup_cannot_say_now(world: Any, relay: Envelope) -> None:
    [evpid] = bounced(world, relay)
    due(world, evpid)
    expand(world, "tempfail", "451 Temporary failure")
    check_tried_again(world, evpid, "to <ann@example.net> for 1 envelope: 451 Temporary failure")


def test_lookup_is_gone(world: Any, relay: Envelope) -> None:
    [evpid] = bounced(world, relay)
    due(world, evpid)
    world.lookup.asked.pop()[1](None)
    check_tried_again(world, evpid, "lookup is gone")


@pytest.mark.parametrize("what", ["open_message", "open_incoming"])
def test_no_file(world: Any, relay: Envelope, what: str) -> None:
    [evpid] = bounced(world, relay)
    world.spool.fails = {what}
    world.handle("scheduler", DeliverEnvelopes("bounce", [evpid]))
    world.until(lambda: world.scheduler.sent)
    world.spool.fails = set()
    check_tried_again(world, evpid, "No space left on device")


def test_no_commit(world: Any, relay: Envelope) -> None:
    [evpid] = bounced(world, relay)
    due(world, evpid)
    world.spool.fails = {"commit"}
    expand(world)
    world.spool.fails = set()
    world.spool.rollback(next(iter(world.spool._incoming)))  # which the real one does by itself
    check_tried_again(world, evpid, "No space left on device")


def test_no_room_for_the_text(world: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch) -> None:
    [evpid] = bounced(world, relay)

    def full(*_arguments: Any) -> Any:
        raise OSError(28, "")

    with monkeypatch.context() as patch:
        patch.setattr(bounces, "notification", full)
        world.handle("scheduler", DeliverEnvelopes("bounce", [evpid]))
        world.until(lambda: world.scheduler.sent)
    check_tried_again(world, evpid, "Error writing message: No space left on device")


def test_too_many_incoming_messages(world: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch) -> None:
    [evpid] = bounced(world, relay)
    with monkeypatch.context() as patch:
        patch.setattr(type(world.process.incoming), "create", lambda self: 0)
        world.handle("scheduler", DeliverEnvelopes("bounce", [evpid]))
        world.until(lambda: world.scheduler.sent)
    check_tried_again(world, evpid, "too many incoming messages")


@pytest.mark.parametrize("status", ["permfail", "none"])
def test_a_sender_that_cannot_be_told(world: Any, relay: Envelope, status: str) -> None:
    evpids = bounced(world, relay, relay)
    due(world, *evpids)
    expand(world, status, "550 Invalid recipient")
    assert world.queued() == []
    assert world.scheduler.take() == [EnvelopeDone(evpid, "permfail") for evpid in evpids]
    assert world.log.lines[-1].startswith("warn: PermFail injecting failure report on message ")
    assert world.log.lines[-1].endswith(" to <ann@example.net> for 2 envelopes: 550 Invalid recipient")
    assert world.process.incoming._messages == {} and world.spool._incoming == {}


def test_a_bounce_envelope_that_cannot_be_deleted(world: Any, relay: Envelope) -> None:
    [evpid] = bounced(world, relay)
    due(world, evpid)
    world.spool.fails = {"delete"}
    expand(world)
    assert world.scheduler.take()[0] == EnvelopeDone(evpid, "ok")
    assert world.log.lines[-1] == f"warn: queue: envelope {evpid:016x}: No space left on device"
