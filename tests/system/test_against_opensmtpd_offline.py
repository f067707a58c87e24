"""smtpctl against Debian's on OpenSMTPD: what goes for all envelopes, and what is left without a daemon.

What may differ is said by name: `side_by_side.DIFFERENCES` has the reason.
"""

import shutil
import subprocess

from side_by_side import SEEDS, Pair, Said, call, differs

SEED = SEEDS[1]


def test_all_envelopes_and_then_none(own_pair: Pair) -> None:
    pair = own_pair
    assert pair.both("remove", "5eed0001") == (Said(0, "1 envelope removed\n", ""),) * 2
    for side in pair.sides:
        side.send("a@silent.test", ["x@silent.test", "y@later.test"])
        side.wait(lambda side: side.states().get(("a@silent.test", "y@later.test")) == "failed")
        side.wait(lambda side: side.states().get(("a@silent.test", "x@silent.test")) == "inflight")
    states = [side.states() for side in pair.sides]
    assert states[0] == states[1]
    assert len(states[1]) == 4
    for command, said in (
        ("pause envelope all", "4 envelopes paused"),
        ("pause envelope all", "0 envelope paused"),
        ("resume envelope all", "4 envelopes resumed"),
        ("resume envelope all", "0 envelope resumed"),
        ("pause mta", "command succeeded"),
        ("pause mda", "command succeeded"),
        ("schedule all", "3 envelopes scheduled"),
    ):
        theirs, ours = pair.both(*command.split())
        assert ours == theirs, command
        assert ours == Said(0, f"{said}\n", "")
    for side in pair.sides:
        due = {row.rcpt: int(row.delay) <= 0 for row in side.rows() if row.runstate == "pending"}
        assert due == {
            "y@later.test": True,
            "a+tag@temp.test": True,
            "x@later.test": True,
        }
    theirs, ours = pair.both("remove", "all")
    assert ours == theirs == Said(0, "4 envelopes removed\n", "")
    for side in pair.sides:
        side.wait(lambda side: side.rows() == [])
    assert pair.both("remove", "all") == (Said(0, "0 envelope removed\n", ""),) * 2
    assert pair.both("schedule", "all") == (Said(0, "0 envelope scheduled\n", ""),) * 2
    assert pair.both("show", "queue") == (Said(0, "", ""),) * 2
    _discover(pair)
    _without_daemon(pair)


def _discover(pair: Pair) -> None:
    """What is put into the spool by hand is not there before it is discovered."""
    msgid, evpid, _ = SEED
    for name in (evpid, evpid[:8]):
        for side in pair.sides:
            folder = side.spool / "queue" / msgid[:2] / msgid
            folder.mkdir(parents=True, exist_ok=True)
            for _, other, envelope in SEEDS[1:]:
                (folder / other).write_text(envelope.format(now=1_900_000_000), "utf-8", "surrogateescape")
            (folder / "message").write_text("Subject: by hand\n\nHello.\n")
            side.own_spool()
            assert side.rows() == []
        theirs, ours = pair.both("discover", name)
        assert ours == theirs
        assert ours.out == ("1 envelope discovered\n" if name == evpid else "2 envelopes discovered\n")
        found = [[row._replace(delay="") for row in side.rows()] for side in pair.sides]
        assert found[0] == found[1]
        assert pair.both("remove", "all")[0].status == 0
        for side in pair.sides:
            side.wait(lambda side: side.rows() == [])
            shutil.rmtree(side.spool / "queue" / msgid[:2] / msgid, ignore_errors=True)


OFFLINE = """\
show status
show stats
show hosts
show hoststats
show relays
show routes
show mta paused
monitor
pause mda
resume mta
pause envelope all
pause mta from 127.0.0.1 for a.test
remove all
remove 12345678
schedule all
discover 12345678
log brief
trace imsg
untrace all
profile imsg
resume route 1
update table names
"""


def _without_daemon(pair: Pair) -> None:
    """The same spool, read by both."""
    for side in pair.sides:
        for msgid, evpid, envelope in SEEDS:
            folder = side.spool / "queue" / msgid[:2] / msgid
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "message").write_bytes(b"Subject: \xe9\n\n.\nno end")
            text = envelope.format(now=1_900_000_000).replace("odd{", "bar|")
            (folder / evpid).write_text(text, "utf-8", "surrogateescape")
        side.own_spool()
    pair.theirs.program.stop()
    assert pair.ours.program.stop() == 0
    theirs, ours = pair.both("show", "queue")
    shown = [[line for line in said.lines if line.startswith("5eed")] for said in (theirs, ours)]
    assert sorted(shown[0]) == shown[1]  # but for what was in flight, and has an id of each program
    assert len(theirs.lines) == len(ours.lines) == 4
    assert [line[:16] for line in shown[1]] == [evpid for _, evpid, _ in SEEDS]
    assert shown[1][1].endswith("|1900000000|30|offline||caf\\M-C\\M-) \t tab \\\\ back | bar \\^[[31m")
    theirs, ours = pair.both("show", "queue", "5eed0001")
    differs("offline message", theirs, ours)
    assert ours.lines == [line for line in theirs.lines if line.startswith("5eed0001")]
    for msgid, evpid, _ in SEEDS:
        for words in (("envelope", evpid), ("message", evpid), ("message", msgid)):
            theirs, ours = pair.both("show", *words)
            assert ours == theirs
            assert ours.status == 0
    for line in OFFLINE.splitlines():
        theirs, ours = pair.both(*line.split())
        differs("not running", theirs, ours)
        assert theirs == Said(1, "", "smtpctl: smtpd doesn't seem to be running\n")
        assert (ours.status, ours.out) == (69, "")
        assert ours.err.startswith("smtpctl: smtpd doesn't seem to be running (/")


def test_each_reads_the_spool_that_the_other_wrote(pair: Pair) -> None:
    """Ours at once, OpenSMTPD's smtpctl out of a copy of ours; both without a daemon."""
    state = pair.ours.folder / "theirs"
    state.mkdir()
    shutil.copytree(pair.theirs.spool, state / "spool")
    fields = [0, 1, 2, 4, 5, 6, 7, 10]
    said = call(state, "show", "queue")
    assert (said.status, said.err) == (0, "")
    assert _fields(said.lines, fields) == _fields(pair.theirs.ctl("show", "queue").lines, fields)
    spool = pair.ours.folder / "ours"
    shutil.copytree(pair.ours.spool, spool / "smtpd")
    script = "mount --bind $0 /var/spool && mount -t tmpfs tmpfs /run && exec /usr/sbin/smtpctl show queue"
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(spool)]
    lines = subprocess.run(enter, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert _fields(lines, fields) == _fields(pair.ours.ctl("show", "queue").lines, fields)


def _fields(lines: list[str], numbers: list[int]) -> list[list[str]]:
    return sorted([line.split("|")[number] for number in numbers] for line in lines)
