"""smtpctl beside Debian's, each with its own daemon in the same state: the same words, field by field.

Ids and times are left out; what differs on purpose is named in DIFFERENCES.
"""

import os
import re
import smtplib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import opensmtpd
import programs
import pytest
from daemon import Daemon, mail
from opensmtpd import OpenSMTPD
from sink import Sink

pytestmark = pytest.mark.skipif(bool(opensmtpd.missing()), reason=opensmtpd.missing() or "can be started")

CONF = """\
listen on 127.0.0.1 port ${port}
table aliases { root = alice }
table domains file:${folder}/domains
action "local" maildir ${maildir} alias <aliases>
action "relay" relay host smtp://127.0.0.1:${sink}
match from any for domain "mail.test" action "local"
match from any for domain "relay.test" action "relay"
match from any for domain <domains> action "relay"
match from local for any action "relay"
"""

DIFFERENCES = {
    "expires": "6.8 has no expiry in an envelope without a ttl of its own; ours is that of the queue",
    "last": "theirs forgets the time of a try that failed (queue.c sets it in what it sends, not in the file)",
    "failed": "ours says why a command failed; a script has the exit status and the words before the colon",
    "usage": "255 there, EX_USAGE (64) here; the possibilities have words of ours as well",
    "encrypt": "the method is the library's best in both, and two libraries may differ in which that is",
}


class Side:
    """One of the two, with the same methods."""

    def __init__(self, name: str, daemon: Daemon | OpenSMTPD, sink: Sink) -> None:
        self.name = name
        self.daemon = daemon
        self.sink = sink

    @property
    def ours(self) -> bool:
        return isinstance(self.daemon, Daemon)

    def ctl(self, words: str, data: bytes = b"") -> subprocess.CompletedProcess[str]:
        """smtpctl: the words in one text."""
        if isinstance(self.daemon, OpenSMTPD):
            return self.daemon.run(*words.split(), data=data)
        done = programs.run(self.daemon, "main", *words.split(), data=data)
        out, err = (each.decode("utf-8", "surrogateescape") for each in (done.stdout, done.stderr))
        return subprocess.CompletedProcess(done.args, done.returncode, out, err)

    def program(self, name: str, *words: str, data: bytes = b"") -> tuple[int, str]:
        """mailq, sendmail, makemap, newaliases."""
        if isinstance(self.daemon, OpenSMTPD):
            done = self.daemon.program(str(self.links / name), *words, data=data)
            return done.returncode, done.stdout
        mine = programs.run(self.daemon, name, *words, data=data)
        return mine.returncode, mine.stdout.decode()

    @property
    def links(self) -> Path:
        """Debian does not link all names to its smtpctl."""
        assert isinstance(self.daemon, OpenSMTPD)
        folder = self.daemon.folder / "bin"
        if not folder.exists():
            folder.mkdir()
            for name in ("mailq", "sendmail", "makemap", "newaliases"):
                (folder / name).symlink_to(opensmtpd.CONTROL)
        return folder

    @property
    def spool(self) -> Path:
        return self.daemon.spool if isinstance(self.daemon, OpenSMTPD) else self.daemon.state / "spool"

    def send(self, sender: str, *rcpts: str) -> None:
        content = mail(sender)
        with smtplib.SMTP("127.0.0.1", self.daemon.port, local_hostname="client.test", timeout=20) as client:
            assert client.sendmail(sender, list(rcpts), content) == {}

    def queue(self) -> list[list[str]]:
        """The fields of the rows of `show queue`."""
        done = self.ctl("show queue")
        assert done.returncode == 0, done.stderr
        rows = [line.split("|") for line in done.stdout.splitlines()]
        assert all(len(row) == 14 for row in rows), done.stdout
        return rows

    def wait_queue(self, what: Callable[[list[list[str]]], bool], seconds: float = 20) -> list[list[str]]:
        """The queue, once it is as wanted."""
        until = time.monotonic() + seconds
        while not what(rows := self.queue()):
            assert time.monotonic() < until, f"{self.name}: {rows}"
            time.sleep(0.1)
        return rows


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, Side]]:
    """Both daemons, each with a server to relay to."""
    sides: list[Side] = []
    for name in ("ours", "theirs"):
        sink = Sink()
        one: Daemon | OpenSMTPD
        if name == "ours":
            one = Daemon(CONF, sink=sink.port, maildir="")
        else:
            one = OpenSMTPD(CONF, sink=sink.port)
        (one.folder / "domains").write_text("table.test\n")
        one.start()
        sides.append(Side(name, one, sink))
    yield sides[0], sides[1]
    for side in sides:
        side.daemon.close()
        side.sink.close()


