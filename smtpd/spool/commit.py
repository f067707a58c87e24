"""Messages on their way from incoming/ to queue/, each in the same steps as OpenSMTPD's spool knows them.

1. The envelopes are written beside the content.
2. One round: content, envelopes and their folder are on disk.
3. The folder gets its name under queue/XX, by one rename.
4. One more round: the name is on disk. Now the sender may have a 250.

Steps 1 and 3 are short and done in the loop's thread. A large content and many envelopes go to disk before
their round, for which everybody else would have to wait, in a thread of their own.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .backend import Failure, Then
from .durable import fsync_all
from .rounds import Rounds
from .workers import Workers
from .writing import failure, open_folder, write_file, write_over

LARGE = 256 * 1024
"""Bytes of a content that goes to disk before its round."""

MANY = 32
"""Envelopes of a message of which the same is true; so many are open at a time."""


class Commit(NamedTuple):
    """A message to be committed. `content`: a descriptor of its content; `envelopes`: (file name, text);
    `spare`: the name of a file in its folder that can be written over, or "".
    """

    name: str
    content: int
    envelopes: Sequence[tuple[str, bytes]]
    spare: str = ""

    def write(self, first: int, most: int, incoming: int, fds: list[int]) -> None:
        """Write so many envelopes from the `first` on, and add their descriptors to `fds`. OSError."""
        for number, (name, text) in enumerate(self.envelopes[first : first + most], first):
            path = f"{self.name}/{name}"
            if self.spare and not number:
                fds.append(write_over(f"{self.name}/{self.spare}", path, text, incoming))
            else:
                fds.append(write_file(path, text, incoming))


def write(one: Commit, incoming: int) -> list[int] | Failure:
    """Write the envelopes: the descriptors to be synced, the content's first, the caller's to close.

    `incoming`: descriptor of incoming/. After a failure all are closed.
    """
    fds = [one.content]
    try:
        one.write(0, len(one.envelopes), incoming, fds)
        fds.append(open_folder(one.name, incoming))
    except OSError as error:
        close(fds)
        return failure(error, "write envelope")
    return fds


def write_synced(one: Commit, incoming: int) -> list[int] | Failure:
    """The same with content and envelopes on disk already, in a thread: the folder alone is to be synced."""
    failed = next(iter(fsync_all([one.content])))
    for first in range(0, len(one.envelopes), MANY):
        fds: list[int] = []
        try:
            if failed is None:
                one.write(first, MANY, incoming, fds)
        except OSError as error:
            os.close(one.content)
            return failure(error, "write envelope")
        else:
            failed = failed or next((error for error in fsync_all(fds) if error), None)
        finally:
            close(fds)
    os.close(one.content)
    try:
        if failed is not None:
            raise failed
        return [open_folder(one.name, incoming)]
    except OSError as error:
        return failure(error, "fsync")


def close(fds: Sequence[int]) -> None:
    """Close all of them."""
    for fd in fds:
        os.close(fd)


class Commits:
    """Runs commits.

    `incoming`: descriptor of incoming/. `bucket`: gives that of queue/XX, or None where it has to be made;
    `make_bucket`: makes it, in a thread. Both take the message's name, and raise OSError.
    """

    def __init__(
        self,
        rounds: Rounds,
        workers: Workers,
        incoming: int,
        bucket: Callable[[str], int | None],
        make_bucket: Callable[[str], int],
    ) -> None:
        self._rounds = rounds
        self._workers = workers
        self._incoming = incoming
        self._bucket = bucket
        self._make_bucket = make_bucket
        self.running = 0

    def run(self, one: Commit, then: Then) -> None:
        """Commit a message. After a failure what is left of it is under incoming/."""

        def ended(result: Failure | None) -> None:
            self.running -= 1
            then(result)

        self.running += 1
        if len(one.envelopes) > MANY or os.fstat(one.content).st_size > LARGE:
            self._workers.run(
                write_synced, one, self._incoming, then=lambda fds: self._sync(one.name, lambda: fds, ended)
            )
        else:
            self._sync(one.name, lambda: write(one, self._incoming), ended)

    def _sync(self, name: str, written: Callable[[], list[int] | Failure], ended: Then) -> None:
        fds: list[int] | Failure = []

        def opened() -> Sequence[int]:
            nonlocal fds
            fds = written()
            return () if isinstance(fds, Failure) else fds

        def synced(error: OSError | None) -> None:
            if isinstance(fds, Failure):
                ended(fds)
                return
            close(fds)
            if error is not None:
                ended(failure(error, "fsync"))
            else:
                self._publish(name, ended)

        self._rounds.sync(opened, synced)

    def _publish(self, name: str, ended: Then) -> None:
        try:
            queue = self._bucket(name)
        except OSError as error:
            ended(failure(error, "rename into the queue"))
            return
        if queue is not None:
            self._rename(name, queue, ended)
        else:
            self._workers.run(self._made_bucket, name, then=lambda made: self._in_made(name, made, ended))

    def _made_bucket(self, name: str) -> int | Failure:
        try:
            return self._make_bucket(name)
        except OSError as error:
            return failure(error, "rename into the queue")

    def _in_made(self, name: str, made: int | Failure, ended: Then) -> None:
        if isinstance(made, Failure):
            ended(made)
        else:
            self._rename(name, made, ended)

    def _rename(self, name: str, queue: int, ended: Then) -> None:
        try:
            os.rename(name, name, src_dir_fd=self._incoming, dst_dir_fd=queue)
        except OSError as error:
            ended(failure(error, "rename into the queue"))
            return

        def named(error: OSError | None) -> None:
            if error is None:
                ended(None)
                return
            # It is queued, but nobody can say for how long.
            with contextlib.suppress(OSError):
                os.rename(name, name, src_dir_fd=queue, dst_dir_fd=self._incoming)
            ended(failure(error, "fsync of the queue"))

        self._rounds.sync(lambda: (queue,), named)
