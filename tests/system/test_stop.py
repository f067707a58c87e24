"""How it ends: asked to, with sessions open; without parent; without one of the children."""

import os
import signal
import socket
import subprocess
import sys
import time

import family
import pytest
import tree
from daemon import RELAY, mail

from smtpd.messages import links


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_all_within_five_seconds_with_sessions_open(daemon, number) -> None:
    one = daemon()
    idle = one.smtp()
    idle.ehlo()
    sending = one.smtp()
    sending.ehlo()
    sending.mail("a@source.test")
    sending.rcpt("you@localhost")
    sending.putcmd("DATA")
    assert sending.getreply()[0] == 354
    sending.send(b"Subject: half\r\n\r\nhalf a line")
    silent = socket.create_connection(("127.0.0.1", one.port))
    assert silent.recv(3) == b"220"
    pids = family.below(one.pid)
    began = time.monotonic()
    os.kill(one.pid, number)
    assert one.process.wait(7) == 0
    assert time.monotonic() - began < 5.5
    assert family.wait_gone(pids, 1) == []
    for client in (idle, sending):
        client.close()
    silent.close()
    assert list((one.state / "spool/incoming").glob("*/*")) == []


def test_a_stop_without_work_takes_no_time(daemon) -> None:
    one = daemon()
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    one.wait_empty()
    began = time.monotonic()
    assert one.stop() == 0
    assert time.monotonic() - began < 2


def test_an_idle_session_is_told(daemon) -> None:
    one = daemon()
    client = one.smtp()
    client.ehlo()
    client.sock.settimeout(6)
    os.kill(one.pid, signal.SIGTERM)
    assert client.sock.recv(1000).startswith(b"421 ")
    assert one.process.wait(7) == 0
    client.close()


def test_nothing_is_accepted_after_the_signal(daemon) -> None:
    one = daemon()
    with one.smtp():
        pass
    assert one.stop() == 0
    with pytest.raises(OSError):
        one.smtp()


def test_children_end_when_parent_is_killed(daemon) -> None:
    one = daemon()
    pids = family.below(one.pid)
    assert len(pids) >= len(links.CHILDREN)
    os.kill(one.pid, signal.SIGKILL)
    one.process.wait(5)
    assert family.wait_gone(pids, 5) == []


@pytest.mark.parametrize("name", links.CHILDREN)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV], ids=lambda number: number.name)
def test_the_daemon_stops_with_a_fault_when_a_child_is_killed(daemon, name, number) -> None:
    one = daemon()
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    pids = family.below(one.pid)
    os.kill(one.child(name), number)
    assert one.process.wait(10) not in (0, None)
    assert family.wait_gone(pids, 5) == []
    log = one.log_since_start()
    assert f"{name}" in log
    assert number.name in log or str(int(number)) in log or signal.strsignal(number) in log


def test_the_last_messages_of_a_child_that_died_are_logged(daemon) -> None:
    one = daemon()
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    one.wait_empty()
    os.kill(one.child("queue"), signal.SIGKILL)
    one.process.wait(10)
    log = one.log_since_start()
    for kind in ("CommitMessage", "MessageCommitted", "EnvelopeDone"):
        assert kind in log, log


def test_mail_that_was_waiting_is_there_after_a_fault(daemon, sink) -> None:
    to = sink({"MAIL": "451 4.3.0 Later"})
    one = daemon(RELAY, sink=to.port)
    one.send("a@source.test", "b@relay.test", mail())
    one.wait_log("TempFail")
    os.kill(one.child("scheduler"), signal.SIGKILL)
    one.process.wait(10)
    to.answers.clear()
    one.start()
    one.ctl("schedule", "all")
    to.wait(1)
    one.wait_empty()


def test_a_client_that_is_silent_in_its_content_is_told(daemon) -> None:
    one = daemon()
    with one.smtp() as client:
        client.ehlo()
        client.mail("a@source.test")
        client.rcpt("you@localhost")
        assert client.docmd("DATA")[0] == 354
        client.send(b"Subject: never ends\r\n")
        one.process.terminate()
        assert client.getreply() == (421, b"4.3.0 Service shutting down")
        client.close()
    assert one.process.wait(20) == 0


@pytest.mark.parametrize("delay", [0.3, 0.6, 0.9])
def test_a_signal_during_the_start(tmp_path, delay) -> None:
    """However early it comes: nothing is left that would be in the next start's way."""
    (tmp_path / "smtpd.conf").write_text('action "in" maildir\nmatch for local action "in"\n')
    started = subprocess.Popen(
        [sys.executable, "-m", "smtpd", "-d", "--state", str(tmp_path)],
        cwd=tree.ROOT,
        env={**os.environ, "SMTPD_ALONE": "1"},
        stderr=subprocess.DEVNULL,
    )
    time.sleep(delay)
    started.terminate()
    assert started.wait(10) in (0, -signal.SIGTERM)
    assert not (tmp_path / "smtpd.sock").exists()