@pytest.fixture
def both(pair: tuple[Side, Side]) -> tuple[Side, Side]:
    """Both with an empty queue and nothing paused."""
    for side in pair:
        side.sink.answers = {}
        for what in ("mda", "mta", "smtp"):
            side.ctl(f"resume {what}")
        side.ctl("resume route 0" if side.ours else "resume route 1")
        side.ctl("remove all")
        side.wait_queue(lambda rows: not rows)
    return pair


def plain(row: list[str]) -> tuple[str, ...]:
    """A row without what must differ: ids, times and the seconds of its state."""
    fields = list(row)
    for number in (0, 7, 8, 12):
        fields[number] = ""
    fields[9] = "never" if fields[9] == "0" or (fields[11] == "pending" and int(fields[10])) else "then"
    fields[13] = re.sub(r"127\.0\.0\.1:\d+", "SINK", fields[13])
    return tuple(fields)


def same_queue(both: tuple[Side, Side], what: Callable[[list[list[str]]], bool]) -> list[tuple[str, ...]]:
    """Wait on both sides; the rows, which must be the same."""
    ours, theirs = (sorted(map(plain, side.wait_queue(what))) for side in both)
    assert ours == theirs
    return ours


def same(both: tuple[Side, Side], words: str) -> tuple[int, str]:
    """Exit status and output of a command, the same on both sides but for the reason of a failure."""
    results = []
    for side in both:
        done = side.ctl(words)
        results.append((done.returncode, re.sub(r"^command failed: .*", "command failed", done.stdout)))
    assert results[0] == results[1], words
    return results[0]


# show queue


def test_pending(both: tuple[Side, Side]) -> None:
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test", "y@relay.test")
        side.send("", "z@relay.test")
    rows = same_queue(both, lambda rows: len(rows) == 3)
    assert {row[11] for row in rows} == {"pending"}
    assert {row[4] for row in rows} == {"a@source.test", "@"}
    for side in both:
        for row in side.queue():
            assert re.fullmatch(r"[0-9a-f]{16}", row[0])
            assert abs(int(row[7]) - time.time()) < 60
            assert int(row[8]) >= int(row[7])
            assert re.fullmatch(r"-?\d+", row[12])


def test_the_rows_of_a_message(both: tuple[Side, Side]) -> None:
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test")
        side.send("b@source.test", "x@relay.test", "y@relay.test")
    same_queue(both, lambda rows: len(rows) == 3)
    for side in both:
        (wanted,) = {row[0][:8] for row in side.queue() if row[4] == "b@source.test"}
        lines = side.ctl(f"show queue {wanted}").stdout.splitlines()
        assert [line[:8] for line in lines] == [wanted] * 2
    assert same(both, "show queue 12345678") == (0, "")


def test_suspended(both: tuple[Side, Side]) -> None:
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test")
        side.send("b@source.test", "x@relay.test")
        evpid = next(row[0] for row in side.queue() if row[4] == "a@source.test")
        assert side.ctl(f"pause envelope {evpid}").stdout == "1 envelope paused\n"
        assert side.ctl(f"pause envelope {evpid}").stdout == "0 envelope paused\n"
    rows = same_queue(both, lambda rows: any(row[3] for row in rows))
    assert sorted(row[3] for row in rows) == ["", "suspend"]
    for side in both:
        assert side.ctl("pause envelope all").stdout == "1 envelope paused\n"
        assert side.ctl("resume envelope all").stdout == "2 envelopes resumed\n"
    assert [row[3] for row in same_queue(both, lambda rows: len(rows) == 2)] == ["", ""]


