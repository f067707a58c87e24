"""sendmail as programs call it: Debian's mail and mutt, cron, and whatever else knows options of decades."""

import email
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import programs
import pytest
from daemon import LOCAL, RELAY, USER_ID, Daemon

SENDMAIL = "/usr/sbin/sendmail"

IN_FRONT = 'set -e; mount --bind "$0" /usr/sbin/sendmail; exec "$@"'


def needs(*names: str) -> None:
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: tools/system_needs brings them")


def in_front(daemon: Daemon) -> Path:
    """A program that is our sendmail, for this daemon: whoever starts it may know nothing of our places."""
    path = daemon.folder / "sendmail"
    words = " ".join(map(shlex.quote, programs.command("sendmail")))
    places = programs.environment(daemon)
    exports = "".join(
        f"export {name}={shlex.quote(places[name])}\n" for name in ("SMTPD_SOCKET", "PYTHONPATH", "DEAD")
    )
    path.write_text(f'#!/bin/sh\n{exports}exec {words} "$@"\n')
    path.chmod(0o755)
    return path


def run(
    *command: str, data: bytes = b"", status: int = 0, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        command, input=data, capture_output=True, timeout=50, env={**os.environ, **environment}, cwd="/"
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    return done


def replacing(daemon: Daemon, *command: str) -> list[str]:
    """A command for which /usr/sbin/sendmail is ours."""
    return ["unshare", "--mount", "sh", "-c", IN_FRONT, str(in_front(daemon)), *command]


def fields(mail: bytes) -> dict[str, str]:
    """The header, names in lower case; of several fields of one name the last."""
    lines = re.sub(rb"\n[ \t]+", b" ", mail.partition(b"\n\n")[0]).decode("utf-8", "replace").splitlines()
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.root
@pytest.mark.usefixtures("privileged")
def test_mail_with_our_sendmail_in_front(daemon) -> None:
    needs("mail")
    one = daemon()
    run(
        *replacing(
            one, "mail", "-s", "from mail", "-c", "bob@localhost", "-b", "carol@localhost", "you@localhost"
        ),
        data=b"Hello.\n.\nnot the end\n~\n",
    )
    (got,) = one.mails("you")
    assert fields(got)["subject"] == "from mail"
    assert fields(got)["to"] == "you@localhost"
    assert fields(got)["cc"] == "bob@localhost"
    assert "bcc" not in fields(got)
    assert fields(got)["date"]
    assert fields(got)["message-id"]
    assert re.search(r"\S+@\S+", fields(got)["from"])
    for user in ("bob", "carol"):
        assert one.mails(user)[0].partition(b"\n\n")[2] == got.partition(b"\n\n")[2]


@pytest.mark.root
@pytest.mark.usefixtures("privileged")
def test_mail_of_a_user_while_the_daemon_runs_and_while_it_does_not(daemon) -> None:
    """The daemon runs as that user too. What could not be handed over waits, and is there after the start."""
    needs("mail")
    one = daemon(LOCAL, mode="unprivileged")
    program = in_front(one)
    namespace = ["nsenter", f"--mount=/proc/{one.pid}/ns/mnt"]
    as_user = ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups"]
    mail = ["unshare", "--mount", "sh", "-c", IN_FRONT, str(program), *as_user, "mail", "-s"]
    # A process that keeps the namespace, in which this interpreter can be entered, while the daemon is away.
    with subprocess.Popen([*namespace, "cat"], stdin=subprocess.PIPE) as holder:
        run(*namespace, *mail, "up", "alice@localhost", data=b"Hello.\n")
        (got,) = one.mails("alice")
        assert fields(got)["subject"] == "up"
        assert (
            fields(got)["from"].endswith(f"alice@{os.uname().nodename}>") or "alice@" in fields(got)["from"]
        )
        assert one.stop() == 0
        namespace = ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        subprocess.run(
            [*namespace, *mail, "down", "alice@localhost"], input=b"Hello.\n", timeout=50, capture_output=True
        )
        (file,) = (one.state / "spool/offline").iterdir()
        assert file.stat().st_uid == USER_ID
        os.utime(file, (1e9, 1e9))
        one.start()
        assert sorted(fields(each)["subject"] for each in one.mails("alice", 2)) == ["down", "up"]
        assert holder.stdin is not None
        holder.stdin.close()


def test_mutt(daemon, tmp_path) -> None:
    needs("mutt")
    one = daemon()
    attached = tmp_path / "bytes.bin"
    attached.write_bytes(bytes(range(256)) * 20)
    settings = tmp_path / "muttrc"
    settings.write_text(
        f'set sendmail="{in_front(one)} -oem -oi"\nset copy=no\nset realname="A Sender"\n'
        f'set use_envelope_from=yes\nset from="sender@source.test"\nset tmpdir={tmp_path}\n'
    )
    run(
        "mutt", "-n", "-F", str(settings), "-s", "grüße", "-a", str(attached), "--", "you@localhost",
        data="Schöne Grüße.\n".encode(), HOME=str(tmp_path), LC_ALL="C.UTF-8",
    )  # fmt: skip
    (got,) = one.mails("you")
    assert fields(got)["from"] == "A Sender <sender@source.test>"
    assert fields(got)["return-path"] == "<sender@source.test>"
    assert "boundary" in fields(got)["content-type"]
    parts = list(email.message_from_bytes(got).walk())
    assert parts[-1].get_payload(decode=True) == attached.read_bytes()


def test_cron_and_other_callers_of_old(daemon, sink, tmp_path) -> None:
    """Every way in which programs are known to call sendmail takes the message; none of it means an error."""
    one = daemon()
    more = tmp_path / "more"
    more.write_text("# who else\nbob@localhost, carol@localhost\ndave@localhost # at last\n")
    cron = (
        b'From: "(Cron Daemon)" <root>\nTo: you\nSubject: Cron <root@x> run\nMIME-Version: 1.0\n'
        b"Content-Type: text/plain; charset=UTF-8\nAuto-Submitted: auto-generated\n"
        b"X-Cron-Env: <SHELL=/bin/sh>\n\noutput\n"
    )
    calls: list[tuple[list[str], bytes]] = [
        (["-i", "-FCronDaemon", "-odi", "-oem", "you@localhost"], cron),
        (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "you@localhost"], cron),
        (
            ["-oi", "-oem", "-odb", "-om", "-t"],
            b"To: You <you@localhost>\nBcc: bob@localhost\nSubject: b\n\nx\n",
        ),
        (["-t", "-oi", "-f", "bounce@source.test", "-oem"], b"To: you@localhost\nSubject: php\n\nx\n"),
        (
            ["-G", "-U", "-n", "-m", "-bm", "-em", "-Lsyslog", "-v", "you@localhost"],
            b"Subject: v\n\nx\n",
        ),
        (["-froot@source.test", "--", "you@localhost"], b"Subject: dashes\n\nx\n"),
        (["-i", "you@localhost", f"@{more}"], b"Subject: file\n\nx\n"),
    ]
    for words, data in calls:
        done = programs.run(one, "sendmail", *words, data=data)
        assert (done.returncode, done.stderr) == (0, b""), words
    got = one.mails("you", len(calls))
    subjects = sorted(fields(each)["subject"] for each in got)
    assert subjects == sorted(["Cron <root@x> run"] * 2 + ["b", "php", "v", "dashes", "file"])
    assert fields(next(each for each in got if fields(each)["subject"] == "php"))["return-path"] == (
        "<bounce@source.test>"
    )
    assert len(one.mails("bob", 2)) == 2
    one.mails("carol")
    one.mails("dave")


