"""Message content on its way out: lines end in CRLF, leading dots are doubled (RFC 5321 2.3.8, 4.5.2).

The spool keeps content with LF-ended lines.  Whole chunks are turned by bytes.replace, never line by line;
the only state between chunks is whether the next octet begins a line.

A bare CR, which must not be sent (RFC 5321 2.3.8), goes out as a blank: a server that takes it for the end of
a line could be made to see a dot line, and a second message, that nobody here has seen.
"""

END = b".\r\n"  # RFC 5321 4.1.1.4: the mail data is ended by a line of one dot


class ContentEncoder:
    """Encodes one message, chunk by chunk.  `octets` counts what was put out, without the final dot line."""

    __slots__ = ("_line_start", "octets")

    def __init__(self) -> None:
        self._line_start = True
        self.octets = 0

    def encode(self, chunk: bytes) -> bytes:
        """The next chunk as it goes over the wire."""
        if not chunk:
            return b""
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r", b" ")
        out = chunk.replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")
        if self._line_start and chunk.startswith(b"."):
            out = b"." + out
        self._line_start = chunk.endswith(b"\n")
        self.octets += len(out)
        return out

    def finish(self) -> bytes:
        """What ends the content: a CRLF if the last line has none, and the dot."""
        if self._line_start:
            return END
        self.octets += 2
        return b"\r\n" + END
