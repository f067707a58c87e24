"""Messages on their way in."""

import os
import time
from typing import Any

import pytest

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.lookup_queue import SubmitEnvelopes
from smtpd.messages.pony_queue import CommitMessage, CreateMessage, OpenIncoming, RollbackMessage
from smtpd.messages.queue_scheduler import EnvelopesReady
from smtpd.queue import incoming
from smtpd.spool.backend import GONE


def create(world: Any) -> int:
    msgid: int = world.handle("pony", CreateMessage(7)).msgid
    assert msgid
    return msgid


def submit(world: Any, msgid: int, *envelopes: Envelope, more: bool = False) -> Any:
    return world.handle("lookup", SubmitEnvelopes(msgid, more, list(envelopes)))


def write(world: Any, msgid: int, content: bytes = b"content\n") -> None:
    assert world.handle("pony", OpenIncoming(msgid)).error == ""
    fd = world.pony.fds.pop()
    os.write(fd, content)
    os.close(fd)


def commit(world: Any, msgid: int) -> str:
    error: str = world.handle("pony", CommitMessage(msgid)).error
    return error


def test_a_message(world: Any, relay: Envelope, local: Envelope) -> None:
    before = int(time.time())
    msgid = create(world)
    first = submit(world, msgid, relay)
    second = submit(world, msgid, local)
    assert world.queued() == [] and world.scheduler.sent == []
    write(world, msgid)
    assert commit(world, msgid) == ""
    one, two = world.stored(first.evpids[0]), world.stored(second.evpids[0])
    assert before <= one.ctime <= time.time()
    assert one == relay._replace(evpid=first.evpids[0], ctime=one.ctime, ttl=345600)
    assert two == local._replace(evpid=second.evpids[0], ctime=two.ctime, ttl=3600)  # the action's own
    [ready] = world.scheduler.take()
    assert isinstance(ready, EnvelopesReady)
    assert [(times.evpid, times.type, times.ttl) for times in ready.envelopes] == [
        (one.evpid, "mta", 345600),
        (two.evpid, "mda", 3600),
    ]
    assert world.process.envelopes.cached(one.evpid) == one


def test_evpids_belong_to_the_message_and_are_different(
    world: Any, relay: Envelope, monkeypatch: Any
) -> None:
    msgid = create(world)
    numbers = iter([1, 1, 2, 2, 1, 3])
    world.spool.new_evpid = lambda msgid: msgid << 32 | next(numbers)
    evpids = submit(world, msgid, relay, relay).evpids + submit(world, msgid, relay).evpids
    assert evpids == [msgid << 32 | number for number in (1, 2, 3)]


def test_recipients_that_come_in_several_frames(world: Any, relay: Envelope) -> None:
    msgid = create(world)
    evpids = submit(world, msgid, relay, more=True).evpids + submit(world, msgid, relay).evpids
    write(world, msgid)
    assert commit(world, msgid) == ""
    assert {envelope.evpid for envelope in world.queued()} == set(evpids)


def test_a_recipient_that_did_not_come_whole_is_left_out(world: Any, relay: Envelope) -> None:
    msgid = create(world)
    kept = submit(world, msgid, relay).evpids
    submit(world, msgid, relay, relay, more=True)
    assert submit(world, msgid, relay._replace(helo="a\nb"), more=True).error
    write(world, msgid)
    assert commit(world, msgid) == ""
    assert [envelope.evpid for envelope in world.queued()] == kept
    assert world.process.incoming._size == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"helo": "a\nretry: 5"}, "line feed"),
        ({"tag": "t" * 33}, "tag too long"),
        ({"sender": MailAddress("u" * 256, "d")}, "sender too long"),
        ({"dispatcher": "a\0b"}, "NUL"),
        ({"type": "uucp"}, "bad type"),
    ],
)
def test_an_envelope_that_cannot_be_written(
    world: Any, relay: Envelope, changes: dict[str, Any], reason: str
) -> None:
    msgid = create(world)
    reply = submit(world, msgid, relay, relay._replace(**changes))
    assert reason in reply.error and reply.evpids == []
    write(world, msgid)
    assert commit(world, msgid) == "no recipients"
    assert world.queued() == []


