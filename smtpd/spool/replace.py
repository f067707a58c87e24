"""An envelope's file that takes the place of another, or of none, of a message that is queued.

It is written under incoming/, synced in a round, and gets its name by one rename: the old or the new content
is there, whole, whatever happens.
"""

import contextlib
import os
from collections.abc import Callable, Sequence

from .backend import Failure, Then
from .rounds import Rounds
from .writing import failure, open_folder, write_file


def replace(
    rounds: Rounds, name: str, data: bytes, incoming: int, queue: int, durable: bool, then: Then
) -> None:
    """Give MSGID/`name` under the descriptor `queue` the content `data`, by way of incoming/`name`.

    `durable`: the name is on disk as well when `then` is called; otherwise a crash may bring the old content
    back. Should that fail, there is none.
    """
    message = name[:8]
    path = f"{message}/{name}"
    opened: list[int] = []
    failed: Failure | None = None

    def begin(open_it: Callable[[], int], what: str) -> Sequence[int]:
        nonlocal failed
        try:
            opened.append(open_it())
        except OSError as error:
            failed = failure(error, what)
        return opened

    def end(error: OSError | None, what: str) -> Failure | None:
        while opened:
            os.close(opened.pop())
        return failed if error is None else failure(error, what)

    def written(error: OSError | None) -> None:
        result = end(error, "write envelope")
        if result is None:
            try:
                os.rename(name, path, src_dir_fd=incoming, dst_dir_fd=queue)
            except OSError as wrong:
                result = failure(wrong, "write envelope")
        if result is not None and failed is None:
            with contextlib.suppress(OSError):  # incoming/ is emptied at the next start
                os.unlink(name, dir_fd=incoming)
        if result is not None or not durable:
            then(result)
        else:
            rounds.sync(lambda: begin(lambda: open_folder(message, queue), "fsync of the message"), named)

    def named(error: OSError | None) -> None:
        result = end(error, "fsync of the message")
        if result is not None:
            with contextlib.suppress(OSError):
                os.unlink(path, dir_fd=queue)
        then(result)

    rounds.sync(lambda: begin(lambda: write_file(name, data, incoming), "write envelope"), written)
