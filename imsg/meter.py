"""What is measured of messages while somebody profiles: how long handlers ran, how long replies took.

A meter holds a log-linear histogram for each of what, channel and kind; channels that `measure` with it feed
it. Replies cost no call: sending and receiving frames note the request and find the reply. Handlers cost who
runs them one reading of the clock each (Channel.stamps). csrc/meter.c does the same; core.py chooses.

Bounds: MOST_HISTOGRAMS different things, CHANNELS names; the requests that wait for a reply have a place by
their number, and a newer one may take an older one's, which is then not measured.
"""

from collections.abc import Iterable, Sequence

from imsg.histogram import Histogram

HANDLED, REPLIED, WAITED = range(3)
"""What is measured, in ns: a handler's run, the time from a request to its reply, and what the user adds."""

CHANNELS = 64
KINDS = 4096
UNMEASURED = 1 << 63
"""In a stamp: what ended at this time is no handler's whole run, and measured by its owner."""

MOST_HISTOGRAMS = 1024
SENT = 8192

type Row = tuple[int, str, int, Histogram]  # what, channel's name, kind's number, its values

_serials = iter(range(1, 1 << 32))


def next_serial() -> int:
    """A number for a channel that no other of this process has."""
    return next(_serials)


class Names:
    """The channels' names by number; 0, named "?", for those after the first CHANNELS - 1."""

    def __init__(self) -> None:
        self._numbers = {"?": 0}

    def channel(self, name: str) -> int:
        """The number under which a channel of this name is measured."""
        if len(self._numbers) < CHANNELS:
            return self._numbers.setdefault(name, len(self._numbers))
        return self._numbers.get(name, 0)

    def names(self) -> list[str]:
        """All, by number."""
        return list(self._numbers)


class Meter(Names):
    """`requests`, `replies`: the numbers of such kinds. A reply's first field is the id of its request."""

    def __init__(self, requests: Iterable[int], replies: Iterable[int]) -> None:
        super().__init__()
        self.requests = frozenset(requests)
        self.replies = frozenset(replies)
        self.measuring = True
        """False: requests are remembered, and nothing is measured but by `add`."""
        self.left_out = 0
        self._histograms: dict[tuple[int, int, int], Histogram] = {}
        self._sent: dict[int, tuple[int, int, int, int]] = {}

    def add(self, what: int, channel: int, number: int, value: int) -> None:
        """One more value, of 0 to 2**63-1. Things beyond MOST_HISTOGRAMS are counted, not measured."""
        key = what, channel, number if number < KINDS else 0
        histogram = self._histograms.get(key)
        if histogram is None:
            if len(self._histograms) >= MOST_HISTOGRAMS:
                self.left_out += 1
                return
            histogram = self._histograms[key] = Histogram()
        histogram.add(value)

    def rows(self) -> list[Row]:
        """All that was measured."""
        names = self.names()
        return [(what, names[channel], kind, h) for (what, channel, kind), h in self._histograms.items()]

    def clear(self) -> None:
        """Begin from nothing; replies that are waited for will be measured."""
        self._histograms.clear()
        self.left_out = 0

    def sent(self, serial: int, peerid: int) -> int:
        """When a request that is not answered was sent on a channel, on CLOCK_MONOTONIC in ns; 0: unknown."""
        known = self._sent.get(_place(serial, peerid))
        return known[0] if known is not None and known[1:3] == (serial, peerid) else 0

    # for frame.py

    def went_out(self, serial: int, now: int, types: Sequence[int], peerids: Sequence[int]) -> None:
        """Frames that were sent."""
        for number, peerid in zip(types, peerids, strict=True):
            if number in self.requests:
                self._sent[_place(serial, peerid)] = now, serial, peerid, number

    def came_in(
        self, channel: int, serial: int, now: int, types: Sequence[int], payloads: Sequence[bytes]
    ) -> None:
        """Frames that were received."""
        for number, payload in zip(types, payloads, strict=True):
            reqid = first_field(payload) if number in self.replies else None
            if reqid is None:
                continue
            place = _place(serial, reqid)
            known = self._sent.get(place)
            if known is not None and known[1:3] == (serial, reqid):
                del self._sent[place]
                if self.measuring:
                    self.add(REPLIED, channel, known[3], now - known[0])

    def handled(self, channel: int, types: Sequence[int], stamps: Sequence[int], first: int) -> int:
        """Handlers from the `first` on whose end is noted; how many are now measured, or not to be."""
        for index in range(first, len(types)):
            began, ended = stamps[index : index + 2]
            if not began or not ended:
                return index
            began &= ~UNMEASURED
            if self.measuring and not ended & UNMEASURED and ended >= began:
                self.add(HANDLED, channel, types[index], ended - began)
        return max(first, len(types))


def _place(serial: int, peerid: int) -> int:
    return (serial * 2654435761 + peerid) % 2**32 % SENT


def first_field(payload: bytes) -> int | None:
    """The first field of an encoded message if it is a whole number of at most 32 bits, else None."""
    if not payload or (payload[0] & 0xF0 != 0x90 and payload[0] != 0xDC):
        return None
    at = 1 if payload[0] != 0xDC else 3
    head = payload[at : at + 1]
    if not head or head[0] < 0x80:
        return head[0] if head else None
    if not 0xCC <= head[0] <= 0xCE:
        return None
    size = 1 << (head[0] - 0xCC)
    field = payload[at + 1 : at + 1 + size]
    return int.from_bytes(field) if len(field) == size else None
