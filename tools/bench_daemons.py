"""The daemons that tools/bench compares, each started from nothing for each measurement.

What is the same for all stands in `CONFIGURATION`: one text, the same limits, read by each of them.
"""

from __future__ import annotations

import abc
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import family
import private_users
from bench_machine import (
    BenchError,
    Program,
    empty_over,
    free_port,
    greets,
    lay_over,
    own_mounts,
    own_network,
    wait_for,
)

USER = "bench"
"""Whom the maildir scenario delivers to."""

LIMITS = """\
smtp limit max-mails 100000
mta limit max-conn-per-host 100
mta limit max-conn-per-route 100
mta limit max-conn-per-source 100
mta limit max-conn-per-connector 100
mta limit max-conn-per-relay 100
mta limit max-conn-per-domain 100
mta limit session-mail-max 1000
mta limit session-keepalive 0
mta limit session-transaction-delay 0
mta limit conn-delay-host 0
mta limit conn-delay-route 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
mta limit reconn-delay-route 0
mta limit task-hiwat 1000
mta limit task-lowat 500
mta limit task-release 100
mda limit max-session 100
mda limit max-session-per-user 100
scheduler limit max-inflight 20000
"""
"""Raised above what 50 sessions can reach, and no waiting before a connection, for both."""

SMTP_LIMIT = "smtp limit max-mails 100000\n"
"""All that is raised with `--limits default`: else not all could be sent over one connection."""

CONFIGURATION = """\
{limits}listen on 127.0.0.1 port {port}
action "relay" relay host "smtp://127.0.0.1:{sink}"
action "maildir" maildir "{maildir}"
match from any for domain "relay.test" action "relay"
match from any for domain "maildir.test" action "maildir"
"""


class Daemon(abc.ABC):
    """One of the daemons, fresh: an empty spool, an empty maildir, its own port."""

    name: str
    ours: bool
    durable: bool
    about: str
    """What is known of how it writes, and where that stands."""
    environment: ClassVar[dict[str, str]] = {}

    def __init__(self, work: Path, sink_port: int, raised: bool) -> None:
        self.work = work
        self.port = free_port()
        self.maildir = self.home() / "Maildir"
        self.configuration = work / "smtpd.conf"
        self.log = work / "daemon.log"
        self.prepare()
        self.configuration.write_text(
            CONFIGURATION.format(
                limits=LIMITS if raised else SMTP_LIMIT, port=self.port, sink=sink_port, maildir=self.maildir
            )
        )
        self.configuration.chmod(0o644)
        self.program = Program(self.command(), self.log, environment=self.environment)
        try:
            wait_for(f"{self.name} greeting", self._up, 20)
        except BenchError as error:
            self.program.stop(1)
            raise BenchError(f"{error}\n{self.program.tail()}") from None

    def _up(self) -> bool:
        if not self.program.alive():
            raise BenchError(f"{self.name} ended with status {self.program.process.returncode}")
        return greets(self.port)

    @abc.abstractmethod
    def home(self) -> Path:
        """The folder that the maildir lies in."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Make the folders it starts with."""

    @abc.abstractmethod
    def command(self) -> list[str]:
        """How it is started in the foreground, with its log on standard error."""

    @abc.abstractmethod
    def control(self) -> list[str]:
        """How its smtpctl is called."""

    def ctl(self, *words: str) -> str:
        """Run a command of its smtpctl; BenchError when it fails."""
        done = subprocess.run(
            [*self.control(), *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20
        )
        if done.returncode != 0:
            raise BenchError(
                f"{self.name}: smtpctl {' '.join(words)}: {(done.stderr or done.stdout).strip()}"
            )
        return done.stdout

    def memory(self) -> tuple[int, int]:
        """PSS of all its processes in KiB, and how many they are."""
        return family.pss_kib(self.program.pid)

    def stop(self) -> None:
        self.program.stop()


class Ours(Daemon):
    """This tree's daemon as the caller (`--state`): six processes, no chroot, deliveries to the caller."""

    name = "smtpd"
    ours = True
    durable = True
    about = "message, envelopes and directories are synced before the 250 (smtpd/spool/fs.py)"
    environment: ClassVar[dict[str, str]] = {"SMTPD_ALONE": "1"}

    def home(self) -> Path:
        return self.work / "home"

    def prepare(self) -> None:
        self.state = self.work / "state"
        self.home().mkdir(parents=True)

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "smtpd",
            "-d",
            "--state",
            str(self.state),
            "-f",
            str(self.configuration),
        ]

    def control(self) -> list[str]:
        return [sys.executable, "-m", "smtpctl", "--state", str(self.state)]


class OursPrivileged(Ours):
    """This tree's daemon started by root: its own users, chroots, /var/spool/smtpd; deliveries to a user."""

    name = "smtpd (as root)"
    environment: ClassVar[dict[str, str]] = {}

    def home(self) -> Path:
        return Path("/home") / USER

    def prepare(self) -> None:
        fixed_places(self.work)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "smtpd", "-d", "-f", str(self.configuration)]

    def control(self) -> list[str]:
        return [sys.executable, "-m", "smtpctl"]


class OpenSMTPD(Daemon):
    """Debian's package, as root with its users and chroots: it has no other way."""

    name = "OpenSMTPD"
    ours = False
    durable = False
    about = (
        "of a new message neither content nor envelopes are synced before the 250 "
        "(queue_fs.c: fsqueue_envelope_dump is asked to sync by envelope updates alone); "
        "mail.maildir.c does fsync"
    )
    binary = "/usr/sbin/smtpd"

    def home(self) -> Path:
        return Path("/home") / USER

    def prepare(self) -> None:
        fixed_places(self.work)

    def command(self) -> list[str]:
        return [self.binary, "-d", "-f", str(self.configuration)]

    def control(self) -> list[str]:
        return ["/usr/sbin/smtpctl"]

    @classmethod
    def version(cls) -> str:
        """Its version, or "" where it is not installed."""
        if not os.access(cls.binary, os.X_OK):
            return ""
        done = subprocess.run([cls.binary, "-h"], capture_output=True, text=True)
        found = re.search(r"OpenSMTPD\s+(\S+)", done.stdout + done.stderr)
        return found[1] if found else ""


RESOLV_CONF = """\
lookup file
nameserver 127.0.0.1
"""
"""Names come from /etc/hosts alone (OpenSMTPD's libasr obeys `lookup`), and a name server refuses at once:
what is measured must not depend on the machine's resolver, where a lost packet costs a mail 5 s."""


def private_machine(work: Path) -> None:
    """As root: network and mounts of our own, with an empty /run and `RESOLV_CONF`, for all that follows."""
    own_network()
    own_mounts()
    empty_over("/run")
    resolv = work / "resolv.conf"
    resolv.write_text(RESOLV_CONF)
    resolv.chmod(0o644)
    lay_over(resolv, os.path.realpath("/etc/resolv.conf"))


def fixed_places(work: Path) -> None:
    """Lay folders of `work` over the places that are compiled in, and add `USER` to what getpwnam finds."""
    spool, homes = work / "var-spool", work / "homes"
    for folder in (spool, homes):
        folder.mkdir(parents=True)
        folder.chmod(0o755)
    user = private_users.User(USER, private_users.FIRST_ID, Path("/home") / USER)
    passwd, group = private_users.write(work / "etc", (user, *private_users.DAEMON_USERS))
    for source, target in (
        (spool, "/var/spool"),
        (homes, "/home"),
        (passwd, "/etc/passwd"),
        (group, "/etc/group"),
    ):
        lay_over(source, target)
    user.home.mkdir()
    os.chown(user.home, user.number, user.number)
