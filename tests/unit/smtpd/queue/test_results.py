"""What became of envelopes: disk first, then scheduler."""

import time
from typing import Any

import pytest

from smtpd.mail.address import EMPTY
from smtpd.mail.envelope import DSN_NEVER, DSN_SUCCESS, MDA, Envelope
from smtpd.messages.pony_queue import DeliveryLoop, DeliveryOk, DeliveryPermfail, DeliveryTempfail
from smtpd.messages.queue_scheduler import (
    EnvelopeDone,
    EnvelopeRetry,
    EnvelopesReady,
    ExpireEnvelopes,
    RemoveEnvelopes,
)
from smtpd.queue.results import duration, log_line


def bounce_of(world: Any, evpid: int) -> Envelope:
    """The one other envelope of the message."""
    [bounce] = [one for one in world.queued() if one.evpid >> 32 == evpid >> 32 and one.evpid != evpid]
    assert isinstance(bounce, Envelope) and bounce.type == "bounce"
    return bounce


def fail(world: Any, how: str, evpid: int) -> None:
    if how == "permfail":
        world.handle("pony", DeliveryPermfail(evpid, "550 no such user", 5, 11))
    elif how == "loop":
        world.handle("pony", DeliveryLoop(evpid))
    else:
        world.handle("scheduler", ExpireEnvelopes([evpid]))


REASONS = {
    "permfail": ("550 no such user", 11),
    "loop": ("Loop detected", 46),
    "expired": ("Envelope expired", 47),
}
FAILURES = pytest.mark.parametrize("how", REASONS)


def test_ok(world: Any, relay: Envelope) -> None:
    first, second = world.received(relay, relay)
    world.handle("pony", DeliveryOk(first.evpid, True))
    assert world.scheduler.take() == [EnvelopeDone(first.evpid, "ok")]
    assert world.find(first.evpid) is None and world.stored(second.evpid) == second
    world.handle("pony", DeliveryOk(second.evpid, True))
    assert world.queued() == [] and world.spool._contents == {}


