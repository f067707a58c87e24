"""All sessions together: accepting, pausing, the bound, counters, deadlines, stopping."""

import asyncio
import re
import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from smtpd.config.model import Config, Listener
from smtpd.messages.control_pony import PauseSmtp, ResumeSmtp
from smtpd.messages.parent_pony import CloseListenSocket, ListenSocket
from smtpd.messages.pony_lookup import ReverseName, ReverseNameFound
from smtpd.mproc.dispatch import handlers_of
from smtpd.pony import smtp_in
from smtpd.pony.smtp_in import SmtpIn


def test_counters(bench: Any) -> None:
    one, two = bench.greeted(), bench.greeted()
    assert bench.stat.get("smtp.session") == 2
    assert bench.stat.get("smtp.session.inet4") == 2
    bench.say(one, b"QUIT\r\n", b"")
    bench.run()
    assert bench.stat.get("smtp.session") == 1
    assert bench.stat.get("smtp.session.inet4") == 2
    two.close()


def test_the_bound(bench: Any) -> None:
    bench.smtp_in.max_sessions = 2
    one, two = bench.greeted(), bench.greeted()
    three = bench.connect()
    assert bench.hear(three, b"") == b"421 4.3.2 Too many sessions\r\n"
    assert bench.hear(bench.connect(), b"") == b"421 4.3.2 Too many sessions\r\n"
    assert len([line for line in bench.log.lines if "too many sessions" in line]) == 1
    assert bench.stat.get("smtp.turned-away") == 2
    assert bench.stat.get("smtp.session") == 2
    bench.say(one, b"QUIT\r\n", b"")
    bench.run()
    assert bench.say(bench.greeted(), b"NOOP\r\n") == bench.say(two, b"NOOP\r\n")


def test_pause_and_resume(bench: Any) -> None:
    before = bench.greeted()
    bench.smtp_in.pause_smtp(None, PauseSmtp())
    bench.smtp_in.pause_smtp(None, PauseSmtp())
    waiting = bench.connect()
    with pytest.raises(TimeoutError):
        bench.hear(waiting, b"\r\n", 0.05)
    assert bench.say(before, b"NOOP\r\n") == b"250 2.0.0 Ok\r\n"
    bench.smtp_in.resume_smtp(None, ResumeSmtp())
    bench.smtp_in.resume_smtp(None, ResumeSmtp())
    assert bench.hear(waiting, b"\r\n").startswith(b"220 ")
    # both within one turn
    bench.smtp_in.pause_smtp(None, PauseSmtp())
    bench.smtp_in.resume_smtp(None, ResumeSmtp())
    bench.smtp_in.pause_smtp(None, PauseSmtp())
    bench.run()
    with pytest.raises(TimeoutError):
        bench.hear(bench.connect(), b"\r\n", 0.05)


def test_nothing_is_accepted_before_the_beginning(bench: Any, loop: asyncio.AbstractEventLoop) -> None:
    bench.smtp_in.pause_smtp(None, PauseSmtp())
    bench.listen()
    with pytest.raises(TimeoutError):
        bench.hear(bench.connect(), b"\r\n", 0.05)
    bench.smtp_in.resume_smtp(None, ResumeSmtp())
    bench.greeted()


def test_a_listener_that_comes_later(bench: Any) -> None:
    bench.listen()
    bench.run()
    bench.greeted()


def test_an_address_that_goes(bench: Any) -> None:
    stays = bench.where
    before = bench.greeted()
    bench.smtp_in.listen_socket(None, ListenSocket(0, "127.0.0.1:2525"), _listening(bench))
    bench.run()
    session = bench.greeted()
    bench.smtp_in.close_listen_socket(None, CloseListenSocket("127.0.0.1:2525"))
    bench.smtp_in.close_listen_socket(None, CloseListenSocket("127.0.0.1:2525"))
    bench.smtp_in.close_listen_socket(None, CloseListenSocket("192.0.2.1:25"))
    bench.run()
    with pytest.raises(ConnectionRefusedError):
        bench.connect()
    assert bench.say(session, b"NOOP\r\n") == bench.say(before, b"NOOP\r\n") == b"250 2.0.0 Ok\r\n"
    assert len(bench.smtp_in.listeners) == len(bench.smtp_in._settings) == 1
    bench.where = stays
    bench.greeted()


def _listening(bench: Any) -> int:
    """The descriptor of another address, where clients go from now on."""
    listening = socket.create_server(("127.0.0.1", 0))
    bench.where = listening.getsockname()
    return listening.detach()


def test_an_address_goes_while_smtp_is_paused(bench: Any) -> None:
    bench.smtp_in.pause_smtp(None, PauseSmtp())
    bench.smtp_in.close_listen_socket(None, CloseListenSocket("127.0.0.1"))
    bench.smtp_in.resume_smtp(None, ResumeSmtp())
    bench.run()
    assert bench.smtp_in.listeners == []
    with pytest.raises(ConnectionRefusedError):
        bench.connect()


