"""The first thing anybody tries: start it without rights, send it a mail, find the mail where it said."""

import os
import re
import smtplib
import stat
from pathlib import Path

import pytest
import tree
from daemon import body_of, mail

from smtpd.parent.places import FIRST_CONFIGURATION


def test_a_mail_lies_in_the_maildir_that_was_named_at_the_start(daemon) -> None:
    one = daemon()
    named = one.wait_log("lands in").rpartition("lands in ")[2].replace("NAME", "you")
    sent = one.send("sender@source.test", "you@localhost")
    (got,) = one.mails("you")
    assert Path(named) == one.maildir("you")
    assert body_of(got) == body_of(sent)
    one.wait_empty()


def test_it_comes_with_the_headers_of_a_delivery(daemon) -> None:
    one = daemon()
    one.send("sender@source.test", "you@localhost")
    (got,) = one.mails("you")
    header = re.sub(rb"\n[ \t]+", b" ", got.partition(b"\n\n")[0]).decode()
    names = [line.partition(":")[0] for line in header.splitlines()]
    assert names.count("Received") == 1
    assert re.search(r"^Return-Path: <?sender@source\.test>?$", header, re.MULTILINE)
    assert re.search(
        r"^Received: from client\.test \(\S+ \[127\.0\.0\.1\]\) by \S+ .*with ESMTP", header, re.MULTILINE
    )
    assert "for <you@localhost>" in header
    assert names.count("Subject") == names.count("Message-ID") == 1


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b".\r\n..\r\n.one\r\n...\r\n", id="dots"),
        pytest.param("Grüße, 你好\r\n".encode(), id="eight bits"),
        pytest.param(b"\xff\xfe\x80 no utf-8\r\n", id="no utf-8"),
        pytest.param(b"x" * 900 + b"\r\n", id="a long line"),
        pytest.param(b"\r\n\r\n \r\n\t\r\n", id="empty lines"),
        pytest.param(b"From here on\r\n>From there\r\n", id="From lines"),
        pytest.param(b"0123456789" * 7 + b"\r\n" + b"abcdef\r\n" * 100_000, id="900 kB"),
    ],
)
def test_the_content_arrives_byte_for_byte(daemon, body: bytes) -> None:
    one = daemon()
    head = mail().partition(b"\r\n\r\n")[0].replace(b"7bit", b"8bit")
    one.send("sender@source.test", "you@localhost", head + b"\r\n\r\n" + body)
    (got,) = one.mails("you")
    assert got.partition(b"\n\n")[2] == body.replace(b"\r\n", b"\n")


def test_several_recipients_and_several_messages_of_a_session(daemon) -> None:
    one = daemon()
    names = [f"user{number}" for number in range(5)]
    with one.smtp() as client:
        for _ in range(3):
            assert client.sendmail("a@source.test", [f"{name}@localhost" for name in names], mail()) == {}
    for name in names:
        assert len(one.mails(name, 3)) == 3
    one.wait_empty()


def test_what_no_rule_takes_is_refused_and_the_session_goes_on(daemon) -> None:
    one = daemon()
    with one.smtp() as client:
        client.ehlo()
        client.mail("a@source.test")
        code, text = client.rcpt("somebody@elsewhere.test")
        assert code == 550, text
        assert client.rcpt("you@localhost")[0] == 250
        assert client.data(mail())[0] == 250
    one.mails("you")


def test_ehlo_offers_what_a_client_expects(daemon) -> None:
    one = daemon()
    with one.smtp() as client:
        client.ehlo()
        assert {"8bitmime", "size", "enhancedstatuscodes", "pipelining"} <= set(client.esmtp_features)
        assert client.help()
        assert client.noop()[0] == 250
        assert client.verify("you@localhost")[0] in (252, 502)
        assert client.docmd("NONSENSE")[0] == 500
        assert client.rset()[0] == 250


def test_a_session_that_breaks_off_leaves_nothing_behind(daemon) -> None:
    one = daemon()
    client = one.smtp()
    client.ehlo()
    client.mail("a@source.test")
    client.rcpt("you@localhost")
    client.putcmd("DATA")
    assert client.getreply()[0] == 354
    client.send(b"Subject: half a mail\r\n\r\nhal")
    client.close()
    one.wait_log("disconnected")
    one.send("a@source.test", "you@localhost")
    assert len(one.mails("you")) == 1
    one.wait_empty()
    assert list((one.state / "spool/incoming").iterdir()) == []


def open_files(pid: int) -> set[str]:
    """The files a process holds; none where only root may look (the daemon lets nobody else look into it)."""
    try:
        held = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    except PermissionError:
        return set()
    return {
        name for name in held if name.startswith("/") and not name.startswith(("/dev/", "/memfd:", "/proc/"))
    }


def test_nothing_outside_of_the_state_folder_is_held_open(daemon) -> None:
    one = daemon()
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    held = set().union(*(open_files(pid) for pid in one.processes().values()))
    ours = (str(one.state), str(tree.ROOT), str(one.log_file), str(one.conf_file))
    assert {name for name in held if not name.startswith(ours)} == set()
    assert {path.name for path in one.folder.iterdir()} == {"state", "log", "smtpd.conf"}


def test_a_second_daemon_on_the_same_state_is_told_so(daemon) -> None:
    one = daemon()
    from daemon import Daemon

    other = Daemon("listen on 127.0.0.1 port ${port}\naction a maildir\nmatch for local action a\n")
    try:
        other.state = one.state
        with pytest.raises(AssertionError, match="another daemon"):
            other.start()
    finally:
        other.state = other.folder / "state"
        other.close()
    one.send("a@source.test", "you@localhost")
    one.mails("you")


def test_the_socket_of_control_is_there_and_the_mail_files_are_private(daemon) -> None:
    one = daemon()
    one.send("a@source.test", "you@localhost")
    one.mails("you")
    assert stat.S_ISSOCK((one.state / "smtpd.sock").stat().st_mode)
    (mailfile,) = (one.maildir("you") / "new").iterdir()
    assert mailfile.stat().st_mode & 0o077 == 0
    assert (one.state / "spool/queue").stat().st_mode & 0o077 == 0


def test_without_a_configuration_it_listens_where_the_readme_says(daemon, tmp_path) -> None:
    """Only the text that a start would put there is read here: its port may be taken on this machine."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "smtpd", "-n", "--state", str(tmp_path)],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "SMTPD_ALONE": "1"},
    )
    assert (done.returncode, done.stderr) == (0, "configuration OK\n")
    assert list(tmp_path.iterdir()) == []  # a check writes nothing
    assert "listen on 127.0.0.1 port 2525" in FIRST_CONFIGURATION


def test_smtputf8_less_addresses_keep_their_bytes(daemon) -> None:
    one = daemon()
    with one.smtp() as client:
        client.ehlo()
        with pytest.raises(smtplib.SMTPException):
            client.sendmail("a@source.test", ["two words@localhost"], mail())
