"""smtpctl explain and show config: they tell what a running daemon does, and change nothing."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tree
from daemon import USER_ID, Daemon

CONF = """\
table aliases { all = "alice, bob@elsewhere.test, all", loop = pool, pool = loop, bad = "error:550 Nobody" }
table far { "far.test", "elsewhere.test" }
listen on 127.0.0.1 port ${port}
action "local" maildir alias <aliases>
action "out" relay host smtp://127.0.0.1:1
match from any mail-from "spam@bad.test" for any reject
match from any for domain <far> action "out"
match from any for local action "local"
"""


def explained(one: Daemon, *words: str, status: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in one.ctl("--json", "explain", *words, status=status).splitlines()]


def of(steps: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [step for step in steps if step["step"] == kind]


def nothing_is_queued(one: Daemon) -> None:
    assert one.ctl("show", "queue") == ""
    assert [path for path in (one.state / "spool").rglob("*") if path.is_file()] == []


def test_it_says_what_a_session_is_then_told(daemon: Any) -> None:
    one = daemon(CONF)
    recipients = [
        "all",
        "alice",
        "x@far.test",
        "x@nowhere.test",
        "loop",
        "bad",
        "a+tag",
        "nobody@elsewhere.test",
    ]
    said = {}
    for rcpt in recipients:
        for sender in ("a@b.test", "spam@bad.test"):
            words = ("--json", "explain", rcpt, "from", "127.0.0.1", "sender", sender, "helo", "c.test")
            done = _ctl(one, *words)
            end = json.loads(done.stdout.splitlines()[-1])
            assert done.returncode == {"ok": 0, "permfail": 1}[end["status"]]
            said[rcpt, sender] = end
    nothing_is_queued(one)
    assert len({end["status"] for end in said.values()}) == 2
    for (rcpt, sender), end in said.items():
        with one.smtp() as client:
            client.ehlo("c.test")
            client.mail(sender)
            code, text = client.rcpt(rcpt if "@" in rcpt else f"{rcpt}@localhost")
        if end["status"] == "ok":
            assert code == 250
        else:
            assert (code, text.decode()[: len(end["reply"]) - 4]) == (
                int(end["reply"][:3]),
                end["reply"][4:],
            )


def _ctl(one: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "smtpctl", "--state", str(one.state), *words],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_the_whole_way(daemon: Any) -> None:
    one = daemon(CONF)
    text = one.ctl("explain", "all@localhost", "from", "192.0.2.1")
    home = one.state / "home"
    assert text == (
        "RCPT TO:<all@localhost>, MAIL FROM:<>, from 192.0.2.1\n"
        "\n"
        "all@localhost\n"
        '  rule 1 (smtpd.conf:6) does not match: mail-from spam@bad.test with "@"\n'
        '  rule 2 (smtpd.conf:7) does not match: for domain <far> with "localhost"\n'
        '  rule 3 (smtpd.conf:8) matches: match from any for local action "local"\n'
        '    netaddr "192.0.2.1" in <anyhost>: found\n'
        '    domain "localhost" in <localnames>: found\n'
        "    all\n"
        '      alias "all" in <aliases>: alice, bob@elsewhere.test, all\n'
        "        alice\n"
        '          alias "alice" in <aliases>: none\n'
        f'          userinfo "alice" in <getpwnam>: {os.geteuid()}:{os.getegid()}:{home}/alice\n'
        f"          forward {home}/alice/.forward: none\n"
        "          => envelope 1\n"
        "        bob@elsewhere.test\n"
        '          rule 1 (smtpd.conf:6) does not match: mail-from spam@bad.test with "@"\n'
        "          rule 2 (smtpd.conf:7) matches: match from any for domain <far> action out\n"
        '            netaddr "local" in <anyhost>: found\n'
        '            domain "elsewhere.test" in <far>: found\n'
        "          => envelope 2\n"
        "        all\n"
        f'          userinfo "all" in <getpwnam>: {os.geteuid()}:{os.getegid()}:{home}/all\n'
        f"          forward {home}/all/.forward: none\n"
        "          => envelope 3\n"
        "\n"
        "accepted, 3 envelopes:\n"
        f'  1  mda <all@localhost> action "local" as alice: maildir {home}/alice/Maildir\n'
        '  2  mta <bob@elsewhere.test> action "out": relay smtp://127.0.0.1:1\n'
        f'  3  mda <all@localhost> action "local" as all: maildir {home}/all/Maildir\n'
    )
    nothing_is_queued(one)


def test_a_forward_is_opened_by_parent(daemon: Any) -> None:
    one = daemon(CONF)
    home = one.state / "home/alice"
    home.mkdir(parents=True)
    forward = home / ".forward"
    forward.write_text("\\alice, bob, x@far.test\n")
    steps = explained(one, "alice@localhost")
    looked = [step for step in of(steps, "lookup") if step["service"] == "forward"]
    assert [(step["key"], step["result"]) for step in looked] == [("alice", "found"), ("bob", "none")]
    assert looked[0]["source"] == str(forward)
    assert [(each["type"], each["user"], each["command"]) for each in of(steps, "envelope")] == [
        ("mda", "alice", f"{home}/Maildir"),
        ("mda", "bob", f"{home.parent}/bob/Maildir"),
        ("mta", "", "smtp://127.0.0.1:1"),
    ]
    forward.chmod(0o666)
    end = explained(one, "alice@localhost", status=1)[-1]
    assert (end["reply"], end["reason"]) == (
        "524 5.2.4 Mailing list expansion problem",
        ".forward of alice is not secure",
    )
    one.wait_log(".forward of alice: writable by others")
    nothing_is_queued(one)


@pytest.mark.root
def test_a_forward_that_only_parent_can_read(daemon: Any, privileged: None) -> None:
    one = daemon(CONF, mode="privileged")
    forward = one.folder / "home/.forward"
    forward.write_text("x@far.test, |/usr/bin/filter -x\n")
    os.chown(forward, USER_ID, USER_ID)
    forward.chmod(0o600)
    steps = explained(one, "alice@localhost")
    assert [(each["dest"], each["user"], each["command"]) for each in of(steps, "envelope")] == [
        ("x@far.test", "", "smtp://127.0.0.1:1"),
        ("alice@localhost", "alice", "/usr/bin/filter -x"),
    ]
    assert explained(one, "nosuchuser@localhost", status=1)[-1]["reason"].startswith("no user nosuchuser")


def test_it_is_bounded_and_others_are_served_meanwhile(daemon: Any, tmp_path: Path) -> None:
    names = ", ".join(f"n{number}" for number in range(9000))
    included = tmp_path / "list"
    included.write_text(names.replace(", ", "\n") + "\n")
    rules = "\n".join(f'match from any for domain "d{n}.test" action "local"' for n in range(1000))
    conf = CONF.replace("all = ", f'big = ":include:{included}", all = ').replace(
        "match from any mail-from", f"{rules}\nmatch from any mail-from"
    )
    one = daemon(conf)
    steps = explained(one, "big@localhost")
    end = steps[-1]
    assert end["status"] == "ok" and end["envelopes"] == 9000 and end["left_out"] > 9000
    assert len(of(steps, "envelope")) == 1000
    assert len(steps) <= 1 + 5000 + 1000
    assert [each["number"] for each in of(steps, "rule")][-2:] == [200, 1003]
    text = one.ctl("explain", "big@localhost").splitlines()
    assert "  rules 201 to 1002 do not match either" in text
    assert f"({end['left_out']} more steps are not shown)" in text
    asking = [_asking(one) for _ in range(3)]
    try:
        one.send("a@b.test", "alice@localhost")
        one.mails("alice")
    finally:
        ends = [process.communicate(timeout=60)[0].splitlines()[-1] for process in asking]
    assert [json.loads(line).get("envelopes") for line in ends] == [9000] * 3, ends
    one.wait_empty()


def _asking(one: Daemon) -> subprocess.Popen[bytes]:
    words = ("--state", str(one.state), "--json", "explain", "big@localhost")
    return subprocess.Popen([sys.executable, "-m", "smtpctl", *words], cwd=tree.ROOT, stdout=subprocess.PIPE)


def test_who_leaves_early_leaves_nothing_behind(daemon: Any, tmp_path: Path) -> None:
    included = tmp_path / "list"
    included.write_text("".join(f"n{number}\n" for number in range(9000)))
    one = daemon(CONF.replace("all = ", f'big = ":include:{included}", all = '))
    for _ in range(12):
        process = _asking(one)
        time.sleep(0.25)
        process.kill()
        process.communicate()
    until = time.monotonic() + 20
    while _ctl(one, "explain", "alice@localhost").returncode != 0:
        assert time.monotonic() < until
        time.sleep(0.2)


# show config


def test_show_config_is_read_again_to_the_same(daemon: Any, tmp_path: Path) -> None:
    one = daemon(CONF)
    text = one.ctl("show", "config")
    assert 'match from any for local action "local"' in text
    again = tmp_path / "again.conf"
    again.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "smtpd", "-n", "-v", "-f", str(again)],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, text, "configuration OK\n")


def test_show_config_of_a_configuration_beyond_a_frame(daemon: Any) -> None:
    many = ", ".join(f'"domain{number}.test"' for number in range(20_000))
    one = daemon(f"{CONF}match from any for domain {{ {many} }} action out\n")
    text = one.ctl("show", "config")
    assert len(text) > 300_000 and text.count("domain19999.test") == 1
    lines = [json.loads(line)["statement"] for line in one.ctl("--json", "show", "config").splitlines()]
    assert lines == text.splitlines()
