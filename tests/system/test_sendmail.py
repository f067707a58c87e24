"""sendmail against a live daemon, and against none: local submission, offline/, who may and who may not."""

import os
import re
import stat
import subprocess
import time

import programs
import pytest
from daemon import LOCAL, RELAY, USER_ID

MESSAGE = b"To: you@localhost\nBcc: bob@localhost\nSubject: a test\n\nHello.\n.\n..\n"


def head(mail: bytes) -> str:
    """The header with its fields in one line each."""
    return re.sub(rb"\n[ \t]+", b" ", mail.partition(b"\n\n")[0]).decode()


def test_a_mail_through_the_control_socket(daemon) -> None:
    one = daemon()
    done = programs.run(one, "sendmail", "-t", "-F", "A Sender", data=MESSAGE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    (got,) = one.mails("you")
    (copy,) = one.mails("bob")
    fields = head(got)
    assert re.search(
        r"^Received: from localhost \(\S+ \[local\]\) by \S+ \(\S+\) with ESMTPA id ", fields, re.M
    )
    assert re.search(r"^From: A Sender <\S+@\S+>$", fields, re.M)
    assert re.search(r"^Date: ", fields, re.M)
    assert re.search(r"^Message-I[Dd]: ", fields, re.M)
    assert "Bcc" not in fields
    assert got.endswith(b"\n\nHello.\n.\n..\n")
    assert copy.partition(b"\n\n")[2] == got.partition(b"\n\n")[2]
    assert f"address=local host={re.search(r'by (\S+)', fields)[1]} uid={os.geteuid()}" in one.log()


def test_rules_know_the_local_socket(daemon, sink) -> None:
    """`match from local` is for it, `match auth` too; an envelope says that it came from there."""
    to = sink()
    one = daemon(
        RELAY.replace("match from any for domain", "match from socket auth for domain"), sink=to.port
    )
    with one.smtp() as client:
        client.ehlo()
        client.mail("a@source.test")
        assert client.rcpt("x@relay.test")[0] == 550
    one.ctl("pause", "mta")
    assert programs.run(one, "sendmail", "-fa@source.test", "x@relay.test", data=b"\n").returncode == 0
    (line,) = one.envelopes()
    assert line.split("|")[1:7] == ["local", "mta", "auth", "a@source.test", "x@relay.test", "x@relay.test"]
    one.ctl("resume", "mta")
    assert [taken.sender for taken in to.wait(1)] == ["a@source.test"]


@pytest.mark.parametrize(
    ("rcpts", "status"),
    [(["you@localhost", "x@elsewhere.test"], os.EX_NOUSER), (["x@elsewhere.test"], os.EX_NOUSER)],
)
def test_a_recipient_that_no_rule_takes(daemon, rcpts: list[str], status: int) -> None:
    one = daemon()
    done = programs.run(one, "sendmail", "-v", *rcpts, data=MESSAGE)
    assert done.returncode == status
    assert b"x@elsewhere.test" in done.stderr
    assert b">>> RCPT TO:<x@elsewhere.test>" in done.stdout
    if len(rcpts) > 1:
        one.mails("you")


def test_a_message_that_is_too_big(daemon) -> None:
    one = daemon("smtp max-message-size 10K\n" + LOCAL)
    done = programs.run(one, "sendmail", "you@localhost", data=b"\n" + (b"x" * 70 + b"\n") * 20_000)
    assert done.returncode == os.EX_DATAERR
    assert b"you@localhost: message too large" in done.stderr
    assert (one.state / "dead.letter").read_bytes().endswith(b"xxx\n")


def test_smtp_on_standard_input(daemon) -> None:
    one = daemon()
    data = (
        b"EHLO me\r\nMAIL FROM:<a@source.test>\r\nRCPT TO:<you@localhost>\r\nDATA\r\n",
        b"Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n",
    )
    with subprocess.Popen(
        [*programs.command("sendmail"), "-bs"],
        env=programs.environment(one),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as session:
        assert session.stdin is not None and session.stdout is not None
        session.stdin.write(data[0])
        session.stdin.flush()
        heard = b""
        while b"354 " not in heard:
            heard += os.read(session.stdout.fileno(), 1000)
        session.stdin.write(data[1])
        session.stdin.close()
        heard += session.stdout.read()
        assert session.wait(10) == 0
    assert heard.startswith(b"220 ")
    assert b"221 " in heard
    (got,) = one.mails("you")
    assert got.endswith(b"\n\nbody\n")


def test_while_smtp_is_paused_nothing_is_taken(daemon) -> None:
    one = daemon()
    one.ctl("pause", "smtp")
    done = programs.run(one, "sendmail", "you@localhost", data=MESSAGE)
    assert (done.returncode, done.stderr) == (
        os.EX_TEMPFAIL,
        b"sendmail: smtpd takes no message now: smtp is paused\n",
    )
    one.ctl("resume", "smtp")
    assert programs.run(one, "sendmail", "you@localhost", data=MESSAGE).returncode == 0
    one.mails("you")


def test_what_came_while_no_daemon_ran_is_delivered_when_it_starts(daemon) -> None:
    one = daemon()
    assert one.stop() == 0
    before = time.time()
    done = programs.run(one, "sendmail", "-t", "-fa@source.test", data=MESSAGE)
    assert (done.returncode, done.stderr) == (os.EX_TEMPFAIL, b"")
    (file,) = (one.state / "spool/offline").iterdir()
    assert re.fullmatch(r"\d{10}\.\w{10}", file.name)
    assert file.read_bytes().startswith(
        b"-fa@source.test|--|you@localhost|bob@localhost\nTo: you@localhost\n"
    )
    os.utime(file, (before - 60, before - 60))
    one.start()
    (got,) = one.mails("you")
    one.mails("bob")
    assert "Return-Path: <a@source.test>" in head(got).replace("Return-Path: a", "Return-Path: <a")
    one.wait_log(f"offline message {file.name}: enqueued")
    assert list((one.state / "spool/offline").iterdir()) == []


@pytest.mark.root
@pytest.mark.usefixtures("privileged")
def test_a_user_without_rights(daemon) -> None:
    one = daemon(LOCAL, mode="privileged")
    done = programs.run_as(one, USER_ID, "sendmail", "alice@localhost", data=b"Subject: from alice\n\nhi\n")
    assert (done.returncode, done.stderr) == (0, b"")
    (got,) = one.mails("alice")
    assert re.search(r"^From: <?alice@", head(got), re.M)
    assert f"uid={USER_ID}" in one.wait_log("address=local")
    done = programs.run_as(one, USER_ID, "mailq")
    assert done.returncode == 1
    assert b"need root privileges" in done.stdout


@pytest.mark.root
@pytest.mark.usefixtures("privileged")
def test_offline_mail_is_submitted_as_its_owner(daemon) -> None:
    """As OpenSMTPD's sendmail, setgid, leaves it there: the owner's, with the group of the folder."""
    one = daemon(LOCAL, mode="privileged")
    assert one.stop() == 0
    offline = one.state / "spool/offline"
    group = offline.stat().st_gid
    assert stat.S_IMODE(offline.stat().st_mode) == 0o770
    files = {}
    wanted = (("1.alice", USER_ID, group), ("2.root", 0, group), ("3.group", USER_ID, USER_ID))
    for name, uid, gid in wanted:
        file = files[name] = offline / name
        file.write_bytes(b"-t\nTo: alice@localhost\nSubject: " + name.encode() + b"\n\nhi\n")
        file.chmod(0o600)
        os.chown(file, uid, gid)
        os.utime(file, (1e9, 1e9))
    one.start()
    got = one.mails("alice", 2)
    assert sorted(re.findall(r"Subject: (\S+)", "".join(map(head, got)))) == ["1.alice", "2.root"]
    one.wait_log("offline message 2.root: enqueued")
    assert not files["1.alice"].exists()
    assert files["3.group"].exists()
    log = one.log_since_start()
    assert f"address=local host={re.search(r'host=(\S+) uid', log)[1]} uid={USER_ID}" in log
    assert re.search(r"address=local host=\S+ uid=0\b", log)


@pytest.mark.root
@pytest.mark.usefixtures("privileged")
def test_a_user_who_may_not_write_to_offline_keeps_the_message(daemon) -> None:
    one = daemon(LOCAL, mode="privileged")
    assert one.stop() == 0
    done = programs.run_as(one, 65534, "sendmail", "alice@localhost", data=MESSAGE)
    assert done.returncode == os.EX_UNAVAILABLE
    assert b"smtpd is not running, and" in done.stderr
    assert b"Permission denied" in done.stderr
