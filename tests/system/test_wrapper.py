"""Wrappers around deliveries of every kind, and actions that only expand."""

import time

from daemon import Daemon, body_of, mail, wait_files

WRAPPED = """\
listen on 127.0.0.1 port ${port}
mda wrapper "mark" "sed 's/^Subject: /Subject: [marked] /' | %{mda}"
mda wrapper "simple" "/usr/bin/nice -n 1 %{mda}"
mda wrapper "refuses" "cat >/dev/null; echo 'not this one'; exit 69; %{mda}"
mda wrapper "missing" "no-such-filter | %{mda}"
mda wrapper "faulty" "cat >/dev/null; echo Oops >&2; exit 1; %{mda}"
table aliases { "saved" = "${folder}/saved" }
action "maildir" maildir wrapper "mark"
action "folder" maildir "~/other %{rcpt.user}" wrapper "simple"
action "lmtp" lmtp "127.0.0.1:${sink}" rcpt-to wrapper "mark"
action "file" maildir alias <aliases> wrapper "mark"
action "never" maildir wrapper "refuses"
action "missing" maildir wrapper "missing"
action "faulty" maildir wrapper "faulty"
action "mbox" mbox wrapper "mark"
match from any for rcpt-to "folder@localhost" action "folder"
match from any for rcpt-to "saved@localhost" action "file"
match from any for rcpt-to "never@localhost" action "never"
match from any for rcpt-to "missing@localhost" action "missing"
match from any for rcpt-to "faulty@localhost" action "faulty"
match from any for rcpt-to "mbox@localhost" action "mbox"
match from any for rcpt-to { "lmtp@localhost", "nobody@localhost", "later@localhost" } action "lmtp"
match from any for local action "maildir"
"""

EXPANDING = """\
listen on 127.0.0.1 port ${port}
table people { "list" = "eve@localhost, saved", "saved" = "${folder}/saved" }
action "forward" forward-only
action "expand" expand-only alias <people>
action "local" maildir
match from any for rcpt-to { "list@localhost", "bob@localhost" } action "expand"
match from any for rcpt-to "carol@localhost" action "forward"
match from any for local action "local"
"""


def read(one: Daemon, path: str) -> bytes:
    """A file of the daemon's folder, once it ends."""
    until = time.monotonic() + 20
    file = one.folder / path
    while not (file.exists() and file.read_bytes().endswith(b"\n\n")):
        assert time.monotonic() < until, one.log()
        time.sleep(0.02)
    return file.read_bytes()


def test_a_wrapper_is_around_any_delivery(daemon, sink) -> None:
    answers = {"nobody": "550 5.1.1 Unknown here", "later": "452 4.2.2 Over quota"}
    to = sink({"RCPT": lambda line: next((said for who, said in answers.items() if who in line), "")})
    one = daemon(WRAPPED, sink=to.port)
    sent = one.send("a@source.test", "alice@localhost", mail(subject="x", body=".\r\nGrüße\r\n"))
    (got,) = one.mails("alice")
    assert got.startswith(b"Return-Path: <a@source.test>\nDelivered-To: alice@localhost\nReceived: ")
    assert b"\nSubject: [marked] x\n" in got and body_of(got) == body_of(sent)

    one.send("a@source.test", "folder@localhost", sent)
    (got,) = wait_files(one.state / "home/folder/other folder/new", 1, 20, one)
    assert body_of(got) == body_of(sent)

    one.send("a@source.test", "saved@localhost", sent)
    got = read(one, "saved")
    assert got.startswith(b"From a@source.test ") and b"\nSubject: [marked] x\n" in got

    one.send("a@source.test", "lmtp@localhost", sent)
    (taken,) = to.wait(1)
    assert taken.rcpts == ("lmtp@localhost",) and body_of(taken.content) == body_of(sent)
    one.wait_empty()

    unavailable = "stat=Error (service unavailable: "
    for user, result in {
        "nobody": f'result=PermFail {unavailable}"LMTP server error: 550 5.1.1 Unknown here")',
        "later": 'result=TempFail stat=Error (temporary failure: "LMTP server error: 452 4.2.2 Over quota")',
        "never": f'result=PermFail {unavailable}"not this one")',
        "missing": 'result=TempFail stat=Error (temporary failure: "no mail came out',
        "faulty": 'result=TempFail stat=Error ("Oops")',
        "mbox": "result=TempFail stat=Error (mbox with a wrapper is not available)",
    }.items():
        one.send("", f"{user}@localhost", sent)
        assert result in one.wait_log(f"to=<{user}@localhost> rcpt=")
    assert not [user for user in ("never", "missing") if (one.state / f"home/{user}/Maildir").exists()]


def test_actions_that_only_expand(daemon) -> None:
    one = daemon(EXPANDING)
    one.send("a@source.test", "list@localhost")
    (got,) = one.mails("eve")
    assert b"Subject: a test" in got and b"Subject: a test" in read(one, "saved")
    with one.smtp() as client:
        client.ehlo()
        client.docmd("MAIL FROM:<a@source.test>")
        assert client.docmd("RCPT TO:<bob@localhost>")[0] // 100 == 5
        assert client.docmd("RCPT TO:<carol@localhost>")[0] // 100 == 4
        home = one.state / "home/carol"
        home.mkdir(parents=True)
        home.chmod(0o700)
        (home / ".forward").write_text("dave@localhost\n")
        assert client.docmd("RCPT TO:<carol@localhost>")[0] == 250
        assert client.data(mail())[0] == 250
    assert len(one.mails("dave")) == 1
    one.wait_empty()
