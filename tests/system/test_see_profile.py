"""profile and show profile on a running daemon: the figures are those of what was done, and can be true."""

import json
from collections.abc import Callable
from typing import Any

from daemon import Daemon
from looking import Looking

from smtpd.messages.links import LINKS, PROCESSES

MAILS = 40
QUEUES = ("queued", "out"), ("queued", "in"), ("unanswered", "requests"), ("oldest", "request")

type Rows = dict[tuple[str, str, str, str, str], dict[str, Any]]


def rows(daemon: Daemon) -> Rows:
    found = map(json.loads, daemon.ctl("--json", "show", "profile").splitlines())
    return {(r["process"], r["subsystem"], r["what"], r["peer"], r["name"]): r for r in found}


def send(daemon: Daemon, number: int = MAILS) -> None:
    with daemon.smtp() as client:
        for _ in range(number):
            client.sendmail("ann@client.test", "you@localhost", b"Subject: x\r\n\r\n" + b"x" * 500)
    daemon.wait_empty()


def test_the_figures_are_those_of_the_mails(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    send(one, 1)
    assert "nothing was measured" in one.ctl("show", "profile")
    for subsystem in ("imsg", "mproc", "queue"):
        one.ctl("profile", subsystem)
    number = MAILS
    send(one)
    found = rows(one)
    while not found["pony", "mproc", "oldest", "queue", "request"]["max"]:  # no sample fell into a commit
        send(one)
        number += MAILS
        found = rows(one)
    for row in found.values():
        assert row["number"] > 0 and row["rate"] > 0
        if row["what"] not in ("in", "out", "missed"):
            assert 0 <= row["p50"] <= row["p90"] <= row["p99"] <= row["max"] <= row["total"]

    # messages: how many, how large, how long handled, how long in the socket, how long until the reply
    handled = found["queue", "imsg", "handler", "pony", "CommitMessage"]
    reply = found["pony", "imsg", "reply", "queue", "CommitMessage"]
    waited = found["control", "imsg", "socket", "queue", "CommitMessage"]
    frames = found["queue", "imsg", "in", "", "CommitMessage"]
    assert handled["number"] == reply["number"] == frames["number"] == number >= waited["number"]
    assert 16 * number < frames["total"] < 64 * number
    assert found["pony", "imsg", "out", "", "CommitMessage"]["total"] == frames["total"]
    assert waited["max"] <= reply["max"] and handled["p50"] < reply["p50"]
    for name in ("EnvelopesReady", "EnvelopeDone"):
        assert found["scheduler", "imsg", "handler", "queue", name]["number"] == number

    # processes: how busy the loops are, what waits on every link both ways, how long requests are open
    assert {key[0] for key in found if key[1] == "mproc"} == set(PROCESSES)
    for process in PROCESSES:
        busy = found[process, "mproc", "busy", "", "loop"]
        assert 0 <= busy["p50"] <= busy["max"] <= 1100
    assert found["pony", "mproc", "busy", "", "loop"]["total"] > 0
    for pair in LINKS:
        for process, peer in (tuple(pair), tuple(pair)[::-1]):
            for what, name in QUEUES:
                assert (process, "mproc", what, peer, name) in found
    assert found["pony", "mproc", "unanswered", "queue", "requests"]["max"] >= 1
    oldest = found["pony", "mproc", "oldest", "queue", "request"]
    replies = [row["max"] for key, row in found.items() if key[:4] == ("pony", "imsg", "reply", "queue")]
    assert 0 < oldest["max"] <= max(replies) * 1.2

    # the spool: what each operation took, of which fsync
    commits = found["queue", "queue", "operation", "", "commit"]
    fsync = found["queue", "queue", "fsync", "", "fsync"]
    assert commits["number"] == found["queue", "queue", "operation", "", "delete"]["number"] == number
    assert fsync["number"] >= number and fsync["total"] > 0
    assert commits["p50"] < reply["max"]

    text = one.ctl("show", "profile")
    for word in ("CommitMessage", "in the socket", "busy", "unanswered", "oldest", "fsync", "commit", "█"):
        assert word in text

    # ended, it stays as it was; begun again, it begins from nothing
    one.ctl("unprofile", "all")
    ended = rows(one)
    send(one, 3)
    assert rows(one)["queue", "imsg", "handler", "pony", "CommitMessage"]["number"] == number
    assert rows(one).keys() == ended.keys()
    one.ctl("profile", "queue")
    send(one, 2)
    assert rows(one)["queue", "queue", "operation", "", "commit"]["number"] == 2


def test_watched_it_is_about_the_last_second(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    one.ctl("profile", "imsg")
    send(one, 5)
    watch = Looking(one, "--json", "show", "profile", "--watch", until=b"")
    first = json.loads(watch.line())
    assert first["time"] > 1e9
    send(one, 3)
    commits = 0
    while commits < 3:
        row = json.loads(watch.line())
        if (row["what"], row["name"]) == ("handler", "CommitMessage"):
            commits += row["number"]
    assert commits == 3, "only what came since the look before"
    watch.interrupt()
