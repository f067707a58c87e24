"""Runs the transcripts server_*.txt against the SMTP server core.

A transcript is lines of these kinds, and comments after "#": settings name=value ... before anything else;
fields of ServerSettings C: line the client sends line and CRLF; lines in a row are one group, sent in one
piece c: bytes the same, nothing is added, with Python's escapes S: line the server says exactly these
lines, when it has got its answers; `S:` is nothing F: line what has gone into the message's file, since
the last F: ! answer what the next question is answered instead of yes: `550 text`, `full`, `no` > event
eof, lost, timeout, shutdown, disk full = action rollback, accepted, close reason: all there were since the
last, in order Questions are answered yes behind each group. Every transcript is run with groups whole,
byte by byte, and cut in two at every place: the server says the same.
"""

from pathlib import Path

import pytest

from smtpd.protocol.smtp.server import ServerSession
from smtpd.protocol.smtp.session_io import (
    Accepted,
    Action,
    Answer,
    Close,
    CommitMessage,
    Committed,
    Created,
    CreateMessage,
    Expanded,
    ExpandRecipient,
    Failed,
    Opened,
    OpenMessage,
    Refused,
    Rollback,
    ServerSettings,
    WriteContent,
)

TRANSCRIPTS = sorted(Path(__file__).parent.glob("server_*.txt"))

type Steps = list[tuple[str, list[str]]]


class Surroundings:
    """Answers the core's questions, keeps what it does."""

    def __init__(self, settings: ServerSettings) -> None:
        self.core = ServerSession(settings, "192.0.2.1")
        self.file = b""
        self.actions: list[str] = []
        self.answers: list[Failed] = []
        self.messages = 0
        self.envelopes = 0
        self.question: Action | None = None
        self.take(self.core.connected("client.example"))

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case WriteContent(data):
                    self.file += data
                case Rollback(msgid):
                    self.actions.append(f"rollback {msgid:08x}")
                case Accepted(msgid, _, protocol, sender, recipients):
                    shown = " ".join(f"<{rcpt.path}>" for rcpt, _ in recipients)
                    self.actions.append(f"accepted {msgid:08x} {protocol} <{sender.path}> {shown}")
                case Close(reason):
                    self.actions.append(f"close {reason}")
                case Refused():
                    pass
                case _:
                    assert self.question is None
                    self.question = action

    def settle(self) -> None:
        """Answer until there is no question."""
        while (question := self.question) is not None:
            self.question = None
            if isinstance(question, CommitMessage) and not self.answers:
                assert self.file.endswith(b"\n")
            self.take(self.core.answer(self.answers.pop(0) if self.answers else self.yes(question)))

    def yes(self, question: Action) -> Answer:
        match question:
            case CreateMessage():
                self.messages += 1
                return Created(self.messages, 1700000000)
            case ExpandRecipient():
                self.envelopes += 1
                return Expanded((self.envelopes,))
            case OpenMessage():
                return Opened("Fri, 1 Mar 2024 08:05:09 +0100 (CET)", 0xABC)
        return Committed()


def parse(path: Path) -> tuple[dict[str, int], Steps]:
    """The settings, and the steps as (kind, lines), groups joined."""
    settings: dict[str, int] = {}
    steps: Steps = []
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("settings "):
            settings = {name: int(value) for name, value in (word.split("=") for word in line.split()[1:])}
            continue
        kind, text = line[0], line[3:] if line[1] == ":" else line[2:]
        if steps and steps[-1][0] == kind and kind in "CcSFf=":
            steps[-1][1].append(text)
        else:
            steps.append((kind, [text]))
    return settings, steps


def group(kind: str, lines: list[str]) -> bytes:
    if kind == "C":
        return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
    return "".join(lines).encode().decode("unicode_escape").encode("latin-1")


def said(lines: list[str]) -> bytes:
    return b"" if lines == [""] else "".join(f"{line}\r\n" for line in lines).encode()


def run(path: Path, cut: int | None) -> None:
    """`cut`: None for whole groups, 0 for single bytes, else where each group is cut in two."""
    values, steps = parse(path)
    one = Surroundings(ServerSettings("mx.example")._replace(**values))
    core = one.core
    for kind, lines in steps:
        match kind:
            case "C" | "c":
                data = group(kind, lines)
                if cut is None:
                    pieces = [data]
                elif cut == 0:
                    pieces = [data[n : n + 1] for n in range(len(data))]
                else:
                    pieces = [data[:cut], data[cut:]]
                for piece in pieces:
                    one.take(core.receive(piece))
                one.settle()
            case "S":
                assert core.take_output() == said(lines)
            case "F":
                file, one.file = one.file, b""
                assert file.decode("utf-8", "surrogateescape") == "".join(f"{line}\n" for line in lines)
            case "f":
                file, one.file = one.file, b""
                assert file == group(kind, lines)
            case "!":
                text = lines[0]
                one.answers.append(Failed("" if text in ("no", "full") else text, text == "full"))
            case ">":
                event = {
                    "eof": core.eof,
                    "lost": core.lost,
                    "timeout": core.timed_out,
                    "shutdown": core.shut_down,
                }.get(lines[0])
                one.take(event()) if event else core.disk_full()
                one.settle()
            case "=":
                actions, one.actions = one.actions, []
                assert actions == lines
            case _:
                raise AssertionError(f"{path.name}: a line of an unknown kind: {kind}")
    assert core.take_output() == b""
    assert one.actions == []


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    run(path, None)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript_byte_by_byte(path: Path) -> None:
    run(path, 0)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript_cut_in_two(path: Path) -> None:
    _, steps = parse(path)
    longest = max(len(group(kind, lines)) for kind, lines in steps if kind in "Cc")
    # every place in short groups; in long ones, where they begin and end
    for cut in {*range(1, min(longest, 300)), *range(max(1, longest - 30), longest)}:
        run(path, cut)


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) > 20
