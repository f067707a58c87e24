"""The process as a whole, on a spool on disk."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.config import wire
from smtpd.config.model import Config, RelayAction
from smtpd.mail.envelope import Envelope
from smtpd.messages.lookup_queue import SubmitEnvelopes
from smtpd.messages.pony_queue import CommitMessage, CreateMessage, DeliveryOk, OpenIncoming, OpenMessage
from smtpd.messages.queue_scheduler import DeliverEnvelopes, EnvelopeDone
from smtpd.queue import process as module
from smtpd.queue.process import Process
from smtpd.spool import layout
from smtpd.spool.fs import FsBackend


@pytest.fixture
def disk(world: Any, tmp_path: Path) -> Iterator[Any]:
    """The process on a disk; a way to start another one there."""
    layout.prepare(str(tmp_path / "spool"))
    started: list[Process] = []

    def start() -> Process:
        world.restart(FsBackend(str(tmp_path / "spool"), world.loop, world.log.warn))
        started.append(world.process)
        return started[-1]

    start()
    yield start
    for process in started:
        world.loop.run_until_complete(process.spool.close())


def received(world: Any, relay: Envelope) -> int:
    """A committed message; its evpid."""
    msgid = world.handle("pony", CreateMessage(1)).msgid
    [evpid] = world.handle("lookup", SubmitEnvelopes(msgid, False, [relay])).evpids
    world.handle("pony", OpenIncoming(msgid))
    fd = world.pony.fds.pop()
    os.write(fd, b"content\n")
    os.close(fd)
    assert world.handle("pony", CommitMessage(msgid)) is None  # it waits for the disk
    world.until(lambda: world.pony.sent)
    assert world.pony.sent.pop().error == ""
    assert isinstance(evpid, int)
    return evpid


def test_one_mail(world: Any, disk: Any, relay: Envelope, tmp_path: Path) -> None:
    evpid = received(world, relay)
    [ready] = world.scheduler.take()
    assert ready.envelopes[0].evpid == evpid
    world.handle("scheduler", DeliverEnvelopes("mta", [evpid]))
    assert world.pony.take()[0].envelope.evpid == evpid
    assert world.handle("pony", OpenMessage(evpid >> 32)).error == ""
    fd = world.pony.fds.pop()
    assert os.read(fd, 100) == b"content\n"
    os.close(fd)
    world.handle("pony", DeliveryOk(evpid, True))
    assert world.scheduler.take() == [EnvelopeDone(evpid, "ok")]
    left = [path.name for path in (tmp_path / "spool").rglob("*") if path.is_file()]
    assert left == [f"{evpid:016x}"]  # for the next one, in purge/
    assert list((tmp_path / "spool" / "queue").glob("*/*")) == []


def test_a_restart(world: Any, disk: Any, relay: Envelope) -> None:
    """What waits is told to scheduler once, and what comes meanwhile once too."""
    old = [received(world, relay) for _ in range(10)]
    world.loop.run_until_complete(world.process.spool.close())
    world.scheduler.take()
    disk()
    world.process.begin()
    new = [received(world, relay) for _ in range(10)]
    world.until(lambda: any("done loading" in line for line in world.log.lines))
    told = [times.evpid for message in world.scheduler.take() for times in message.envelopes]
    assert sorted(told) == sorted(old + new)


def test_stop_finishes_commits(world: Any, disk: Any, relay: Envelope) -> None:
    for _ in range(10):
        msgid = world.handle("pony", CreateMessage(1)).msgid
        world.handle("lookup", SubmitEnvelopes(msgid, False, [relay]))
        world.handle("pony", OpenIncoming(msgid))
        os.close(world.pony.fds.pop())
        world.handle("pony", CommitMessage(msgid))
    world.pony.sent.clear()
    world.pony.lost = True
    world.process.peer_lost(world.pony)
    world.loop.run_until_complete(asyncio.wait_for(world.process.stop(), 5))
    assert [reply.error for reply in world.pony.sent] == [""] * 10


def test_stop_waits_for_pony_but_not_for_ever(
    world: Any, disk: Any, relay: Envelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PONY_SECONDS", 0.2)
    stopping = world.loop.create_task(world.process.stop())
    world.loop.run_until_complete(asyncio.sleep(0.01))
    received(world, relay)  # a session that was under way
    assert not stopping.done()
    world.loop.run_until_complete(asyncio.wait_for(stopping, 5))


def test_start_and_load_config(world: Any, tmp_path: Path) -> None:
    layout.prepare(str(tmp_path / "spool"))
    process = Process(world.loop, world.log)
    config = Config(hostname="h", actions={"relay": RelayAction(name="relay")})
    process.load_config(wire.dumps(config))
    assert process.config == config
    process.root = str(tmp_path / "spool")
    process.start()
    assert isinstance(process.spool, FsBackend)
    world.loop.run_until_complete(process.spool.close())


def test_no_spool(world: Any, tmp_path: Path) -> None:
    process = Process(world.loop, world.log)
    process.root = str(tmp_path)
    with pytest.raises(FileNotFoundError):
        process.start()