def test_inflight(both: tuple[Side, Side]) -> None:
    for side in both:
        side.sink.answers = {".": lambda _line: time.sleep(6) or "250 2.0.0 Ok"}
        side.send("a@source.test", "x@relay.test")
    (row,) = same_queue(both, lambda rows: [row[11] for row in rows] == ["inflight"])
    assert row[9] == "then"
    for side in both:
        assert 0 <= int(side.queue()[0][12]) < 30
        side.sink.answers = {}
        side.wait_queue(lambda rows: not rows)


def test_a_failure_for_now(both: tuple[Side, Side]) -> None:
    for side in both:
        side.sink.answers = {"RCPT": "451 4.7.1 Greylisted, come \\back\\ later"}
        side.send("a@source.test", "x@relay.test")
    (row,) = same_queue(both, lambda rows: [row[10] for row in rows] == ["1"])
    assert row[13] == "451 4.7.1 Greylisted, come \\\\back\\\\ later"
    assert row[11] == "pending"
    assert abs(int(both[0].queue()[0][9]) - time.time()) < 60, DIFFERENCES["last"]
    waits = [int(side.queue()[0][12]) for side in both]
    assert abs(waits[0] - waits[1]) < 30, "the next try is as far away"


def test_a_bounce(both: tuple[Side, Side]) -> None:
    for side in both:
        side.sink.answers = {"RCPT": lambda line: "550 5.1.1 Unknown" if "<x@" in line else "451 4.3.0 No"}
        side.send("a@relay.test", "x@relay.test")
    (row,) = same_queue(both, lambda rows: [[row[5], row[10]] for row in rows] == [["a@relay.test", "1"]])
    assert row[1:7] == ("local", "mta", "bounce", "@", "a@relay.test", "a@relay.test")


def test_local_mail_and_aliases(both: tuple[Side, Side]) -> None:
    for side in both:
        side.ctl("pause mda")
        side.send("a@source.test", "root@mail.test")
    rows = same_queue(both, lambda rows: len(rows) == 1)
    assert rows[0][2:7] == ("mda", "", "a@source.test", "root@mail.test", "alice@mail.test")


def test_local_submission(both: tuple[Side, Side]) -> None:
    for side in both:
        side.ctl("pause mta")
        status, _ = side.program(
            "sendmail", "-f", "me@source.test", "x@relay.test", data=b"Subject: hello\n\nhi\n"
        )
        assert status == 0
    (row,) = same_queue(both, lambda rows: len(rows) == 1)
    assert row[1:7] == ("local", "mta", "auth", "me@source.test", "x@relay.test", "x@relay.test")


def test_mailq(both: tuple[Side, Side]) -> None:
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test")
        (row,) = side.queue()
        status, out = side.program("mailq")
        assert status == 0
        assert out.split("|")[:12] == row[:12]


def test_without_a_daemon(both: tuple[Side, Side]) -> None:
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test", "y@relay.test")
        side.daemon.stop()
    try:
        rows = same_queue(both, lambda rows: len(rows) == 2)
        assert {row[11:13] for row in rows} == {("offline", "")}
        for words in ("show status", "show stats", "remove all", "pause mta"):
            for side in both:
                done = side.ctl(words)
                assert done.returncode != 0
                assert done.stdout == ""
                assert "smtpd doesn't seem to be running" in done.stderr
    finally:
        for side in both:
            side.daemon.start()


# what the spool holds


def test_show_envelope_and_message(both: tuple[Side, Side]) -> None:
    texts, messages = [], []
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test")
        (row,) = side.queue()
        lines = side.ctl(f"show envelope {row[0]}").stdout.splitlines()
        texts.append(dict(line.split(": ", 1) for line in lines))
        for identifier in (row[0], row[0][:8]):
            done = side.ctl(f"show message {identifier}")
            assert done.returncode == 0
        messages.append(done.stdout)
    variable = {"smtpname", "ctime", "ttl", "version", "last-try"}
    ours, theirs = ({name: text[name] for name in text if name not in variable} for text in texts)
    assert ours == theirs
    heads = [re.sub(r"\n[ \t]+", " ", text.partition("\n\n")[0]) for text in messages]
    names = [[line.partition(":")[0] for line in head.splitlines()] for head in heads]
    assert names[0] == names[1]
    assert messages[0].partition("\n\n")[2] == messages[1].partition("\n\n")[2]
    for words in ("show envelope 1234567812345678", "show message 12345678"):
        for side in both:
            done = side.ctl(words)
            assert done.returncode != 0
            assert done.stdout == ""


