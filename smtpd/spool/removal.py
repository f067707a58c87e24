"""The deleting half of fs.py: envelopes, and messages with their last one. Functions without state.

An envelope's file goes first; a message without envelopes leaves queue/ by one rename, then it is deleted.
Where the folder is to be used again with all that can be, it leaves with its last envelope.
"""

import os
from enum import Enum
from typing import NamedTuple

from .backend import Failure
from .layout import MESSAGE
from .walk import clear, is_evpid
from .writing import failure

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Reuse(Enum):
    """What of a finished message is welcome: nothing, its folder, or its envelope's file too."""

    NOTHING = 0
    FOLDER = 1
    ENVELOPE = 2


class Spare(NamedTuple):
    """A folder in purge/ that can be used again.

    `envelope`: the name of the one file in it, or "". It may be written over once the disk knows that its
    message has left queue/; before, a power cut could show the new text under the old name.
    """

    folder: str
    envelope: str = ""


class Removed(NamedTuple):
    """What became of an envelope that was to be deleted.

    `left`: how many its message has now, None if that is not sure. `complaint`: what could not be done
    besides.
    """

    result: Failure | None
    left: int | None = None
    spare: Spare | None = None
    complaint: str = ""


def remove(name: str, left: int | None, queue: int, purge_folder: int, reuse: Reuse) -> Removed:
    """Delete the envelope of this file name, and its message if it was the last one.

    `left`: how many the message has without it, None if the caller does not know. `queue`, `purge_folder`:
    descriptors.
    """
    message = name[:8]
    path = f"{name[:2]}/{message}/{name}"
    if left == 0 and reuse is Reuse.ENVELOPE and os.access(path, os.F_OK, dir_fd=queue):
        removed = _remove_whole(message, name, queue, purge_folder)
        if removed is not None:
            return removed
    try:
        os.unlink(path, dir_fd=queue)
    except OSError as error:
        return Removed(failure(error, "delete envelope"))
    clean = True
    if left is None:
        left, clean = count(message, queue)
    if left:
        return Removed(None, left if clean else None)
    reusable = clean and reuse is not Reuse.NOTHING
    complaint = purge(message, queue, purge_folder, reusable)
    return Removed(None, 0, Spare(message) if reusable and not complaint else None, complaint)


def _remove_whole(message: str, name: str, queue: int, purge_folder: int) -> Removed | None:
    """None if it cannot leave the queue: nothing was done."""
    try:
        os.rename(f"{message[:2]}/{message}", message, src_dir_fd=queue, dst_dir_fd=purge_folder)
    except OSError:
        return None
    try:
        os.unlink(f"{message}/{MESSAGE}", dir_fd=purge_folder)
    except OSError as error:
        return Removed(None, 0, None, failure(error, f"purge message {message}").text)
    return Removed(None, 0, Spare(message, name))


def count(message: str, queue: int) -> tuple[int, bool]:
    """How many envelopes a message has, and whether there is nothing else but its content: from its folder.

    A folder that cannot be read is taken for one with envelopes, so that it stays.
    """
    try:
        folder = os.open(f"{message[:2]}/{message}", _FOLDER, dir_fd=queue)
        try:
            names = os.listdir(folder)
        finally:
            os.close(folder)
    except OSError:
        return 1, False
    left = sum(1 for name in names if is_evpid(name))
    return left, len(names) == left + 1 and MESSAGE in names


def purge(message: str, queue: int, purge_folder: int, reuse: bool) -> str:
    """Take a message out of the queue and delete it; "" or a complaint.

    `reuse`: there is nothing but its content in its folder, which is kept, empty.
    """
    try:
        os.rename(f"{message[:2]}/{message}", message, src_dir_fd=queue, dst_dir_fd=purge_folder)
        if reuse:
            os.unlink(f"{message}/{MESSAGE}", dir_fd=purge_folder)
    except OSError as error:
        return failure(error, f"purge message {message}").text
    if not reuse:
        for _ in clear(purge_folder, [message]):
            pass
    return ""
