"""Mailboxes in one file, and deliveries to an LMTP server (a scripted one)."""

import grp
import mailbox
import os
import signal
import time
from pathlib import Path

import family
import pytest
from daemon import USER_ID, Daemon, body_of, mail

MBOX = """\
listen on 127.0.0.1 port ${port}
table aliases { "info" = "alice" }
action "local" mbox alias <aliases>
match from any for local action "local"
"""
"""As Debian's own configuration has it."""

LMTP = """\
listen on 127.0.0.1 port ${port}
action "user" lmtp "localhost:${sink}"
action "address" lmtp "127.0.0.1:${sink}" rcpt-to
match from any for domain "address.test" action "address"
match from any for local action "user"
"""


def mails(path: Path, count: int, one: Daemon, seconds: float = 20) -> list[mailbox.mboxMessage]:
    """The mails in a mailbox, once there are `count`."""
    until = time.monotonic() + seconds
    while True:
        found: list[mailbox.mboxMessage] = []
        if path.exists():
            box = mailbox.mbox(path, create=False)
            found = list(box)
            box.close()
        if len(found) >= count:
            return found
        assert time.monotonic() < until, f"{len(found)} of {count} mails:\n{one.log_since_start()}"
        time.sleep(0.05)


def test_alone(daemon) -> None:
    one = daemon(MBOX)
    box = one.state / "home/alice/mbox"
    assert str(one.state / "home/NAME/mbox") in one.wait_log("lands in")
    for number in range(3):
        one.send(f"a{number}@source.test", "info@localhost", mail(subject=str(number), body="From here\r\n"))
    one.wait_empty()
    got = mails(box, 3, one)
    assert sorted(each["subject"] for each in got) == ["0", "1", "2"]
    for each in got:
        assert each.get_from().startswith(f"a{each['subject']}@source.test ")
        assert each["Return-Path"] == f"<a{each['subject']}@source.test>"
        assert each.get_payload() == ">From here\n"
    assert os.listdir(box.parent) == ["mbox"]


@pytest.mark.usefixtures("privileged")
def test_as_the_user_in_the_system_s_folder(daemon) -> None:
    one = daemon(MBOX, mode="privileged")
    sent = one.send("a@source.test", ["alice@localhost", "root@localhost"])
    (got,) = mails(one.mailboxes / "alice", 1, one)
    assert got.get_payload() == body_of(sent).decode()
    mails(one.mailboxes / "root", 1, one)
    one.wait_empty()
    status = {name: (one.mailboxes / name).stat() for name in ("alice", "root")}
    assert {name: (s.st_uid, s.st_mode & 0o777) for name, s in status.items()} == {
        "alice": (USER_ID, 0o600),
        "root": (0, 0o600),
    }
    assert sorted(os.listdir(one.mailboxes)) == ["alice", "root"]
    mail_group = grp.getgrnam("mail").gr_gid
    for name, user in (("alice", USER_ID), ("root", 0)):
        agent = one.processes()[f"smtpd: delivery ({name})"]
        held = family.status(agent)
        assert held["Uid"].split() == [str(user)] * 4
        assert held["Gid"].split() == [str(user), str(user), str(mail_group), str(user)]
        assert {int(held[key], 16) for key in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {0}
        assert sorted(os.listdir(f"/proc/{agent}/root")) == ["alice", "root"]


@pytest.mark.usefixtures("privileged")
def test_a_link_in_place_of_a_mailbox(daemon) -> None:
    one = daemon(MBOX, mode="privileged")
    victim = one.folder / "victim"
    victim.write_text("precious")
    os.chown(victim, USER_ID, USER_ID)
    (one.mailboxes / "alice").symlink_to(victim)
    one.send("a@source.test", "alice@localhost")
    assert "mailbox" in one.wait_log("result=TempFail")
    (one.mailboxes / "alice").unlink()
    os.link(victim, one.mailboxes / "alice")
    one.ctl("schedule", "all")
    one.wait_log("mbox: linked or special file")
    assert victim.read_text() == "precious"
    (one.mailboxes / "alice").unlink()
    one.ctl("schedule", "all")
    mails(one.mailboxes / "alice", 1, one)


def test_killed_while_it_delivers(daemon) -> None:
    """Whatever moment an agent is killed at: every mail is there, whole."""
    one = daemon(MBOX)
    box = one.state / "home/alice/mbox"
    for round in range(8):
        for number in range(5):
            one.send(
                "a@source.test",
                "alice@localhost",
                mail(subject=f"{round}.{number}", body="x" * 9000 + "\r\n"),
            )
        agents = [pid for title, pid in one.processes().items() if title == "smtpd: delivery (alice)"]
        for pid in agents:
            os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while one.envelopes():
        one.ctl("schedule", "all")
        assert time.monotonic() < until, one.log_since_start()
        time.sleep(0.2)
    got = mails(box, 40, one)
    assert {each["subject"] for each in got} == {f"{r}.{n}" for r in range(8) for n in range(5)}
    assert {len(each.get_payload()) for each in got} == {9001}


def test_lmtp(daemon, sink) -> None:
    to = sink({"RCPT": lambda line: "550 5.1.1 Unknown here" if "nobody" in line else ""})
    one = daemon(LMTP, sink=to.port)
    sent = one.send("a@source.test", "alice@localhost", mail(body=".\r\nGrüße\r\n"))
    one.send("a@source.test", "bob+tag@address.test")
    got = {each.rcpts: each for each in to.wait(2)}
    assert set(got) == {("alice",), ("bob+tag@address.test",)}
    content = got[("alice",)].content
    assert content.startswith(b"Return-Path: <a@source.test>\r\nDelivered-To: alice@localhost\r\nReceived: ")
    assert body_of(content) == body_of(sent)
    one.send("a@source.test", "nobody@address.test")
    assert "LMTP server error: 550 5.1.1 Unknown here" in one.wait_log("result=PermFail")
    to.close()
    one.send("a@source.test", "alice@localhost")
    assert "lmtp: Connection refused" in one.wait_log("result=TempFail")
