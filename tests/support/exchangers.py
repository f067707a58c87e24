"""Mail exchangers as others have them: Debian's Postfix, Exim and OpenSMTPD, taking mail into one maildir.

Each runs in the foreground as root drops it, with its configuration and spool in a folder of its own, and in
a mount namespace where its users exist. Mail for peer.test lands in the maildir `mail`, whoever it is for;
all other mail (what they tell senders) goes to the sink `told`.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import family
import postfix
import private_users
import tree
from bench_machine import free_port, greets
from certificates import Pair
from daemon import wait_files
from sink import Sink

CACHE = tree.ROOT / ".cache/debian"
BOX = private_users.User("box", private_users.FIRST_ID + 9)
"""Whose maildir it is."""

EXIM_USER = private_users.User("Debian-exim", private_users.FIRST_ID + 10)

SIZE = 20_000_000
"""Octets that a message may have."""


class Door(NamedTuple):
    """One more address that is listened on, with STARTTLS or (`smtps`) TLS from the first byte."""

    address: str
    port: int
    pair: Pair
    smtps: bool


class Exchanger(ABC):
    """One of them. `doors`: for TLS, where it is Postfix or Exim."""

    name: str
    tells_ids = True
    """Whether its notifications have ENVID and ORCPT."""

    def __init__(self, doors: tuple[Door, ...] = ()) -> None:
        self.doors = doors
        self.told = Sink()
        self.back = self.told.port
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.mail = self.folder / "mail/box"
        self.mail.parent.mkdir()
        self.output = self.folder / "output"
        self.environment: dict[str, str] = {}
        self.mounts: list[tuple[Path, str]] = [
            (path, f"/etc/{path.name}") for path in private_users.write(self.folder / "etc", self.users())
        ]
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    @abstractmethod
    def missing(cls) -> str:
        """What must be installed or unpacked before, "" for nothing."""

    def users(self) -> tuple[private_users.User, ...]:
        """Who must exist."""
        return (BOX,)

    @abstractmethod
    def command(self) -> list[str]:
        """Write what it needs; argv in the foreground."""

    def start(self) -> "Exchanger":
        """Start it; AssertionError with what it said when it does not greet."""
        os.chown(self.mail.parent, self.owner().number, self.owner().number)
        script = ["set -e", "mount -t tmpfs -o mode=755 tmpfs /run"]
        command = self.command()
        script += [f"mount --bind '{source}' {target}" for source, target in self.mounts]
        with open(self.output, "ab") as output:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", "\n".join([*script, 'exec "$@"']), "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment},
                start_new_session=True,
            )
        until = time.monotonic() + 30
        while not greets(self.port):
            assert self.process.poll() is None and time.monotonic() < until, self.said()
            time.sleep(0.02)
        return self

    def owner(self) -> private_users.User:
        """Who writes into the maildir."""
        return BOX

    def said(self) -> str:
        """Its log."""
        logs = [self.output, *sorted(self.folder.glob("*log*"))]
        return "\n".join(path.read_text(errors="replace") for path in logs if path.is_file())

    def mails(self, count: int) -> list[bytes]:
        """What lies in the maildir, once there are `count` mails."""
        try:
            return wait_files(self.mail / "new", count, 30)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()}") from None

    def clear(self) -> None:
        """Empty the maildir."""
        for path in (self.mail / "new").glob("*"):
            path.unlink()

    def close(self) -> None:
        """End it and all that it started, remove its folder."""
        assert self.process is not None
        pids = family.below(self.process.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            family.kill_all([self.process.pid])
            self.process.wait(5)
        family.kill_all(family.wait_gone(pids, 1))
        self.told.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postfix(Exchanger):
    """Virtual mailboxes, all of them the same maildir."""

    name = "postfix"

    @classmethod
    def missing(cls) -> str:
        try:
            daemons = postfix.Unpacked(CACHE / "postfix").daemons
        except FileNotFoundError as error:
            return str(error)
        return "" if (daemons / "master").exists() else "no Postfix"

    def users(self) -> tuple[private_users.User, ...]:
        return (BOX, *postfix.USERS)

    def command(self) -> list[str]:
        unpacked = postfix.Unpacked(CACHE / "postfix")
        settings = {
            "virtual_mailbox_domains": "peer.test",
            "virtual_mailbox_base": str(self.mail.parent),
            "virtual_mailbox_maps": "static:box/",
            "virtual_uid_maps": f"static:{BOX.number}",
            "virtual_gid_maps": f"static:{BOX.number}",
            "virtual_mailbox_limit": "0",
            "message_size_limit": str(SIZE),
            "relayhost": f"[127.0.0.1]:{self.back}",
        }
        more = ["tlsmgr unix - - n 1000? 1 tlsmgr\n"] if self.doors else []
        for door in self.doors:
            wrapped = "yes" if door.smtps else "no"
            more.append(
                f"{door.address}:{door.port} inet n - n - - smtpd -o smtpd_tls_security_level=may "
                f"-o smtpd_tls_wrappermode={wrapped} -o smtpd_tls_received_header=yes "
                f"-o smtpd_tls_cert_file={door.pair.cert} -o smtpd_tls_key_file={door.pair.key}\n"
            )
        instance = postfix.Instance(unpacked, self.folder / "postfix", self.port, settings, tuple(more))
        (self.folder / "log").symlink_to(instance.log)
        self.environment = instance.environment
        return instance.command()


_EXIM = """\
exim_path = {folder}/exim4
keep_environment =
spool_directory = {folder}/spool
log_file_path = {folder}/%slog
primary_hostname = exim.test
deliver_drop_privilege = true
local_interfaces = {interfaces}
tls_on_connect_ports = {smtps}
tls_certificate = {certificate}
tls_privatekey = {key}
host_lookup =
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
message_size_limit = {size}
tls_advertise_hosts = {advertise}
dsn_advertise_hosts = *
acl_smtp_mail = accept
acl_smtp_rcpt = accept
acl_smtp_data = accept

