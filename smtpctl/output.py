"""What smtpctl prints: OpenSMTPD's text, field by field, or with --json one object a line.

JSON: every line is one object. Rows come first, each as its command's documentation says; a command that does
something ends with {"done": true, "number": N} or {"done": false, "error": "..."}, on standard output too.
Field names and types stay; new fields may come.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO, TextIOWrapper
from typing import IO, Any, cast

STYLES = {"good": "32", "bad": "31", "warn": "33", "dim": "2", "bold": "1"}
"""Parameters of the control sequence that begins a style (ECMA-48 8.3.117, SGR)."""


class Output:
    """Where results go. `as_json`: --json was given; `width`: columns of a terminal, 0 if it is none."""

    def __init__(
        self, *, as_json: bool = False, out: TextIOWrapper | None = None, err: TextIOWrapper | None = None
    ) -> None:
        self.as_json = as_json
        self._out = out if out is not None else cast(TextIOWrapper, sys.stdout)
        self._err = err if err is not None else cast(TextIOWrapper, sys.stderr)
        terminal = self._out.isatty()
        self._show = screened if terminal else printable
        self._show_error = screened if self._err.isatty() else printable
        self.width = terminal_size().columns if terminal else 0
        self._styled = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def row(self, text: str | Sequence[str], values: Mapping[str, Any]) -> None:
        """One result, in either form: a line or several, or an object.

        Control characters in a line are escaped: others wrote the fields.
        """
        self._out.write(self.rendered(text, values))

    def rendered(self, text: str | Sequence[str], values: Mapping[str, Any]) -> str:
        """What `row` writes, for who keeps results before they are written."""
        if self.as_json:
            return f"{_json(values)}\n"
        return "".join(f"{self._show(line)}\n" for line in ((text,) if isinstance(text, str) else text))

    def write(self, rendered: str) -> None:
        """What `rendered` gave."""
        self._out.write(rendered)

    def styled(self, text: str, style: str) -> str:
        """`text` with control characters escaped, in one of STYLES where the terminal has them."""
        text = self._show(text)
        return f"\x1b[{STYLES[style]}m{text}\x1b[m" if style and self._styled else text

    def line(self, text: str, style: str = "") -> None:
        """A line for readers of text, in one of STYLES and folded below its own indentation on a terminal.

        Control characters are escaped, as in `row`.
        """
        if self.as_json:
            return
        lines = [self._show(text)]
        if self.width:
            import textwrap  # here, as others below: nobody waits for what few need

            indent = " " * (len(text) - len(text.lstrip(" ")) + 4)
            lines = textwrap.wrap(
                lines[0], max(self.width, 40), subsequent_indent=indent, break_on_hyphens=False
            ) or [""]
        for line in lines:
            self._out.write(f"{self.styled(line, style)}\n")

    def text(self, text: str) -> None:
        """A line that is no result, for readers of text alone."""
        if not self.as_json:
            self._out.write(f"{text}\n")

    def raw(self, pieces: Iterable[bytes]) -> None:
        """Bytes as they are, in either form; to a terminal with control characters escaped, as in `row`."""
        self.flush()
        if self.width:
            self._raw_to_terminal(pieces)
            return
        for piece in pieces:
            self._out.buffer.write(piece)
        self._out.buffer.flush()

    def _raw_to_terminal(self, pieces: Iterable[bytes]) -> None:
        rest = b""
        for piece in pieces:
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                self._out.write(f"{self._show(line.decode('utf-8', 'surrogateescape'))}\n")
        if rest:
            self._out.write(self._show(rest.decode("utf-8", "surrogateescape")))
        self._out.flush()

    def done(self, text: str, number: int = 1) -> int:
        """Something was done; the exit status."""
        self._out.write((_json({"done": True, "number": number}) if self.as_json else text) + "\n")
        return 0

    def failed(self, reason: str) -> int:
        """It was not done; the exit status. The text is OpenSMTPD's."""
        if self.as_json:
            self._out.write(_json({"done": False, "error": reason}) + "\n")
        else:
            self._out.write(f"command failed: {self._show(reason)}\n" if reason else "command failed\n")
        return 1

    def complain(self, text: str) -> None:
        """A line for the one who typed."""
        self.flush()
        self._err.write(f"{self._show_error(text)}\n")

    def progress(self, text: str) -> None:
        """How far something long is, in a line of its own that the next one takes; "" for the end of it.

        Only where somebody sits at a terminal.
        """
        if not self.as_json and self._err.isatty():
            self._err.write(f"\r{self._show_error(text)}\x1b[K")
            self._err.flush()

    @contextmanager
    def screen(self) -> Iterator[None]:
        """What is printed meanwhile takes the place of what the terminal shows."""
        if not self.width or self.as_json:
            yield
            self.flush()
            return
        real, content = self._out, BytesIO()
        self._out = TextIOWrapper(content, encoding="utf-8", errors="surrogateescape")
        try:
            yield
            self._out.flush()
            lines = content.getvalue().decode("utf-8", "surrogateescape").splitlines()
        finally:
            self._out = real
        size = terminal_size()
        self.width = size.columns
        if len(lines) >= size.lines:
            more = len(lines) - size.lines + 2
            lines[size.lines - 2 :] = [self.styled(f"... {more} more lines", "dim")]
        # No line is longer than the screen is wide, so that each takes one of its lines.
        shown = (f"{cut(line, size.columns)}\x1b[K\n" for line in lines)
        real.write(f"\x1b[H{''.join(shown)}\x1b[J")
        real.flush()

    def interrupted(self) -> None:
        """The user has ended it: what a terminal shows next begins in a line of its own, without a style."""
        if self.width:
            self._out.write("\x1b[m\n" if self._styled else "\n")
        elif self._err.isatty():
            self._err.write("\n")

    def abandon(self, *, complaints: bool = False) -> None:
        """Nobody takes what was written: that, and what will be, goes nowhere. `complaints`: these too."""
        to_nowhere(*(self._out, self._err) if complaints else (self._out,))

    def flush(self) -> None:
        """Have everything out: a line a second is of no use in a buffer."""
        self._out.flush()


