"""smtpctl against Debian's on OpenSMTPD, with the same envelopes: what the queue is, and what changes it.

What may differ is said by name: `side_by_side.DIFFERENCES` has the reason.
"""

import re
import time
from pathlib import Path

import pytest
from side_by_side import DIFFERENCES, LOCAL, SEEDS, SIX, STEPS, Id, Pair, Row, differs

HELD = Id("c3@silent.test", "x@silent.test")
INFLIGHT = Id("c1@silent.test", "x@silent.test")
FAILED = Id("d1@silent.test", "x@later.test")
MANY = Id("f1@silent.test", "x@silent.test")


def test_every_difference_of_the_list_is_met_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_against_opensmtpd*.py"))
    assert [name for name in DIFFERENCES if f'"{name}"' not in tests] == []


def keys(pair: Pair) -> list[tuple[str, str]]:
    """All that is in both queues."""
    made = [key for sender, _, expected in STEPS for key in expected if sender != SIX or pair.six]
    seeded = [("bounced@later.test", "x@never.test"), ("odd{user@silent.test", "a+tag@temp.test")]
    return sorted([*made, *seeded, ("@", "x@later.test")])


def without_times(row: Row) -> Row:
    """With what differs by program and second taken out."""
    flags = ",".join(flag for flag in row.flags.split(",") if flag)
    return row._replace(evpid="", created=0, expires=0, last_try=0, delay="", flags=flags)


def test_show_queue_has_the_same_line_for_every_state(pair: Pair) -> None:
    theirs, ours = (side.rows() for side in pair.sides)
    assert [row.key for row in theirs] == [row.key for row in ours] == keys(pair)
    assert {row.type for row in ours} == {"mda", "mta", "bounce"}
    assert {row.source for row in ours} == {"inet4", "inet6", "local"}
    assert {row.state for row in ours} == {"inflight", "held", "failed"}
    for their, our in zip(theirs, ours, strict=True):
        if their.key == ("@", "g1@later.test"):
            differs("bounce flag", their.flags, our.flags)
            assert our.flags == f"bounce,{their.flags}"
            our = our._replace(flags=their.flags)
        assert without_times(our) == without_times(their)


def test_show_queue_has_times_of_the_same_meaning(pair: Pair) -> None:
    now = int(time.time())
    for their, our in zip(*(side.rows() for side in pair.sides), strict=True):
        assert abs(their.created - our.created) < 300
        assert now - 300 < our.created <= now
        if our.runstate == "inflight":
            assert our.last_try >= our.created
            assert our.delay == str(int(time.time()) - our.last_try) or int(our.delay) >= 0
        elif our.state == "held":
            assert our.last_try == their.last_try == 0
            assert int(our.delay) <= 0
            assert int(their.delay) <= 0
        if our.evpid.startswith("5eed"):
            assert (our.created - their.created, our.expires - our.created) == (0, 604800)
            assert (our.expires, our.last_try) == (their.expires, their.last_try)
            assert abs(int(our.delay) - int(their.delay)) <= 2
        else:
            differs("expires", their.expires - their.created, our.expires - our.created)
            assert our.expires - our.created == 4 * 24 * 3600
            if our.state == "failed":
                differs("last try", their.last_try, our.last_try)
                assert our.created <= our.last_try <= now
                assert our.type == "mda" or abs(int(our.delay) - int(their.delay)) < 60


def test_show_queue_is_in_the_order_of_ids(pair: Pair) -> None:
    for said in pair.both("show", "queue"):
        ids = [line[:16] for line in said.lines]
        assert ids == sorted(ids)
        assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)


def test_show_queue_of_a_message_has_its_envelopes(pair: Pair) -> None:
    for said in pair.both("show", "queue", MANY._replace(digits=8)):
        rcpts = sorted(line.split("|")[5] for line in said.lines)
        assert rcpts == ["temp@temp.test", "x@silent.test", "y@later.test", "z@later.test"]
    theirs, ours = pair.both("show", "queue", "5eed0002")
    assert [line.split("|")[:7] for line in theirs.lines] == [line.split("|")[:7] for line in ours.lines]
    assert len(ours.lines) == 2


@pytest.mark.parametrize("key", [INFLIGHT, HELD, FAILED, Id("b1@silent.test", "temp@temp.test")])
def test_show_envelope_has_the_same_fields_in_the_same_order(pair: Pair, key: Id) -> None:
    theirs, ours = (
        [line.split(": ", 1) for line in said.lines] for said in pair.both("show", "envelope", key)
    )
    assert [name for name, _ in theirs] == [name for name, _ in ours]
    changed = {name for (name, their), (_, our) in zip(theirs, ours, strict=True) if their != our}
    if "esc-code" in changed:
        differs("status", dict(map(tuple, theirs))["esc-code"], dict(map(tuple, ours))["esc-code"])
    assert changed <= {"ctime", "ttl", "last-try", "esc-code"}
    differs("expires", dict(map(tuple, theirs))["ttl"], dict(map(tuple, ours))["ttl"])


