"""Debian's OpenSMTPD and our daemon with the same configuration and mails, and envelopes in every state.

Nothing here says what is right: tests ask both the same and compare. What differs on purpose stands in
`DIFFERENCES`, with the reason.
"""

import contextlib
import io
import os
import pwd
import smtplib
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import programs
from bench_machine import free_port, greets
from daemon import Daemon, mail
from opensmtpd import OpenSMTPD
from sink import Sink

from smtpctl.running import run

DIFFERENCES = {
    "expires": "OpenSMTPD keeps no ttl in an envelope and prints its creation for the expiry",
    "last try": "OpenSMTPD does not write down when a try failed: the last one is 0 then",
    "status": "the other host's enhanced status code is kept for the bounce; OpenSMTPD has `other`",
    "bounce flag": "OpenSMTPD flags bounces only where the machine calls itself localhost",
    "bounce sessions": "OpenSMTPD submits its bounces over SMTP to itself, and counts these sessions",
    "lingering": "how long what is not used any more is kept, and counted, is each program's own business",
    "references": "pointers that OpenSMTPD's C holds to a thing; ours are those of what uses it",
    "hold queues": "OpenSMTPD counts on what removals have emptied",
    "loads": "OpenSMTPD loads an envelope again to show it",
    "zero": "OpenSMTPD prints a counter once it was used; some of ours are there from the start",
    "why": "we say why it was not done, OpenSMTPD only that it was not",
    "usage": "a command that means nothing: 64 (EX_USAGE), why, and what was possible; there 255",
    "not there": "a file that is not in the spool: 66 (EX_NOINPUT) and which; there 1 and `fopen`",
    "not running": "no daemon: 69 (EX_UNAVAILABLE) and which socket; OpenSMTPD: 1",
    "keywords": "the daemon knows its subsystems, and names them; there smtpctl, without names",
    "more subsystems": "tables, queue and mproc can be traced or profiled here, not there",
    "scope": "the zone of a link-local address is said; OpenSMTPD forgets it",
    "reverse name": "a relay that is given by its address is not asked for by its reverse name",
    "errors of a route": "OpenSMTPD has these counted no more (mta.c: #if 0)",
    "waiting route": "Q is shown as the manual has it; OpenSMTPD leaves it out while a route is in use",
    "method": "a password is hashed with the best that crypt(3) has; there with sha512crypt",
    "offline message": "without a daemon OpenSMTPD shows all envelopes when those of a message are asked for",
    "ids": "an id is hex digits; OpenSMTPD takes signs and 0x as strtoull(3) does",
    "ip6": "OpenSMTPD prints no ip6 terms on Linux: glibc's inet_net_pton(3) has IPv4 alone",
    "prefixes": "`a/24` and `mx/24` are terms of RFC 7208 that OpenSMTPD passes over",
    "order": "what OpenSMTPD keeps in the order of its memory comes in any; ours is sorted",
    "own commands": "there are commands that OpenSMTPD does not have",
}
"""What differs on purpose: a name that the tests use, and the reason."""


def differs(name: str, theirs: object, ours: object) -> None:
    """A difference that is meant, and is there: one that is gone must leave the list."""
    assert name in DIFFERENCES
    assert theirs != ours, f"{name}: both say {ours!r}"


USERS = ("slow", "temp", "perm")

CONF = """\
mda limit max-session-per-user 1
mda limit task-hiwat 2
mda limit task-lowat 1
mta limit task-hiwat 2
mta limit task-lowat 1
mta limit conn-delay-host 0
mta limit conn-delay-route 0
mta limit conn-delay-source 0
mta limit conn-delay-connector 0
mta limit conn-delay-relay 0
mta limit conn-delay-domain 0
table names file:${folder}/names
listen on 127.0.0.1 port ${port}
${listen_six}
action "slow" mda "cat >/dev/null; exec sleep 900" virtual <names>
action "temp" mda "cat >/dev/null; echo 'try | later'; exit 75" virtual <names>
action "perm" mda "cat >/dev/null; exit 77" virtual <names>
action "silent" relay host smtp://127.0.0.2:${silent}
action "later" relay host smtp://127.0.0.3:${later}
action "never" relay host smtp://127.0.0.4:${never}
action "down" relay host smtp://127.0.0.5:${down}
match from any for domain "slow.test" action "slow"
match from any for domain "temp.test" action "temp"
match from any for domain "perm.test" action "perm"
match from any for domain "silent.test" action "silent"
match from any for domain "later.test" action "later"
match from any for domain "never.test" action "never"
match from any for domain "down.test" action "down"
"""

