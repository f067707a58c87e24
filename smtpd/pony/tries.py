"""The last tries of envelopes that could not be delivered, for who asks why they wait (`smtpctl explain`).

In memory and bounded: MOST envelopes, those that failed longest ago are forgotten first, and TRIES_MOST tries
of each. What an envelope's file says (how often, when last, why) is not lost with it.
"""

from collections import OrderedDict, deque

from smtpd.mail.envelope import clip
from smtpd.messages.control_tries import Try

MOST = 4000
TRIES_MOST = 6
STATUS_MAX = 300
"""Bytes of a status that are kept."""


class Tries:
    """By evpid."""

    def __init__(self) -> None:
        self._tries: OrderedDict[int, deque[Try]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._tries)

    def failed(self, evpid: int, time: int, source: str, host: str, status: str) -> None:
        """One failed for now."""
        tries = self._tries.pop(evpid, None)
        if tries is None:
            tries = deque(maxlen=TRIES_MOST)
            if len(self._tries) >= MOST:
                self._tries.popitem(last=False)
        tries.append(Try(time, source, host, clip(status, STATUS_MAX)))
        self._tries[evpid] = tries

    def forget(self, evpid: int) -> None:
        """It is delivered, or will not be."""
        if self._tries:
            self._tries.pop(evpid, None)

    def of(self, evpid: int) -> list[Try]:
        """Those that are remembered, the oldest first."""
        return list(self._tries.get(evpid, ()))
