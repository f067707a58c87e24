"""The sockets that parent opens for others: SMTP listeners for pony, the control socket for control."""

import errno
import os
import socket
import stat
from pathlib import Path
from typing import NamedTuple

from smtpd.config.model import Config, ListenAddress

_CONTROL_MODE = 0o666  # who may do what is decided by peer credentials, not by the file's mode
_BACKLOG = 512
_NOT_THERE = (errno.EADDRNOTAVAIL, errno.ENODEV, socket.EAI_NONAME)
_PATH_MAX = 107  # sun_path of unix(7), without the NUL at its end


class Bound(NamedTuple):
    """A listening socket. `listener`: index in Config.listeners; `address`: as in the log, "[::1]:25"."""

    listener: int
    address: str
    socket: socket.socket


def listen_smtp(config: Config, following: frozenset[int] = frozenset()) -> list[Bound]:
    """Bind every address of every listener; an OSError names the address that could not be had.

    `following`: the listeners (indices) that follow interfaces. Of theirs one that is not there yet, or not
    any more, is left out: interfaces.py sees to it later.
    """
    bound: list[Bound] = []
    try:
        for index, listener in enumerate(config.listeners):
            for address in dict.fromkeys(listener.addresses):
                try:
                    bound.append(Bound(index, shown(address), listen(address)))
                except OSError as error:
                    if index not in following or error.errno not in _NOT_THERE:
                        raise
    except OSError:
        for each in bound:
            each.socket.close()
        raise
    return bound


def shown(address: ListenAddress) -> str:
    """An address for the log."""
    host = f"[{address.address}]" if address.family == "inet6" else address.address
    return f"{host}:{address.port}"


def listen(address: ListenAddress) -> socket.socket:
    """A socket that listens on an address; an OSError names it."""
    try:
        return _bind(address)
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {shown(address)}: {error.strerror}") from None


def _bind(address: ListenAddress) -> socket.socket:
    family = socket.AF_INET6 if address.family == "inet6" else socket.AF_INET
    where = socket.getaddrinfo(
        address.address, address.port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
    )[0][4]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(where)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return listening


def listen_control(path: Path) -> socket.socket:
    """The control socket; a dead one in its place is removed.

    OSError, which names the path, when a daemon has it or something else than a socket lies there.
    """
    if len(os.fsencode(path)) > _PATH_MAX:
        raise OSError(
            errno.ENAMETOOLONG, f"{path}: longer than the path of a socket may be ({_PATH_MAX} bytes)"
        )
    if not _free(path):
        raise OSError(errno.EADDRINUSE, f"{path}: another daemon is listening there")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.bind(os.fspath(path))
        os.chmod(path, _CONTROL_MODE)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{path}: {error.strerror}") from None
    return listening


def _free(path: Path) -> bool:
    """Whether nobody listens at a path; a socket that nobody has any more is removed."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise OSError(errno.EEXIST, f"{path}: is there, and no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)  # a daemon whose backlog is full is one too
            probe.connect(os.fspath(path))
    except FileNotFoundError:
        return True
    except ConnectionRefusedError:
        path.unlink(missing_ok=True)
        return True
    except BlockingIOError:
        return False
    except PermissionError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from None
    return False
