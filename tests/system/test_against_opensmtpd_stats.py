"""smtpctl against Debian's on OpenSMTPD: counters, monitor, and the scripts of those who watch a mail server.

What may differ is said by name: `side_by_side.DIFFERENCES` has the reason.
"""

import os
import pty
import re
import shlex
import subprocess
import sys
import time

import pytest
import tree
from side_by_side import Id, Ours, Pair, Said, Side, Theirs, differs

EQUAL = """\
bounce.envelope bounce.message bounce.session control.session mda.envelope mda.pending mda.running
mta.envelope mta.task mta.task.running queue.bounce scheduler.delivery.ok scheduler.delivery.permfail
scheduler.envelope scheduler.envelope.incoming scheduler.envelope.inflight scheduler.ramqueue.envelope
scheduler.ramqueue.hold scheduler.ramqueue.message scheduler.ramqueue.update
smtp.session smtp.session.inet4 smtp.session.inet6
""".split()
"""Counters that are the same after the same mails."""

NAMES = """\
bounce.envelope bounce.message bounce.session control.session mda.envelope mda.pending mda.running mda.user
mta.connector mta.domain mta.envelope mta.host mta.relay mta.route mta.session mta.source mta.task
mta.task.running queue.bounce queue.evpcache.load.hit queue.evpcache.size queue.evpcache.update.hit
scheduler.delivery.ok scheduler.delivery.permfail scheduler.delivery.tempfail scheduler.envelope
scheduler.envelope.incoming scheduler.envelope.inflight scheduler.ramqueue.envelope scheduler.ramqueue.hold
scheduler.ramqueue.holdq scheduler.ramqueue.message scheduler.ramqueue.update smtp.session
smtp.session.inet4 smtp.session.local uptime uptime.human
""".split()
"""Those of OpenSMTPD 7.8 that these mails touch; what is not among them: caches that miss, loops, expiry,
TLS, and the queue in memory."""


def counters(said: Said) -> dict[str, str]:
    """`show stats`, a line each."""
    assert (said.status, said.err) == (0, "")
    lines = [line.split("=") for line in said.lines]
    assert all(len(line) == 2 for line in lines)
    return dict(map(tuple, lines))


def both(pair: Pair) -> list[dict[str, str]]:
    return [counters(said) for said in pair.both("show", "stats")]


def test_every_counter_that_is_there_is_here(pair: Pair) -> None:
    theirs, ours = both(pair)
    assert set(theirs) <= set(ours)
    differs("zero", set(theirs), set(ours))
    assert {ours[name] for name in set(ours) - set(theirs)} == {"0"}
    assert set(NAMES) <= set(theirs)


def test_counters_come_sorted_as_lines_of_name_and_value(pair: Pair) -> None:
    for said in pair.both("show", "stats"):
        names = [line.split("=")[0] for line in said.lines]
        assert names == sorted(names)
        for line in said.lines:
            name, value = line.split("=")
            if name == "uptime.human":
                assert re.fullmatch(r"(\d+d)?(\d+h)?(\d+m)?(\d+s)?", value)
            else:
                assert value.isdigit(), line


def test_counters_have_the_same_meaning(pair: Pair) -> None:
    until = time.monotonic() + 30
    while True:  # what was begun by another test may still be under way in one of them
        theirs, ours = ({name: stats[name] for name in EQUAL} for stats in both(pair))
        if ours == theirs or time.monotonic() > until:
            break
        time.sleep(0.1)
    assert ours == theirs
    theirs, ours = both(pair)
    differs("bounce sessions", theirs["smtp.session.local"], ours["smtp.session.local"])
    bounces = int(theirs["bounce.message"]) + int(theirs["queue.bounce"])
    assert int(theirs["smtp.session.local"]) - int(ours["smtp.session.local"]) == bounces
    assert int(ours["scheduler.ramqueue.holdq"]) == 2  # see "hold queues"
    assert int(theirs["scheduler.ramqueue.holdq"]) >= 2
    differs("loads", theirs["queue.evpcache.load.hit"], ours["queue.evpcache.load.hit"])
    assert abs(int(theirs["uptime"]) - int(ours["uptime"])) < 300


