"""smtpctl/sendmail.py and the entry points of the programs beside smtpctl."""

import io
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from smtpctl import __main__ as program
from smtpctl import sendmail
from smtpctl.client import NotRunning
from smtpctl.places import Places
from smtpctl.sendmail import Options, Usage, parse
from smtpctl.submission import SubmissionError, Verdict
from smtpd.messages.client_control import ClientChangeEnvelopes
from smtpd.messages.client_queue import ClientShowQueue
from smtpd.protocol.smtp.client_events import Mail


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("ann bob", Options(("ann", "bob"))),
        ("ann,bob, -x", Options(("ann", "bob", "-x"))),
        ("-t", Options((), from_header=True)),
        ("-tv -oi -oem -i -m -bm", Options((), from_header=True, verbose=True)),
        ("-f a@x b@x", Options(("b@x",), sender="a@x")),
        ("-fa@x -FAnn b@x", Options(("b@x",), sender="a@x", fullname="Ann")),
        ("-r a@x -f b@x c", Options(("c",), sender="a@x")),
        ("-tfa@x", Options((), sender="a@x", from_header=True)),
        ("-f <> ann", Options(("ann",), sender="<>")),
        (
            "-N success,failure -R hdrs -V id ann",
            Options(("ann",), notify="SUCCESS,FAILURE", ret="HDRS", envid="id"),
        ),
        ("-bp", Options((), mode="p")),
        ("-bs", Options((), mode="s")),
        ("-q", Options((), flush=True)),
        ("-q30m", Options((), flush=True)),
        ("-- -t", Options(("-t",))),
        ("ann @list,x -- @bob", Options(("ann", "--"), files=("list,x", "bob"))),
        ("-t -- @bob", Options(("@bob",), from_header=True)),
        ("-S -- ann", Options(("ann",), again=True)),
        ("-A x -B 8BITMIME -L tag -O x=y -p smtp -X log ann", None),
    ],
)
def test_the_command_line(words: str, options: Options | None) -> None:
    if options is None:
        with pytest.raises(Usage, match="unknown option -O"):
            parse(words.split())
    else:
        assert parse(words.split()) == options


