"""The folders of a spool: their names, owners and modes, which are OpenSMTPD's; making and checking them.

```
.            0711 root
offline/     0770 root, group queue    left by sendmail while no daemon ran
queue/       0700 queue    messages to be delivered: queue/XX/MSGID/message and queue/XX/MSGID/EVPID
incoming/    0700 queue    messages being received: incoming/MSGID, and texts that will replace others
purge/       0700 queue    what is to be deleted
temporary/   0700 queue    OpenSMTPD's; emptied
corrupt/     0700 queue    what cannot be used: corrupt/MSGID, as in OpenSMTPD until its release 6.0
```

"queue" is the user that the queue process runs as; the group of these folders is root's. XX is the first
byte of the MSGID. Without root everything belongs to the caller.
"""

import fcntl
import os
import stat
import struct
from typing import NamedTuple

QUEUE = "queue"
INCOMING = "incoming"
PURGE = "purge"
TEMPORARY = "temporary"
CORRUPT = "corrupt"
OFFLINE = "offline"
MESSAGE = "message"

# linux/fs.h
_GETFLAGS = 0x80086601
_SETFLAGS = 0x40086602
_TOPDIR = 0x00020000


class Folder(NamedTuple):
    """`owner`: whether it is the queue user's, not root's; `group`: whether its group is the queue's."""

    name: str
    mode: int
    owner: bool
    group: bool


FOLDERS = (
    Folder(".", 0o711, False, False),
    Folder(OFFLINE, 0o770, False, True),
    Folder(PURGE, 0o700, True, False),
    Folder(TEMPORARY, 0o700, True, False),
    Folder(CORRUPT, 0o700, True, False),
    Folder(QUEUE, 0o700, True, False),
    Folder(INCOMING, 0o700, True, False),
)


def prepare(root: str, uid: int = -1, gid: int = -1) -> list[str]:
    """Make the folders that are not there, check those that are; returns what is wrong, in a line each.

    As root: `uid` and `gid` are the queue user and its group. Otherwise -1: everything is the caller's. Run
    it before any rights are given up. Raises nothing; with a line returned the spool must not be used.
    """
    wrong: list[str] = []
    for folder in FOLDERS:
        path = root if folder.name == "." else os.path.join(root, folder.name)
        if uid < 0:
            owner, group = os.geteuid(), -1
        else:
            owner, group = (uid if folder.owner else 0), (gid if folder.group else 0)
        try:
            _make(path, folder.mode, owner, group)
            wrong += _check(path, folder.mode, owner, group)
        except OSError as error:
            wrong.append(f"{path}: {os.strerror(error.errno or 0)}")
            break
        if folder.name == INCOMING:
            _spread(path)
    return wrong


def _make(path: str, mode: int, owner: int, group: int) -> None:
    try:
        os.mkdir(path, 0)  # no rights at first: the umask must not matter, nor may anyone come before chown
    except FileExistsError:
        return
    if os.geteuid() == 0:
        os.chown(path, owner, group)
    os.chmod(path, mode)


def _check(path: str, mode: int, owner: int, group: int) -> list[str]:
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode):
        return [f"{path} is not a directory"]
    wrong = []
    if found.st_uid != owner:
        wrong.append(f"{path} is not owned by uid {owner}")
    if group >= 0 and found.st_gid != group:
        wrong.append(f"{path} is not owned by gid {group}")
    if stat.S_IMODE(found.st_mode) != mode:
        wrong.append(f"{path} must be {stat.filemode(mode)[1:]} ({mode:o})")
    return wrong


def _spread(path: str) -> None:
    """Ask ext4 to spread the folders of messages, and so their files, over its block groups (chattr +T).

    A queue makes and deletes files all day. When all of them come from one block group, an ext4 without a
    journal looks at every inode deleted within the last minute before it takes one, which made a new file
    cost 300 us instead of 10. Other file systems do not know the flag.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        (flags,) = struct.unpack("I", fcntl.ioctl(fd, _GETFLAGS, bytes(4)))
        if not flags & _TOPDIR:
            fcntl.ioctl(fd, _SETFLAGS, struct.pack("I", flags | _TOPDIR))
    except OSError:
        pass  # it is about speed alone
    finally:
        os.close(fd)
