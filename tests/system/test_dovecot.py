"""Deliveries to Debian's Dovecot, by LMTP: what it takes, what it does not, and for how long."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_machine import free_port
from bytewise import CONTENTS, own_part
from daemon import mail, wait_files

pytestmark = pytest.mark.root

PROGRAM = "/usr/sbin/dovecot"
OWNER = 65534

CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = lmtp
ssl = no
default_vsz_limit = 0
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
first_valid_uid = 1
last_valid_uid = 0
mail_plugins = quota
mail_location = maildir:{folder}/mail/%u
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
plugin {{
  quota = maildir:all
}}
"""

USERS = """\
alice:{{PLAIN}}x:{owner}:{owner}::{folder}/mail::
full:{{PLAIN}}x:{owner}:{owner}::{folder}/mail::userdb_quota_rule=*:bytes=100
later:{{PLAIN}}x:{owner}:{owner}::{folder}/mail::userdb_quota_rule=*:bytes=100 userdb_quota_full_tempfail=yes
"""

CONF = """\
listen on 127.0.0.1 port ${port}
action "dovecot" lmtp "127.0.0.1:${dovecot}"
action "bounces" maildir
match from any for rcpt-to "sender@localhost" action "bounces"
match from any for local action "dovecot"
"""


class Dovecot:
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        (self.folder / "mail").mkdir()
        os.chown(self.folder / "mail", OWNER, OWNER)
        (self.folder / "users").write_text(USERS.format(folder=self.folder, owner=OWNER))
        conf = self.folder / "dovecot.conf"
        conf.write_text(CONFIGURATION.format(folder=self.folder, port=self.port))
        self.process = subprocess.Popen(
            [PROGRAM, "-F", "-c", str(conf)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 20
        while not self._greets():
            assert self.process.poll() is None and time.monotonic() < until, self.log()
            time.sleep(0.05)

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                return connection.recv(100).startswith(b"220 ")
        except OSError:
            return False

    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else ""

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    if not os.access(PROGRAM, os.X_OK):
        pytest.skip("no Dovecot: tools/system_needs installs it")
    made = Dovecot()
    yield made
    made.close()


def test_dovecot(daemon, dovecot: Dovecot) -> None:
    one = daemon(CONF, dovecot=dovecot.port)
    for name in ("dots", "eight bits", "long lines"):
        one.send("a@source.test", "alice@localhost", CONTENTS[name])
    got = wait_files(dovecot.folder / "mail/alice/new", 3, 20, one)
    for name in ("dots", "eight bits", "long lines"):
        (mine,) = [each for each in got if each.endswith(CONTENTS[name].replace(b"\r\n", b"\n"))]
        head = own_part(mine, CONTENTS[name])
        assert b"Delivered-To: alice" in head and b"Return-Path: <a@source.test>" in head
    one.wait_empty()

    one.send("sender@localhost", "nobody@localhost")
    line = one.wait_log("to=<nobody@localhost> rcpt=")
    assert "result=PermFail" in line and "LMTP server error: 550 5.1.1 " in line
    (bounce,) = one.mails("sender", 1)
    assert b"User doesn't exist: nobody" in bounce and b"Status: 5." in bounce

    big = mail(body="x" * 70 + "\r\n")
    one.send("sender@localhost", "full@localhost", big)
    line = one.wait_log("to=<full@localhost> rcpt=")
    assert "result=PermFail" in line and "LMTP server error: 552 5.2.2 " in line
    assert b"Quota exceeded" in one.mails("sender", 2)[-1]

    one.send("sender@localhost", "later@localhost", big)
    line = one.wait_log("to=<later@localhost> rcpt=")
    assert "result=TempFail" in line and "LMTP server error: 452 4.2.2 " in line
    (waiting,) = one.envelopes()
    assert "452 4.2.2 " in waiting