def test_what_is_in_a_message_arrives_or_is_refused(daemon) -> None:
    one = daemon()
    bodies = [
        b"no newline at the end",
        b".\n..\n.x\nstill here\n",
        b"a NUL \0 in it\n",
        "ünïcödé\n".encode() + b"\xff\xfe\n",
        b"crlf\r\nline ends\r\n",
        b"From here on\n>From there\n",
        b"",
    ]
    for number, body in enumerate(bodies):
        words = ["-i"] * (number % 2) + ["you@localhost"]
        done = programs.run(one, "sendmail", *words, data=f"Subject: {number}\n\n".encode() + body)
        assert (done.returncode, done.stderr) == (0, b""), body
    got = {fields(each)["subject"]: each.partition(b"\n\n")[2] for each in one.mails("you", len(bodies))}
    for number, body in enumerate(bodies):
        text = body.replace(b"\r\n", b"\n")
        assert got[str(number)] == text + (b"\n" if text and not text.endswith(b"\n") else b"")


def test_what_stands_in_front_of_a_message(daemon) -> None:
    """An mbox's first line, a header that is not there, one without an empty line behind it."""
    one = daemon()
    for data in (
        b"From alice Mon Nov  2 10:00:00 2026\nSubject: mbox\n\nbody\n",
        b"just text\n",
        b"Subject: unended\nbody: no\nbut this\n",
    ):
        assert programs.run(one, "sendmail", "-fa@source.test", "you@localhost", data=data).returncode == 0
    got = one.mails("you", 3)
    for each in got:
        assert fields(each)["from"] == "<a@source.test>"
        assert {"date", "message-id", "received"} <= set(fields(each))
    mbox, text, unended = (each.partition(b"\n\n") for each in got)
    assert b"From alice" not in mbox[0]
    assert text[2] == b"just text\n"
    assert unended[2] == b"but this\n"


def test_what_an_envelope_gets_of_the_options(daemon, sink) -> None:
    one = daemon(RELAY, sink=sink().port)
    one.ctl("pause", "mta")
    done = programs.run(
        one,
        "sendmail",
        "-fa@source.test",
        "-Nsuccess,failure",
        "-Rhdrs",
        "-Venvelope-7",
        "x@relay.test",
        data=b"\n",
    )
    assert (done.returncode, done.stderr) == (0, b"")
    (evpid,) = [line.partition("|")[0] for line in one.envelopes()]
    text = one.ctl("show", "envelope", evpid)
    assert "dsn-notify: 3\n" in text
    assert "dsn-ret: HDRS" in text
    assert "dsn-envid: envelope-7" in text
    assert programs.run(one, "sendmail", "-bp").stdout.startswith(evpid.encode() + b"|local|mta|")
    assert programs.run(one, "sendmail", "-q").returncode == 0
    assert "uid=0 schedule all" in one.log() or f"uid={os.geteuid()} schedule all" in one.log()


def test_exit_statuses(daemon) -> None:
    one = daemon()
    for words, status in (
        (["-Z"], os.EX_USAGE),
        (["-f"], os.EX_USAGE),
        ([], os.EX_USAGE),
        (["@/nonexistent/list"], os.EX_NOINPUT),
        (["you@localhost", "nobody@elsewhere.test"], os.EX_NOUSER),
        (["you@localhost"], os.EX_OK),
    ):
        done = programs.run(one, "sendmail", *words, data=b"Subject: x\n\nx\n")
        assert done.returncode == status, words
        assert bool(done.stderr) == (status != os.EX_OK)
        assert b"Traceback" not in done.stderr
