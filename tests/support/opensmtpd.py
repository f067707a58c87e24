"""Debian's OpenSMTPD, started for a test beside our daemon, on the same configuration.

Its places are compiled in (/var/run/smtpd.sock, /var/spool/smtpd): it runs in a mount namespace of its own in
which folders of the test lie over them, and nothing of the machine changes.
"""

import os
import re
import shutil
import signal
import string
import subprocess
import tempfile
import time
from pathlib import Path

import family
import private_users
from bench_machine import free_port, greets

BINARY = "/usr/sbin/smtpd"
CTL = "/usr/sbin/smtpctl"

RESOLV_CONF = "lookup file\nnameserver 127.0.0.1\n"
"""Names out of /etc/hosts alone (OpenSMTPD's libasr obeys `lookup`), whatever the machine's resolver does."""

_PLACES = """\
set -e
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/group /etc/group
mount --bind {folder}/resolv.conf "$(readlink -f /etc/resolv.conf)"
mount --bind {folder}/aliases /etc/aliases
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind {folder}/var-spool /var/spool
exec "$@"
"""


class OpenSMTPD:
    """One daemon. `conf` may hold ${port}, ${folder} and whatever else `names` gives.

    `users`: who gets mail, each with a home in folder/home.
    """

    def __init__(self, conf: str, users: tuple[str, ...] = ("alice",), **names: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="opensmtpd-"))
        self.folder.chmod(0o711)
        self.port = free_port()
        self.spool = self.folder / "var-spool/smtpd"
        self.log_file = self.folder / "log"
        self.conf_file = self.folder / "smtpd.conf"
        self.conf_file.write_text(
            string.Template(conf).substitute(port=self.port, folder=self.folder, **names)
        )
        self.conf_file.chmod(0o644)
        self.process: subprocess.Popen[bytes] | None = None
        people = [
            private_users.User(name, private_users.FIRST_ID + number, self.folder / "home" / name)
            for number, name in enumerate(users)
        ]
        for user in people:
            user.home.mkdir(parents=True)
            os.chown(user.home, user.number, user.number)
        private_users.write(self.folder, tuple(people))
        (self.folder / "resolv.conf").write_text(RESOLV_CONF)
        (self.folder / "aliases").write_text("")
        self.spool.parent.mkdir()
        self.spool.parent.chmod(0o755)

    @staticmethod
    def version() -> str:
        """Such as "6.8.0p2"; "" where it is not installed."""
        if not os.access(BINARY, os.X_OK):
            return ""
        done = subprocess.run([BINARY, "-h"], capture_output=True, text=True)
        found = re.search(r"OpenSMTPD\s+(\d[\w.]*)", done.stdout + done.stderr)
        return found[1] if found else ""

    def start(self, seconds: float = 30) -> "OpenSMTPD":
        """Start it and wait for its greeting; AssertionError with its log when there is none."""
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
                + [_PLACES.format(folder=self.folder), "sh", BINARY, "-d", "-f", str(self.conf_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + seconds
        while not greets(self.port):
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log()}"
            assert time.monotonic() < until, f"no greeting within {seconds} s:\n{self.log()}"
            time.sleep(0.02)
        return self

    def inside(self, *command: str) -> list[str]:
        """argv of a command in its mount namespace, or, while it does not run, in one made like it."""
        if self.process is not None and self.process.poll() is None:
            return ["nsenter", f"--mount=/proc/{self.process.pid}/ns/mnt", *command]
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c"]
        return [*enter, _PLACES.format(folder=self.folder), "sh", *command]

    def ctl(self, *words: str, program: str = CTL, data: bytes = b"") -> subprocess.CompletedProcess[str]:
        """What its smtpctl, or another program of the package, says."""
        return subprocess.run(
            self.inside(program, *words),
            input=data.decode("utf-8", "surrogateescape"),
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=60,
        )

    def log(self) -> str:
        """All it has logged."""
        return self.log_file.read_text(errors="surrogateescape") if self.log_file.exists() else ""

    def stop(self, seconds: float = 10) -> None:
        """SIGTERM, then SIGKILL for what is left of it."""
        if self.process is None:
            return
        pids = [self.process.pid, *family.below(self.process.pid)]
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(seconds)
        family.kill_all(family.wait_gone(pids, 1))

    def close(self) -> None:
        """Stop it and remove its folder."""
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
