"""smtpctl against Debian's on OpenSMTPD: what is turned on and off, and how commands fail.

What may differ is said by name: `side_by_side.DIFFERENCES` has the reason.
"""

import ctypes
from collections.abc import Iterator

import programs
import pytest
from side_by_side import Pair, Said, call, differs

DONE = Said(0, "command succeeded\n", "")

SWITCHES = """\
pause mda
show status
resume mda
show status
pause mta
show status
resume mta
pause smtp
show status
resume smtp
show status
log verbose
log brief
update table names
resume route 99
show mta paused
pause mta from 127.0.0.1 for nobody.test
pause mta from 127.0.0.1 for nobody.test
pause mta from 2001:db8::1 for nobody.test
show mta paused
resume mta from 2001:0db8:0:0::1 for nobody.test
resume mta from 127.0.0.1 for nobody.test
resume mta from 127.0.0.1 for nobody.test
show mta paused
profile queue
profile imsg
unprofile queue
unprofile imsg
"""

SUBSYSTEMS = "imsg io smtp filters mta bounce scheduler expand lookup stat rules mproc all".split()


def test_switches_have_the_same_answers(pair: Pair) -> None:
    for line in SWITCHES.splitlines():
        theirs, ours = pair.both(*line.split())
        # OpenSMTPD has pauses in the "order" of their sources in its memory: any
        assert (ours.status, sorted(ours.lines), ours.err) == (
            theirs.status,
            sorted(theirs.lines),
            theirs.err,
        ), line
        assert ours == DONE or line.startswith("show")


def test_show_mta_paused_has_a_line_for_each(pair: Pair) -> None:
    sources = ("127.0.0.1", "192.0.2.7", "2001:db8::1")
    for source in sources:
        assert pair.both("pause", "mta", "from", source, "for", "a.test") == (DONE, DONE)
    theirs, ours = (sorted(said.lines) for said in pair.both("show", "mta", "paused"))
    assert ours == theirs == ["127.0.0.1 -> a.test", "192.0.2.7 -> a.test", "[2001:db8::1] -> a.test"]
    for source in sources:
        assert pair.both("resume", "mta", "from", source, "for", "a.test") == (DONE, DONE)


def test_the_zone_of_a_paused_address_is_kept(pair: Pair) -> None:
    words = ("mta", "from", "fe80::1%lo", "for", "a.test")
    assert pair.both("pause", *words) == (DONE, DONE)
    theirs, ours = pair.both("show", "mta", "paused")
    differs("scope", theirs, ours)
    assert ours.out == "[fe80::1%lo] -> a.test\n"
    assert pair.both("resume", *words) == (DONE, DONE)


@pytest.fixture(autouse=True)
def nothing_paused(pair: Pair) -> Iterator[None]:
    """A test that fails must not have others fail."""
    yield
    for side in pair.sides:
        for line in side.ctl("show", "mta", "paused").lines:
            source, _, domain = line.partition(" -> ")
            side.ctl("resume", "mta", "from", source.strip("[]"), "for", domain)


@pytest.mark.parametrize("subsystem", SUBSYSTEMS)
def test_each_subsystem_of_the_manual_can_be_traced(pair: Pair, subsystem: str) -> None:
    assert pair.both("trace", subsystem) == (DONE, DONE)
    assert pair.both("untrace", subsystem) == (DONE, DONE)


@pytest.mark.parametrize("subsystem", ["tables", "queue", "transfer"])
def test_subsystems_of_our_own_can_be_traced(pair: Pair, subsystem: str) -> None:
    theirs, ours = pair.both("trace", subsystem)
    differs("more subsystems", theirs, ours)
    assert ours == pair.ours.ctl("untrace", subsystem) == DONE


@pytest.mark.parametrize("what", ["mda", "mta", "smtp"])
def test_what_is_so_already_fails(pair: Pair, what: str) -> None:
    for first, second, reason in (("resume", "", "is not paused"), ("pause", "resume", "is already paused")):
        if second:
            assert pair.both(first, what) == (DONE, DONE)
        theirs, ours = pair.both(first, what)
        if second:
            assert pair.both(second, what) == (DONE, DONE)
        differs("why", theirs, ours)
        assert theirs == Said(1, "command failed\n", "")
        assert ours == Said(1, f"command failed: {what} {reason}\n", "")


def test_a_table_that_is_not_there_fails(pair: Pair) -> None:
    theirs, ours = pair.both("update", "table", "nope")
    differs("why", theirs, ours)
    assert theirs == Said(1, "command failed\n", "")
    assert ours == Said(1, "command failed: no such table: nope\n", "")


@pytest.mark.parametrize("command", ["trace", "untrace", "profile", "unprofile"])
def test_a_subsystem_that_is_not_there_fails(pair: Pair, command: str) -> None:
    theirs, ours = pair.both(command, "foo")
    differs("keywords", theirs, ours)
    assert theirs.err.startswith("smtpctl: invalid ")
    assert ours.out.startswith("command failed: no such subsystem: foo; there are imsg, ")
    assert theirs.status == ours.status == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("show envelope 1234567812345678", "envelope 1234567812345678: not in the queue"),
        ("show message 1234567812345678", "message 12345678: not in the queue"),
        ("show message 12345678", "message 12345678: not in the queue"),
    ],
)
def test_what_is_not_in_the_spool_fails(pair: Pair, words: str, said: str) -> None:
    theirs, ours = pair.both(*words.split())
    differs("not there", theirs, ours)
    assert theirs == Said(1, "", "smtpctl: fopen: No such file or directory\n")
    assert ours == Said(66, "", f"smtpctl: {said}\n")


