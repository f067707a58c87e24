"""A relay's own state; its life with connections is in test_mta.py."""

import asyncio
from typing import Any

import pytest

from smtpd.config.model import MtaLimits, RelayAction
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.mproc.stat import Stat
from smtpd.pony.mta.connect import Connector
from smtpd.pony.mta.pauses import Pauses
from smtpd.pony.mta.relay import Relay, RelayKey
from smtpd.pony.mta.routing import Domain, Routing
from smtpd.pony.mta.task import MAX_RCPTS, Task

KEY = RelayKey(
    "mx.example",
    True,
    2525,
    "opportunistic",
    False,
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    False,
    False,
    "",
    "",
    "",
    False,
    "",
)


class Mta:
    """Keeps what a relay asks for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.stat = Stat()
        self.log = self
        self.routing = Routing(loop, self, self.stat)  # type: ignore[arg-type]
        self.stopping = False
        self.pauses = Pauses()
        self.lines: list[str] = []
        self.resolving: list[Any] = []
        self.released: list[tuple[int, bool]] = []
        self.deferring: list[bool] = []
        self.failed: list[tuple[Task, str, str]] = []

    def info(self, text: str) -> None:
        self.lines.append(text)

    def resolve(self, domain: Domain, then: Any) -> None:
        self.resolving.append(then)

    def warn(self, text: str) -> None:
        self.lines.append(text)

    def release(self, relay: Relay, number: int, *, later: bool = False) -> None:
        self.released.append((number, later))

    def task_failed(self, relay: Relay, task: Task, status: str, error: str, deferring: bool) -> None:
        self.failed.append((task, status, error))
        self.deferring.append(deferring)

    def relay_quiet(self, relay: Relay) -> None: ...


def make(loop: asyncio.AbstractEventLoop, **limits: int) -> tuple[Relay, Mta]:
    mta = Mta(loop)
    domain = mta.routing.domain("mx.example", True)
    relay = Relay(mta, 1, KEY, RelayAction(name="out"), domain, MtaLimits(**limits))  # type: ignore[arg-type]
    return relay, mta


def envelope(number: int) -> Envelope:
    return Envelope(number, "mta")._replace(dest=MailAddress("b", "y"))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "[relay:mx.example,port=2525,smtp,mx]"),
        ({"host": False, "port": 0}, "[relay:mx.example,smtp]"),
        ({"tls": "no"}, "[relay:mx.example,port=2525,smtp+notls,mx]"),
        ({"tls": "no", "lmtp": True}, "[relay:mx.example,port=2525,lmtp,mx]"),
        ({"tls": "smtps", "auth": "t", "label": "l"}, "[relay:mx.example,port=2525,smtps,auth=t:l,mx]"),
        (
            {"tls": "starttls", "pki": "p", "backup": "b", "src": "s", "helo_src": "h", "helo": "n"},
            "[relay:mx.example,port=2525,smtp+tls,pki_name=p,mx,backup=b,sourcetable=s,helotable=h,heloname=n]",
        ),
    ],
)
def test_text(changes: dict[str, Any], text: str) -> None:
    assert str(KEY._replace(**changes)) == text


def test_tasks_in_order(loop: asyncio.AbstractEventLoop) -> None:
    relay, mta = make(loop)
    for number in (1, 2, 1, 3):
        assert relay.add((number, "a@x"), envelope(number))
    assert [task.msgid for task in relay.tasks] == [1, 2, 3]
    first = relay.next_task()
    assert first is not None and len(first.envelopes) == 2
    relay.add((1, "a@x"), envelope(1))  # the first is on its way: a new task
    assert [task.msgid for task in relay.tasks] == [2, 3, 1]
    relay.put_back(first)
    assert relay.next_task() is first
    assert mta.stat.get("mta.task") == 4


def test_large_tasks_are_split(loop: asyncio.AbstractEventLoop) -> None:
    relay, _ = make(loop)
    for number in range(MAX_RCPTS * 2 + 1):
        relay.add((1, "a@x"), envelope(number))
    assert [len(task.envelopes) for task in relay.tasks] == [MAX_RCPTS, MAX_RCPTS, 1]


def test_bounds_count_messages(loop: asyncio.AbstractEventLoop) -> None:
    relay, mta = make(loop, task_hiwat=2, task_lowat=1, task_release=1)
    assert relay.add((1, "a"), envelope(1)) and relay.add((2, "a"), envelope(2))
    assert relay.add((1, "a"), envelope(3))  # one more recipient is no more task
    assert not relay.add((3, "a"), envelope(4))
    relay.next_task()
    assert mta.released == [(1, False)]


def test_one_question_for_the_hosts(loop: asyncio.AbstractEventLoop) -> None:
    relay, mta = make(loop)
    relay.add((1, "a"), envelope(1))
    relay.drain()
    relay.drain()
    assert len(mta.resolving) == 1 and not relay.quiet


def test_failure_takes_all_that_wait(loop: asyncio.AbstractEventLoop) -> None:
    relay, mta = make(loop, task_hiwat=1, task_lowat=0, task_release=1)
    relay.add((1, "a"), envelope(1))
    relay.add((2, "a"), envelope(2))
    relay.drain()
    mta.resolving[0]("permfail", "Domain does not exist")
    assert [(task.msgid, status, error) for task, status, error in mta.failed] == [
        (1, "permfail", "Domain does not exist")
    ]
    assert mta.released == [(0, True)], "what is held would fail in the same way now"
    assert mta.deferring == [False]
    assert relay.quiet
    # and those that still come
    relay.add((3, "a"), envelope(3))
    relay.drain()
    assert len(mta.failed) == 2


def test_nothing_to_do(loop: asyncio.AbstractEventLoop) -> None:
    relay, mta = make(loop)
    relay.drain()
    assert relay.next_task() is None
    assert mta.resolving == [] and relay.quiet
    relay.opening = 1
    assert not relay.quiet


@pytest.mark.parametrize(
    ("error", "deferring"), [("net", True), ("paused", True), ("mx", False), ("family", False)]
)
def test_what_has_no_route_is_remembered(
    loop: asyncio.AbstractEventLoop, error: str, deferring: bool
) -> None:
    relay, mta = make(loop)
    relay.add((1, "a"), envelope(1))
    connector = relay.connectors[""] = Connector(relay, mta.routing.source(""))
    connector.fail(error)
    assert [status for _, status, _ in mta.failed] == ["tempfail"]
    assert mta.deferring == [deferring]
    assert relay.destination == ("mx.example", True)


def backup(loop: asyncio.AbstractEventLoop) -> tuple[Relay, Mta]:
    mta = Mta(loop)
    key = KEY._replace(domain="y.example", host=False, backup="MX2.example")
    domain = mta.routing.domain("y.example", False)
    return Relay(mta, 1, key, RelayAction(name="out"), domain, MtaLimits()), mta  # type: ignore[arg-type]


def test_a_backup_knows_its_preference(loop: asyncio.AbstractEventLoop) -> None:
    relay, mta = backup(loop)
    relay._resolve()
    relay.domain.preferences = {"mx1.example": 10, "mx2.example": 20}
    mta.resolving.pop()("", "")
    assert (relay.backup_preference, mta.lines) == (20, [])
    relay.domain.preferences = {"mx1.example": 10}
    relay._resolve()
    mta.resolving.pop()("", "")
    assert relay.backup_preference is None
    assert "Couldn't find backup preference" in mta.lines[0]
