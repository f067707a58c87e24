"""The part for what an administrator did to the spool's files: found, or put back, and told to scheduler.

What scheduler knows already stays as it is. An envelope that still cannot be used is set aside again.
"""

from typing import TYPE_CHECKING

from smtpd.mail.envelope import Envelope
from smtpd.mail.ids import format_msgid, msgid_of
from smtpd.messages.control_queue import DiscoverEnvelopes, EnvelopesDiscovered, UncorruptMessage
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer
from smtpd.spool.backend import Failure

if TYPE_CHECKING:
    from .process import Process


class Recovery:
    """discover, uncorrupt."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @handles(DiscoverEnvelopes)
    def discover_envelopes(self, peer: Peer, reqid: int, message: DiscoverEnvelopes) -> None:
        """An envelope, or those of a message."""
        if message.id > 0xFFFFFFFF:
            self._discover(peer, reqid, msgid_of(message.id), message.id)
        else:
            self._discover(peer, reqid, message.id, 0)

    @handles(UncorruptMessage)
    def uncorrupt_message(self, peer: Peer, reqid: int, message: UncorruptMessage) -> None:
        """Back into the queue."""

        def restored(result: Failure | None) -> None:
            if result is not None:
                peer.send(EnvelopesDiscovered(reqid, result.text, 0))
                return
            self._process.log.info(f"queue: message {format_msgid(message.msgid)} moved back from corrupt/")
            self._discover(peer, reqid, message.msgid, 0)

        self._process.spool.restore(message.msgid, restored)

    def _discover(self, peer: Peer, reqid: int, msgid: int, wanted: int) -> None:
        """`wanted`: an evpid, or 0 for all of the message."""

        def found(evpids: list[int]) -> None:
            self._process.envelopes.get_many(
                [evpid for evpid in evpids if wanted in (0, evpid)], loaded, keep=False
            )

        def loaded(envelopes: list[tuple[int, Envelope | None]]) -> None:
            ready = [envelope for _evpid, envelope in envelopes if envelope is not None]
            self._process.announce(ready)
            peer.send(EnvelopesDiscovered(reqid, "", len(ready)))

        self._process.spool.find(msgid, found)
