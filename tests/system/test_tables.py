"""Tables of every kind under a daemon: files, databases, programs; read again, broken, slow."""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from daemon import Daemon, mail

FILES = """\
table domains file:${files}/domains
table aliases "${files}/aliases"
listen on 127.0.0.1 port ${port}
action "local" maildir alias <aliases>
match from any for domain <domains> action "local"
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A list of domains and aliases."""
    (tmp_path / "domains").write_text("# ours\none.test\n*.two.test\n")
    (tmp_path / "aliases").write_text("team: alice, bob\nOld.Name alice\n")
    return tmp_path


def answers(one: Daemon, *rcpts: str) -> list[int]:
    """The codes of the replies to RCPT TO."""
    with one.smtp() as client:
        client.ehlo()
        client.mail("a@source.test")
        replies = [client.rcpt(rcpt) for rcpt in rcpts]
    return [code for code, _text in replies]


def test_a_list_and_aliases_in_files(daemon, files: Path) -> None:
    one = daemon(FILES, files=files)
    assert answers(one, "x@one.test", "x@mail.TWO.test", "x@two.test", "x@three.test") == [250, 250, 550, 550]
    one.send("a@source.test", ["team@one.test", "old.name@sub.two.test"])
    assert len(one.mails("alice", 2)) == 2
    assert len(one.mails("bob")) == 1
    one.wait_empty()


def test_update_table(daemon, files: Path) -> None:
    one = daemon(FILES, files=files)
    assert answers(one, "x@three.test") == [550]
    (files / "domains").write_text("three.test\n")
    assert answers(one, "x@three.test", "x@one.test") == [550, 250]
    assert one.ctl("update", "table", "domains") == "command succeeded\n"
    assert answers(one, "x@three.test", "x@one.test") == [250, 550]


def test_a_file_that_is_gone_leaves_the_table_as_it_was(daemon, files: Path) -> None:
    one = daemon(FILES, files=files)
    (files / "domains").unlink()
    one.ctl("update", "table", "domains", status=1)
    assert f"{files}/domains: No such file" in one.wait_log("update table domains: failed")
    assert answers(one, "x@one.test", "x@four.test") == [250, 550]
    (files / "domains").write_text("four.test\n")
    one.ctl("update", "table", "domains")
    assert answers(one, "x@one.test", "x@four.test") == [550, 250]


def test_a_bad_file_leaves_the_table_as_it_was(daemon, files: Path) -> None:
    one = daemon(FILES, files=files)
    (files / "aliases").write_text("team: carol\nnobody\n")
    one.ctl("update", "table", "aliases", status=1)
    assert f"{files}/aliases:2: " in one.wait_log("update table aliases: failed")
    one.send("a@source.test", "team@one.test")
    one.mails("alice")
    one.mails("bob")
    one.wait_empty()
    assert not one.maildir("carol").exists()


def test_a_table_that_is_not_there(daemon, files: Path) -> None:
    one = daemon(FILES, files=files)
    one.ctl("update", "table", "nowhere", status=1)
    assert "no such table" in one.wait_log("update table nowhere")


DB = """\
table aliases db:${files}/aliases.db
listen on 127.0.0.1 port ${port}
action "local" maildir alias <aliases>
match from any for domain "one.test" action "local"
"""


def make_db(path: Path, text: str) -> None:
    """aliases(5) as a database, by our own makemap."""
    source = path.with_suffix(".txt")
    source.write_text(text)
    call = "import sys; from smtpctl.__main__ import makemap; sys.exit(makemap(sys.argv[1:]))"
    subprocess.run([sys.executable, "-c", call, "-t", "aliases", "-o", str(path), str(source)], check=True)


def test_a_database_is_read_again_when_it_changes(daemon, files: Path) -> None:
    make_db(files / "aliases.db", "team: alice\n")
    one = daemon(DB, files=files)
    one.send("a@source.test", "team@one.test")
    one.mails("alice")
    make_db(files / "aliases.db", "team: bob, carol\n")
    one.send("a@source.test", "team@one.test")
    one.mails("bob")
    one.mails("carol")
    one.wait_empty()
    assert len(one.mails("alice")) == 1


PROGRAM = """\
    import os, sys, threading, time

    def say(line):
        sys.stdout.write(line + "\\n")
        sys.stdout.flush()

    def answer(operation, words):
        if operation == "update":
            return say(f"update-result|{{words[0]}}|ok")
        service, number, key = words
        time.sleep({seconds})
        found = "found|alice" if operation == "lookup" else "found"
        say(f"{{operation}}-result|{{number}}|" + (found if key.startswith("slow") else "not-found"))

    with open({started!r}, "a") as file:
        file.write(f"{{os.getpid()}} {{os.getuid()}} {{sys.argv[1:]}}\\n")
    for line in sys.stdin:
        kind, *words = line.rstrip("\\n").split("|", 7)
        if kind == "config":
            if words == ["ready"]:
                for service in ("alias", "domain"):
                    say("register|" + service)
                say("register|ready")
        elif kind == "table":
            threading.Thread(target=answer, args=(words[3], words[4:]), daemon=True).start()
"""

