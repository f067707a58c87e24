"""Where the control socket and the spool are; smtpd/parent/places.py decides the same for the daemon."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

SOCKET_NAME = "smtpd.sock"
SPOOL_NAME = "spool"

SOCKET = Path("/var/run") / SOCKET_NAME
SPOOL = Path("/var/spool/smtpd")

STATE_CRASHES = "crash"
SYSTEM_CRASHES = Path("/var/lib/smtpd/crash")

VARIABLE = "SMTPD_SOCKET"


class Places(NamedTuple):
    """`state`: the folder given by --state, or None."""

    socket: Path
    spool: Path
    state: Path | None


def find_places(state: str | None, environment: Mapping[str, str]) -> Places:
    """--state first, then $SMTPD_SOCKET, then the system's.

    A spool that lies beside the socket belongs to it; a socket alone is that of the system's spool.
    """
    if state is not None:
        folder = Path(state).absolute()
        return Places(folder / SOCKET_NAME, folder / SPOOL_NAME, folder)
    given = environment.get(VARIABLE)
    if not given:
        return Places(SOCKET, SPOOL, None)
    socket = Path(given).absolute()
    beside = socket.parent / SPOOL_NAME
    return Places(socket, beside, socket.parent) if _there(beside) else Places(socket, SPOOL, None)


def _there(folder: Path) -> bool:
    """Is it a folder? What may not be looked at counts: the refusal is then said of the right spool."""
    try:
        return folder.is_dir()
    except PermissionError:
        return True