NAMES = "alice: slow\nslow: slow\ntemp: temp\nperm: perm\n"

LATER = r'451 4.2.1 come back, "later" \o/ | pipe'


SIX, LOCAL = "six@silent.test", "root@source.test"
"""Senders of the mail over IPv6 and of the one that sendmail submits."""

SEED_MESSAGE = b"Received: by seed.test\nSubject: seed \xe9\n\n.A line\n\n\\ | end without line end"

_COMMON = """\
ctime: {now}
last-try: {now}
last-bounce: 0
ttl: 604800
retry: 30
"""

SEEDS = (
    (
        "5eed0001",
        "5eed000100000001",
        """\
version: 3
dispatcher: later
type: bounce
smtpname: seed.test
helo: seed.test
hostname: seed.test
errorline: 451 4.3.0 try again
sockaddr: local
sender: bounced@later.test
rcpt: x@never.test
dest: x@never.test
"""
        + _COMMON
        + """\
dsn-notify: 0
esc-class: 4
esc-code: 0
bounce-type: failed
""",
    ),
    (
        "5eed0002",
        "5eed000200000001",
        """\
version: 3
dispatcher: temp
tag: seeded
type: mda
smtpname: seed.test
helo: [192.0.2.1]
hostname: <unknown>
errorline: caf\u00e9 \t tab \\ back | bar \x1b[31m
sockaddr: [2001:db8::1]
sender: odd{{user@silent.test
rcpt: a+tag@temp.test
dest: temp@temp.test
"""
        + _COMMON
        + """\
flags: authenticated internal
dsn-notify: 0
mda-subaddress: tag
mda-user: temp
""",
    ),
    (
        "5eed0002",
        "5eed0002ffffffff",
        """\
version: 3
dispatcher: later
type: mta
smtpname: seed.test
helo: seed.test
hostname: seed.test
username: somebody
errorline: 421 4.0.0 no
sockaddr: 192.0.2.1
sender: @
rcpt: x@later.test
dest: y@later.test
"""
        + _COMMON
        + """\
flags: bounce
dsn-notify: 5
dsn-ret: HDRS
dsn-envid: id+2B
dsn-orcpt: rfc822;x@later.test
""",
    ),
)
"""Envelopes that lie in both spools from the start: message, envelope, text. They are due in hours."""

type Key = tuple[str, str]
"""Sender and recipient in a line of `show queue`."""

STEPS: tuple[tuple[str, list[str], dict[Key, str]], ...] = (
    ("a1@silent.test", ["slow@slow.test"], {("a1@silent.test", "slow@slow.test"): "inflight"}),
    ("a2@silent.test", ["slow@slow.test"], {("a2@silent.test", "slow@slow.test"): "inflight"}),
    ("a3@silent.test", ["alice@slow.test"], {("a3@silent.test", "alice@slow.test"): "inflight"}),
    ("a4@silent.test", ["alice@slow.test"], {("a4@silent.test", "alice@slow.test"): "held"}),
    ("b1@silent.test", ["temp@temp.test"], {("b1@silent.test", "temp@temp.test"): "failed"}),
    ("c1@silent.test", ["x@silent.test"], {("c1@silent.test", "x@silent.test"): "inflight"}),
    ("c2@silent.test", ["x@silent.test"], {("c2@silent.test", "x@silent.test"): "inflight"}),
    ("c3@silent.test", ["x@silent.test"], {("c3@silent.test", "x@silent.test"): "held"}),
    ("d1@silent.test", ["x@later.test"], {("d1@silent.test", "x@later.test"): "failed"}),
    ("e1@silent.test", ["x@down.test"], {("e1@silent.test", "x@down.test"): "failed"}),
    (
        "f1@silent.test",
        ["x@silent.test", "y@later.test", "z@later.test", "temp@temp.test"],
        {
            ("f1@silent.test", "x@silent.test"): "held",
            ("f1@silent.test", "y@later.test"): "failed",
            ("f1@silent.test", "z@later.test"): "failed",
            ("f1@silent.test", "temp@temp.test"): "failed",
        },
    ),
    ("", ["null@later.test"], {("@", "null@later.test"): "failed"}),
    ("g1@later.test", ["perm@perm.test"], {("@", "g1@later.test"): "failed"}),
    (SIX, ["x@later.test"], {(SIX, "x@later.test"): "failed"}),
    (LOCAL, ["x@later.test"], {(LOCAL, "x@later.test"): "failed"}),
)
"""Mails, each with its recipients, and what is to become of it before the next one."""


