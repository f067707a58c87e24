"""The content after DATA: from the wire's form to the stored one (RFC 5321 4.5.2).

Lines come out ending in LF, dots that the client stuffed are taken out, and the end is found. Whole chunks
are worked on, never single lines, so that the price of a message is that of a few searches in C.

The end is CRLF "." CRLF and nothing else. A bare LF ends a line of content, as it does in the stored form,
but a dot between bare line ends is no end: a server on the way that thought otherwise could be made to
smuggle a second message in. A bare CR is a character like any other. What is done with the content is not
known here.
"""

LINE_MAX = 65535
"""Octets of a line, CR included and LF not, from which on it is too long."""

_END = b"\r\n.\r\n"
_NEWLINE = 0x0A
_RETURN = 0x0D
_DOT = 0x2E


class DataDecoder:
    """Decodes one message. `ended`: the dot was seen; `too_long`: a line was; after either nothing more is
    taken.
    """

    __slots__ = ("_held", "_line", "_started", "ended", "too_long")

    def __init__(self) -> None:
        # as if a CRLF stood before the content, so that its first line needs no rule of its own
        self._held = b"\r\n"
        self._line = 0
        self._started = False
        self.ended = False
        self.too_long = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """The decoded content that is certain now, and what stands behind the end, not looked at.

        Up to four octets that might begin the end are held back until it is known whether they do.
        """
        if not data:
            return b"", b""
        data = self._held + data
        end = data.find(_END)
        if end < 0:
            rest = b""
            keep = _undecided(data)
            content, self._held = data[: len(data) - keep], data[len(data) - keep :]
        else:
            self.ended = True
            content, self._held, rest = data[: end + 2], b"", data[end + 5 :]
        self._measure(content)
        if self.too_long:
            self.ended = False
            return b"", b""
        content = content.replace(b"\r\n", b"\n").replace(b"\n.", b"\n")
        if not self._started and content:
            self._started = True
            content = content[1:]
        return content, rest

    def _measure(self, content: bytes) -> None:
        """See whether a line has become too long. `_line`: octets, so far, of the one that content goes on
        with.

        As many searches as content has pieces of LINE_MAX octets, each of them a short one in usual mail.
        """
        begin = -self._line
        while len(content) - begin >= LINE_MAX:
            newline = content.rfind(b"\n", max(begin, 0), begin + LINE_MAX)
            if newline < 0:
                self.too_long = True
                return
            begin = newline + 1
        newline = content.rfind(b"\n", max(begin, 0))
        self._line = len(content) - (begin if newline < 0 else newline + 1)


def _undecided(data: bytes) -> int:
    """How many octets at the end of data may still become an end of line with a dot behind it, or the end of
    all.
    """
    last = data[-1]
    if last == _NEWLINE:
        return 2 if data.endswith(b"\r\n") else 1
    if last == _RETURN:
        return 4 if data.endswith(b"\r\n.\r") else 1
    if last == _DOT and data.endswith(b"\r\n."):
        return 3
    return 0
