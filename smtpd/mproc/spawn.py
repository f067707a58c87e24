"""Starting a child: fork and exec of our own program, with one socket to it.

A forked interpreter with a running loop is unsafe, and a forked parent would hand its secrets down; so every
child is a fresh interpreter with an address layout of its own, that knows nothing but what is sent to it.
"""

import os
import signal
import socket
import subprocess
import sys
from typing import NamedTuple

DESCRIPTOR_VARIABLE = "SMTPD_PARENT_DESCRIPTOR"
"""The environment variable that tells a child the number of its socket to parent."""

_SOCKET_BUFFER = 256 * 1024

_KEPT_VARIABLES = (
    "PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONDONTWRITEBYTECODE",
    "LANG",
    "LC_ALL",
    "TZ",
    "SSL_CERT_FILE",
    "IMSG_PURE",
    "IMSG_RECORDER",
)
"""What a child sees of the environment: no more than the interpreter and OpenSSL need."""


class Child(NamedTuple):
    """A started child: parent's end of the socketpair, and a pidfd that becomes readable when it ends."""

    name: str
    process: subprocess.Popen[bytes]
    socket: socket.socket
    pidfd: int

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid


def socketpair() -> tuple[socket.socket, socket.socket]:
    """A stream socketpair, non-blocking, with buffers that hold a burst of frames."""
    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    for end in pair:
        end.setblocking(False)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER)
    return pair


def environment() -> dict[str, str]:
    """The environment of a child, without the number of its descriptor.

    The folder of our own packages comes first on its module path: it runs the same code, installed or not.
    """
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    packages = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = [packages, *(folder for folder in kept.get("PYTHONPATH", "").split(os.pathsep) if folder)]
    return kept | {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


def spawn(name: str) -> Child:
    """Start child `name`. Raises OSError when it cannot be started."""
    ours, theirs = socketpair()
    try:
        process = subprocess.Popen(
            # -P: the folder the daemon was started in is not on the module path.
            [sys.executable, "-P", "-m", "smtpd", "-x", name],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            start_new_session=True,
            env=environment() | {DESCRIPTOR_VARIABLE: str(theirs.fileno())},
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Child(name, process, ours, os.pidfd_open(process.pid))


def describe_status(status: int) -> str:
    """A return code of subprocess in words: "exited with status 1", "was killed by SIGKILL"."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
