"""Where the control socket and the spool are; smtpd/parent/places.py decides the same for the daemon."""

import os
import stat
from collections.abc import Mapping
from typing import NamedTuple

SOCKET_NAME = "smtpd.sock"
SPOOL_NAME = "spool"

SOCKET = f"/var/run/{SOCKET_NAME}"
SPOOL = "/var/spool/smtpd"

STATE_CRASHES = "crash"
SYSTEM_CRASHES = "/var/lib/smtpd/crash"

VARIABLE = "SMTPD_SOCKET"


class Places(NamedTuple):
    """Absolute paths. `state`: the folder given by --state, or None."""

    socket: str
    spool: str
    state: str | None


def find_places(state: str | None, environment: Mapping[str, str]) -> Places:
    """--state first, then $SMTPD_SOCKET, then the system's.

    A spool that lies beside the socket belongs to it; a socket alone is that of the system's spool.
    """
    if state is not None:
        folder = os.path.abspath(state)
        return Places(os.path.join(folder, SOCKET_NAME), os.path.join(folder, SPOOL_NAME), folder)
    given = environment.get(VARIABLE)
    if not given:
        return Places(SOCKET, SPOOL, None)
    socket = os.path.abspath(given)
    folder = os.path.dirname(socket)
    beside = os.path.join(folder, SPOOL_NAME)
    return Places(socket, beside, folder) if _there(beside) else Places(socket, SPOOL, None)


def _there(folder: str) -> bool:
    """Is it a folder? What may not be looked at counts: the refusal is then said of the right spool."""
    try:
        return stat.S_ISDIR(os.stat(folder).st_mode)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
