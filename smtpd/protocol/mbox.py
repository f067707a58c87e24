"""The mbox format (RFC 4155): mails one after another in a file, each behind a line that begins with "From ".

Lines of a mail that begin so get a ">" before them, wherever they are: some readers split a mailbox there
even without an empty line before it. Pure functions; content has LF-ended lines.
"""

_SEPARATOR = b"\nFrom "
_QUOTED = b"\n>From "
MAILER_DAEMON = "MAILER-DAEMON"


def from_line(sender: str, when: str) -> bytes:
    """The line before a mail. `sender`: "" for a bounce; `when`: local time as asctime(3) writes it."""
    shown = "".join(c if c > " " and c != "\x7f" else "?" for c in sender) or MAILER_DAEMON
    return f"From {shown} {when}\n".encode("utf-8", "surrogateescape")


class Quoting:
    """Encodes one mail, chunk by chunk."""

    __slots__ = ("_ended", "_held", "_virtual")

    def __init__(self) -> None:
        self._held = (
            b"\n"  # what may be the beginning of a separator; at first an end of line that is not there
        )
        self._virtual = True
        self._ended = True

    def encode(self, chunk: bytes) -> bytes:
        """As much of it as is certain."""
        if not chunk:
            return b""
        self._ended = chunk.endswith(b"\n")
        data = self._held + chunk
        held = next((n for n in range(len(_SEPARATOR) - 1, 0, -1) if data.endswith(_SEPARATOR[:n])), 0)
        self._held = data[len(data) - held :]
        return self._strip(data[: len(data) - held].replace(_SEPARATOR, _QUOTED))

    def finish(self) -> bytes:
        """The rest: an end of line if the last line has none, and the empty line behind each mail."""
        return self._strip(self._held) + (b"\n" if self._ended else b"\n\n")

    def _strip(self, data: bytes) -> bytes:
        if self._virtual and data:
            self._virtual = False
            return data[1:]
        return data