def test_names_are_cut_to_what_openSMTPD_can_load(world: Any, relay: Envelope) -> None:
    [stored] = world.received(relay._replace(helo="h" * 200, hostname="n" * 200))
    assert (stored.helo, stored.hostname) == ("h" * 64, "n" * 64)


def test_rollback(world: Any, relay: Envelope) -> None:
    msgid = create(world)
    submit(world, msgid, relay)
    write(world, msgid)
    world.handle("pony", RollbackMessage(msgid))
    assert commit(world, msgid) == "no such message"
    assert submit(world, msgid, relay).error == "no such message"
    assert world.handle("pony", OpenIncoming(msgid)).error == "no such message"
    assert world.queued() == [] and world.process.incoming._size == 0


def test_rollback_of_nothing(world: Any) -> None:
    world.handle("pony", RollbackMessage(12345))


def test_a_message_without_recipients(world: Any) -> None:
    msgid = create(world)
    write(world, msgid)
    assert commit(world, msgid) == "no recipients"
    assert world.spool._incoming == {}


def test_a_message_without_content(world: Any, relay: Envelope) -> None:
    msgid = create(world)
    submit(world, msgid, relay)
    assert commit(world, msgid)
    assert world.queued() == [] and world.scheduler.sent == []


def test_a_msgid_is_not_given_out_twice(world: Any) -> None:
    numbers = iter([5, 5, 6])
    world.spool.new_msgid = lambda: next(numbers)
    assert (create(world), create(world)) == (5, 6)


def test_the_disk_is_full(world: Any, relay: Envelope) -> None:
    msgid = create(world)
    submit(world, msgid, relay)
    world.spool.fails = {"open_incoming"}
    assert world.handle("pony", OpenIncoming(msgid)).error == "No space left on device"
    assert world.pony.fds == []
    world.spool.fails = set()
    write(world, msgid)
    world.spool.fails = {"commit"}
    assert commit(world, msgid) == "No space left on device"
    world.spool.fails = set()
    assert world.scheduler.sent == []
    assert world.process.envelopes.cached(msgid << 32 | 1) is None
    assert any("No space left on device" in line for line in world.log.lines)


def test_too_many_messages(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MESSAGES_MOST", 3)
    msgids = [create(world) for _ in range(3)]
    assert world.handle("pony", CreateMessage(7)).msgid == 0
    world.handle("pony", RollbackMessage(msgids[0]))
    create(world)


def test_too_much_in_memory(world: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "TEXT_MOST", 1000)
    first, second = create(world), create(world)
    assert submit(world, first, *[relay] * 5).error == ""
    assert submit(world, second, relay).error == "too many incoming envelopes"
    world.handle("pony", RollbackMessage(first))
    assert submit(world, second, relay).error == ""


def test_too_many_recipients(world: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "ENVELOPES_MOST", 3)
    msgid = create(world)
    assert submit(world, msgid, relay, relay).error == ""
    assert submit(world, msgid, relay, relay).error == "too many recipients"
    assert submit(world, msgid, relay).error == ""


def test_many_recipients_are_announced_in_frames(world: Any, relay: Envelope) -> None:
    msgid = create(world)
    for _ in range(45):
        assert submit(world, msgid, *[relay] * 10).error == ""
    write(world, msgid)
    assert commit(world, msgid) == ""
    assert [len(ready.envelopes) for ready in world.scheduler.take()] == [200, 200, 50]


def test_a_pony_that_is_gone(world: Any, relay: Envelope) -> None:
    mine, bounce = create(world), world.process.incoming.create()
    submit(world, mine, relay)
    write(world, mine)
    world.process.peer_lost(world.pony)
    assert commit(world, mine) == "no such message"
    assert submit(world, bounce, relay).error == ""
    found: list[Any] = []
    world.spool.open_message(mine, found.append)
    assert found[0].kind == GONE and world.spool._incoming == {}
