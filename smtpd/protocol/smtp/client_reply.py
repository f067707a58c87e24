"""The replies of an SMTP or LMTP server as the client reads them: bytes in, whole replies out (RFC 5321 4.2).

Everything is bounded: the length of a line, the number of lines and the size of a reply.  What the server
says ends in log lines, envelopes and bounces, so control characters are taken out here, once.  No I/O, no
knowledge of commands: which command a reply belongs to is client.py's business.
"""

import re
from typing import NamedTuple

MAX_LINE = 2048  # OpenSMTPD's LINE_MAX; RFC 5321 4.5.3.1.5 promises only 512
MAX_LINES = 128  # of one reply; an EHLO reply with more extensions than this is no mail server's
MAX_REPLY = 32768  # octets of one reply
MAX_TEXT = 1000  # characters of Reply.text(): it goes into logs and bounces

_CONTROL = dict.fromkeys((*range(0x20), 0x7F), "?") | {0x09: " "}
_ESC = re.compile(r"([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:[ \t]|$)")
_FINAL = re.compile(rb"[2-5][0-9][0-9]")


class Reply(NamedTuple):
    """One reply: `code` (200..599) and the text of each line without code and separator."""

    code: int
    lines: tuple[str, ...]

    def text(self) -> str:
        """The reply as one line, `550 5.1.1 no such user; ask the owner`, at most MAX_TEXT characters.

        The enhanced status code that servers repeat on each line stands once, before the first text.
        """
        lines = self.lines
        if len(lines) == 1:
            line = f"{self.code} {lines[0]}" if lines[0] else str(self.code)
            return line if len(line) <= MAX_TEXT else line[:MAX_TEXT]
        parts = [str(self.code)]
        if lines[0]:
            parts.append(lines[0].strip())
        for line in lines[1:]:
            found = _ESC.match(line)
            rest = (line[found.end() :] if found else line).strip()
            if rest:
                parts.append(rest)
        return " ".join(parts)[:MAX_TEXT]

    def esc(self) -> str:
        """The enhanced status code as `5.1.1`, or "" when there is none that fits the code (RFC 2034 4)."""
        found = _ESC.match(self.lines[0])
        if found is None or int(found[1]) != self.code // 100:
            return ""
        return f"{found[1]}.{int(found[2])}.{int(found[3])}"


class ReplyReader:
    """Cuts a server's bytes into replies, however they arrive.

    `error` is "" while the stream is sound.  After a violation it says why; the replies that were whole
    before it are still returned, and nothing after it is.
    """

    __slots__ = ("_code", "_lines", "_size", "_tail", "error")

    def __init__(self) -> None:
        self.error = ""
        self._tail = b""
        self._code = 0
        self._lines: list[str] = []
        self._size = 0

    @property
    def pending(self) -> bool:
        """Is there a begun line or reply?"""
        return bool(self._tail or self._lines)

    def feed(self, data: bytes) -> list[Reply]:
        """The replies that `data` completes, in order."""
        replies: list[Reply] = []
        if self.error:
            return replies
        pieces = data.split(b"\n")
        last = len(pieces) - 1
        if self._tail:
            pieces[0] = self._tail + pieces[0]
        for n in range(last):
            line = pieces[n]
            if len(line) > MAX_LINE:
                self.error = "Line too long"
                return replies
            if line.endswith(b"\r"):
                line = line[:-1]
            if not _FINAL.match(line):
                self.error = "Line too short" if len(line) < 3 else "Reply code out of range"
                return replies
            text = line[4:].decode("utf-8", "surrogateescape")
            if not text.isprintable():  # surrogates come here too and are left as they are
                text = text.translate(_CONTROL)
            if line[3:4] != b"-":
                code = int(line[:3])
                if self._lines:
                    replies.append(Reply(code, (*self._lines, text)))
                    self._lines = []
                    self._size = 0
                else:
                    replies.append(Reply(code, (text,)))
                continue
            self._size += len(line)
            self._lines.append(text)
            if len(self._lines) > MAX_LINES or self._size > MAX_REPLY:
                self.error = "Reply too long"
                return replies
        self._tail = pieces[last]
        if len(self._tail) > MAX_LINE:
            self.error = "Line too long"
        return replies

    def discard(self) -> None:
        """Forget what is begun (a TLS handshake starts the stream anew, RFC 3207 4.2)."""
        self._tail = b""
        self._lines = []
        self._size = 0