def test_the_same_mail_counts_the_same(pair: Pair) -> None:
    before = both(pair)
    key = Id("@", "counted@later.test")
    for side in pair.sides:
        side.send(key.rcpt, ["perm@perm.test"])
        side.wait(lambda side: side.states().get(key[:2]) == "failed")
        assert side.ask("remove", key).out == "1 envelope removed\n"
        side.wait(lambda side: key[:2] not in side.states())
    after = both(pair)
    changes = []
    for first, last in zip(before, after, strict=True):
        values = {name: int(last[name]) - int(first.get(name, 0)) for name in last if last[name].isdigit()}
        kept = {"queue.bounce", "smtp.session.inet4"}
        kept |= {name for name in values if name.startswith(("scheduler.delivery", "scheduler.envelope"))}
        changes.append({name: value for name, value in values.items() if name in kept and value})
    assert changes[0] == changes[1]
    assert changes[1] == {
        "queue.bounce": 1,
        "scheduler.delivery.ok": 1,
        "scheduler.delivery.permfail": 1,
        "scheduler.delivery.tempfail": 1,
        "scheduler.envelope.removed": 1,
        "smtp.session.inet4": 1,
    }


def test_monitor_has_the_same_columns_and_numbers(pair: Pair) -> None:
    head = (
        "--- client ---  -- envelope --   ---- relay/delivery --- ------- misc -------",
        "curr conn disc  curr  enq  deq   ok tmpfail prmfail loop expire remove bounce",
    )
    # at the same moment, and at terminals: OpenSMTPD's would stay in its buffer
    commands = [command(side) for side in pair.sides]
    theirs, ours = (_at_a_terminal([*words, "monitor"], lines=4) for words in commands)
    assert tuple(theirs[:2]) == tuple(ours[:2]) == head
    rows = []
    for lines in (theirs, ours):
        assert all(re.fullmatch(r" *\d+( +\d+){12}", line) for line in lines[2:4]), lines
        rows.append([list(map(int, line.split())) for line in lines[2:4]])
    assert [len(line) for line in theirs[2:4]] == [len(line) for line in ours[2:4]]
    first = [row[0] for row in rows]
    # not: sessions (OpenSMTPD's bounces have some), what was dequeued and tried by other tests
    for column in (0, 3, 6, 8, 9, 10, 12):
        assert first[0][column] == first[1][column], (column, rows)
    assert rows[1][1][3] == first[1][3]
    assert rows[1][1][1:3] == [0, 0]


def _at_a_terminal(words: list[str], lines: int) -> list[str]:
    """The first lines of an endless command."""
    ours, its = pty.openpty()
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=its, stderr=its, cwd=tree.ROOT, start_new_session=True
    ) as process:
        os.close(its)
        said = b""
        while said.count(b"\n") < lines:
            said += os.read(ours, 4096)
        process.terminate()  # who runs us in the background may have SIGINT ignored
        process.wait(20)
    os.close(ours)
    return said.decode().replace("\r\n", "\n").split("\n")[:lines]


def command(side: Side) -> list[str]:
    """How a shell calls its smtpctl."""
    if isinstance(side, Theirs):
        return side.program.inside("/usr/sbin/smtpctl")
    assert isinstance(side, Ours)
    return [sys.executable, "-m", "smtpctl", "--state", str(side.program.state)]