def test_stop(bench: Any) -> None:
    client = bench.greeted()
    unnamed = bench.connect()
    bench.loop.run_until_complete(bench.smtp_in.stop())
    assert bench.hear(client, b"") == b"421 4.3.0 Service shutting down\r\n"
    assert (
        bench.hear(unnamed, b"").endswith(b"421 4.3.0 Service shutting down\r\n")
        or not bench.smtp_in.sessions
    )
    with pytest.raises(ConnectionRefusedError):
        bench.connect()
    # a socket that comes too late is closed
    late, other = socket.socketpair()
    bench.smtp_in.listen_socket(None, ListenSocket(0, "x"), late.detach())
    assert other.recv(1) == b""
    other.close()


def test_stop_cuts_off_what_does_not_end(bench: Any) -> None:
    client = bench.greeted()
    for step in (b"MAIL FROM:<>\r\n", b"RCPT TO:<a@b>\r\n", b"DATA\r\n"):
        bench.say(client, step)

    async def stop() -> None:
        async with asyncio.timeout(0.05):
            await bench.smtp_in.stop()

    with pytest.raises(TimeoutError):
        bench.loop.run_until_complete(stop())
    bench.run(0.02)
    assert not bench.smtp_in.sessions
    assert bench.kinds()[-1] == "RollbackMessage"
    assert bench.hear(client, b"\r\n") == b"421 4.3.0 Service shutting down\r\n"
    assert bench.hear(client, b"") == b""


def test_deadlines_are_looked_at(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_in, "SWEEP_INTERVAL", 0.02)
    bench.greeted()
    looked: list[float] = []
    (session,) = bench.smtp_in.sessions
    monkeypatch.setattr(type(session), "check", lambda self, now: looked.append(now))
    bench.smtp_in._sweep()
    bench.run(0.15)
    assert len(looked) >= 3
    assert looked == sorted(looked)


def test_no_sweep_without_sessions(bench: Any) -> None:
    client = bench.greeted()
    bench.say(client, b"QUIT\r\n", b"")
    bench.run()
    bench.smtp_in._sweep()
    assert bench.smtp_in._sweeping is None
    bench.greeted()
    assert bench.smtp_in._sweeping is not None


def test_names_are_remembered_for_a_moment(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.greeted()
    bench.greeted()
    assert len([message for message in bench.lookup.heard if isinstance(message, ReverseName)]) == 1
    assert bench.log.lines[-1].endswith("smtp connected address=127.0.0.1 host=client.example")
    now = bench.loop.time()
    assert bench.smtp_in.name_of("127.0.0.1") == "client.example"
    assert bench.smtp_in.name_of("192.0.2.1") is None
    monkeypatch.setattr(bench.smtp_in, "loop", SimpleNamespace(time=lambda: now + 31))
    assert bench.smtp_in.name_of("127.0.0.1") is None
    for n in range(5000):
        bench.smtp_in.remember_name(f"{n}", "x")
    assert len(bench.smtp_in._names) <= 1024
    monkeypatch.undo()


def test_a_name_that_could_not_be_looked_up_is_asked_for_again(bench: Any) -> None:
    bench.lookup.answers[ReverseName] = lambda _: (ReverseNameFound(1, "tempfail", ""),)
    bench.greeted()
    bench.greeted()
    assert len(bench.lookup.heard) == 2


def test_date(bench: Any) -> None:
    date = bench.smtp_in.date()
    assert re.fullmatch(r"\w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4} \(\S+\)", date)
    assert bench.smtp_in.date()[:16] == date[:16]


def test_generation_and_settings_are_those_of_the_listener(make_bench: Any) -> None:
    listeners = (Listener(on="127.0.0.1", hostname="other.example", no_dsn=True),)
    bench = make_bench(Config(generation=7, hostname="mx.example", listeners=listeners))
    client = bench.connect()
    assert bench.hear(client, b"\r\n") == b"220 other.example ESMTP smtpd\r\n"
    assert b"DSN" not in bench.say(client, b"EHLO c\r\n", b" HELP\r\n")
    bench.say(client, b"MAIL FROM:<>\r\n")
    bench.say(client, b"RCPT TO:<a@b>\r\n")
    assert bench.lookup.heard[-1].generation == 7
    # a configuration that comes later is for sessions that begin later
    bench.process.config = replace(bench.process.config, generation=8, listeners=(Listener(on="127.0.0.1"),))
    bench.greeted()
    bench.say(client, b"RCPT TO:<a@b>\r\n")
    assert bench.lookup.heard[-1].generation == 7


def test_messages_handled() -> None:
    handled = {"listen_socket", "close_listen_socket", "pause_smtp", "resume_smtp"}
    assert set(handlers_of(SmtpIn).values()) == handled