@pytest.mark.parametrize(("words", "reason"), [("-f", "-f needs a value"), ("-Z", "unknown option -Z")])
def test_a_wrong_command_line(words: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sendmail.main(words.split()) == os.EX_USAGE
    assert reason in capsys.readouterr().err


class Submitted:
    """In place of the daemon: what it was given, and what it says."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []
        self.contents: list[bytes] = []
        self.verdicts: dict[str, Verdict] = {}
        self.error: Exception | None = None

    def connect(self, _places: Any) -> Any:
        if self.error is not None:
            raise self.error
        return io.BytesIO()

    def dialogue(self, _connection: Any, *, verbose: bool = False, whole: bool = False) -> Any:
        return self

    def submit(self, mail: Mail, content: Iterator[bytes]) -> list[Verdict]:
        self.mails.append(mail)
        self.contents.append(b"".join(content))
        taken = [Verdict(rcpt.address, True, False, "250 Ok") for rcpt in mail.rcpts]
        return [self.verdicts.get(verdict.address, verdict) for verdict in taken]


@pytest.fixture
def daemon_played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Submitted:
    submitted = Submitted()
    monkeypatch.setattr(sendmail.submission, "connect", submitted.connect)  # type: ignore[attr-defined]
    monkeypatch.setattr(sendmail, "Dialogue", submitted.dialogue)
    user = pwd.struct_passwd(("ann", "x", 1000, 1000, "Mrs. & Example,room 5", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(sendmail, "_user", lambda _options: user)
    monkeypatch.delenv("DEAD", raising=False)
    monkeypatch.setattr(sendmail.pwd, "getpwuid", lambda _uid: user)  # type: ignore[attr-defined]
    (tmp_path / "offline").mkdir()
    monkeypatch.setattr(
        sendmail, "find_places", lambda *_: Places(tmp_path / "smtpd.sock", tmp_path, tmp_path)
    )
    monkeypatch.setattr("smtpd.config.machine.Machine.hostname", lambda self: "mail.example.org")
    return submitted


def send(monkeypatch: pytest.MonkeyPatch, words: str, data: bytes = b"Subject: s\n\nhi\n") -> int:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    return sendmail.main(words.split())


def test_from_the_user_to_the_arguments(daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch) -> None:
    assert send(monkeypatch, "bob <carol@example.net> bob") == 0
    (mail,) = daemon_played.mails
    assert mail.sender == "ann@mail.example.org"
    assert [rcpt.address for rcpt in mail.rcpts] == ["bob@mail.example.org", "carol@example.net"]
    assert b'From: "Mrs. Ann Example" <ann@mail.example.org>\n' in daemon_played.contents[0]


@pytest.mark.parametrize(
    ("words", "data", "sender"),
    [
        ("-f carol x", b"From: dave@example.net\n\n", "carol@mail.example.org"),
        ("-f <carol@x> x", b"\n", "carol@x"),
        ("-f <> x", b"From: dave@example.net\n\n", ""),
        ("x", b"From: Dave <dave@example.net>\n\n", "dave@example.net"),
        ("x", b"From: dave\n\n", "dave@mail.example.org"),
    ],
)
def test_the_sender(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, words: str, data: bytes, sender: str
) -> None:
    assert send(monkeypatch, words, data) == 0
    assert daemon_played.mails[0].sender == sender
    assert (b"Example" in daemon_played.contents[0]) is (b"From" not in data and "-f" not in words)


def test_recipients_of_the_header_only_with_t(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"To: a@x\nBcc: b@x\nSubject: \xc3\xa9\n\n"
    assert send(monkeypatch, "-t -N never c@x", data) == 0
    mail = daemon_played.mails[0]
    assert [rcpt.address for rcpt in mail.rcpts] == ["c@x", "a@x", "b@x"]
    assert {rcpt.notify for rcpt in mail.rcpts} == {"NEVER"}
    assert mail.eightbit
    assert b"Bcc" not in daemon_played.contents[0]
    assert send(monkeypatch, "", data) == os.EX_USAGE


@pytest.mark.parametrize(
    ("refused", "later", "status"),
    [(1, False, 67), (2, False, 67), (1, True, 75), (2, True, 75), (0, False, 0)],
)
def test_who_did_not_get_it(
    daemon_played: Submitted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    refused: int,
    later: bool,
    status: int,
) -> None:
    for address in ("a@x", "b@x")[:refused]:
        daemon_played.verdicts[address] = Verdict(address, False, later, "no thanks", "RCPT")
    assert send(monkeypatch, "a@x b@x") == status
    err = capsys.readouterr().err
    assert err.count("no thanks") == refused
    letter = tmp_path / "dead.letter"
    assert letter.exists() is (refused == 2)
    if letter.exists():
        assert letter.read_bytes().endswith(b"\n\nhi\n")
        assert letter.stat().st_mode & 0o777 == 0o600
        assert str(letter) in err


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([Verdict("a@x", False, False, "552 too big", "."), Verdict("b@x", True, False, "")], 65),
        (
            [
                Verdict("a@x", False, False, "550 who?", "RCPT TO:<a@x>"),
                Verdict("b@x", False, False, "5", "."),
            ],
            67,
        ),
        ([Verdict("a@x", False, False, "5", "MAIL"), Verdict("b@x", False, True, "451 later", "RCPT")], 65),
    ],
)
def test_the_status_says_what_is_worst(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, verdicts: list[Verdict], status: int
) -> None:
    daemon_played.verdicts = {verdict.address: verdict for verdict in verdicts}
    assert send(monkeypatch, "a@x b@x") == status


def test_recipients_in_a_file(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "list").write_bytes(b"# friends\na@x, <b@x> # and\n\n c\n\xff@x\n")
    assert send(monkeypatch, f"d@x @{tmp_path}/list") == 0
    assert [rcpt.address for rcpt in daemon_played.mails[0].rcpts] == [
        "d@x",
        "a@x",
        "b@x",
        "c@mail.example.org",
        "\udcff@x",
    ]
    assert send(monkeypatch, f"@{tmp_path}/none") == os.EX_NOINPUT


def test_while_no_daemon_runs_the_message_waits(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    daemon_played.error = NotRunning("smtpd doesn't seem to be running")
    data = b"To: a@x\nBcc: b@x\nDate: now\n\nhi\n"
    assert send(monkeypatch, "-t -F Ann -N never -R hdrs -V id", data) == os.EX_TEMPFAIL
    (file,) = (tmp_path / "offline").iterdir()
    assert file.read_bytes() == (
        b"-fann@mail.example.org|-NNEVER|-RHDRS|-Vid|--|a@x|b@x\n"
        b"To: a@x\nDate: now\nFrom: Ann <ann@mail.example.org>\n\nhi\n"
    )
    again = parse(file.read_bytes().split(b"\n")[0].decode().split("|"))
    assert again == Options(
        ("a@x", "b@x"), sender="ann@mail.example.org", notify="NEVER", ret="HDRS", envid="id"
    )
    file.unlink()
    assert send(monkeypatch, "-f <> a@x") == os.EX_TEMPFAIL
    (file,) = (tmp_path / "offline").iterdir()
    assert file.read_bytes().startswith(b"-f<>|--|a@x\n")
    assert not (tmp_path / "dead.letter").exists()


def test_what_comes_out_of_offline_does_not_go_there_again(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert send(monkeypatch, "-S -fa@x -- a@x b@x") == os.EX_OK
    assert len(daemon_played.mails) == 1
    daemon_played.error = NotRunning("smtpd doesn't seem to be running")
    assert send(monkeypatch, "-S -fa@x -- a@x") == os.EX_UNAVAILABLE
    daemon_played.error = None
    daemon_played.verdicts["a@x"] = Verdict("a@x", False, True, "451 later", "RCPT")
    assert send(monkeypatch, "-S -fa@x -- a@x b@x") == os.EX_TEMPFAIL
    assert list((tmp_path / "offline").iterdir()) == []
    assert not (tmp_path / "dead.letter").exists()


def test_out_of_offline_those_who_are_not_refused_get_it(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    daemon_played.verdicts["a@x"] = Verdict("a@x", False, False, "550 no", "RCPT")
    assert send(monkeypatch, "-S -fa@x -- a@x b@x") == os.EX_OK
    assert [[rcpt.address for rcpt in mail.rcpts] for mail in daemon_played.mails] == [
        ["a@x", "b@x"],
        ["b@x"],
    ]
    assert (tmp_path / "dead.letter").exists()
    (tmp_path / "dead.letter").unlink()
    assert send(monkeypatch, "-S -fa@x -- a@x") == os.EX_OK
    assert (tmp_path / "dead.letter").exists()
    (tmp_path / "dead.letter").unlink()
    (tmp_path / "dead.letter").mkdir()
    assert send(monkeypatch, "-S -fa@x -- a@x") == os.EX_CANTCREAT


@pytest.mark.parametrize("words", ["a|b@x", "c@x"])
def test_what_cannot_wait_is_a_dead_letter(
    daemon_played: Submitted,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: str,
) -> None:
    daemon_played.error = NotRunning("smtpd doesn't seem to be running")
    if words == "c@x":
        (tmp_path / "offline").rmdir()
    assert send(monkeypatch, words) == os.EX_UNAVAILABLE
    assert "smtpd is not running, and " in capsys.readouterr().err
    assert (tmp_path / "dead.letter").read_bytes().endswith(b"\n\nhi\n")


def test_a_dead_letter_where_mailx_has_it(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEAD", str(tmp_path / "other"))
    daemon_played.verdicts["a@x"] = Verdict("a@x", False, False, "no", "RCPT")
    assert send(monkeypatch, "a@x") == os.EX_NOUSER
    assert (tmp_path / "other").read_bytes().endswith(b"\n\nhi\n")


def test_a_dead_letter_does_not_follow_links(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dead.letter").symlink_to(tmp_path / "precious")
    daemon_played.verdicts["a@x"] = Verdict("a@x", False, False, "no", "RCPT")
    assert send(monkeypatch, "a@x") == os.EX_NOUSER
    assert not (tmp_path / "precious").exists()


@pytest.mark.parametrize(
    ("login", "uid", "again", "name"),
    [
        ("joe", 0, False, "joe"),
        ("joe", 7, False, "joe"),
        ("joe", 8, False, "user8"),
        ("joe", 0, True, "user0"),
    ],
)
def test_who_sends(monkeypatch: pytest.MonkeyPatch, login: str, uid: int, again: bool, name: str) -> None:
    def entry(name: str, number: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((name, "x", number, number, "", "/", "/bin/sh"))

    monkeypatch.setattr(os, "getlogin", lambda: login)
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(sendmail.pwd, "getpwnam", lambda name: entry(name, 7))  # type: ignore[attr-defined]
    monkeypatch.setattr(sendmail.pwd, "getpwuid", lambda uid: entry(f"user{uid}", uid))  # type: ignore[attr-defined]
    user = sendmail._user(Options((), again=again))
    assert user is not None
    assert user.pw_name == name


def test_errors_have_their_status(
    daemon_played: Submitted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(monkeypatch, "-t", b'To: "x\n\n') == os.EX_DATAERR
    assert "syntax error in address" in capsys.readouterr().err
    daemon_played.error = SubmissionError("smtp is paused", os.EX_TEMPFAIL)
    assert send(monkeypatch, "a@x") == os.EX_TEMPFAIL
    assert capsys.readouterr().err == "sendmail: smtp is paused\n"


def test_other_modes(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl("-bp", main=program.sendmail).status == 0
    assert smtpctl("-q", main=program.sendmail).out == "1 envelope scheduled\n"
    assert daemon.asked == [ClientShowQueue(0), ClientChangeEnvelopes("schedule", 0)]
    assert smtpctl("-Z", main=program.sendmail).status == os.EX_USAGE
