"""A message's content on its way out: read from the descriptor that queue passed, a large chunk at a time.

Small messages are read at once, so that their size and whether they are 8-bit are known exactly before MAIL.
"""

import os

CHUNK = 65536


class Content:
    """`size`: octets on the wire for a small message, of the file for a large one (RFC 1870 6.3 lets it be
    an estimate).

    `eightbit`: it has octets above 127, for a large message as far as its beginning shows. Positions are
    ours: the descriptor may share its own with others.
    """

    __slots__ = ("_fd", "_left", "_offset", "_start", "eightbit", "size")

    def __init__(self, fd: int) -> None:
        """Takes the descriptor over. OSError, and then it is closed."""
        self._fd = fd
        try:
            length = os.fstat(fd).st_size
            self._start = os.pread(fd, CHUNK, 0)
        except OSError:
            os.close(fd)
            raise
        self._left = max(length - len(self._start), 0)
        self._offset = len(self._start)
        self.eightbit = not self._start.isascii()
        if self._left:
            self.size = length
            # RFC 2045 6.2: said in the header, or in the header of a part
            self.eightbit = self.eightbit or b"8bit" in self._start.lower()
        else:
            self.size = length + self._start.count(b"\n")
            self.close()

    def read(self) -> tuple[bytes, bool]:
        """The next chunk, and whether it is the last. OSError."""
        if self._start:
            chunk, self._start = self._start, b""
            return chunk, not self._left
        if not self._left:
            return b"", True
        chunk = os.pread(self._fd, CHUNK, self._offset)
        if not chunk:
            raise OSError("content is shorter than it was")
        self._offset += len(chunk)
        self._left = max(self._left - len(chunk), 0)
        return chunk, not self._left

    def close(self) -> None:
        """Close the descriptor."""
        if self._fd != -1:
            os.close(self._fd)
            self._fd = -1
