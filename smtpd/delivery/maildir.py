"""A maildir as its user writes to it: tmp, then new; nothing is there before it is whole and on disk.

Follows mail.maildir(8) and https://cr.yp.to/proto/maildir.html.  Runs with the user's rights only, so links
and permissions inside the user's own home are the user's own affair.
"""

import errno
import os
import socket
import time
from itertools import count

from smtpd.mail.status import LOOP, PERMFAIL
from smtpd.protocol.delivery_headers import header_of, is_junk, is_loop

CHUNK = 65536
HEADER_MAX = 1024 * 1024
"""Bytes of a message that are searched for the end of its header."""

_SUBDIRS = ("cur", "tmp", "new")
_PERMANENT = (errno.EINVAL, errno.ENAMETOOLONG)
_NAME_ESCAPE = str.maketrans(dict.fromkeys("!#$%&'*/?^`{|}~", ":"))  # of a subaddress, as mail.maildir does
_counter = count(1)


class DeliveryError(Exception):
    """Not delivered; `status` as in smtpd.mail.status."""

    def __init__(self, status: str, text: str) -> None:
        super().__init__(text)
        self.status = status


class Delivery:
    """One message, written but not yet moved to where readers look. `folder`: the `new` it goes to."""

    __slots__ = ("_fd", "_name", "_tmp", "folder")

    def __init__(self, fd: int, maildir: str, tmp: str, name: str) -> None:
        self._fd = fd
        self._tmp = tmp
        self._name = name
        self.folder = f"{maildir}/new"

    def finish(self) -> None:
        """fsync, close, rename. OSError: the message is gone again."""
        try:
            try:
                os.fsync(self._fd)
            finally:
                os.close(self._fd)
            os.rename(self._tmp, f"{self.folder}/{self._name}")
        except OSError:
            _unlink(self._tmp)
            raise


class Maildir:
    """One maildir, made when a delivery finds it missing."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(
        self, fd: int, headers: bytes, extension: str = "", junk: bool = False, loop: str = ""
    ) -> Delivery:
        """Write `headers` and the content of `fd` to a file in tmp.

        Raises DeliveryError for what is decided by content and name, OSError for what the disk says.
        """
        if not os.path.isabs(self.path):
            raise DeliveryError(PERMFAIL, "maildir: not an absolute path")
        head = os.pread(fd, CHUNK, 0)
        header = read_header(fd, head) if loop or junk else b""
        if loop and is_loop(header, loop):
            raise DeliveryError(LOOP, "Loop detected")
        path = self._subfolder(extension)
        name = unique_name()
        tmp = f"{path}/tmp/{name}"
        try:
            if junk and is_junk(header):
                # as mail.maildir: written beside the others, moved to Junk
                make_maildir(f"{self.path}/.Junk")
                delivery = Delivery(_create(path, tmp), f"{self.path}/.Junk", tmp, name)
            else:
                delivery = Delivery(_create(path, tmp), path, tmp, name)
        except OSError as error:
            if error.errno in _PERMANENT:
                raise DeliveryError(PERMFAIL, f"maildir: {error.strerror}") from None
            raise
        try:
            _copy(fd, delivery._fd, headers, head)
        except OSError:
            os.close(delivery._fd)
            _unlink(tmp)
            raise
        return delivery

    def _subfolder(self, extension: str) -> str:
        """The subfolder for a subaddress (mail.maildir's EXTENSION) if it exists, else the maildir itself."""
        name = extension.translate(_NAME_ESCAPE)
        if name and "\0" not in name and not name.startswith("."):
            path = f"{self.path}/.{name}"
            if os.path.isdir(path):
                return path
        return self.path


def unique_name() -> str:
    """A file name that no other delivery has: time, microseconds, process, number in it, host."""
    now = time.time_ns()
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    return f"{now // 10**9}.M{now // 1000 % 10**6}P{os.getpid()}Q{next(_counter)}.{host}"


def make_maildir(path: str) -> None:
    """`path` and its three folders, and what is missing above, for the user alone. OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    for name in _SUBDIRS:
        os.makedirs(f"{path}/{name}", mode=0o700, exist_ok=True)
    sync_folder(path)
    try:
        sync_folder(os.path.dirname(path))
    except PermissionError:
        pass  # a folder that the user may write to but not read


def sync_folder(path: str) -> None:
    """Make the entries of a folder durable. OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _create(path: str, tmp: str) -> int:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    try:
        return os.open(tmp, flags, 0o600)
    except FileNotFoundError:
        make_maildir(path)
        return os.open(tmp, flags, 0o600)


def read_header(fd: int, head: bytes) -> bytes:
    """The header of the message that begins with `head`; as much of it as HEADER_MAX allows. OSError."""
    while len(header := header_of(head)) == len(head) < HEADER_MAX:
        more = os.pread(fd, CHUNK, len(head))
        if not more:
            break
        head += more
    return header


def _copy(source: int, target: int, headers: bytes, head: bytes) -> None:
    """Everything to the file, with a line end behind the last line."""
    size = os.fstat(source).st_size
    if size <= len(head):
        _write(target, headers + head if head.endswith(b"\n") or not head else headers + head + b"\n")
        return
    _write(target, headers)
    offset = 0
    while offset < size:
        sent = os.sendfile(target, source, offset, size - offset)
        if not sent:
            raise OSError(errno.EIO, "content is shorter than it was")
        offset += sent
    if os.pread(source, 1, size - 1) != b"\n":
        _write(target, b"\n")


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # whoever cleans tmp (a reader does, after 36 hours) finds it
