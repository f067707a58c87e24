"""The real daemon, started for a test in a folder of its own, on ports of its own.

Three ways: alone (as whoever runs the tests), privileged (root, with users that exist for this daemon only,
in a mount namespace) and unprivileged (as somebody without rights, when root runs the tests).
"""

import grp
import os
import shutil
import signal
import smtplib
import string
import subprocess
import sys
import tempfile
import time
from email.message import EmailMessage
from pathlib import Path

import family
import kinds
import private_users
import tree
from bench_machine import free_port

LOCAL = """\
listen on 127.0.0.1 port ${port}
action "local" maildir
match from any for local action "local"
"""
"""Mail for NAME@localhost into a maildir."""

RELAY = """\
listen on 127.0.0.1 port ${port}
action "local" maildir
action "relay" relay host smtp://127.0.0.1:${sink}
match from any for local action "local"
match from any for domain "relay.test" action "relay"
"""
"""The same, and mail for relay.test to the sink."""

USER_ID = private_users.FIRST_ID
"""The uid and gid of `alice`, who has mail delivered to, in a privileged or unprivileged daemon's passwd."""

STARTED = " ready"
AFTER_DROP = "after the privileges were dropped"


class Daemon:
    """One daemon. `conf` may hold ${port}, ${folder} and whatever else `names` gives."""

    def __init__(
        self, conf: str, *, mode: str = "alone", arguments: tuple[str, ...] = (), **names: object
    ) -> None:
        # Short and not below pytest's own folder: a socket's path has 107 bytes, and other users must get in.
        self.folder = Path(tempfile.mkdtemp(prefix="smtpd-"))
        self.folder.chmod(0o711)
        self.mode = mode
        self.state = self.folder / "state"
        self.port = free_port()
        self.mailboxes = self.folder / "mail"
        """/var/mail of a daemon that has users of its own."""
        self.log_file = self.folder / "log"
        self.conf_file = self.folder / "smtpd.conf"
        self.arguments = arguments
        text = string.Template(conf).substitute(port=self.port, folder=self.folder, **names)
        self.conf_file.write_text(text)
        self.process: subprocess.Popen[bytes] | None = None
        self._seen = 0
        self._recorders: list[kinds.Memory] = []
        self._prepare()

    # starting

    def _prepare(self) -> None:
        if self.mode == "alone":
            return
        home = self.folder / "home"
        home.mkdir()
        os.chown(home, USER_ID, USER_ID)
        alice = private_users.User("alice", USER_ID, home)
        private_users.write(self.folder, (alice, *private_users.DAEMON_USERS))
        self.mailboxes.mkdir()
        os.chown(self.mailboxes, 0, grp.getgrnam("mail").gr_gid)
        self.mailboxes.chmod(0o2775)
        if self.mode == "unprivileged":
            self.state.mkdir()
            os.chown(self.state, USER_ID, USER_ID)

    def command(self) -> list[str]:
        """argv, with what changes the user or the mounts before it."""
        python = [sys.executable, "-m", "smtpd", "-d", "--state", str(self.state), "-f", str(self.conf_file)]
        python += self.arguments
        if self.mode == "alone":
            return python
        script = ["set -e"]
        for name in ("passwd", "group"):
            script.append(f"mount --bind {self.folder / name} /etc/{name}")
        script.append(f"mount --bind {self.mailboxes} /var/mail")
        if self.mode == "unprivileged":
            script += make_reachable(self.folder / "stash")
            python = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups", *python]
        return ["unshare", "--mount", "sh", "-c", "\n".join([*script, 'exec "$@"']), "sh", *python]

    def start(self, seconds: float = 20) -> "Daemon":
        """Start it and wait until it is ready; AssertionError with its log when it is not."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment.pop("SMTPD_STATE", None)
        if self.mode == "alone":
            environment["SMTPD_ALONE"] = "1"
        with open(self.log_file, "ab") as log:
            self._seen = log.tell()
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=tree.ROOT,
                env=environment,
                start_new_session=True,
            )
        until = time.monotonic() + seconds
        while STARTED not in self.log_since_start():
            assert self.process.poll() is None, (
                f"ended with {self.process.returncode}:\n{self.log_since_start()}"
            )
            assert time.monotonic() < until, f"not ready within {seconds} s:\n{self.log_since_start()}"
            time.sleep(0.01)
        kinds.note(self._recorders)
        self._recorders = kinds.map_recorders(self.state / "smtpd.sock")
        return self

    # looking

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def log(self) -> str:
        """All it has ever logged."""
        return self.log_file.read_text(errors="surrogateescape") if self.log_file.exists() else ""

    def log_since_start(self) -> str:
        """What it has logged since the last start."""
        return self.log_file.read_bytes()[self._seen :].decode("utf-8", "surrogateescape")

    def wait_log(self, text: str, seconds: float = 10) -> str:
        """The first line since the start that holds `text`."""
        until = time.monotonic() + seconds
        while True:
            for line in self.log_since_start().splitlines():
                if text in line:
                    return line
            assert time.monotonic() < until, (
                f"{text!r} not logged within {seconds} s:\n{self.log_since_start()}"
            )
            time.sleep(0.02)

    def processes(self) -> dict[str, int]:
        """Title -> pid of parent and of all below it."""
        return {family.title(pid): pid for pid in (self.pid, *family.below(self.pid))}

    def child(self, name: str) -> int:
        """The pid of the process with this name."""
        return next(pid for title, pid in self.processes().items() if title.startswith(f"smtpd: {name}"))

    def maildir(self, user: str) -> Path:
        """Where the mail of a user lands when the action names no place."""
        if self.mode == "privileged":
            return self.folder / "home/Maildir"
        return self.state / "home" / user / "Maildir"

    def mails(self, user: str, count: int = 1, seconds: float = 20) -> list[bytes]:
        """The mails in a user's maildir, once there are `count`."""
        new = self.maildir(user) / "new"
        return wait_files(new, count, seconds, self)

    # doing

    def ctl(self, *words: str, status: int = 0) -> str:
        """Standard output of an smtpctl command that ends with `status`."""
        done = subprocess.run(
            [sys.executable, "-m", "smtpctl", "--state", str(self.state), *words],
            cwd=tree.ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
        )
        said = f"smtpctl {' '.join(words)}: status {done.returncode}\n{done.stdout}{done.stderr}"
        assert done.returncode == status, said
        return done.stdout

    def smtp(self) -> smtplib.SMTP:
        """An SMTP client that has been greeted."""
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.test", timeout=20)

    def send(self, sender: str, rcpts: str | list[str], content: bytes | None = None) -> bytes:
        """Send one message; its content."""
        content = mail(sender) if content is None else content
        with self.smtp() as client:
            assert client.sendmail(sender, rcpts, content) == {}
        return content

    def envelopes(self) -> list[str]:
        """The lines of `smtpctl show queue`."""
        return self.ctl("show", "queue").splitlines()

    def wait_empty(self, seconds: float = 20) -> None:
        """Return when no envelope is left in the spool."""
        until = time.monotonic() + seconds
        while left := [path for path in (self.state / "spool/queue").glob("*/*/*") if len(path.name) == 16]:
            assert time.monotonic() < until, f"{len(left)} envelopes left:\n{self.log_since_start()[-4000:]}"
            time.sleep(0.05)

    # ending

    def kill9(self) -> None:
        """SIGKILL for every process of it."""
        pids = [self.pid, *family.below(self.pid)]
        family.kill_all(pids)
        assert self.process is not None
        self.process.wait(10)
        assert family.wait_gone(pids, 10) == []

    def stop(self, seconds: float = 8) -> int:
        """SIGTERM; its exit status. AssertionError when a process is left or `seconds` were not enough."""
        assert self.process is not None
        pids = family.below(self.pid)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise AssertionError(
                f"still there {seconds} s after SIGTERM:\n{self.log_since_start()}"
            ) from None
        left = family.wait_gone(pids, 2)
        family.kill_all(left)
        assert left == [], f"processes outlived parent:\n{self.log_since_start()}"
        return status

    def close(self) -> None:
        """Stop it as an operator would, see that its log has no fault in it, remove its folder."""
        try:
            if self.process is not None and self.process.poll() is None:
                status = self.stop()
                assert status == 0, f"exit status {status}:\n{self.log_since_start()}"
            self.assert_clean_log()
        finally:
            if self.process is not None and self.process.poll() is None:
                self.kill9()
            kinds.note(self._recorders)
            self._recorders = []
            shutil.rmtree(self.folder, ignore_errors=True)

    def assert_clean_log(self) -> None:
        """No traceback, nothing imported too late."""
        log = self.log()
        assert AFTER_DROP not in log, log
        assert "Traceback" not in log, log


