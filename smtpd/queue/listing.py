"""The part that tells control what is in envelopes, for the lists of smtpctl(8)."""

from typing import TYPE_CHECKING

from imsg.message import MAX_PAYLOAD
from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode
from smtpd.messages.control_queue import DescribeEnvelopes, EnvelopesDescribed
from smtpd.mproc.dispatch import handles
from smtpd.mproc.peer import Peer

if TYPE_CHECKING:
    from .process import Process

_ROOM = MAX_PAYLOAD - 32
"""Bytes that envelopes may take in a frame; the rest is for the fields around them."""

_OVERHEAD = 300
"""Bytes that an envelope takes in a frame at most, beyond those of its text in the spool."""


class Listing:
    """Envelopes for control."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    @handles(DescribeEnvelopes)
    def describe_envelopes(self, peer: Peer, reqid: int, message: DescribeEnvelopes) -> None:
        """As many of them as one frame holds; control asks again for the others."""

        def loaded(found: list[tuple[int, Envelope | None]]) -> None:
            described: list[Envelope] = []
            room = _ROOM
            taken = 0
            for _evpid, envelope in found:
                if envelope is not None:
                    room -= len(encode(envelope)) + _OVERHEAD
                    if room < 0 and described:
                        break
                    described.append(envelope)
                taken += 1
            peer.send(EnvelopesDescribed(reqid, taken, described))

        self._process.envelopes.get_many(message.evpids, loaded, keep=False)
