"""The task after the one under way: opened ahead, taken, given back."""

import os
from types import SimpleNamespace
from typing import Any

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.pony_queue import MessageOpened, OpenMessage
from smtpd.pony.mta.content import Content
from smtpd.pony.mta.job import Job, NextJob
from smtpd.pony.mta.task import Task


def message() -> int:
    fd = os.memfd_create("message")
    os.write(fd, b"Subject: x\n\nGr\xc3\xbc\xc3\x9fe\n")
    return fd


class World:
    """A relay and a queue that do what the test says."""

    def __init__(self) -> None:
        self.tasks = [Task(7, "a@x")]
        self.asked: list[tuple[OpenMessage, Any]] = []
        self.back: list[Task] = []
        self.failed: list[Any] = []
        self.wanted = True
        self.then = 0
        self.relay: Any = SimpleNamespace(
            opening=0,
            next_task=lambda: self.tasks.pop(0) if self.tasks else None,
            put_back=self.back.append,
            drain=lambda: None,
        )
        mta: Any = SimpleNamespace(
            queue=SimpleNamespace(ask=lambda request, then: self.asked.append((request, then))),
            log=SimpleNamespace(warn=lambda text: None),
            task_failed=lambda *what: self.failed.append(what),
            relay_quiet=lambda relay: None,
        )
        self.next = NextJob(mta, self.relay, lambda: self.wanted, self.count)

    def count(self) -> None:
        self.then += 1


def test_a_mail_for_all_of_a_task(loop: Any) -> None:
    task = Task(7, "a@x")
    for number in (1, 2):
        address = MailAddress(f"b{number}", "y")
        task.envelopes.append(
            Envelope(7 << 32 | number, "mta", "out")._replace(dest=address, dsn_ret="HDRS", dsn_envid="e")
        )
    job = Job(task, Content(message()))
    mail = job.mail()
    assert [rcpt.address for rcpt in mail.rcpts] == ["b1@y", "b2@y"]
    assert (mail.sender, mail.eightbit, mail.ret, mail.envid, mail.tag) == ("a@x", True, "HDRS", "e", job)
    assert mail.size == len("Subject: x\r\n\r\nGr__ __e\r\n") - 1
    assert job.left == []


def test_one_is_opened_at_a_time(loop: Any) -> None:
    world = World()
    world.tasks.append(Task(8, "a@x"))
    world.next.ask()
    world.next.ask()
    ((request, then),) = world.asked
    assert request == OpenMessage(7) and world.next.opening and world.relay.opening == 1
    then(MessageOpened(1, ""), message())
    assert world.then == 1 and not world.next.opening and world.relay.opening == 0
    world.next.ask()
    assert len(world.asked) == 1  # there is one still
    job = world.next.take()
    assert job.task.msgid == 7 and world.next.job is None
    world.next.ask()
    assert world.asked[1][0] == OpenMessage(8)


def test_nothing_to_do() -> None:
    world = World()
    world.tasks.clear()
    world.next.ask()
    assert not world.asked and not world.next.opening
    world.next.give_back()
    assert world.back == []


def test_it_is_given_back(loop: Any) -> None:
    world = World()
    world.next.ask()
    world.asked[0][1](MessageOpened(1, ""), message())
    world.next.give_back()
    assert [task.msgid for task in world.back] == [7] and world.next.job is None


def test_a_session_that_ended_meanwhile(loop: Any) -> None:
    world = World()
    world.next.ask()
    world.wanted = False
    world.asked[0][1](MessageOpened(1, ""), message())
    assert [task.msgid for task in world.back] == [7] and world.then == 0


def test_content_that_cannot_be_had() -> None:
    world = World()
    world.next.ask()
    world.asked[0][1](None, None)
    ((_, task, result, error),) = world.failed
    assert (task.msgid, result, error) == (7, "tempfail", "Could not get message fd")
    assert world.then == 1 and world.next.job is None
