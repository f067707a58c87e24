"""One run of an mda command: the mail into its standard input, the last line it says, how it ended.

What the results mean follows OpenSMTPD's mda.c and smtpd.c.  The command may do anything: not read, read
half, leave a process behind, say more than anybody wants to hear.
"""

import asyncio
import os
from collections.abc import Callable

from smtpd.mail.status import OK, PERMFAIL, TEMPFAIL
from smtpd.mproc.log import escape

SECONDS = 300.0
"""How long a command may run (OpenSMTPD: alarm(300))."""

CHUNK = 65536
MAX_LINE = 255
"""Bytes of the line that goes into the log and the envelope."""

FREE_OUTPUT = 262144
"""Bytes of output that are read as they come; what is more is read at leisure."""

_LEISURE = 0.05
_LAST_READS = 8

_TEMPORARY = (71, 75)  # EX_OSERR, EX_TEMPFAIL
_SYSEXITS = {
    64: "command line usage error",
    65: "data format error",
    66: "cannot open input",
    67: "user unknown",
    68: "host name unknown",
    69: "service unavailable",
    70: "internal software error",
    71: "system resource problem",
    72: "critical OS file missing",
    73: "can't create user output file",
    74: "input/output error",
    75: "temporary failure",
    76: "remote error in protocol",
    77: "permission denied",
    78: "local configuration error",
}

type Outcome = tuple[str, str, str]  # (status, error for the envelope, text for the log)


class LastLine:
    """The last line of a stream of which only that is kept."""

    __slots__ = ("_line", "_text")

    def __init__(self) -> None:
        self._line = b""  # begun
        self._text = b""  # the last one that was not empty

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        before, newline, after = data.rpartition(b"\n")
        if newline:
            lines = (self._line + before).split(b"\n") if len(before) <= 4096 else before[-4096:].split(b"\n")
            for line in reversed(lines):
                if line.strip():
                    self._text = line[:MAX_LINE]
                    break
            self._line = b""
        self._line = (self._line + after)[:MAX_LINE]

    def text(self) -> str:
        """It, in quotes and printable; "" if there was none."""
        line = (self._line if self._line.strip() else self._text).strip()
        return f'"{escape(line.decode("utf-8", "surrogateescape"))}"' if line else ""


class Command:
    """The pipes of one command. `written`: the whole mail is in the pipe.

    Built when the command is there; feed it `output` and, at last, ended().
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        stdin: int,
        content: int,
        headers: bytes,
        kill: Callable[[], None],
        *,
        ours: bool = False,
    ) -> None:
        """`stdin`: the pipe to write to; `content`: the message. Both are closed here when done with.

        `kill`: has the command ended before its time. `ours`: our own program delivers, inside of a wrapper.
        """
        self._loop = loop
        self._stdin = stdin
        self._content = content
        self._offset = 0
        self._pending = headers
        self._output = -1
        self._seen = 0
        self._leisure: asyncio.TimerHandle | None = None
        self._last = LastLine()
        self._kill = kill
        self._ours = ours
        self._killed = ""
        self.written = False
        os.set_blocking(stdin, False)
        self._timer = loop.call_later(SECONDS, self._time_is_up)
        self._waiting = False
        self._write()

    def output(self, fd: int) -> None:
        """The pipe to read from."""
        self._output = fd
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def ended(self, status: int) -> Outcome:
        """The command ended, with an exit status or minus a signal's number. Everything is closed here."""
        reads = 0
        while reads < _LAST_READS and self._output != -1 and self._read():
            reads += 1  # what lies in the pipe; nobody waits for a process that the command left behind
        self.close()
        if status == 0 and not self.written:
            error = self._killed or "mda exited prematurely"
            return TEMPFAIL, error, f"Error ({error})"
        if status == 0:
            return OK, "", "Delivered"
        if status < 0:
            cause, failed = self._killed or f"terminated; signal {-status}", TEMPFAIL
        else:
            cause, failed = "exited abnormally", self._failure(status)
        error = self._last.text() or cause
        meaning = _SYSEXITS.get(status, "")
        return failed, error, f"Error ({meaning}: {error})" if meaning else f"Error ({error})"

    def _failure(self, status: int) -> str:
        """What an exit status that is not 0 means. Around our own program, one that sysexits(3) does not know
        may be an interpreter's that could not begin (1), a shell's that found no such thing (126, 127) or saw
        it killed (128 and more): no reason to bounce mail. What it does know, a wrapper says on purpose.
        """
        meant = status in _SYSEXITS or not self._ours
        return PERMFAIL if meant and status not in _TEMPORARY else TEMPFAIL

    def close(self) -> None:
        """Let go of everything."""
        self._timer.cancel()
        self._end_input()
        self._end_output()

    # input

    def _write(self) -> None:
        try:
            while self._pending or self._more():
                sent = os.write(self._stdin, self._pending)
                self._pending = self._pending[sent:]
        except BlockingIOError:
            if not self._waiting:
                self._waiting = True
                self._loop.add_writer(self._stdin, self._write)
        except OSError:
            self._end_input()  # it reads no more; `written` stays false

    def _more(self) -> bool:
        """The next chunk of the content into `_pending`; False when there is none."""
        try:
            self._pending = os.pread(self._content, CHUNK, self._offset)
        except OSError:
            # an end of the input here would look like the end of the mail
            self._end("Error reading body")
            if self._waiting:
                self._loop.remove_writer(self._stdin)
                self._waiting = False
            return False
        self._offset += len(self._pending)
        if not self._pending:
            self.written = True
            self._end_input()
        return bool(self._pending)

    def _end_input(self) -> None:
        if self._stdin != -1:
            if self._waiting:
                self._loop.remove_writer(self._stdin)
            os.close(self._stdin)
            os.close(self._content)
            self._stdin = -1

    # output

    def _read(self) -> bool:
        """Read once; was there something?"""
        try:
            data = os.read(self._output, CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._end_output()
            return False
        self._last.feed(data)
        self._seen += len(data)
        if self._seen > FREE_OUTPUT and self._leisure is None:
            self._loop.remove_reader(self._output)
            self._leisure = self._loop.call_later(_LEISURE, self._read_on)
        return True

    def _read_on(self) -> None:
        self._leisure = None
        self._loop.add_reader(self._output, self._read)

    def _end_output(self) -> None:
        if self._output != -1:
            if self._leisure is not None:
                self._leisure.cancel()
                self._leisure = None
            else:
                self._loop.remove_reader(self._output)
            os.close(self._output)
            self._output = -1

    def _time_is_up(self) -> None:
        self._end("terminated; timeout")

    def _end(self, cause: str) -> None:
        self._killed = cause
        self._kill()
