"""Filling scheduler from the spool at start, a batch at a time, while new mail flows.

The walk reads a batch in a thread; it is decoded here, told to scheduler, and the next one is asked for when
scheduler has taken this one. Envelopes that came in since the start are not in the walk.
"""

from typing import TYPE_CHECKING

from smtpd.spool.backend import Stored, Walk

if TYPE_CHECKING:
    from .process import Process


class Loading:
    """The walk over the spool."""

    def __init__(self, process: "Process") -> None:
        self._process = process
        self._walk: Walk = process.spool.walk()
        self._count = 0
        self._stopped = False

    def begin(self) -> None:
        """Start, or go on with the next batch."""
        if not self._stopped:
            self._walk.next(self._found)

    def stop(self) -> None:
        """The daemon is about to end: leave the rest where it is."""
        self._stopped = True

    def _found(self, batch: list[Stored] | None) -> None:
        if batch is None:
            self._process.log.debug(f"queue: done loading queue into scheduler: {self._count} envelopes")
            return
        envelopes = self._process.envelopes
        ready = [envelope for one in batch if (envelope := envelopes.decoded(one)) is not None]
        self._count += len(ready)
        self._process.announce(ready)
        scheduler = self._process.peer("scheduler")
        if scheduler.full:
            scheduler.when_drained(self.begin)
        else:
            self.begin()
