"""Where things lie, and who the processes run as: decided once, before anything is started.

Two ways to run. *Separated*: started as root on a machine that has the users _smtpd and _smtpq; every process
gives up its rights. *Alone*: everything runs as the caller and delivers to the caller, below one state
folder.
"""

import os
import pwd
from pathlib import Path
from typing import NamedTuple

USER = "_smtpd"
QUEUE_USER = "_smtpq"

SOCKET = Path("/var/run/smtpd.sock")
SPOOL = Path("/var/spool/smtpd")
EMPTY = Path("/var/empty")
CRASHES = Path("/var/lib/smtpd/crash")
ALONE_VARIABLE = "SMTPD_ALONE"
"""Set to "1", root too runs everything as itself: for trying out (tools/run), never for a machine's mail."""

CONFIGURATIONS = (Path("/etc/smtpd.conf"), Path("/etc/mail/smtpd.conf"))


class PlacesError(Exception):
    """This machine or this caller cannot run the daemon in the way that was asked for."""


class Identity(NamedTuple):
    """A user to become: -1 stands for no switch."""

    uid: int
    gid: int


CALLER = Identity(-1, -1)


class Places(NamedTuple):
    """`homes`: "" when the system's users get the mail, else the folder with a home for each name."""

    separated: bool
    spool: Path
    socket: Path
    empty: Path
    homes: str
    crashes: Path
    user: Identity
    queue_user: Identity

    def root_of(self, process: str) -> str:
        """The folder that a process is chrooted into, or works in."""
        match process:
            case "queue":
                return str(self.spool)
            case "lookup" if self.separated:
                return "/"  # it reads tables, wherever they are
            case _:
                return str(self.empty)

    def identity_of(self, process: str) -> Identity:
        """The user of a process."""
        return self.queue_user if process == "queue" else self.user


def find_places(state: str | None) -> Places:
    """The places for this caller. `state`: the argument of --state. PlacesError says what is missing."""
    base = None if state is None else Path(state).absolute()
    if os.geteuid() != 0 or os.environ.get(ALONE_VARIABLE) == "1":
        if base is None:
            raise PlacesError("need root, or --state DIR to run as yourself")
        return _alone(base)
    try:
        user, queue_user = pwd.getpwnam(USER), pwd.getpwnam(QUEUE_USER)
    except KeyError as error:
        if base is None:
            raise PlacesError(f"{error.args[0]}: create the users {USER} and {QUEUE_USER}") from None
        return _alone(base)
    return Places(
        separated=True,
        spool=SPOOL if base is None else base / "spool",
        socket=SOCKET if base is None else base / SOCKET.name,
        empty=EMPTY if base is None else base / "empty",
        homes="",
        crashes=CRASHES if base is None else base / "crash",
        user=Identity(user.pw_uid, user.pw_gid),
        queue_user=Identity(queue_user.pw_uid, queue_user.pw_gid),
    )


def _alone(base: Path) -> Places:
    return Places(
        separated=False,
        spool=base / "spool",
        socket=base / SOCKET.name,
        empty=base / "empty",
        homes=str(base / "home"),
        crashes=base / "crash",
        user=CALLER,
        queue_user=CALLER,
    )


FIRST_CONFIGURATION = """\
# Made by smtpd --state, for trying out. smtpd.conf(5) says what else can stand here.

listen on 127.0.0.1 port 2525

action "local" maildir
match from any for local action "local"
"""


def find_configuration(file: str | None, state: str | None, *, make: bool = True) -> Path:
    """The configuration file: the one asked for; a state folder's own; else a usual place.

    `make`: write a first one into the state folder if it has none.
    """
    if file is not None:
        return Path(file)
    if state is not None:
        path = Path(state).absolute() / "smtpd.conf"
        if make and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(FIRST_CONFIGURATION)
        return path
    return next((path for path in CONFIGURATIONS if path.exists()), CONFIGURATIONS[0])
