"""The daemons that tools/bench compares, each started from nothing for each measurement.

What is the same for all stands in `CONFIGURATION`: one text, the same limits, read by each of them.
"""

from __future__ import annotations

import abc
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import family
import postfix
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
"""Raised above what 50 sessions can reach, and no waiting before a connection, for both smtpd.

session-keepalive stays as it comes: without it OpenSMTPD closes its connections at the first pause and opens
none for up to 10 s (mta.c, DELAY_CHECK_SOURCE_SLOW).
"""

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
        self.log = work / "daemon.log"
        self.prepare()
        self.configure(sink_port, raised)
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

    def configure(self, sink_port: int, raised: bool) -> None:
        """Write its configuration."""
        self.configuration = self.work / "smtpd.conf"
        self.configuration.write_text(
            CONFIGURATION.format(
                limits=LIMITS if raised else SMTP_LIMIT, port=self.port, sink=sink_port, maildir=self.maildir
            )
        )
        self.configuration.chmod(0o644)

    @abc.abstractmethod
    def command(self) -> list[str]:
        """How it is started in the foreground, with its log on standard error."""

    @abc.abstractmethod
    def control(self) -> list[str]:
        """How its smtpctl is called."""

    def hold(self) -> None:
        """Have nothing go out."""
        self.ctl("pause", "mta")

    def release(self) -> None:
        """Have all go out that waits."""
        self.ctl("resume", "mta")

    def settle(self) -> None:  # noqa: B027  # most need not wait
        """Return when what was sent before has no effect on what follows."""

    def processor(self) -> float:
        """Seconds of processor time that it has used, all its processes together."""
        return family.processor_seconds(self.program.pid)

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

    def settle(self) -> None:
        """Wait until it has forgotten the relay: until then, having closed its connections, it opens no new
        one for up to 10 s, and short runs would measure little but that."""
        wait_for(f"{self.name} without relays", lambda: not self.ctl("show", "relays").strip(), 60, 0.2)

    @classmethod
    def version(cls) -> str:
        """Its version, or "" where it is not installed."""
        if not os.access(cls.binary, os.X_OK):
            return ""
        done = subprocess.run([cls.binary, "-h"], capture_output=True, text=True)
        found = re.search(r"OpenSMTPD\s+(\S+)", done.stdout + done.stderr)
        return found[1] if found else ""


class PostfixServer(Daemon):
    """Debian's package, unpacked, without chroots; master runs as root, the others as its user."""

    name = "Postfix"
    ours = False
    durable = True
    about = "content and recipients are one file, synced before the 250 (mail_stream.c); its folder is not"

    LIMITS: ClassVar[dict[str, str]] = {
        "default_process_limit": "200",
        "smtpd_client_connection_count_limit": "0",
        "initial_destination_concurrency": "100",
        "default_destination_concurrency_limit": "100",
        "qmgr_message_recipient_limit": "20000",
        "in_flow_delay": "0",
    }
    """Raised where the others' limits are: as many processes and connections as the sessions want."""

    def home(self) -> Path:
        return self.work / "homes" / USER

    def prepare(self) -> None:
        fixed_places(self.work)
        self.work.chmod(0o755)

    def configure(self, sink_port: int, raised: bool) -> None:
        number = private_users.FIRST_ID
        settings = {
            "relayhost": f"[127.0.0.1]:{sink_port}",
            "virtual_mailbox_domains": "maildir.test",
            "virtual_mailbox_base": str(self.maildir.parent),
            "virtual_mailbox_maps": "static:Maildir/",
            "virtual_uid_maps": f"static:{number}",
            "virtual_gid_maps": f"static:{number}",
            **(self.LIMITS if raised else {}),
        }
        self.instance = postfix.Instance(self.unpacked, self.work / "postfix", self.port, settings)
        self.environment = self.instance.environment  # type: ignore[misc]

    unpacked: ClassVar[postfix.Unpacked]

    def command(self) -> list[str]:
        return self.instance.command()

    def control(self) -> list[str]:
        raise BenchError("Postfix has no smtpctl")

    def hold(self) -> None:
        """Without its queue manager, mail stays where it came in."""
        self._serve("qmgr")

    def release(self) -> None:
        self._serve()

    def _serve(self, *left_out: str) -> None:
        seen = self._reloads()
        self.instance.set_services(*left_out)
        self.program.process.send_signal(signal.SIGHUP)
        wait_for("Postfix with its new services", lambda: self._reloads() > seen, 20)

    def _reloads(self) -> int:
        log = self.instance.log
        return log.read_text().count("reload -- version") if log.exists() else 0


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
    passwd, group = private_users.write(work / "etc", (user, *private_users.DAEMON_USERS, *postfix.USERS))
    for source, target in (
        (spool, "/var/spool"),
        (homes, "/home"),
        (passwd, "/etc/passwd"),
        (group, "/etc/group"),
    ):
        lay_over(source, target)
    user.home.mkdir()
    os.chown(user.home, user.number, user.number)