def test_discover(both: tuple[Side, Side]) -> None:
    """A message moved out of the queue and back by hand, its ids its own."""
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test", "y@relay.test")
        evpids = [row[0] for row in side.queue()]
        msgid = evpids[0][:8]
        folder = side.spool / "queue" / msgid[:2] / msgid
        kept = side.daemon.folder / "kept"
        subprocess.run(["cp", "-a", folder, kept], check=True)
        side.ctl(f"remove {msgid}")
        side.wait_queue(lambda rows: not rows)
        folder.parent.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", kept, folder], check=True)
        owner = (side.spool / "queue").stat()
        os.chown(folder.parent, owner.st_uid, owner.st_gid)
        assert side.ctl(f"discover {evpids[0]}").stdout == "1 envelope discovered\n"
        assert [row[0] for row in side.queue()] == [evpids[0]]
        assert side.ctl(f"discover {msgid}").stdout == "2 envelopes discovered\n"
        assert sorted(row[0] for row in side.queue()) == sorted(evpids)
        subprocess.run(["rm", "-r", kept], check=True)
    same_queue(both, lambda rows: len(rows) == 2)
    assert same(both, "discover 12345678") == (0, "0 envelopes discovered\n")


# orders


def test_pauses(both: tuple[Side, Side]) -> None:
    running = "MDA running\nMTA running\nSMTP running\n"
    assert same(both, "show status") == (0, running)
    for what in ("mda", "mta", "smtp"):
        assert same(both, f"resume {what}") == (1, "command failed\n")
        assert same(both, f"pause {what}") == (0, "command succeeded\n")
        assert same(both, f"pause {what}") == (1, "command failed\n")
        paused = running.replace(f"{what.upper()} running", f"{what.upper()} paused")
        assert same(both, "show status") == (0, paused)
        assert same(both, f"resume {what}") == (0, "command succeeded\n")


def test_sources_are_paused(both: tuple[Side, Side]) -> None:
    assert same(both, "show mta paused") == (0, "")
    assert same(both, "pause mta from 127.0.0.1 for relay.test") == (0, "command succeeded\n")
    assert same(both, "pause mta from 127.0.0.1 for relay.test") == (0, "command succeeded\n")
    assert same(both, "show mta paused") == (0, "127.0.0.1 -> relay.test\n")
    assert same(both, "resume mta from 127.0.0.1 for relay.test") == (0, "command succeeded\n")
    assert same(both, "show mta paused") == (0, "")


@pytest.mark.parametrize(
    "words", ["schedule", "remove", "pause envelope", "resume envelope"], ids=lambda words: words.split()[0]
)
def test_how_many_envelopes(both: tuple[Side, Side], words: str) -> None:
    done = {"schedule": "scheduled", "remove": "removed"}
    done |= {"pause envelope": "paused", "resume envelope": "resumed"}
    assert same(both, f"{words} all") == (0, f"0 envelope {done[words]}\n")
    assert same(both, f"{words} 12345678") == (0, f"0 envelope {done[words]}\n")
    assert same(both, f"{words} 1234567812345678") == (0, f"0 envelope {done[words]}\n")
    for side in both:
        side.ctl("pause mta")
        side.send("a@source.test", "x@relay.test", "y@relay.test")
        side.send("b@source.test", "x@relay.test")
        rows = side.queue()
        if words == "resume envelope":
            side.ctl("pause envelope all")
        one = next(row[0] for row in rows if row[4] == "b@source.test")
        two = next(row[0] for row in rows if row[4] == "a@source.test")[:8]
        assert side.ctl(f"{words} {one}").stdout == f"1 envelope {done[words]}\n"
        assert side.ctl(f"{words} {two}").stdout == f"2 envelopes {done[words]}\n"


def test_schedule_tries_now(both: tuple[Side, Side]) -> None:
    for side in both:
        side.sink.answers = {"RCPT": "451 4.7.1 Later"}
        side.send("a@source.test", "x@relay.test")
    same_queue(both, lambda rows: [row[10] for row in rows] == ["1"])
    for side in both:
        taken = len(side.sink.taken)
        side.sink.answers = {}
        assert side.ctl("schedule all").stdout == "1 envelope scheduled\n"
        side.sink.wait(taken + 1)
        side.wait_queue(lambda rows: not rows)