class Said(NamedTuple):
    """What a program answered."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


class Row(NamedTuple):
    """A line of `show queue`."""

    evpid: str
    source: str
    type: str
    flags: str
    sender: str
    rcpt: str
    dest: str
    created: int
    expires: int
    last_try: int
    tries: int
    runstate: str
    delay: str
    error: str

    @property
    def key(self) -> Key:
        return self.sender, self.rcpt

    @property
    def state(self) -> str:
        """ "inflight", "held", "failed" (pending with an error) or "pending"."""
        if self.runstate != "pending":
            return self.runstate
        return "held" if "hold" in self.flags else "failed" if self.error else "pending"


def read_row(line: str) -> Row:
    """The fourteen fields; the last may hold bars itself."""
    fields = line.split("|", 13)
    return Row(*fields[:7], *map(int, fields[7:11]), *fields[11:])  # type: ignore[arg-type]


class Id(NamedTuple):
    """Stands for an id in a command: each program has its own for the same envelope."""

    sender: str
    rcpt: str
    digits: int = 16


class Side:
    """One of the two."""

    folder: Path
    spool: Path
    port: int

    def own_spool(self, owner: int = 0) -> None:
        """Rights and owner for what a test has put into the spool."""
        self.spool.chmod(0o711)
        for path in (self.spool / "queue", *(self.spool / "queue").rglob("*")):
            path.chmod(0o700 if path.is_dir() else 0o600)
            os.chown(path, owner, 0)

    def ctl(self, *words: str) -> Said:
        """What its smtpctl says."""
        raise NotImplementedError

    def submit(self, sender: str, rcpt: str, data: bytes) -> None:
        """A mail by its sendmail."""
        raise NotImplementedError

    def rows(self, *words: str) -> list[Row]:
        """`show queue`, sorted by sender and recipient."""
        said = self.ctl("show", "queue", *words)
        assert said.status == 0, said
        return sorted(map(read_row, said.lines), key=lambda row: row.key)

    def states(self) -> dict[Key, str]:
        """The state of each envelope."""
        return {row.key: row.state for row in self.rows()}

    def row(self, sender: str, rcpt: str) -> Row:
        """One of them."""
        return next(row for row in self.rows() if row.key == (sender, rcpt))

    def ask(self, *words: str | Id) -> Said:
        """`ctl` with ids put in."""
        return self.ctl(
            *(
                word if isinstance(word, str) else self.row(word.sender, word.rcpt).evpid[: word.digits]
                for word in words
            )
        )

    def send(self, sender: str, rcpts: list[str], host: str = "127.0.0.1") -> None:
        """A mail over SMTP."""
        with smtplib.SMTP(host, self.port, local_hostname="client.test", timeout=60) as client:
            assert client.sendmail(sender, rcpts, mail(sender)) == {}

    def wait(self, what: Callable[["Side"], bool], seconds: float = 60) -> None:
        """Until it is so; AssertionError."""
        until = time.monotonic() + seconds
        while not what(self):
            assert time.monotonic() < until, f"{type(self).__name__}: not within {seconds} s:\n" + "\n".join(
                map(str, self.rows())
            )
            time.sleep(0.03)


class Theirs(Side):
    """OpenSMTPD."""

    def __init__(self, conf: str, **names: object) -> None:
        self.program = OpenSMTPD(conf, users=USERS, **names)
        self.folder, self.port = self.program.folder, self.program.port
        self.spool = self.program.spool

    def own_spool(self, owner: int = 0) -> None:
        super().own_spool(owner or pwd.getpwnam("opensmtpq").pw_uid)

    def ctl(self, *words: str) -> Said:
        done = self.program.ctl(*words)
        return Said(done.returncode, done.stdout, done.stderr)

    def submit(self, sender: str, rcpt: str, data: bytes) -> None:
        done = self.program.ctl("-f", sender, rcpt, program="/usr/sbin/sendmail", data=data)
        assert done.returncode == 0, done


class Ours(Side):
    """This tree's."""

    def __init__(self, conf: str, **names: object) -> None:
        self.program = Daemon(conf, **names)
        self.folder, self.port = self.program.folder, self.program.port
        self.spool = self.program.state / "spool"

    def ctl(self, *words: str) -> Said:
        return call(self.program.state, *words)

    def submit(self, sender: str, rcpt: str, data: bytes) -> None:
        done = programs.run(self.program, "sendmail", "-f", sender, rcpt, data=data)
        assert done.returncode == 0, done