PROC = """\
table domains proc:${program}
listen on 127.0.0.1 port ${port}
action "local" maildir
match from any for domain "quick.test" action "local"
match from any for domain <domains> action "local"
"""


def write_program(folder: Path, seconds: float) -> Path:
    """A table's program that takes its time for every answer, but takes questions meanwhile."""
    path = folder / "table-slow"
    text = textwrap.dedent(PROGRAM).format(seconds=seconds, started=str(folder / "started"))
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return path


def starts(folder: Path, count: int) -> list[int]:
    """The process ids of the programs that were started, once there are so many."""
    until = time.monotonic() + 10
    while True:
        text = (folder / "started").read_text() if (folder / "started").exists() else ""
        if text.count("\n") >= count:
            return [int(line.split()[0]) for line in text.splitlines()]
        assert time.monotonic() < until, f"started {text!r}, not {count} times"
        time.sleep(0.02)


def test_a_slow_table_keeps_nobody_else_waiting(daemon, tmp_path: Path) -> None:
    one = daemon(PROC, program=write_program(tmp_path, 5))
    with one.smtp() as waiting:
        waiting.ehlo()
        waiting.mail("a@source.test")
        began = time.monotonic()
        waiting.putcmd("rcpt", "TO:<x@slow.test>")
        time.sleep(0.2)  # the question is with the program
        one.send("a@source.test", "bob@quick.test", mail())
        one.mails("bob")
        assert time.monotonic() - began < 4, "a mail that needs no program has waited for one"
        assert waiting.getreply()[0] == 250
        assert 5 <= time.monotonic() - began < 9
    one.wait_empty()


def test_questions_to_a_slow_table_wait_together(daemon, tmp_path: Path) -> None:
    one = daemon(PROC, program=write_program(tmp_path, 2))
    starts(tmp_path, 1)
    clients = [one.smtp() for _ in range(5)]
    began = time.monotonic()
    for number, client in enumerate(clients):
        client.ehlo()
        client.mail("a@source.test")
        client.putcmd("rcpt", f"TO:<x@{'slow' if number % 2 else 'other'}{number}.test>")
    assert [client.getreply()[0] for client in clients] == [550, 250, 550, 250, 550]
    assert time.monotonic() - began < 5
    for client in clients:
        client.close()


def test_a_program_that_ends_is_started_again(daemon, tmp_path: Path) -> None:
    one = daemon(PROC, program=write_program(tmp_path, 0))
    (first,) = starts(tmp_path, 1)
    assert answers(one, "x@slow.test", "x@other.test") == [250, 550]
    subprocess.run(["kill", str(first)], check=True)
    one.wait_log("table domains: the program ended")
    assert answers(one, "x@slow.test", "x@quick.test") == [451, 250], "a temporary failure meanwhile"
    assert len(starts(tmp_path, 2)) == 2
    deadline = time.monotonic() + 10
    while answers(one, "x@slow.test", "x@other.test") != [250, 550]:
        assert time.monotonic() < deadline
    one.ctl("update", "table", "domains")


def test_a_program_that_cannot_be_started(daemon, tmp_path: Path) -> None:
    program = tmp_path / "table-none"
    one = daemon(PROC, program=program)
    assert "cannot start: No such file" in one.wait_log("table domains: ")
    assert answers(one, "x@slow.test", "x@quick.test") == [451, 250]
    one.ctl("update", "table", "domains", status=1)


@pytest.mark.root
def test_privileges(daemon, privileged, tmp_path: Path) -> None:
    """A file that root alone can read is read; a program runs as lookup does."""
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("needs an interpreter that any user can run")
    conf = PROC + 'table secret file:${folder}/secret\nmatch from any for domain <secret> action "local"\n'
    one = Daemon(conf, mode="privileged", program="/bin/sh")
    try:
        secret = one.folder / "secret"
        secret.write_text("secret.test\n")
        secret.chmod(0o600)
        program = write_program(one.folder, 0)
        text = program.read_text().replace(f"#!{sys.executable}", "#!/usr/bin/python3")
        program.write_text(text)
        (one.folder / "started").write_text("")
        (one.folder / "started").chmod(0o666)
        one.conf_file.write_text(one.conf_file.read_text().replace("/bin/sh", str(program)))
        one.start()
        starts(one.folder, 1)
        _pid, uid, _arguments = (one.folder / "started").read_text().split(" ", 2)
        status = Path(f"/proc/{one.child('lookup')}/status").read_text()
        assert f"Uid:\t{uid}\t{uid}" in status and uid != "0"
        assert answers(one, "alice@secret.test", "alice@slow.test", "alice@other.test") == [250, 250, 550]
    finally:
        one.close()