@pytest.mark.parametrize("text", ["-234567812345678", "0x12345612345678", "+234567812345678"])
def test_an_id_is_hex_digits(pair: Pair, text: str) -> None:
    theirs, ours = pair.both("show", "envelope", text)
    differs("ids", theirs, ours)
    assert theirs == Said(1, "", "smtpctl: fopen: No such file or directory\n")
    assert (ours.status, ours.out) == (64, "")


def test_show_queue_of_a_message_that_is_not_there_is_empty(pair: Pair) -> None:
    assert pair.both("show", "queue", "12345678") == (Said(0, "", ""), Said(0, "", ""))


MISTAKES = """\

s
s q
foo
show
show foo
sh s
sh h
sh
show messages
show envelope
show envelope 123
show envelope 0000000000000000
show envelope xyzxyzxyzxyzxyzx
show envelope 12345678
show envelope 123456781234567812345678
show queue 123
show queue 00000000
show queue zzzzzzzz
show queue 1234567812345678
show queue 12345678 x
show message
show message -1
show message 99999999999999999999
show status x
show mta
show mta paused x
remove
remove foo
remove -1
remove all x
discover
discover foo
discover 1
pause
pause foo
pause envelope
pause envelope foo
pause mta from
pause mta from x
pause mta from x for y
pause mta from 127.0.0.1
pause mta from 127.0.0.1 for
pause mta from 127.0.0.1 for a b
resume
resume route
resume route 0
resume route x
resume route -1
resume route 99999999999999999999
resume envelope 1
schedule
schedule 1
r
re
log
log foo
trace
untrace
trace imsg x
profile
unprofile
update
update table
update table names extra
encrypt a b
spf
spf foo
monitor x
"""


@pytest.mark.parametrize("line", MISTAKES.split("\n")[:-1])
def test_what_means_nothing_there_means_nothing_here(pair: Pair, line: str) -> None:
    theirs, ours = pair.both(*line.split())
    differs("usage", theirs, ours)
    assert (theirs.status, ours.status) == (255, 64)
    assert (theirs.out, ours.out) == ("", "")
    first, *others = ours.err.splitlines()
    assert first.startswith("smtpctl: ")
    assert "possibilities are:" in others
    shown = others[others.index("possibilities are:") + 1 :]
    assert shown
    if "ambiguous" in first or theirs.err == "invalid command\n":
        return  # only what is left of it is shown, or where it ended
    assert set(theirs.err.splitlines()[1:]) <= set(shown)
    if line in ("", "show"):
        differs("own commands", set(theirs.err.splitlines()[1:]), set(shown))


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("s q", ["schedule", "show", "spf"]),
        ("sh s", ["show stats", "show status"]),
        ("sh ho", ["show hosts", "show hoststats"]),
        ("re", ["remove", "resume"]),
        ("pau m", ["pause mda", "pause mta"]),
        ("un", ["unprofile", "untrace"]),
    ],
)
def test_an_ambiguous_word_is_answered_with_the_candidates(
    pair: Pair, line: str, candidates: list[str]
) -> None:
    theirs, ours = pair.both(*line.split())
    assert (theirs.status, ours.status) == (255, 64)
    first, _, *shown = ours.err.splitlines()
    assert first.endswith(": ambiguous")
    assert sorted(each for each in shown if each != "uncorrupt") == candidates


SHORT = """\
sh statu
sho statu
sh mt p
lo b
l b
up t names
res r 99
pau env 12345678
unt all
rem 12345678
sc 12345678
d 12345678
sh me 5eed0002
sh e 5eed000100000001
prof queue
unp queue
sh q 12345678
"""


@pytest.mark.parametrize("line", SHORT.splitlines())
def test_an_abbreviation_that_works_there_works_here(pair: Pair, line: str) -> None:
    theirs, ours = pair.both(*line.split())
    assert ours == theirs
    assert ours.status == 0


def test_encrypt_prints_what_crypt_takes_for_that_password(pair: Pair) -> None:
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype, crypt.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_char_p)
    theirs, ours = pair.both("encrypt", "a pass|word")
    differs("method", theirs.out[:3], ours.out[:3])
    same = pair.ours.ctl("encrypt", "a pass|word", "--method=sha512")
    assert same.out[:3] == theirs.out[:3] == "$6$"
    assert len(same.out) == len(theirs.out)
    for said in (theirs, ours, same):
        hashed = said.out.removesuffix("\n").encode()
        assert crypt(b"a pass|word", hashed) == hashed
        assert (said.status, said.err) == (0, "")
    words = b"one\ntwo"
    lines = [pair.theirs.program.ctl("encrypt", data=words).stdout.splitlines()]
    lines.append(call(pair.ours.program.state, "encrypt", data=words).lines)
    for found in lines:
        assert [crypt(word, line.encode()) for word, line in zip(words.split(), found, strict=True)] == [
            line.encode() for line in found
        ]


def test_nobody_may_only_do_what_needs_no_rights(pair: Pair) -> None:
    drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/sbin/smtpctl")
    theirs = pair.theirs.program.ctl(*drop[1:], "show", "status", program=drop[0])
    assert (theirs.returncode, theirs.stderr) == (1, "smtpctl: need root privileges\n")
    for words, status, said in (
        (("show", "status"), 1, b"command failed: need root privileges\n"),
        (("show", "queue"), 1, b"command failed: need root privileges\n"),
        (("show", "envelope", "5eed000100000001"), 77, b""),
        (("encrypt", "x"), 0, b"$"),
    ):
        done = programs.run_as(pair.ours.program, 65534, "main", *words)
        assert (done.returncode, done.stdout[: len(said)]) == (status, said), (words, done)
        assert done.stderr.count(b"permission denied") == (status == 77)