def call(state: Path, *words: str, data: bytes = b"") -> Said:
    """Our smtpctl in this process, for tests that call it often."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape") for _ in range(2))
    kept = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data), "utf-8", "surrogateescape")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(["--state", str(state), *words])
    finally:
        sys.stdin = kept
    texts = []
    for stream in (out, err):
        stream.flush()
        buffer = stream.buffer
        assert isinstance(buffer, io.BytesIO)
        texts.append(buffer.getvalue().decode("utf-8", "surrogateescape"))
    return Said(status, *texts)


class Pair:
    """Both, and the servers they relay to."""

    def __init__(self) -> None:
        self.sinks = [
            Sink(listener=socket.create_server(("127.0.0.2", 0))),
            Sink({"RCPT": LATER}, listener=socket.create_server(("127.0.0.3", 0))),
            Sink({"RCPT": "550 5.1.1 never"}, listener=socket.create_server(("127.0.0.4", 0))),
        ]
        self.sinks[0].greeting_delay = 900
        self.six = _has_six()
        names: dict[str, object] = {
            "silent": self.sinks[0].port,
            "later": self.sinks[1].port,
            "never": self.sinks[2].port,
            "down": free_port(),
            # the port is put in by the daemon, in the same text
            "listen_six": "",
        }
        conf = CONF.replace("${listen_six}", "listen on ::1 port ${port}") if self.six else CONF
        self.theirs, self.ours = Theirs(conf, **names), Ours(conf, **names)
        self.sides: tuple[Side, ...] = (self.theirs, self.ours)
        for side in self.sides:
            (side.folder / "names").write_text(NAMES)
            for msgid, evpid, envelope in SEEDS:
                folder = side.spool / "queue" / msgid[:2] / msgid
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "message").write_bytes(SEED_MESSAGE)
                now = int(time.time())
                (folder / evpid).write_text(envelope.format(now=now), "utf-8", "surrogateescape")
            side.own_spool()

    def start(self) -> "Pair":
        """Both, without a mail."""
        self.theirs.program.start()
        self.ours.program.start()
        assert greets(self.ours.port)  # as the other was asked too: both have had this session
        return self

    def both(self, *words: str | Id) -> tuple[Said, Said]:
        """What they answer: OpenSMTPD, then we."""
        return self.theirs.ask(*words), self.ours.ask(*words)

    def fill(self) -> "Pair":
        """Envelopes in every state, the same in both."""
        for sender, rcpts, expected in STEPS:
            if sender == SIX and not self.six:
                continue
            for side in self.sides:
                if sender == LOCAL:
                    side.submit(sender, rcpts[0], b"Subject: local\n\nHello.\n")
                else:
                    side.send(sender, rcpts, "::1" if sender == SIX else "127.0.0.1")
            for side in self.sides:
                side.wait(lambda side, expected=expected: side.states().items() >= expected.items())  # type: ignore[misc]
        for side in self.sides:  # these would be tried again while they are looked at
            for row in side.rows():
                if row.type == "bounce" or row.rcpt == "temp@temp.test":
                    side.ctl("pause", "envelope", row.evpid)
        return self

    def close(self) -> None:
        """End both."""
        with contextlib.ExitStack() as last:
            for sink in self.sinks:
                last.callback(sink.close)
            last.callback(self.ours.program.close)
            last.callback(self.theirs.program.close)


def _has_six() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
