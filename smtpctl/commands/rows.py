"""The rows of a queue: from the daemon, or out of the spool while none runs. One is in memory at a time."""

from collections.abc import Iterator
from typing import NamedTuple

from smtpd.mail.envelope import Envelope
from smtpd.mail.ids import msgid_of
from smtpd.messages.client_queue import ClientShowQueue, QueueRow
from smtpd.messages.control_scheduler import EnvelopeState

from ..client import NotRunning
from ..invocation import Invocation


class Row(NamedTuple):
    """`state` is None for an envelope of a spool that no daemon works on."""

    envelope: Envelope
    state: EnvelopeState | None

    @property
    def runstate(self) -> str:
        """ "pending", "inflight", "held" or "offline"."""
        return "offline" if self.state is None else self.state.state


def rows(invocation: Invocation, msgid: int, start: int = 0) -> Iterator[Row]:
    """The envelopes of a message, or all (0), in the order of evpid, from `start` on."""
    try:
        client = invocation.client
    except NotRunning:
        if not (invocation.spool / "queue").is_dir():
            raise
        yield from _offline(invocation, msgid, start)
        return
    for row in client.rows(ClientShowQueue(msgid, start)):
        assert isinstance(row, QueueRow)
        yield Row(row.envelope, row.state)


def _offline(invocation: Invocation, msgid: int, start: int) -> Iterator[Row]:
    from .. import offline  # here, because with a daemon nobody needs it

    for found in offline.envelopes(invocation.spool):
        if isinstance(found, str):
            invocation.output.complain(f"smtpctl: {found}")
        elif found.evpid >= start and (not msgid or msgid_of(found.evpid) == msgid):
            yield Row(found, None)
