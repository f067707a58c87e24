"""Local submission: a session on a socketpair, authenticated, bounded per user."""

import asyncio
import socket
from typing import Any

import pytest

from smtpd.config.model import Config, Listener
from smtpd.mail.envelope import FLAG_AUTHENTICATED
from smtpd.messages.control_pony import OpenSession, PauseSmtp, ResumeSmtp, SessionOpened
from smtpd.messages.pony_lookup import LOCAL_LISTENER, ExpandRecipient
from smtpd.pony import local_sessions
from smtpd.pony.local_sessions import LocalSessions

CONFIG = Config(
    hostname="mx.example", socket_listener=Listener(on="socket", socket=True, port=0, tag="LOCAL")
)


class Control:
    """In place of control: what it is sent, with the descriptors."""

    def __init__(self) -> None:
        self.replies: list[tuple[SessionOpened, int | None]] = []

    def send(self, message: SessionOpened, fd: int | None = None) -> None:
        self.replies.append((message, fd))


class Local:
    """LocalSessions beside the listeners of a bench."""

    def __init__(self, bench: Any) -> None:
        self.bench = bench
        self.part = LocalSessions(bench.process, bench.smtp_in)

    def open(self, uid: int = 1000) -> socket.socket | str:
        """A session that nobody has spoken on, or why there is none."""
        control = Control()
        loop: asyncio.AbstractEventLoop = self.bench.loop
        reply = loop.run_until_complete(
            self.part.open_session(control, 7, OpenSession(uid))  # type: ignore[arg-type]
        )
        if reply is not None:
            assert reply.reqid == 7
            assert not control.replies
            return reply.error
        ((opened, fd),) = control.replies
        assert opened == SessionOpened(7, "")
        assert fd is not None
        client = socket.socket(fileno=fd)
        client.setblocking(False)
        self.bench.clients.append(client)
        return client


@pytest.fixture
def local(make_bench: Any) -> Local:
    return Local(make_bench(CONFIG))


def test_a_mail_of_a_local_user(local: Local) -> None:
    bench = local.bench
    client = local.open(1234)
    assert bench.hear(client, b"\r\n") == b"220 mx.example ESMTP smtpd\r\n"
    assert b"Hello localhost [local]" in bench.say(client, b"EHLO localhost\r\n", b" HELP\r\n")
    bench.say(client, b"MAIL FROM:<a@x.example>\r\n")
    bench.say(client, b"RCPT TO:<b@y.example>\r\n")
    bench.say(client, b"DATA\r\n")
    assert bench.say(client, b"Subject: x\r\n\r\nbody\r\n.\r\n").startswith(b"250 ")
    asked = next(message for message in bench.lookup.heard if isinstance(message, ExpandRecipient))
    assert asked.listener == LOCAL_LISTENER
    envelope = asked.envelope
    assert (envelope.sockaddr, envelope.hostname, envelope.tag) == ("local", "mx.example", "LOCAL")
    assert envelope.flags == FLAG_AUTHENTICATED
    assert envelope.username == ""
    content = (bench.folder / "00000001").read_text()
    assert content.startswith(
        "Received: from localhost (mx.example [local])\n\tby mx.example (smtpd) with ESMTPA id "
    )
    assert "\nMessage-ID: <" in content
    assert any(line.endswith("connected address=local host=mx.example uid=1234") for line in bench.log.lines)
    assert bench.stat.get("smtp.session.local") == 1
    assert bench.kinds() == ["CreateMessage", "OpenIncoming", "CommitMessage"]


def test_a_user_has_so_many_and_no_more(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_sessions, "MOST_OF_A_USER", 2)
    first, second = local.open(), local.open()
    assert local.open() == "too many sessions of this user"
    assert isinstance(local.open(1001), socket.socket)
    for _ in range(3):
        assert isinstance(local.open(0), socket.socket)
    assert isinstance(first, socket.socket)
    first.close()
    local.bench.run(0.01)
    assert isinstance(local.open(), socket.socket)
    assert isinstance(second, socket.socket)


def test_refusals(local: Local) -> None:
    smtp_in = local.bench.smtp_in
    smtp_in.pause_smtp(None, PauseSmtp())
    assert local.open() == "smtp is paused"
    smtp_in.resume_smtp(None, ResumeSmtp())
    smtp_in.max_sessions = 0
    assert local.open() == "too many sessions"


def test_no_descriptors_left(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(local_sessions.socket, "socketpair", none_left)  # type: ignore[attr-defined]
    assert local.open() == "Too many open files"


def test_the_loop_will_not_have_it(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    class Loop:
        async def connect_accepted_socket(self, *_: object) -> None:
            raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(local.bench.process, "loop", Loop())
    assert local.open() == "Cannot allocate memory"


def test_a_new_configuration_is_for_new_sessions(local: Local) -> None:
    bench = local.bench
    old = local.open()
    bench.process.config = Config(hostname="new.example", generation=2, socket_listener=Listener(on="socket"))
    new = local.open()
    assert bench.hear(old, b"\r\n").startswith(b"220 mx.example ")
    assert bench.hear(new, b"\r\n").startswith(b"220 new.example ")