def test_ok_from_disk(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    world.restart()
    world.handle("pony", DeliveryOk(stored.evpid, True))
    assert world.scheduler.take() == [EnvelopeDone(stored.evpid, "ok")]
    assert world.queued() == []


def test_ok_for_what_is_gone(world: Any) -> None:
    world.handle("pony", DeliveryOk(5 << 32 | 1, False))
    assert world.scheduler.take() == [EnvelopeDone(5 << 32 | 1, "ok")]


def test_ok_that_cannot_be_deleted(world: Any, relay: Envelope) -> None:
    """It will be delivered again after a restart; that is better than never again."""
    [stored] = world.received(relay)
    world.spool.fails = {"delete"}
    world.handle("pony", DeliveryOk(stored.evpid, False))
    assert world.scheduler.take() == [EnvelopeDone(stored.evpid, "ok")]
    assert world.log.lines[-1] == f"warn: queue: envelope {stored.evpid:016x}: No space left on device"


@pytest.mark.parametrize(
    ("kind", "notify", "without_dsn", "told"),
    [
        ("mda", DSN_SUCCESS, False, True),
        ("mta", DSN_SUCCESS, True, True),
        ("mta", DSN_SUCCESS, False, False),  # the other host does it
        ("mda", 0, True, False),
        ("mda", DSN_NEVER, True, False),
    ],
)
def test_a_success_that_the_sender_wants_to_know_of(
    world: Any, relay: Envelope, local: Envelope, kind: str, notify: int, without_dsn: bool, told: bool
) -> None:
    [stored] = world.received((local if kind == MDA else relay)._replace(dsn_notify=notify))
    world.handle("pony", DeliveryOk(stored.evpid, without_dsn))
    assert world.find(stored.evpid) is None
    if told:
        [bounce] = world.queued()
        assert (bounce.bounce_type, bounce.esc_class, bounce.esc_code) == ("delivered", 2, 0)
        assert world.scheduler.take()[-1] == EnvelopeDone(stored.evpid, "ok")
    else:
        assert world.queued() == []


def test_tempfail(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    before = int(time.time())
    world.handle("pony", DeliveryTempfail(stored.evpid, "421 try\r\nlater", 4, 41))
    after = world.stored(stored.evpid)
    assert before <= after.last_try <= time.time()
    assert after == stored._replace(
        errorline="421 try  later", esc_class=4, esc_code=41, retry=1, last_try=after.last_try
    )
    [retry] = world.scheduler.take()
    assert isinstance(retry, EnvelopeRetry)
    assert (retry.envelope.evpid, retry.envelope.retry) == (stored.evpid, 1)
    assert retry.envelope.last_try == after.last_try


def test_tempfail_that_cannot_be_stored(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    world.spool.fails = {"update"}
    world.handle("pony", DeliveryTempfail(stored.evpid, "421 later", 4, 41))
    [retry] = world.scheduler.take()
    assert retry.envelope.retry == 1
    assert world.log.lines[-1].startswith(f"warn: could not update envelope {stored.evpid:016x}")


def test_the_count_of_tries_has_an_end(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay._replace(retry=0xFFFF))
    world.handle("pony", DeliveryTempfail(stored.evpid, "421 later", 4, 41))
    assert world.stored(stored.evpid).retry == 0xFFFF


@FAILURES
def test_failed_for_good(world: Any, relay: Envelope, how: str) -> None:
    [stored] = world.received(relay)
    fail(world, how, stored.evpid)
    assert world.find(stored.evpid) is None
    [bounce] = world.queued()
    reason, code = REASONS[how]
    assert (bounce.type, bounce.bounce_type, bounce.errorline) == ("bounce", "failed", reason)
    assert (bounce.esc_class, bounce.esc_code) == (5, code)
    assert bounce.evpid >> 32 == stored.evpid >> 32
    ready, done = world.scheduler.take()
    assert isinstance(ready, EnvelopesReady) and ready.envelopes[0].evpid == bounce.evpid
    assert done == EnvelopeDone(stored.evpid, how)
    assert world.process.stat.get("queue.bounce") == 1


@FAILURES
def test_the_bounce_is_on_disk_before_its_cause_is_gone(world: Any, relay: Envelope, how: str) -> None:
    [stored] = world.received(relay)
    steps: list[str] = []
    for name in ("add", "delete"):
        real = getattr(world.spool, name)

        def step(*arguments: Any, name: str = name, real: Any = real) -> None:
            steps.append(name)
            real(*arguments)

        setattr(world.spool, name, step)
    fail(world, how, stored.evpid)
    assert steps == ["add", "delete"]


@FAILURES
def test_a_bounce_that_cannot_be_stored(world: Any, relay: Envelope, how: str) -> None:
    """Nothing is lost: it is tried again, and fails again, when there is room."""
    [stored] = world.received(relay)
    world.spool.fails = {"add"}
    fail(world, how, stored.evpid)
    after = world.stored(stored.evpid)
    assert after.retry == 1 and after.errorline == REASONS[how][0]
    [retry] = world.scheduler.take()
    assert isinstance(retry, EnvelopeRetry)
    world.spool.fails = set()
    fail(world, how, stored.evpid)
    assert [one.type for one in world.queued()] == ["bounce"]


@FAILURES
def test_a_sender_that_is_none_is_not_told(world: Any, relay: Envelope, how: str) -> None:
    [stored] = world.received(relay._replace(sender=EMPTY))
    fail(world, how, stored.evpid)
    assert world.queued() == []
    assert world.scheduler.take() == [EnvelopeDone(stored.evpid, how)]
    assert "warn: queue: no return path!" in world.log.lines


@FAILURES
def test_failure_of_what_is_gone(world: Any, how: str) -> None:
    fail(world, how, 5 << 32 | 1)
    assert world.scheduler.take() == [EnvelopeDone(5 << 32 | 1, "corrupt")]
    assert world.log.lines[-1] == f"warn: queue: {how}: failed to load envelope 0000000500000001"


def test_tempfail_of_what_is_gone(world: Any) -> None:
    world.handle("pony", DeliveryTempfail(5 << 32 | 1, "421", 4, 0))
    assert world.scheduler.take() == [EnvelopeDone(5 << 32 | 1, "corrupt")]


def test_expired_is_logged(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay)
    fail(world, "expired", stored.evpid)
    assert (
        f"relay: Expire for {stored.evpid:016x}: from=<ann@example.net>, to=<bob@example.com>, rcpt=<->, "
        "delay=0s, stat=Envelope expired" in world.log.lines
    )


def test_removed(world: Any, relay: Envelope, local: Envelope) -> None:
    first, second = world.received(relay, local)
    missing = 5 << 32 | 1
    world.handle("scheduler", RemoveEnvelopes([first.evpid, missing, second.evpid]))
    assert world.scheduler.take() == [
        EnvelopeDone(evpid, "removed") for evpid in (first.evpid, missing, second.evpid)
    ]
    assert world.queued() == []
    lines = [line for line in world.log.lines if "Remove" in line]
    assert [line.split(":")[0] for line in lines] == ["relay", "delivery"]
    assert all(line.endswith("stat=Removed by administrator") for line in lines)


def test_log_line_names_the_recipient_where_aliases_led_elsewhere(local: Envelope) -> None:
    envelope = local._replace(
        evpid=1 << 32 | 2, ctime=int(time.time()) - 3700, rcpt=local.dest._replace(user="x")
    )
    assert log_line(envelope, "Expire", "gone").startswith(
        "delivery: Expire for 0000000100000002: from=<ann@example.net>, to=<bob@example.com>, "
        "rcpt=<x@example.com>, delay=1h1m4"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (1, "1s"), (60, "1m"), (3661, "1h1m1s"), (86400, "1d"), (90061, "1d1h1m1s"), (-61, "-1m1s")],
)
def test_duration(seconds: int, text: str) -> None:
    assert duration(seconds) == text