@pytest.mark.parametrize(
    "words",
    [
        "log verbose",
        "log brief",
        "trace imsg",
        "untrace imsg",
        "trace all",
        "untrace all",
        "trace smtp",
        "untrace smtp",
        "update table domains",
        "update table nosuch",
        "resume route 99999",
    ],
)
def test_switches(both: tuple[Side, Side], words: str) -> None:
    same(both, words)


@pytest.mark.parametrize("words", ["", "foo", "show", "show foo", "remove 12", "pause", "trace", "s q"])
def test_what_means_nothing(both: tuple[Side, Side], words: str) -> None:
    for side in both:
        done = side.ctl(words)
        assert done.returncode not in (0, 1), DIFFERENCES["usage"]
        assert done.stdout == ""
        assert "possibilities are:" in done.stderr


@pytest.mark.parametrize(
    ("short", "full"),
    [("sh q", "show queue"), ("sh stat", None), ("sh statu", "show status"), ("pa md", "pause mda")],
)
def test_abbreviations(both: tuple[Side, Side], short: str, full: str | None) -> None:
    for side in both:
        done = side.ctl(short)
        if full is None:
            assert done.returncode not in (0, 1)
        else:
            assert done.returncode == 0


def test_encrypt(both: tuple[Side, Side]) -> None:
    for side in both:
        (argument,) = side.ctl("encrypt secret").stdout.splitlines()
        first, second = side.ctl("encrypt", data=b"one\ntwo\n").stdout.splitlines()
        for hashed in (argument, first, second):
            assert re.fullmatch(r"\$\w+\$\S{20,}", hashed), DIFFERENCES["encrypt"]
        assert len({argument, first, second}) == 3


# looking


def counters(side: Side) -> dict[str, str]:
    done = side.ctl("show stats")
    assert done.returncode == 0
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_counters(both: tuple[Side, Side]) -> None:
    befores, afters = [], []
    for side in both:
        befores.append(counters(side))
        taken = len(side.sink.taken)
        side.send("a@source.test", "x@relay.test")
        side.sink.wait(taken + 1)
        side.wait_queue(lambda rows: not rows)
        side.sink.answers = {"RCPT": "451 4.7.1 Later"}
        side.send("a@source.test", "y@relay.test")
        side.wait_queue(lambda rows: [row[10] for row in rows] == ["1"])
        afters.append(counters(side))
    changes = [
        {
            name: int(after[name]) - int(before.get(name, "0"))
            for name in (
                "smtp.session.inet4",
                "scheduler.delivery.ok",
                "scheduler.delivery.tempfail",
                "scheduler.envelope",
            )
        }
        for before, after in zip(befores, afters, strict=True)
    ]
    assert changes[0] == changes[1]
    ours, theirs = afters
    assert set(theirs) <= set(ours) | {"queue.evpcache.load.missed"}, "every name of theirs is one of ours"
    for text in (ours["uptime.human"], theirs["uptime.human"]):
        assert re.fullmatch(r"(\d+d)?(\d+h)?(\d+m)?(\d+s)?", text)
    assert all(re.fullmatch(r"-?\d+", value) for name, value in ours.items() if name != "uptime.human")
    assert list(ours) == sorted(ours, key=lambda name: name.removesuffix(".human"))


def test_monitor(both: tuple[Side, Side]) -> None:
    shown = []
    for side in both:
        if side.ours:
            command = [*programs.command("main"), "monitor"]
            environment = programs.environment(side.daemon)
        else:
            command = side.daemon.inside("stdbuf", "-oL", opensmtpd.CONTROL, "monitor")
            environment = dict(os.environ)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
            assert running.stdout is not None
            lines = [running.stdout.readline() for _ in range(4)]
            running.terminate()
        shown.append(lines)
    assert shown[0][:2] == shown[1][:2], "the head"
    for lines in shown:
        assert all(re.fullmatch(r"( +\d+){13}\n", line) for line in lines[2:])
    assert [len(line) for line in shown[0][2:]] == [len(line) for line in shown[1][2:]]


