"""Debian's Postfix, unpacked or installed: where its programs lie, and an instance in a folder of its own.

The configuration is what postconf(5) and master(5) say. Its users (`USERS`) must be in the /etc/passwd and
/etc/group that master sees, and master must be started by root. Nothing outside of the instance's folder is
written.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import private_users

USERS = (
    private_users.User("postfix", private_users.FIRST_ID + 3),
    private_users.User("postdrop", private_users.FIRST_ID + 4),
)
"""`mail_owner`, and one whose group is `setgid_group`."""

_FOLDERS = (
    "active bounce corrupt defer deferred flush hold incoming maildrop pid private public saved trace".split()
)

_MASTER = """\
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
"""Debian's services that such an instance needs, without chroots: those want a copy of /etc."""

_MAIN = {
    "compatibility_level": "3.6",
    "mail_owner": "postfix",
    "setgid_group": "postdrop",
    "myhostname": "postfix.test",
    "mydestination": "",
    "mynetworks": "127.0.0.0/8",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "alias_maps": "",
    "alias_database": "",
    "local_recipient_maps": "",
    "smtp_dns_support_level": "disabled",
    "biff": "no",
    "maillog_file_prefixes": "/",
}


class Unpacked:
    """The programs of the package, unpacked in `folder` by tools/system_needs, or installed.

    FileNotFoundError where they are neither.
    """

    def __init__(self, folder: Path) -> None:
        self.environment: dict[str, str] = {}
        self.programs, self.daemons, self.libraries = self._places(folder)
        if (folder / "usr/sbin/smtp-source").exists():
            self.environment["LD_LIBRARY_PATH"] = str(self.libraries)

    @property
    def source(self) -> str:
        """smtp-source(1)."""
        return str(self.programs / "smtp-source")

    @property
    def sink(self) -> str:
        """smtp-sink(1)."""
        return str(self.programs / "smtp-sink")

    @staticmethod
    def _places(folder: Path) -> tuple[Path, Path, Path]:
        if (folder / "usr/sbin/smtp-source").exists():
            top = folder / "usr"
            return top / "sbin", top / "lib/postfix/sbin", top / "lib/postfix"
        found = shutil.which("smtp-source", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if found is None:
            raise FileNotFoundError("no smtp-source and smtp-sink: run tools/system_needs as root")
        return Path(found).parent, Path("/usr/lib/postfix/sbin"), Path("/usr/lib/postfix")


class Instance:
    """A folder that `command()` runs Postfix in, listening on 127.0.0.1:`port`.

    `main`: settings of main.cf beside those that any instance has; `more`: lines of master.cf. The folder
    must be one that any user may enter.
    """

    def __init__(
        self, unpacked: Unpacked, folder: Path, port: int, main: dict[str, str], more: tuple[str, ...] = ()
    ) -> None:
        self.unpacked = unpacked
        self._more = more
        self.folder = folder
        self.log = folder / "log"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        self._port = port
        self.set_services()
        self._make_spool()
        settings = {
            **_MAIN,
            "queue_directory": str(folder / "spool"),
            "data_directory": str(folder / "data"),
            "daemon_directory": str(unpacked.daemons),
            "command_directory": str(unpacked.programs),
            "shlib_directory": str(unpacked.libraries),
            "maillog_file": str(self.log),
            # What master gives its children of its own environment.
            "import_environment": "MAIL_CONFIG LD_LIBRARY_PATH TZ",
            **main,
        }
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (folder / "main.cf").write_text(text)

    def set_services(self, *left_out: str) -> None:
        """Write master.cf, without these services; master reads it again at SIGHUP."""
        lines = [*_MASTER.format(port=self._port).splitlines(keepends=True), *self._more]
        text = "".join(line for line in lines if line.split()[0] not in left_out)
        (self.folder / "master.cf").write_text(text)

    def _make_spool(self) -> None:
        owner, drop = (user.number for user in USERS)
        spool = self.folder / "spool"
        spool.mkdir()
        for name in _FOLDERS:
            path = spool / name
            path.mkdir()
            path.chmod(0o700)
            if name != "pid":
                os.chown(path, owner, -1)
        for name, mode in (("maildrop", 0o1730), ("public", 0o2710)):
            os.chown(spool / name, owner, drop)
            (spool / name).chmod(mode)
        (spool / "pid").chmod(0o755)
        data = self.folder / "data"
        data.mkdir()
        data.chmod(0o700)
        os.chown(data, owner, -1)

    def command(self) -> list[str]:
        """argv of master in the foreground."""
        return [str(self.unpacked.daemons / "master"), "-s", "-c", str(self.folder)]

    @property
    def environment(self) -> dict[str, str]:
        """What master must find in its environment beside what there is."""
        return {**self.unpacked.environment, "MAIL_CONFIG": str(self.folder)}
