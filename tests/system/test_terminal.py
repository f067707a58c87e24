"""smtpctl in front of an administrator: terminals of several sizes, a queue that was filled with malice."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest
import tree
from bench_smtpctl import write_spool
from daemon import RELAY, Daemon

from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode
from smtpd.mail.ids import format_evpid, make_evpid

MSGID = 0xDEADBEEF
HOSTILE = (
    "\x1b]0;a title\x07",
    "\x1b[2J\x1b[31mred",
    "\u009b31m",
    "\udc9b31m\udcff",
    "\u202egnp.exe",
    "\r\x08\x08over",
    "日本語" * 20,
    "e\u0301" * 40,
    "a" * 240,
)
"""Users: control sequences of seven and of eight bits, text that turns round, wide, combined and long."""

STYLE = re.compile(r"\x1b\[[0-9;]*m")
PAINTING = re.compile(r"\x1b\[[HJK]")


class Terminal:
    """A command at a terminal."""

    def __init__(
        self, daemon: Daemon, *words: str, columns: int = 80, lines: int = 24, program: str = ""
    ) -> None:
        self.end, its = pty.openpty()
        self.resize(columns, lines)
        attributes = termios.tcgetattr(self.end)
        start = ["-c", program] if program else ["-m", "smtpctl"]
        ours = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        self.process = subprocess.Popen(
            [sys.executable, *start, "--state", str(daemon.state), *words],
            stdin=its,
            stdout=its,
            stderr=its,
            cwd=tree.ROOT,
            env={**ours, "TERM": "xterm-256color", "PYTHONPATH": str(tree.ROOT)} | {"NO_COLOR": ""},
            start_new_session=True,
            # so that ^C reaches it, which whoever runs the tests may have set to be ignored
            preexec_fn=lambda: (signal.signal(signal.SIGINT, signal.default_int_handler), None)[1],
        )
        os.close(its)
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._attributes = attributes

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self.end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds: float) -> bool:
        """Whether something came."""
        if not select.select([self.end], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.end, 65536)
        except OSError:  # nobody is at its other end
            return False
        self.seen += self._decoder.decode(data)
        return bool(data)

    def until(self, pattern: str, count: int = 1, seconds: float = 30) -> None:
        until = time.monotonic() + seconds
        while len(re.findall(pattern, self.seen)) < count:
            assert time.monotonic() < until, f"{count} times {pattern!r}: {self.seen!r}"
            self.read(1)

    def finish(self, *, interrupt: bool = False) -> int:
        """The exit status; the terminal is as it was."""
        if interrupt:
            os.kill(self.process.pid, signal.SIGINT)
        until = time.monotonic() + 30
        while self.read(0.2) or self.process.poll() is None:
            assert time.monotonic() < until, self.seen[-1000:]
        status = self.process.wait()
        assert termios.tcgetattr(self.end) == self._attributes
        os.close(self.end)
        self.seen = self.seen.replace("\r\n", "\n")
        return status


@pytest.fixture(scope="module")
def hostile() -> Iterator[Daemon]:
    one = Daemon(RELAY, sink=9, arguments=("-P", "mta", "-P", "mda"))
    try:
        one.state.mkdir()
        write_spool(one.state / "spool", 40)
        folder = one.state / "spool/queue/de" / f"{MSGID:08x}"
        folder.mkdir(parents=True)
        content = "".join(f"X-{i}: {user}\n" for i, user in enumerate(HOSTILE)) + "\nHello \x1b]0;x\x07."
        (folder / "message").write_bytes(content.encode("utf-8", "surrogateescape"))
        for number, user in enumerate(HOSTILE, 1):
            evpid = make_evpid(MSGID, number)
            address = MailAddress(user, "evil.test")
            envelope = Envelope(
                evpid=evpid, type="mta", dispatcher="relay", smtpname="x.test", helo="client.test",
                hostname=f"{user[:60]}.test", sockaddr="192.0.2.1", sender=address, rcpt=address,
                dest=address._replace(domain=f"{'d' * 60}.test"), ctime=int(time.time()), ttl=86400, retry=1,
                errorline=f"550 {user[:60]}",
            )  # fmt: skip
            (folder / format_evpid(evpid)).write_bytes(encode(envelope))
        one.start(60)
        until = time.monotonic() + 30
        while f"scheduler.envelope={40 + len(HOSTILE)}\n" not in one.ctl("show", "stats"):
            assert time.monotonic() < until, one.log()
            time.sleep(0.05)
        yield one
    finally:
        one.close()


def commands_nothing(text: str) -> None:
    """Styles, tabs and lines are all that a terminal may be told."""
    left = STYLE.sub("", text)
    assert all(char.isprintable() or char in "\n\t" for char in left), [
        char for char in left if not char.isprintable() and char not in "\n\t"
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("show", "queue"),
        ("show", "queue", "--by=sender"),
        ("show", "queue", "--sort=error"),
        ("show", "queue", f"{MSGID:08x}", "--json"),
        ("show", "message", f"{MSGID:08x}"),
        ("show", "envelope", f"{MSGID:08x}00000001"),
        ("show", "envelope", f"{MSGID:08x}00000004"),
        ("explain", f"{MSGID:08x}00000001"),
        ("explain", f"{MSGID:08x}00000004"),
        ("explain", "\x1b[31m\u009b2J@\x07relay.test"),
        ("show", "\x1b]0;x\x07\udc9b"),
        ("update", "table", "\x1b[2J\udc9b"),
    ],
    ids=" ".join,
)
def test_nothing_of_a_queue_commands_the_terminal(hostile: Daemon, words: tuple[str, ...]) -> None:
    for columns in (80, 200):
        terminal = Terminal(hostile, *words, columns=columns)
        assert terminal.finish() in (0, 1, os.EX_USAGE)
        assert len(terminal.seen) > 30
        commands_nothing(terminal.seen)


def test_columns_line_up_whatever_the_names(hostile: Daemon) -> None:
    terminal = Terminal(hostile, "show", "queue")
    assert terminal.finish() == 0
    lines = STYLE.sub("", terminal.seen).splitlines()
    start = lines[0].index("TO")
    first = [line for line in lines[1:] if re.match(r"[0-9a-f]{16} ", line)]
    assert len(first) == 40 + len(HOSTILE)
    assert all(line[start - 1] == " " and line[start] != " " for line in first)
    terminal = Terminal(hostile, "show", "queue", "--by=sender", columns=200)
    assert terminal.finish() == 0
    lines = STYLE.sub("", terminal.seen).splitlines()
    assert len({len(line) for line in lines if "日" not in line and "e\u0301" not in line}) == 1


def test_watching_paints_one_screen(hostile: Daemon) -> None:
    """No line is longer than the terminal, which may change its size; ^C ends with a line of its own."""
    terminal = Terminal(hostile, "show", "queue", "--watch=0.1", columns=80, lines=20)
    terminal.until(r"\x1b\[J", 2)
    terminal.resize(50, 10)
    before = len(re.findall(r"\x1b\[J", terminal.seen))
    terminal.until(r"\x1b\[J", before + 3)
    assert terminal.finish(interrupt=True) == 130
    assert terminal.seen.endswith("\n")
    commands_nothing(PAINTING.sub("", terminal.seen))
    screens = [screen.splitlines() for screen in re.split(r"\x1b\[H", terminal.seen)[1:-1]]
    for screen, columns, lines in ((screens[0], 80, 20), (screens[-1], 50, 10)):
        plain = [STYLE.sub("", PAINTING.sub("", line)) for line in screen]
        assert len(plain) <= lines
        assert all(len(line) <= columns for line in plain)
        assert "more lines" in plain[-2]


def test_monitor_has_columns_until_it_is_interrupted(hostile: Daemon) -> None:
    terminal = Terminal(hostile, "monitor")
    terminal.until(r"(?m)^ *\d+( +\d+){12}\r$", 3)
    assert terminal.finish(interrupt=True) == 130
    assert terminal.seen.endswith("\n")
    head, names, *rows = [line for line in STYLE.sub("", terminal.seen).splitlines() if line.strip()]
    assert head.startswith("--- client ---") and names.split()[0] == "curr"
    rows = [row for row in rows if row.strip(" ^C")]
    assert len(rows) >= 3 and len({len(row) for row in rows}) == 1
    assert [int(row.split()[3]) for row in rows] == [40 + len(HOSTILE)] * len(rows)


def test_what_takes_long_says_how_far_it_is(hostile: Daemon) -> None:
    """In a line that the result takes; nothing of it where nobody sits."""
    eager = "from smtpctl.commands import {0} as c; c.PROGRESS_SECONDS = 0\n"
    eager += "import sys; from smtpctl.__main__ import main; sys.exit(main())"
    terminal = Terminal(hostile, "check", "queue", program=eager.format("checking"))
    assert terminal.finish() == 0
    assert re.search(
        r"\r1 message checked until now\x1b\[K\r2 messages checked until now\x1b\[K", terminal.seen
    )
    assert terminal.seen.endswith("\r\x1b[K5 messages, 49 envelopes, 0 problems\n")
    done = subprocess.run(
        [sys.executable, "-c", eager.format("checking"), "--state", str(hostile.state), "check", "queue"],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "5 messages, 49 envelopes, 0 problems\n", "")
    terminal = Terminal(hostile, "remove", "all", program=eager.format("envelopes"))
    assert terminal.finish() == 0
    assert terminal.seen.endswith("49 envelopes removed\n")