def test_what_relaying_left(both: tuple[Side, Side]) -> None:
    """hosts, hoststats, relays and routes while a message is on its way, and after it."""
    lists = ("hosts", "relays", "routes", "hoststats")
    during: list[dict[str, str]] = []
    for side in both:
        side.sink.answers = {".": lambda _line: time.sleep(4) or "250 2.0.0 Ok"}
        side.send("a@source.test", "x@relay.test")
        side.wait_queue(lambda rows: [row[11] for row in rows] == ["inflight"])
        during.append({what: side.ctl(f"show {what}").stdout for what in lists})
        side.sink.answers = {}
        side.wait_queue(lambda rows: not rows)

    def shape(text: str, sink: int) -> str:
        """Without counts and spans of time, which depend on the moment."""
        text = text.replace(str(sink), "PORT")
        text = re.sub(r"(refcount|nconn|ntask|nerror|penalty)=\d+", r"\1=N", text)
        text = re.sub(r"(lastconn|timeout)=(-|(\d+[dhms])+)", r"\1=T", text)
        text = re.sub(r"(wait|flags)=\S*", r"\1=W", text)
        return re.sub(r"^\d+\.", "N.", re.sub(r" [N-][D-][Q-][K-] ", " FLAGS ", text), flags=re.M)

    for what in ("hosts", "relays", "routes"):
        ours, theirs = (shape(seen[what], side.sink.port) for seen, side in zip(during, both, strict=True))
        assert ours == theirs, what
    for side in both:
        (line,) = side.ctl("show hoststats").stdout.splitlines()
        assert re.fullmatch(r"relay\.test\|\d{10}\|250 2\.0\.0 Ok", line)


# the programs beside it


def test_makemap(both: tuple[Side, Side]) -> None:
    text = "# all\nRoot: joe\njane\tann, bob@example.org\n"
    dumps = []
    for side in both:
        source = side.daemon.folder / "map"
        source.write_text(text)
        assert side.program("makemap", "-t", "aliases", str(source)) == (0, "")
        dumps.append(sorted(side.program("makemap", "-U", f"{source}.db")[1].splitlines()))
    assert dumps[0] == dumps[1] == ["jane\tann, bob@example.org", "root\tjoe"]


def test_newaliases(both: tuple[Side, Side]) -> None:
    for side in both:
        (side.daemon.folder / "aliases").write_text("root: joe\njane: joe\n")
        conf = side.daemon.folder / "aliases.conf"
        conf.write_text(
            f'table aliases file:{side.daemon.folder}/aliases\naction "a" maildir alias <aliases>\n'
            'match for local action "a"\n'
        )
        status, out = side.program("newaliases", "-f", str(conf))
        assert out == f"{side.daemon.folder}/aliases: 2 aliases\n"


@pytest.mark.parametrize(
    ("words", "data", "same_status"),
    [
        (["-f", "a@source.test", "x@relay.test"], b"Subject: one\n\nhi\n", True),
        (["-t"], b"From: a@source.test\nTo: x@relay.test\nBcc: y@relay.test\nSubject: two\n\nhi\n", True),
        (["-F", "A B", "-f<a@source.test>", "x@relay.test"], b"no header\n", True),
        (["-bp"], b"", False),
        ([], b"Subject: nobody\n\n", False),
    ],
    ids=["from", "header", "name", "mailq", "nobody"],
)
def test_sendmail(both: tuple[Side, Side], words: list[str], data: bytes, same_status: bool) -> None:
    contents = []
    for side in both:
        taken = len(side.sink.taken)
        status, _ = side.program("sendmail", *words, data=data)
        if not same_status:
            continue
        assert status == 0
        content = side.sink.wait(taken + 1)[-1].content.decode().replace("\r\n", "\n")
        head, _, body = re.sub(r"\n[ \t]+", " ", content).partition("\n\n")
        fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        contents.append(({name.lower(): fields[name] for name in fields}, body))
    if same_status:
        (ours, our_body), (theirs, their_body) = contents
        assert our_body == their_body
        for variable in ("received", "date", "message-id"):
            assert (variable in ours) == (variable in theirs), variable
            ours.pop(variable, None)
            theirs.pop(variable, None)
        assert ours == theirs
