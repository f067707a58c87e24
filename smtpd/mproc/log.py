"""The log of a process: one line an event, to syslog or standard error (smtpd(8), "-d" and "-F").

`logging` is not used: it takes locks and walks handlers for every line, and lines are written on the mail
path. No line can be forged: control characters of whatever is quoted in one are escaped.
"""

import os
import socket
import time

SUBSYSTEMS = (
    "imsg",
    "io",
    "smtp",
    "filters",
    "mta",
    "bounce",
    "scheduler",
    "expand",
    "lookup",
    "stat",
    "rules",
    "mproc",
    "tables",
    "queue",
)
"""What can be traced (smtpctl(8), "trace"); "all" stands for every one, "transfer" for "mta"."""

_LOG_MAIL = 2 << 3
_PRIORITIES = {"crit": 2, "warn": 4, "info": 6, "debug": 7}
_LONGEST_LINE = 8192


def escape(text: str) -> str:
    """`text` with control characters and line breaks as \\xNN, surrogates as the bytes they stand for.

    Never fails, whatever the text holds.
    """
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    stands_for_byte = "\udc80" <= char <= "\udcff"
    data = char.encode("utf-8", "surrogateescape" if stands_for_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


class Log:
    """Writes lines. `tracing_NAME` is true while NAME is traced: ask it before making a costly line."""

    tracing_imsg: bool
    tracing_io: bool
    tracing_smtp: bool
    tracing_filters: bool
    tracing_mta: bool
    tracing_bounce: bool
    tracing_scheduler: bool
    tracing_expand: bool
    tracing_lookup: bool
    tracing_stat: bool
    tracing_rules: bool
    tracing_mproc: bool
    tracing_tables: bool
    tracing_queue: bool

    def __init__(self, name: str, *, syslog: bool = False, verbose: bool = False) -> None:
        self.name = name
        self.verbose = verbose
        self.lost = 0
        self._syslog: socket.socket | None = None
        self.traces: frozenset[str] = frozenset()
        self.set_traces(())
        if syslog:
            self._open_syslog()

    def _open_syslog(self) -> None:
        """Connect to /dev/log while it can be reached (before chroot); without one, standard error serves."""
        log_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            log_socket.connect("/dev/log")
        except OSError:
            log_socket.close()
            return
        log_socket.setblocking(False)
        self._syslog = log_socket

    def set_traces(self, subsystems: tuple[str, ...] | frozenset[str]) -> None:
        """Trace exactly these subsystems."""
        self.traces = frozenset(subsystems)
        for subsystem in SUBSYSTEMS:
            setattr(self, f"tracing_{subsystem}", subsystem in self.traces)

    def set_trace(self, subsystem: str, on: bool) -> None:
        """Turn one subsystem, or "all", on or off. Unknown names are a ValueError."""
        if subsystem == "transfer":
            subsystem = "mta"
        if subsystem == "all":
            self.set_traces(SUBSYSTEMS if on else ())
        elif subsystem not in SUBSYSTEMS:
            raise ValueError(f"no such subsystem: {subsystem}")
        else:
            self.set_traces(self.traces | {subsystem} if on else self.traces - {subsystem})

    def info(self, text: str) -> None:
        """What an operator wants to read of a day without trouble."""
        self._write("info", text)

    def warn(self, text: str) -> None:
        """What an operator should look at."""
        self._write("warn", f"warn: {text}")

    def crit(self, text: str) -> None:
        """Why a process ends."""
        self._write("crit", f"fatal: {text}")

    def debug(self, text: str) -> None:
        """Only with `log verbose`."""
        if self.verbose:
            self._write("debug", f"debug: {text}")

    def trace(self, subsystem: str, text: str) -> None:
        """Only while the subsystem is traced."""
        if subsystem in self.traces:
            self._write("debug", f"{subsystem}: {text}")

    def _write(self, priority: str, text: str) -> None:
        if not text.isprintable():
            text = escape(text)
        if len(text) > _LONGEST_LINE:
            text = text[: _LONGEST_LINE - 3] + "..."
        if self._syslog is not None:
            stamp = time.strftime("%b %e %H:%M:%S")
            line = f"<{_LOG_MAIL | _PRIORITIES[priority]}>{stamp} smtpd[{os.getpid()}]: {text}"
            try:
                self._syslog.send(line.encode("utf-8", "surrogateescape"))
            except OSError:
                self.lost += 1  # a dead or full syslog never holds up mail
            return
        now = time.time()
        stamp = f"{time.strftime('%H:%M:%S', time.localtime(now))}.{int(now * 1000) % 1000:03d}"
        try:
            os.write(2, f"{stamp} {self.name}: {text}\n".encode("utf-8", "surrogateescape"))
        except OSError:
            self.lost += 1
