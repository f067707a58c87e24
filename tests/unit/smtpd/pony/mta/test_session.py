"""Corners of one session; its whole life is in test_mta.py."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from smtpd.config.model import Config, MtaLimits
from smtpd.messages.pony_lookup import MxHost
from smtpd.messages.pony_queue import OpenMessage
from smtpd.pony.holdq import HoldQueue
from smtpd.pony.mta import session as session_module
from smtpd.pony.mta.connect import Connector
from smtpd.pony.mta.pauses import Pauses
from smtpd.pony.mta.places import Places
from smtpd.pony.mta.relay import Relay
from smtpd.pony.mta.routing import Routing
from smtpd.pony.mta.session import MtaSession
from smtpd.pony.mta.task import Task
from smtpd.protocol.smtp.client import Client
from smtpd.protocol.smtp.client_events import Settings


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closing = False
        self.aborted = False

    def set_write_buffer_limits(self, high: int) -> None: ...

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return ("::1", 1234)

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.aborted = True


class Bench:
    """A session whose transport, relay and Mta are played."""

    def __init__(self, process: Any) -> None:
        self.queue = process.peer("queue")
        self.routing = Routing(process.loop, process.log, process.stat)
        self.over: list[MtaSession] = []
        self.back: list[Task] = []
        mta: Any = SimpleNamespace(
            loop=process.loop,
            log=process.log,
            stat=process.stat,
            queue=self.queue,
            routing=self.routing,
            pauses=Pauses(),
            stopping=False,
            places=Places(process.loop),
            session_over=self.over.append,
            relay_quiet=lambda relay: None,
            task_failed=lambda *arguments: self.failed.append(arguments),
            release=lambda *arguments, **options: None,
            works_again=lambda relay: None,
        )
        self.failed: list[Any] = []
        key: Any = SimpleNamespace(
            port=25, lmtp=False, tls="no", src="", backup="", label="", secure=False, verify=False
        )
        self.relay = Relay(mta, 1, key, None, self.routing.domain("x", True), MtaLimits())  # type: ignore[arg-type]
        (mx,) = self.routing.mxs([MxHost(0, "mx", ["::1"])])
        connector = Connector(self.relay, self.routing.source(""))
        self.relay.connectors[""] = connector
        route = self.routing.route(connector.source, mx.host)
        self.relay.nconn += 1
        self.relay.sessions += 1
        connector.nconn += 1
        self.relay.domain.nconn += 1
        self.routing.connected(route, process.loop.time())
        self.session = MtaSession(mta, connector, route, mx)
        self.session._client = Client(Settings("me"))
        self.transport = Transport()
        self.connection = self.session._connection
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def hear(self, text: bytes) -> bytes:
        self.transport.written = b""
        self.connection.data_received(text)
        return self.transport.written


@pytest.fixture
def bench(make_process: Callable[[Config], Any]) -> Any:
    made = Bench(make_process(Config()))
    yield made
    made.relay.close()
    made.routing.close()


def ready(bench: Bench) -> None:
    bench.hear(b"220 x\r\n")
    bench.hear(b"250-x\r\n250 PIPELINING\r\n")


def test_it_waits_for_work(bench: Bench) -> None:
    ready(bench)
    assert bench.relay.idle == {bench.session: None}
    assert bench.relay.ready == 1
    assert bench.connection.source == "[::1]"


def test_a_task_that_comes_too_late(bench: Bench) -> None:
    """The session ends while queue opens the content: the task goes back."""
    ready(bench)
    bench.relay.tasks[Task(7, "a@x")] = None
    bench.relay.drain()
    ((request, then),) = bench.queue.asked
    assert request == OpenMessage(7)
    assert bench.relay.opening == 1 and not bench.relay.quiet
    bench.connection.connection_lost(None)
    assert bench.over == [bench.session]
    bench.relay.failure = ("tempfail", "gone")
    then(None, None)
    assert [(task.msgid, status) for _, task, status, *_ in bench.failed] == [(7, "tempfail")]
    assert bench.relay.opening == 0 and bench.relay.quiet


def test_the_end_is_told_once(bench: Bench) -> None:
    ready(bench)
    bench.connection.connection_lost(ConnectionResetError(104, "x"))
    bench.connection.connection_lost(None)
    assert bench.over == [bench.session]
    assert bench.relay.sessions == bench.relay.ready == bench.relay.nconn == 0
    assert bench.session.mta.log.lines[-1].endswith("mta error reason=IO Error: Connection reset by peer")  # type: ignore[attr-defined]


def test_an_idle_session_that_the_host_closes(bench: Bench) -> None:
    ready(bench)
    bench.hear(b"421 4.4.2 idle\r\n")
    assert bench.transport.closing
    bench.session.wake()  # nothing happens any more
    assert bench.transport.written == b""
    bench.connection.connection_lost(None)
    assert bench.relay.idle == {}


def test_nothing_is_late_before_its_time(bench: Bench, loop: asyncio.AbstractEventLoop) -> None:
    bench.session.check(loop.time())
    assert not bench.transport.aborted
    bench.session.check(loop.time() + 301)
    assert bench.transport.aborted
    assert bench.session.mta.log.lines[-1].endswith("mta error reason=Connection timeout")  # type: ignore[attr-defined]


def test_stopping_when_idle(bench: Bench) -> None:
    ready(bench)
    bench.transport.written = b""
    bench.session.stop()
    assert bench.transport.written == b"QUIT\r\n"
    assert bench.relay.quitting == 1
    assert bench.hear(b"221 bye\r\n") == b""
    assert bench.transport.closing
    bench.connection.connection_lost(None)
    assert bench.relay.quitting == 0


def test_stopping_before_it_is_ready(bench: Bench) -> None:
    bench.session.stop()
    assert bench.transport.aborted


def test_trace(bench: Bench) -> None:
    log: Any = bench.session.mta.log
    log.tracing_mta = True
    bench.hear(b"220 x\r\n")
    assert [line.split(" ", 2)[2] for line in log.lines if line.startswith("mta: ")] == [
        "<<< 220 x",
        ">>> EHLO me",
    ]


def test_an_idle_session_gives_way(bench: Bench, loop: asyncio.AbstractEventLoop) -> None:
    ready(bench)
    source = bench.routing.source("")
    assert list(source.idlers) == [bench.session]
    bench.transport.written = b""
    bench.session.give_way()
    assert bench.transport.written == b"QUIT\r\n"
    assert bench.relay.idle == source.idlers == {}
    assert source.leaving == {bench.session}
    bench.session.check(loop.time() + session_module.GIVE_WAY_SECONDS + 1)
    assert bench.transport.aborted, "a host that does not answer holds up nobody"
    bench.connection.connection_lost(None)
    assert source.leaving == set() and source.nconn == 0


def test_a_session_whose_next_task_comes_does_not_give_way(bench: Bench) -> None:
    bench.relay.holdq = HoldQueue(1, 0, 1)
    assert bench.relay.holdq.admit(0) and not bench.relay.holdq.admit(1)
    assert bench.relay.holdq.taken(0) == 1
    ready(bench)
    assert bench.relay.idle == {bench.session: None}
    assert bench.routing.source("").idlers == {}


def test_a_session_that_the_host_ended_cannot_give_way(bench: Bench) -> None:
    ready(bench)
    bench.hear(b"421 4.4.2 idle\r\n")
    assert bench.routing.source("").idlers == {}


def test_late_until_it_takes_mail(bench: Bench) -> None:
    source = bench.routing.source("")
    source.late[bench.session] = 0.0
    assert not bench.session.settled
    bench.hear(b"220 x\r\n")
    assert bench.session in source.late
    bench.hear(b"250 x\r\n")
    assert source.late == {} and bench.session.settled


def test_a_late_one_that_ends(bench: Bench) -> None:
    source = bench.routing.source("")
    source.late[bench.session] = 0.0
    bench.connection.connection_lost(None)
    assert source.late == {} and bench.session.settled
