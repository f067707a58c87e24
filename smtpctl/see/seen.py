"""One sighting: a message as one process had it on its tape, sent or received, or a handler that ran.

A message between two processes is seen twice, where it was sent (without its payload) and where it was
received. This is what comes from a running daemon, and what a capture file holds; joining.py makes one of
two.
"""

from typing import NamedTuple

from imsg.layout import DESCRIPTOR, HANDLED, OUT, WITHHELD
from imsg.tape import TapeRecord

__all__ = ["DESCRIPTOR", "HANDLED", "OUT", "WITHHELD", "Seen", "from_record"]


class Seen(NamedTuple):
    """`time`: Unix time in ns. `owner`: whose tape it was on; `other`: the other end of the channel.

    `flags`: OUT, DESCRIPTOR, HANDLED, WITHHELD (imsg/layout.py). `type`: the kind's number; `length`: of the
    frame; (`pid`, `peerid`) names the message on that channel. `payload`: None where it was not recorded.
    """

    time: int
    owner: str
    other: str
    flags: int
    type: int
    length: int
    peerid: int
    pid: int
    payload: bytes | None

    @property
    def sender(self) -> str:
        """Who sent it."""
        return self.owner if self.flags & OUT else self.other

    @property
    def receiver(self) -> str:
        """Who got it."""
        return self.other if self.flags & OUT else self.owner


def from_record(record: TapeRecord, owner: str, offset: int) -> Seen:
    """A sighting from a tape's record. `offset`: Unix time minus the tape's clock, in ns."""
    time, _, flags, channel, number, length, peerid, pid, payload = record
    return Seen(time + offset, owner, channel, flags, number, length, peerid, pid, payload)
