"""Messages for a daemon that is not running: files in the spool's offline/, in OpenSMTPD's format.

The first line holds sendmail's arguments with "|" between them, the rest is the message. The daemon, this
one or OpenSMTPD, submits each as its owner when it starts, and removes it then. A file appears whole or not
at all, and with the group of offline/, without which OpenSMTPD does not look at it.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Sequence

from smtpd.spool.layout import OFFLINE

SEPARATOR = "|"
ARGUMENTS_MOST = 128 * 1024
"""Octets of the first line; an argument list of execve(2) has its bounds too."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class CannotKeep(Exception):
    """The message cannot wait in offline/; the text says why."""


def keep(spool: str, arguments: Sequence[str], content: Iterable[bytes]) -> str:
    """Store a message for later; its file's name. It is on disk then. CannotKeep."""
    head = join(arguments)
    path = os.path.join(spool, OFFLINE)
    try:
        folder = os.open(path, _FOLDER)
    except OSError as error:
        raise CannotKeep(f"{path}: {error.strerror}") from None
    try:
        return _store(folder, head, content)
    except OSError as error:
        raise CannotKeep(f"{path}: {error.strerror}") from None
    finally:
        os.close(folder)


def _store(folder: int, head: bytes, content: Iterable[bytes]) -> str:
    import random  # here: with a daemon nobody needs it

    file = os.open(".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with os.fdopen(file, "wb") as stream:
        group = os.fstat(folder).st_gid
        if os.fstat(file).st_gid != group:
            os.fchown(file, -1, group)
        stream.write(head)
        stream.writelines(content)
        stream.flush()
        os.fsync(file)
        while True:
            name = f"{int(time.time())}.{''.join(random.choices(_LETTERS, k=10))}"
            with contextlib.suppress(FileExistsError):
                os.link(f"/proc/self/fd/{file}", name, dst_dir_fd=folder, follow_symlinks=True)
                break
    os.fsync(folder)
    return name


def join(arguments: Sequence[str]) -> bytes:
    """The first line. CannotKeep for what would not come out of it again."""
    for argument in arguments:
        if SEPARATOR in argument or "\n" in argument or "\0" in argument:
            raise CannotKeep(f"{argument!r} cannot be kept while smtpd is not running")
    line = f"{SEPARATOR.join(arguments)}\n".encode("utf-8", "surrogateescape")
    if len(line) > ARGUMENTS_MOST:
        raise CannotKeep("too many recipients to be kept while smtpd is not running")
    return line


def split(line: bytes) -> list[str]:
    """The arguments in the first line; CannotKeep if there is none."""
    if not line.endswith(b"\n"):
        raise CannotKeep("no line with arguments")
    return line[:-1].decode("utf-8", "surrogateescape").split(SEPARATOR)