def to_nowhere(*files: IO[Any]) -> None:
    """What is written to them from now on nobody gets, and nobody has to take."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for file in files:
        os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def terminal_size() -> os.terminal_size:
    """Columns and lines."""
    import shutil

    return shutil.get_terminal_size()


def cut(line: str, columns: int) -> str:
    """As much of a line as so many columns of a terminal hold; styles in it take none."""
    import re
    import unicodedata

    shown: list[str] = []
    for piece in re.split(r"(\x1b\[[0-9;]*m)", line):
        if piece.startswith("\x1b"):
            shown.append(piece)
            continue
        for char in piece:
            if not unicodedata.combining(char):
                columns -= 2 if unicodedata.east_asian_width(char) in "WF" else 1
            if columns < 0:
                break
            shown.append(char)
    return "".join(shown)


def _json(values: Mapping[str, Any]) -> str:
    import json

    return json.dumps(values)


def printable(text: str) -> str:
    """`text` with control characters as \\xNN, so that no field commands the terminal; bytes, tabs stay."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() or char == "\t" or "\udc80" <= char <= "\udcff" else f"\\x{ord(char):02x}"
        for char in text
    )


def screened(text: str) -> str:
    """As `printable`, and bytes that are no text as \\xNN too: a terminal may take them for commands."""
    if text.isprintable():
        return text
    return "".join(
        f"\\x{ord(char) - 0xDC00:02x}" if "\udc80" <= char <= "\udcff" else char for char in printable(text)
    )


def vis(text: str) -> str:
    """`text` as strnvis(3) without flags writes it: the form of the error field of `show queue`."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return "".join(map(_vis_byte, text.encode("utf-8", "surrogateescape")))


def _vis_byte(byte: int) -> str:
    if 0x20 <= byte < 0x7F or byte in (0x09, 0x0A):
        return "\\\\" if byte == 0x5C else chr(byte)
    low = byte & 0x7F
    if low == 0x20:
        return f"\\{byte:03o}"
    meta = "M" if byte & 0x80 else ""
    if low < 0x20 or low == 0x7F:
        return f"\\{meta}^{'?' if low == 0x7F else chr(low + 0x40)}"
    return f"\\{meta}-{chr(low)}"


def duration(seconds: int) -> str:
    """As OpenSMTPD writes it: "1d2h3m4s", parts that are 0 left out; "0s"."""
    if not seconds:
        return "0s"
    sign = "-" if seconds < 0 else ""
    minutes, second = divmod(abs(seconds), 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    parts = ((day, "d"), (hour, "h"), (minute, "m"), (second, "s"))
    return sign + "".join(f"{number}{unit}" for number, unit in parts if number)


def plural(number: int, what: str) -> str:
    """ "0 envelope", "1 envelope", "2 envelopes": OpenSMTPD's."""
    return f"{number} {what}{'s' if number > 1 else ''}"