begin acl
accept:
  accept

begin routers
box:
  driver = accept
  domains = peer.test
  transport = box
back:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = back

begin transports
box:
  driver = appendfile
  directory = {mail}
  maildir_format
back:
  driver = smtp
  port = {back}
  hosts_try_fastopen =
"""


class Exim(Exchanger):
    """Without the rights of root but for its port, so that its program need not be set-uid."""

    name = "exim"
    program = CACHE / "exim4-daemon-light/usr/sbin/exim4"

    @classmethod
    def missing(cls) -> str:
        return "" if cls.program.exists() else "no Exim: tools/system_needs unpacks it"

    def users(self) -> tuple[private_users.User, ...]:
        return (EXIM_USER,)

    def owner(self) -> private_users.User:
        return EXIM_USER

    def command(self) -> list[str]:
        configuration = self.folder / "exim.conf"
        places = [("127.0.0.1", self.port), *((door.address, door.port) for door in self.doors)]
        configuration.write_text(
            _EXIM.format(
                folder=self.folder,
                interfaces="<; " + " ; ".join(f"{address}.{port}" for address, port in places),
                smtps=" : ".join(str(door.port) for door in self.doors if door.smtps),
                advertise="*" if self.doors else "",
                certificate=self._by_address([str(self._own(door.pair.cert)) for door in self.doors]),
                key=self._by_address([str(self._own(door.pair.key)) for door in self.doors]),
                size=SIZE,
                mail=self.mail,
                back=self.back,
            )
        )
        os.chown(self.folder, EXIM_USER.number, EXIM_USER.number)
        program = self.folder / "exim4"  # it starts itself again as its user, who must be able to get there
        shutil.copy(self.program, program)
        return [str(program), "-C", str(configuration), "-bdf"]

    def _own(self, file: Path) -> Path:
        """A copy that it may read."""
        copy = self.folder / file.name
        shutil.copy(file, copy)
        os.chown(copy, EXIM_USER.number, EXIM_USER.number)
        copy.chmod(0o600)
        return copy

    def _by_address(self, files: list[str]) -> str:
        """The file for the address that a connection came to."""
        text = files[0] if files else ""
        for door, file in zip(self.doors, files, strict=True):
            text = f"${{if eq{{$received_ip_address}}{{{door.address}}}{{{file}}}{{{text}}}}}"
        return text


_OPENSMTPD = """\
smtp max-message-size {size}
table users {{ "@" = "box" }}
listen on 127.0.0.1 port {port}
action "box" maildir "{mail}" user box virtual <users>
action "back" relay host "smtp://127.0.0.1:{back}"
match from any for domain "peer.test" action "box"
match from any for any action "back"
"""


class OpenSMTPD(Exchanger):
    """Debian's, with its users and chroots; a spool is laid over its own."""

    name = "opensmtpd"
    tells_ids = False

    @classmethod
    def missing(cls) -> str:
        return "" if os.access("/usr/sbin/smtpd", os.X_OK) else "no OpenSMTPD: tools/system_needs installs it"

    def command(self) -> list[str]:
        configuration = self.folder / "smtpd.conf"
        configuration.write_text(_OPENSMTPD.format(size=SIZE, port=self.port, mail=self.mail, back=self.back))
        spool = self.folder / "spool"
        spool.mkdir()
        self.mounts.append((spool, "/var/spool"))
        return ["/usr/sbin/smtpd", "-d", "-f", str(configuration)]


ALL: tuple[type[Exchanger], ...] = (Postfix, Exim, OpenSMTPD)
