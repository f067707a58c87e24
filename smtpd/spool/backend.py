"""What a spool can do. Bytes in, bytes out: what is in an envelope or a message means nothing here.

The interface is asynchronous, because a store may be a disk that waits or a database on another machine.
Whatever may wait takes a callback `then`, called in the loop's thread, at once or later, exactly once.
Failures are values: no full disk, missing file or exhausted descriptor raises anything here.

A message is incoming from `new_msgid` to `commit` or `rollback`; a crash then leaves nothing of it. From the
moment `commit` has called `then(None)` it is queued, on durable storage as far as the backend has any, until
its last envelope is deleted.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

GONE = "gone"
"""There is no such message or envelope (any more)."""
EXISTS = "exists"
"""The id is taken."""
CORRUPT = "corrupt"
"""It is there but cannot be used, and never will."""
ERROR = "error"
"""The store cannot do it now: no space, no descriptors, a fault of the device."""


class Failure(NamedTuple):
    """Why the spool did not do it. `kind`: GONE, EXISTS, CORRUPT or ERROR; `text`: for the log."""

    kind: str
    text: str


class Stored(NamedTuple):
    """An envelope as the store has it: its text, or why it cannot be read."""

    evpid: int
    data: bytes | Failure


type Then = Callable[[Failure | None], None]
type ThenOpen = Callable[[int | Failure], None]
type ThenLoad = Callable[[list[Stored]], None]
type ThenTaken = Callable[[list[int]], None]
type ThenFound = Callable[[list[Stored] | None], None]


class Walk(ABC):
    """All queued envelopes, a batch at a time, those of one message never in two batches."""

    @abstractmethod
    def next(self, then: ThenFound) -> None:
        """The next batch, never empty; None at the end. Ask again only after the answer."""


class Backend(ABC):
    """A spool. All methods are called from the loop's thread."""

    @abstractmethod
    def new_msgid(self) -> int:
        """An id that no message of this store has, as far as can be told without waiting."""

    @abstractmethod
    def new_evpid(self, msgid: int) -> int:
        """An id that no envelope of the message has, as far as can be told without waiting."""

    # coming in

    @abstractmethod
    def open_incoming(self, msgid: int, then: ThenOpen) -> None:
        """Make the message's content file; `then` gets a descriptor open for writing, and owns it."""

    @abstractmethod
    def commit(self, msgid: int, envelopes: Sequence[tuple[int, bytes]], then: Then) -> None:
        """Make content and envelopes (evpid, text) durable and queued, all or nothing.

        The content is what was written to the descriptor of `open_incoming`. After a failure nothing is left
        of the message.
        """

    @abstractmethod
    def rollback(self, msgid: int) -> None:
        """Forget an incoming message. One that is not incoming is left alone."""

    # queued

    @abstractmethod
    def open_message(self, msgid: int, then: ThenOpen) -> None:
        """A descriptor of the content, open for reading at its start; `then` owns it."""

    @abstractmethod
    def load(self, evpids: Sequence[int], then: ThenLoad) -> None:
        """The text of envelopes, in the order asked for."""

    @abstractmethod
    def add(self, evpid: int, data: bytes, then: Then) -> None:
        """One more envelope of a queued message, durable when `then` is called."""

    @abstractmethod
    def update(self, evpid: int, data: bytes, then: Then) -> None:
        """A new text for an envelope: after a crash the old or the new one is there, whole."""

    @abstractmethod
    def delete(self, evpid: int, then: Then) -> None:
        """Remove an envelope, and the message with its last one. A crash may bring it back."""

    @abstractmethod
    def set_aside(self, evpid: int, then: Then) -> None:
        """Move an envelope that cannot be used to where an administrator can look at it, with its message."""

    @abstractmethod
    def set_aside_message(self, msgid: int, then: Then) -> None:
        """Move a message that cannot be used, with all its envelopes."""

    # what an administrator did by hand; a store without files to move has nothing to find

    def find(self, msgid: int, then: ThenTaken) -> None:
        """The evpids of a message that is in the queue, known to anybody or not."""
        then([])

    def restore(self, msgid: int, then: Then) -> None:
        """Put back into the queue what was set aside of a message."""
        then(Failure(GONE, "nothing was set aside of that message"))

    @abstractmethod
    def walk(self) -> Walk:
        """What was queued when the backend was opened, minus what is gone meanwhile."""

    # several nodes on one store

    def take(self, evpids: Sequence[int], until: float, then: ThenTaken) -> None:
        """Lease envelopes: until the Unix time `until` no other node works on them.

        `then` gets those that this node may work on; `update` and `delete` give a lease back before its
        time. A store that one node has for itself gives all.
        """
        then(list(evpids))

    # the end

    @abstractmethod
    async def close(self) -> None:
        """Finish what was begun: every `then` that waits is called. Whatever is asked later fails."""