def mail(sender: str = "sender@source.test", subject: str = "a test", body: str = "Hello.\r\n") -> bytes:
    """A small message with the headers a client writes."""
    message = EmailMessage()
    message["From"] = sender or "postmaster@source.test"
    message["To"] = "somebody@localhost"
    message["Subject"] = subject
    message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    message["Message-ID"] = f"<{time.monotonic_ns()}@source.test>"
    message.set_content(body, cte="8bit")
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def body_of(content: bytes) -> bytes:
    """What follows the header, with LF line ends."""
    return content.replace(b"\r\n", b"\n").partition(b"\n\n")[2]


def wait_files(folder: Path, count: int, seconds: float, daemon: Daemon | None = None) -> list[bytes]:
    """The contents of the files in `folder`, once there are `count`, in the order of their times."""
    until = time.monotonic() + seconds
    while len(files := list(folder.glob("*"))) < count:
        log = daemon.log_since_start()[-4000:] if daemon is not None else ""
        assert time.monotonic() < until, f"{len(files)} of {count} files in {folder}\n{log}"
        time.sleep(0.02)
    return [file.read_bytes() for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]


def make_reachable(stash: Path) -> list[str]:
    """Shell lines that let any user run this interpreter on this tree, in a mount namespace.

    Both may lie below a folder that only its owner may enter (root's home): an open folder is laid over that
    one, with nothing in it but the way to these places.
    """
    lines: list[str] = []
    closed: dict[Path, list[Path]] = {}
    for place in (Path(sys.base_prefix), Path(sys.prefix), tree.ROOT):
        for ancestor in reversed((place, *place.parents)):
            if not ancestor.stat().st_mode & 0o001:
                closed.setdefault(ancestor, []).append(place)
                break
    for number, (ancestor, places) in enumerate(closed.items()):
        kept = stash / str(number)
        for index, place in enumerate(places):
            lines += [f"mkdir -p {kept / str(index)}", f"mount --bind {place} {kept / str(index)}"]
        lines.append(f"mount -t tmpfs -o mode=755 tmpfs {ancestor}")
        for index, place in enumerate(places):
            lines += [f"mkdir -p {place}", f"mount --bind {kept / str(index)} {place}"]
    return lines