def shell(side: Side, script: str) -> Said:
    """A script that calls `smtpctl` and `mailq`, found in its PATH."""
    folder = side.folder / "bin"
    if not folder.exists():
        folder.mkdir()
        for name, words in (("smtpctl", ""), ("mailq", "show queue ")):
            path = folder / name
            path.write_text(f'#!/bin/sh\nexec {shlex.join(command(side))} {words}"$@"\n')
            path.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", script],
        env={
            **os.environ,
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHONPATH": str(tree.ROOT),
            "LC_ALL": "C",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Said(done.returncode, done.stdout, done.stderr)


SCRIPTS = {
    "nagios: how many wait, by type, and whether that is too many": r"""
        q=$(smtpctl show queue) || { echo UNKNOWN; exit 3; }
        n=$(printf '%s\n' "$q" | grep -c '|pending|')
        for type in mta mda bounce; do
            printf '%s=%s ' $type "$(printf '%s\n' "$q" | awk -F'|' -v t=$type '$3 == t' | wc -l)"
        done
        if [ "$n" -gt 10 ]; then echo "CRITICAL - $n pending"; exit 2; fi
        echo "OK - $n pending"
    """,
    "munin: the states": r"""
        smtpctl show queue | awk -F'|' '
            { total++; state[$12]++; if ($4 ~ /hold/) held++; if ($4 ~ /suspend/) suspended++ }
            END {
                printf "total.value %d\npending.value %d\ninflight.value %d\n", total, state["pending"],
                    state["inflight"]
                printf "held.value %d\nsuspended.value %d\n", held, suspended
            }'
    """,
    "zabbix: one counter": "smtpctl show stats | grep '^scheduler.envelope=' | cut -d= -f2",
    "zabbix: one counter out of many, by the first line that holds its name": r"""
        stats=$(smtpctl show stats)
        for name in bounce.envelope scheduler.envelope smtp.session queue.bounce queue.ram.envelope.size \
            scheduler.delivery.permfail scheduler.delivery.ok mta.envelope mda.envelope
        do
            value=$(echo "$stats" | grep -m 1 "$name" | awk -F= '{print $2}')
            echo "$name ${value:-0}"
        done
    """,
    "prometheus: a text file, of the counters that both have": r"""
        smtpctl show stats | grep '^scheduler\.\(ramqueue\|delivery\.[op]\)' | grep -v 'overflow\|holdq' |
            sed -n 's/^\([a-z0-9.]*\)=\([0-9]*\)$/opensmtpd_\1 \2/p' | tr . _
    """,
    "telegraf: every line is a name and a number, but one": r"""
        smtpctl show stats | awk -F= 'NF != 2 || ($1 != "uptime.human" && $2 !~ /^[0-9]+$/) { bad++ }
            END { print bad + 0 }'
    """,
    "collectd: sessions by family": r"""
        smtpctl show stats | awk -F= '/^smtp\.session\.inet/ { gsub(/\./, "_", $1); print $1 ": " $2 }'
    """,
    "who waits for whom": r"""
        mailq | awk -F'|' '{ split($7, a, "@"); n[a[2]]++ } END { for (d in n) print n[d], d }' | sort
    """,
    "errors, counted": r"""
        smtpctl show queue | cut -d'|' -f14- | sed '/^$/d' | sort | uniq -c | sort -rn
    """,
    "old mail, in perl": r"""
        smtpctl show queue | perl -F'\|' -lane 'print "$F[0]" if $F[0] =~ /^5eed/ && time - $F[7] < 3600'
    """,
    "a read loop": r"""
        smtpctl show queue |
        while IFS='|' read -r id family type flags from rcpt to created expires last tries state left error
        do
            [ "$from" = "odd{user@silent.test" ] && echo "$id $family $type $flags $rcpt $to $tries $error"
        done
        true
    """,
    "is it running": """
        smtpctl show status | grep -q '^MTA running$' && echo relaying
        if smtpctl show stats >/dev/null 2>&1; then echo up; else echo down; fi
    """,
    "is the queue empty": "if smtpctl show queue | grep -q .; then echo mail; else echo none; fi",
    "hosts with trouble": "smtpctl show hoststats | awk -F'|' '$3 !~ /^2/ { print $1 }' | grep later",
    "a route by its address": "smtpctl show routes | grep -c '<-> 127.0.0.2'",
}
"""The shapes in which scripts take these apart."""


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_the_same_of_both(pair: Pair, name: str) -> None:
    theirs, ours = (shell(side, SCRIPTS[name]) for side in pair.sides)
    assert ours == theirs
    assert ours.err == ""
    assert ours.out.strip()


def test_a_script_removes_what_it_finds(pair: Pair) -> None:
    rcpts = ["gone1@later.test", "gone2@later.test"]
    keys = [("script@silent.test", rcpt) for rcpt in rcpts]
    for side in pair.sides:
        side.send("script@silent.test", rcpts)
        side.wait(lambda side: [side.states().get(key) for key in keys] == ["failed"] * 2)
        done = shell(
            side,
            "smtpctl show queue | awk -F'|' '$7 ~ /^gone[0-9]@later/ && $12 == \"pending\" { print $1 }' |"
            " xargs -n1 smtpctl remove",
        )
        assert done == Said(0, "1 envelope removed\n" * 2, "")
        side.wait(lambda side: not set(keys) & set(side.states()))
