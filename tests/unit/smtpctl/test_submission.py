"""smtpctl/submission.py, with an SMTP server played by a thread of the test."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from smtpctl import submission
from smtpctl.client import Incompatible, NoPermission, NotRunning, Refused
from smtpctl.places import Places
from smtpctl.submission import Dialogue, SubmissionError, Verdict
from smtpd.protocol.smtp.client_events import Mail, Rcpt

ANN, BOB = Rcpt("ann@example.org"), Rcpt("bob@example.org")


class Server:
    """Answers a session line by line: `replies` by the beginning of a command; the rest gets 250."""

    def __init__(self, replies: dict[str, str] | None = None) -> None:
        self._replies = replies or {}
        self.commands: list[str] = []
        self.content = b""
        ours, self.theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(ours,))
        self._thread.start()

    def _serve(self, end: socket.socket) -> None:
        with contextlib.suppress(BrokenPipeError), end, end.makefile("rb") as lines:
            end.sendall(b"220 test ESMTP\r\n")
            for line in lines:
                command = line.decode("utf-8", "surrogateescape").strip()
                self.commands.append(command)
                reply = next((r for c, r in self._replies.items() if command.startswith(c)), "")
                if reply == "hang up":
                    return
                if command.startswith("EHLO") and not reply:
                    reply = "250-test\r\n250-8BITMIME\r\n250 DSN"
                if command == "DATA" and not reply:
                    end.sendall(b"354 go on\r\n")
                    for each in lines:
                        if each == b".\r\n":
                            break
                        self.content += each
                    reply = self._replies.get(".", "250 2.0.0 taken")
                end.sendall(
                    (reply or ("221 bye" if command == "QUIT" else "250 2.0.0 Ok")).encode() + b"\r\n"
                )

    def close(self) -> None:
        self.theirs.close()
        self._thread.join(5)
        assert not self._thread.is_alive()


def submit(
    server: Server,
    *rcpts: Rcpt,
    content: bytes = b"Subject: s\n\n.x\n",
    verbose: bool = False,
    whole: bool = False,
) -> list[Verdict]:
    mail = Mail("me@example.org", rcpts)
    with server.theirs:
        dialogue = Dialogue(server.theirs, verbose=verbose, whole=whole)
        verdicts = dialogue.submit(mail, iter(content.splitlines(True)))
    server.close()
    return verdicts


def test_accepted() -> None:
    server = Server()
    assert submit(server, ANN, BOB) == [
        Verdict("ann@example.org", True, False, "250 2.0.0 taken", "."),
        Verdict("bob@example.org", True, False, "250 2.0.0 taken", "."),
    ]
    assert server.content == b"Subject: s\r\n\r\n..x\r\n"
    assert server.commands[0] == "EHLO localhost"
    assert server.commands[-1] == "QUIT"


def test_a_long_message_in_pieces() -> None:
    server = Server()
    text = b"".join(b"%d " % i + b"x" * 70 + b"\n" for i in range(5000))
    assert all(verdict.ok for verdict in submit(server, ANN, content=b"\n" + text))
    assert server.content == b"\r\n" + text.replace(b"\n", b"\r\n")


def test_one_refused_and_one_to_be_tried_later() -> None:
    server = Server({"RCPT TO:<ann": "550 5.1.1 no such user", "RCPT TO:<bob": "451 4.3.2 later"})
    verdicts = submit(server, ANN, BOB)
    assert [(verdict.ok, verdict.later) for verdict in verdicts] == [(False, False), (False, True)]
    assert "no such user" in verdicts[0].status
    assert all(verdict.command.startswith("RCPT") for verdict in verdicts)
    assert server.content == b""


@pytest.mark.parametrize(("refusal", "later"), [("550 5.1.1 no such user", False), ("451 later", True)])
def test_all_or_nobody(refusal: str, later: bool) -> None:
    server = Server({"RCPT TO:<ann": refusal})
    verdicts = submit(server, ANN, BOB, whole=True)
    assert [(verdict.ok, verdict.later) for verdict in verdicts] == [(False, later), (False, True)]
    assert server.content == b""
    assert "another recipient was refused" in verdicts[1].status
    server = Server()
    assert all(verdict.ok for verdict in submit(server, ANN, BOB, whole=True))
    assert server.content


@pytest.mark.parametrize(
    ("replies", "later"),
    [
        ({"MAIL": "550 5.7.1 not you"}, False),
        ({".": "552 5.3.4 too big"}, False),
        ({".": "451 4.3.0 disk full"}, True),
        ({"DATA": "421 4.3.2 going down"}, True),
        ({"EHLO": "hang up"}, True),
        ({"RCPT": "hang up"}, True),
        ({"DATA": "hang up"}, True),
    ],
)
def test_everyone_gets_a_verdict_whatever_happens(replies: dict[str, str], later: bool) -> None:
    verdicts = submit(Server(replies), ANN, BOB)
    assert [(verdict.address, verdict.ok, verdict.later) for verdict in verdicts] == [
        ("ann@example.org", False, later),
        ("bob@example.org", False, later),
    ]


def test_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    submit(Server(), ANN, verbose=True)
    out = capsys.readouterr().out
    assert "<<< 220 test ESMTP\n" in out
    assert ">>> RCPT TO:<ann@example.org>\n" in out
    assert "Subject" not in out


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "smtpd.sock", tmp_path / "spool", tmp_path)


class Control:
    """In place of smtpctl.client.Client: what open_session gives, one time after the other."""

    def __init__(self, *outcomes: Exception | socket.socket) -> None:
        self.outcomes = list(outcomes)
        self.path: Path | None = None

    def __call__(self, path: Path) -> "Control":
        self.path = path
        return self

    def __enter__(self) -> "Control":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def open_session(self) -> socket.socket:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    made: list[float] = []
    monkeypatch.setattr(submission.time, "sleep", made.append)  # type: ignore[attr-defined]
    return made


def test_a_session_from_the_control_socket(
    places: Places, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    control = Control(theirs)
    monkeypatch.setattr(submission, "Client", control)
    with ours, submission.connect(places) as connection:
        assert connection is theirs
        assert connection.gettimeout() == submission.ANSWER_SECONDS
    assert control.path == places.socket
    assert pauses == []


def test_one_that_is_busy_is_asked_again(
    places: Places, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(
        submission,
        "Client",
        Control(
            Refused("too many sessions", 0),
            Refused("too many sessions of this user", 0),
            theirs,
        ),
    )
    with ours, submission.connect(places):
        assert pauses == [0.5, 1.0]
    monkeypatch.setattr(submission, "Client", Control(*[Refused("too many sessions", 0)] * 9))
    with pytest.raises(SubmissionError, match="takes no message now: too many sessions") as error:
        submission.connect(places)
    assert error.value.status == os.EX_TEMPFAIL
    assert len(pauses) == 2 + len(submission.PAUSES)


@pytest.mark.parametrize(
    ("problem", "text", "status"),
    [
        (Refused("smtp is paused", 0), "smtpd takes no message now: smtp is paused", os.EX_TEMPFAIL),
        (Incompatible("another version"), "another version", os.EX_PROTOCOL),
        (NoPermission("permission denied"), "permission denied", os.EX_NOPERM),
    ],
)
def test_other_refusals(
    places: Places,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    problem: Exception,
    text: str,
    status: int,
) -> None:
    monkeypatch.setattr(submission, "Client", Control(problem))
    with pytest.raises(SubmissionError) as error:
        submission.connect(places)
    assert (str(error.value), error.value.status) == (text, status)
    assert pauses == []


def test_nobody_there(places: Places) -> None:
    with pytest.raises(NotRunning, match="doesn't seem to be running"):
        submission.connect(places)
