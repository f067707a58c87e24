"""The content of one incoming message on its way from the wire to its file: decoded, its header treated,
measured.

Puts data.py and rfc5322.py together, and says with which reply a message must be refused. When it is said is
server.py's business.
"""

from smtpd.protocol import rfc5322

from . import reply
from .data import DataDecoder

HOPELESS = frozenset((reply.LINE_TOO_LONG, reply.ENDLESS))
"""Problems behind which there is no way to the message's end."""

_HEADER_PROBLEMS = {"": b"", rfc5322.LOOP: reply.LOOP, rfc5322.MALFORMED: reply.MALFORMED}


class IncomingContent:
    """One message. `head`: lines that go in front of it (Received). `limit`: octets of content, lines ending
    in LF; what comes behind it is thrown away, up to `overrun` octets.

    `ended`: the dot was there, `rest` is what stood behind it. `size`: octets given out. Set `full` when what
    is given out can no longer be stored.
    """

    __slots__ = (
        "_decoder",
        "_head",
        "_header",
        "_limit",
        "_octets",
        "_overrun",
        "ended",
        "full",
        "rest",
        "size",
    )

    def __init__(self, head: bytes, header: rfc5322.HeaderSection, limit: int, overrun: int) -> None:
        self._decoder = DataDecoder()
        self._header = header
        self._head = head
        self._limit = limit
        self._overrun = overrun
        self._octets = 0
        self.ended = False
        self.full = False
        self.rest = b""
        self.size = 0

    def feed(self, data: bytes) -> bytes:
        """What is to be written for `data`."""
        decoder, header = self._decoder, self._header
        content, self.rest = decoder.feed(data)
        self.ended = decoder.ended
        self._octets += len(content)
        if self._octets > self._limit or self.full:
            return b""
        if not header.done:
            content = header.feed(content)
            if decoder.ended and not header.done:
                content += header.finish()
        if header.problem:
            return b""
        if self._head:
            content = self._head + content
            self._head = b""
        self.size += len(content)
        return content

    @property
    def problem(self) -> bytes:
        """The reply that refuses the message, b"" while all is well; the same however it was cut into
        pieces.
        """
        if self._decoder.too_long:
            return reply.LINE_TOO_LONG
        if self._octets > self._limit:
            return reply.ENDLESS if self._octets > self._limit + self._overrun else reply.TOO_BIG
        return _HEADER_PROBLEMS[self._header.problem] or (reply.FULL if self.full else b"")
