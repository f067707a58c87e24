"""One real mail through every process: watched, captured, and its ladder is the one in smtpd/README.md."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import tree
from daemon import Daemon
from looking import Looking

STEP = re.compile(r"^\d+\. (\w+) -> (\w+): (\w+)$", re.MULTILINE)


def life_of_one_mail() -> list[tuple[str, str, str]]:
    """The steps that smtpd/README.md tells."""
    text = (tree.ROOT / "smtpd/README.md").read_text().partition("## The life of one mail")[2]
    return [(sender, receiver, kind) for sender, receiver, kind in STEP.findall(text.partition("\n## ")[0])]


def test_the_ladder_of_a_mail_is_the_one_in_the_readme(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    one = daemon()
    path = tmp_path / "mail.pcapng"
    capture = Looking(one, "capture", "-w", str(path), "--mail", "NEXT")
    one.send("ann@client.test", "you@localhost")
    one.mails("you")
    out, _ = capture.end()
    assert "that mail is through" in out
    (msgid,) = re.findall(r"message msgid=([0-9a-f]{8})", one.log())
    rows = [
        json.loads(line) for line in one.ctl("--json", "show", "flow", msgid, f"--read={path}").splitlines()
    ]
    assert [(row["sender"], row["receiver"], row["kind"]) for row in rows] == life_of_one_mail()
    ladder = one.ctl("show", "flow", msgid, "--read", str(path)).splitlines()
    drawn = [line for line in ladder[2:] if "\u250a" not in line]
    for line, (_, _, kind) in zip(drawn, life_of_one_mail(), strict=True):
        assert re.search(rf"  {kind}(  |$)", line)
    for row in rows:
        assert row["waited"] is not None or "delivery" in (row["sender"], row["receiver"])
        replies = row["elapsed"] is not None
        assert replies == (row["request"] is not None)
    assert all(msgid in row["messages"] or row["sessions"] for row in rows)


def test_the_next_mail_alone_is_watched(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    watch = Looking(one, "--json", "trace", "imsg", "--watch", "--mail", "NEXT")
    one.send("first@client.test", "you@localhost")
    one.send("second@client.test", "me@localhost")
    *rows, end = map(json.loads, watch.end()[0].splitlines())
    assert end["reason"] == "that mail is through" and end["lost"] == 0 and end["number"] == len(rows)
    first, _second = re.findall(r"message msgid=([0-9a-f]{8})", one.log())
    assert {row["kind"] for row in rows} >= {"ReverseName", "CreateMessage", "DeliverMda", "EnvelopeDone"}
    assert all(row["messages"] in ([first], []) for row in rows)
    assert "second@client.test" not in json.dumps(rows)


def test_requests_stay_with_their_replies(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    words = ("--watch", "--kind=messagecreated", "--count=4")
    watch = Looking(one, "--json", "trace", "imsg", *words)
    for _ in range(2):
        one.send("ann@client.test", "you@localhost")
    *rows, _ = map(json.loads, watch.end()[0].splitlines())
    assert [row["kind"] for row in rows] == ["CreateMessage", "MessageCreated"] * 2
    assert [row["request"] for row in rows[1::2]] == [row["peerid"] for row in rows[::2]]


def test_the_tapes_can_be_read_afterwards(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    watch = Looking(one, "trace", "imsg", "--watch", "--mail=NEXT")
    one.send("ann@client.test", "you@localhost")
    watch.end()
    (msgid,) = re.findall(r"message msgid=([0-9a-f]{8})", one.log())
    assert "DeliverMaildir" in one.ctl("show", "flow", msgid)
    for words in (("--mermaid",), ("--svg",), ("--html",), ("--perfetto",), ("--folded",)):
        assert "DeliverMaildir" in one.ctl("show", "flow", msgid, *words)
    one.ctl("untrace", "all")
    assert "no mail was recorded" in one.ctl("show", "flow", msgid, status=1)
