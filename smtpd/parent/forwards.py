"""The part of parent that opens users' .forward files for lookup (forward(5)).

Only a file that nobody but its user and root can have written counts: not a link, owned by the user, not
writable by others, and no folder above it up to the home writable by others either.
"""

import errno
import os
import stat
from typing import TYPE_CHECKING

from smtpd.messages.parent_lookup import ForwardOpened, OpenForward
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

if TYPE_CHECKING:
    from .process import Process

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Insecure(Exception):
    """The file or a folder above it could have been changed by somebody else."""


class Forwards:
    """Opens .forward files."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @handles(OpenForward)
    def open_forward(self, peer: Peer, reqid: int, message: OpenForward) -> ForwardOpened | None:
        """The descriptor, or why there is none."""
        try:
            fd = open_forward(message.directory, message.uid)
        except FileNotFoundError:
            return ForwardOpened(reqid, "none")
        except Insecure as error:
            self._process.log.warn(f".forward of {message.username}: {error}")
            return ForwardOpened(reqid, "permfail")
        except OSError as error:
            self._process.log.warn(f".forward of {message.username}: {error.strerror}")
            return ForwardOpened(reqid, "tempfail")
        peer.send(ForwardOpened(reqid, "ok"), fd)
        return None


def open_forward(directory: str, uid: int) -> int:
    """A descriptor of DIRECTORY/.forward. FileNotFoundError, Insecure, OSError.

    A home with the sticky bit set is being worked on (forward(5)): a temporary failure.
    """
    if not os.path.isabs(directory) or "\0" in directory:
        raise Insecure("the home is no absolute path")
    home = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        status = os.fstat(home)
        if status.st_mode & stat.S_ISVTX:
            raise OSError(errno.EAGAIN, "the home is sticky")
        fd = os.open(".forward", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=home)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Insecure("a symbolic link") from None
        raise
    finally:
        os.close(home)
    try:
        _check(status, uid, "the home")
        opened = os.fstat(fd)
        if not stat.S_ISREG(opened.st_mode):
            raise Insecure("no regular file")
        if opened.st_uid != uid:
            raise Insecure("not owned by its user")
        if opened.st_mode & _WRITABLE_BY_OTHERS:
            raise Insecure("writable by others")
    except Insecure:
        os.close(fd)
        raise
    return fd


def _check(status: os.stat_result, uid: int, what: str) -> None:
    if status.st_uid not in (0, uid) or status.st_mode & _WRITABLE_BY_OTHERS:
        raise Insecure(f"{what} is writable by others, or not owned by its user")