def test_show_envelope_and_message_print_the_files_byte_for_byte(pair: Pair) -> None:
    for msgid, evpid, _ in SEEDS:
        for command in (("show", "envelope", evpid), ("show", "message", evpid), ("show", "message", msgid)):
            theirs, ours = pair.both(*command)
            assert theirs == ours
            assert ours.status == 0


def test_show_message_is_the_mail_with_a_header_of_ours(pair: Pair) -> None:
    def plain(text: str) -> list[str]:
        text = re.sub(r"(OpenSMTPD|smtpd)\)", "PROGRAM)", text)
        text = re.sub(r"id [0-9a-f]{8}(.*?);\n\t.*?\n", r"id ID\1;\n\tDATE\n", text, count=1, flags=re.S)
        return re.sub(r"<\d+@source.test>", "<ID>", text).splitlines()

    for digits in (16, 8):
        theirs, ours = pair.both("show", "message", FAILED._replace(digits=digits))
        assert plain(theirs.out) == plain(ours.out)
        assert plain(ours.out)[0] == "Received: from client.test (localhost [127.0.0.1])"


CHANGES: list[tuple[str | Id, ...]] = [
    ("pause", "envelope", HELD),
    ("pause", "envelope", HELD),
    ("pause", "envelope", INFLIGHT),
    ("pause", "envelope", MANY._replace(digits=8)),
    ("schedule", HELD),
    ("pause", "envelope", "1234567812345678"),
    ("pause", "envelope", "12345678"),
    ("resume", "envelope", MANY),
    ("resume", "envelope", MANY._replace(digits=8)),
    ("resume", "envelope", MANY._replace(digits=8)),
    ("resume", "envelope", INFLIGHT),
    ("resume", "envelope", HELD._replace(digits=8)),
    ("resume", "envelope", HELD),
    ("resume", "envelope", "1234567812345678"),
    ("resume", "envelope", "12345678"),
    ("schedule", "1234567812345678"),
    ("schedule", "12345678"),
    ("schedule", INFLIGHT),
    ("remove", "1234567812345678"),
    ("remove", "12345678"),
    ("discover", "1234567812345678"),
    ("discover", "12345678"),
]


def test_changes_of_envelopes_have_the_same_answers_and_effects(pair: Pair) -> None:
    for side in pair.sides:  # what test_fill suspended is not to be tried while the message is resumed
        side.ctl("pause", "mda")
    for command in CHANGES:
        theirs, ours = pair.both(*command)
        assert ours == theirs, command
        assert ours.status == 0
        flags = [
            [(row.key, row.flags.replace("bounce,auth", "auth")) for row in side.rows()]
            for side in pair.sides
        ]
        assert flags[0] == flags[1], command
    for side in pair.sides:
        side.ctl("pause", "envelope", side.row("f1@silent.test", "temp@temp.test").evpid)
        side.ctl("resume", "mda")


def test_schedule_tries_again_now(pair: Pair) -> None:
    for side in pair.sides:
        side.send("s1@silent.test", ["x@later.test"])
        side.wait(lambda side: side.states().get(("s1@silent.test", "x@later.test")) == "failed")
        assert side.ask("schedule", Id("s1@silent.test", "x@later.test")).out == "1 envelope scheduled\n"
        side.wait(lambda side: side.row("s1@silent.test", "x@later.test").tries == 2)
        side.ask("remove", Id("s1@silent.test", "x@later.test"))


def test_remove_by_envelope_and_by_message(pair: Pair) -> None:
    rcpts = [f"r{number}@later.test" for number in range(3)]
    first = Id("r1@silent.test", rcpts[0])
    for side in pair.sides:
        side.send(first.sender, rcpts)
        side.wait(lambda side: [side.states().get((first.sender, rcpt)) for rcpt in rcpts] == ["failed"] * 3)
    msgids = [side.row(*first[:2]).evpid[:8] for side in pair.sides]
    theirs, ours = pair.both("remove", first)
    assert ours == theirs
    assert ours.out == "1 envelope removed\n"
    said = [side.ctl("remove", msgid) for side, msgid in zip(pair.sides, msgids, strict=True)]
    assert said[0] == said[1]
    assert said[1].out == "2 envelopes removed\n"
    for side, msgid in zip(pair.sides, msgids, strict=True):
        folder = side.spool / "queue" / msgid[:2] / msgid
        side.wait(lambda side, msgid=msgid: side.rows(msgid) == [])  # type: ignore[misc]
        side.wait(lambda _side, folder=folder: not folder.exists())  # type: ignore[misc]


def test_remove_of_what_is_in_flight_leaves_no_row(pair: Pair) -> None:
    key = Id("i1@silent.test", "slow@slow.test")
    for side in pair.sides:
        side.send(key.sender, [key.rcpt])
        side.wait(lambda side: key[:2] in side.states())
    theirs, ours = pair.both("remove", key)
    assert ours == theirs
    for side in pair.sides:
        side.wait(lambda side: key[:2] not in side.states())


def test_a_mail_of_sendmail_is_of_an_authenticated_local_user(pair: Pair) -> None:
    for side in pair.sides:
        row = side.row(LOCAL, "x@later.test")
        assert (row.source, row.flags) == ("local", "auth")
