"""Debian's OpenSMTPD, started for a test in a mount namespace of its own: nothing of the machine changes."""

import os
import re
import shutil
import signal
import smtplib
import string
import subprocess
import tempfile
import time
from pathlib import Path

import family
import private_users
from daemon import free_port

BINARY = "/usr/sbin/smtpd"
CONTROL = "/usr/sbin/smtpctl"

USER = private_users.User("alice", private_users.FIRST_ID, Path("/nonexistent"))


def missing() -> str:
    """Why it cannot be started here; "" if it can."""
    if os.geteuid() != 0:
        return "needs to be root"
    for program in (BINARY, CONTROL, "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"needs {program} (tools/system_needs)"
    return ""


class OpenSMTPD:
    """One daemon. `conf` may hold ${port}, ${folder} and whatever else `names` gives."""

    def __init__(self, conf: str, **names: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="opensmtpd-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self.spool = self.folder / "var-spool/smtpd"
        self.maildir = self.folder / "Maildir"
        self.log_file = self.folder / "log"
        self.conf_file = self.folder / "smtpd.conf"
        text = string.Template(conf).substitute(
            port=self.port, folder=self.folder, maildir=f'"{self.maildir}"', **names
        )
        self.conf_file.write_text(text)
        self.spool.parent.mkdir()
        self.spool.parent.chmod(0o755)
        self.maildir.mkdir()
        os.chown(self.maildir, USER.number, USER.number)
        passwd, group = private_users.write(self.folder / "etc", (USER,))
        resolv = self.folder / "resolv.conf"
        resolv.write_text("lookup file\nnameserver 127.0.0.1\n")
        script = [
            "set -e",
            "mount -t tmpfs -o mode=755 tmpfs /run",
            f"mount --bind {self.spool.parent} /var/spool",
            f"mount --bind {passwd} /etc/passwd",
            f"mount --bind {group} /etc/group",
            f"mount --bind {resolv} {os.path.realpath('/etc/resolv.conf')}",
            "echo ready",
            "exec sleep 3600",
        ]
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", "\n".join(script)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n"
        self._process: subprocess.Popen[bytes] | None = None

    def inside(self, *words: str) -> list[str]:
        """argv of a program that sees what this daemon sees."""
        return ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", *words]

    def start(self, seconds: float = 20) -> "OpenSMTPD":
        """Start it and wait until it greets."""
        with open(self.log_file, "ab") as log:
            self._process = subprocess.Popen(
                self.inside(BINARY, "-d", "-f", str(self.conf_file)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                start_new_session=True,
            )
        until = time.monotonic() + seconds
        while True:
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            try:
                with self.smtp():
                    return self
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, and whatever is left is killed."""
        if self._process is None:
            return
        pids = family.below(self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        family.kill_all(family.wait_gone(pids, 2))
        self._process = None

    def close(self) -> None:
        """The end of it, and of its namespace."""
        self.stop()
        self._holder.kill()
        self._holder.wait(5)
        assert self._holder.stdout is not None
        self._holder.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """All it has logged."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def run(self, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[str]:
        """smtpctl."""
        return self.program(CONTROL, *words, data=data)

    def program(self, *words: str, data: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Any program inside."""
        done = subprocess.run(
            self.inside(*words), input=data, capture_output=True, timeout=20, cwd="/", check=False
        )
        out, err = (each.decode("utf-8", "surrogateescape") for each in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def smtp(self) -> smtplib.SMTP:
        """An SMTP client that has been greeted."""
        return smtplib.SMTP("127.0.0.1", self.port, local_hostname="client.test", timeout=20)

    def version(self) -> str:
        """As it says itself."""
        found = re.search(r"OpenSMTPD (\S+)", self.program(BINARY, "-h").stderr)
        return found[1] if found else ""
