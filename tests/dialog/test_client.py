"""Runs the transcripts client_*.txt against the SMTP client core.

A transcript is lines of five kinds, and comments after "#":
    settings name=value ...   before anything else; fields of Settings
    S: line                   the server says line; lines in a row arrive in one piece ("\\r\\n" is added)
    C: line                   the client writes exactly this; lines in a row are one flight, `C:` is nothing
    > verb arguments          what the I/O layer does: mail FROM RCPT... [size=N 8bit ret=R envid=E],
                              content TEXT, part TEXT, quit, eof, timeout, tls, lost REASON
    = event                   an event as shown by `show` below, in order; all events of a step are named
Every transcript is run whole, byte by byte, and with the server's flights cut in two at every place.
"""

from pathlib import Path

import pytest

from smtpd.protocol.smtp.client import Client
from smtpd.protocol.smtp.client_events import (
    Closed,
    Event,
    Mail,
    MailDone,
    Rcpt,
    RcptDone,
    Ready,
    SendContent,
    Settings,
)

TRANSCRIPTS = sorted(Path(__file__).parent.glob("client_*.txt"))


def show(event: Event) -> str:
    """One event as a transcript names it."""
    match event:
        case Ready():
            return "ready"
        case SendContent(mail):
            return f"content for {mail.sender or '<>'}"
        case RcptDone(mail, rcpt, result, status, esc, command, unjudged):
            words = [mail.rcpts[rcpt].address, result, command or "-", esc or "-"]
            return " ".join(words) + (" unjudged" if unjudged else "") + f": {status}"
        case MailDone(mail, accepted, octets):
            return f"done {mail.sender or '<>'} {'accepted' if accepted else 'not accepted'} octets={octets}"
        case Closed(reason, ready):
            return f"closed{'' if ready else ' before ready'}: {reason}"
        case _:
            return "start tls"


def parse(path: Path) -> tuple[dict[str, str], list[tuple[str, list[str]]]]:
    """The settings, and the steps as (kind, lines) with lines of one kind joined."""
    settings: dict[str, str] = {}
    steps: list[tuple[str, list[str]]] = []
    for line in path.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("settings "):
            settings = dict(word.split("=", 1) for word in line.split()[1:])
            continue
        kind = line[0]
        text = line[2:].strip() if kind in "SC" else line[1:].strip()
        if steps and steps[-1][0] == kind and kind != ">":
            steps[-1][1].append(text)
        else:
            steps.append((kind, [text]))
    return settings, steps


def make_settings(words: dict[str, str]) -> Settings:
    values: dict[str, object] = {"helo": "client.example"}
    for name, value in words.items():
        values[name] = value == "yes" if value in ("yes", "no") and name != "tls" else value
    return Settings(**values)  # type: ignore[arg-type]


def make_mail(words: list[str]) -> Mail:
    sender, *rest = words
    rcpts = []
    size, eightbit, ret, envid = 0, False, "", ""
    for word in rest:
        name, _, value = word.partition("=")
        if name == "size":
            size = int(value)
        elif word == "8bit":
            eightbit = True
        elif name == "ret":
            ret = value
        elif name == "envid":
            envid = value
        else:
            address, *dsn = word.split(";", 2)
            rcpts.append(Rcpt(address, *dsn))
    return Mail("" if sender == "<>" else sender, tuple(rcpts), size, eightbit, ret, envid)


def act(client: Client, text: str) -> list[Event]:
    verb, _, rest = text.partition(" ")
    if verb == "mail":
        return client.send(make_mail(rest.split()))
    if verb in ("content", "part"):
        return client.content(
            rest.encode().decode("unicode_escape").encode("latin-1"), last=verb == "content"
        )
    if verb == "lost":
        return client.lost(rest)
    steps = {
        "quit": client.quit,
        "eof": client.receive_eof,
        "timeout": client.timed_out,
        "tls": client.tls_started,
    }
    return steps[verb]()


def run(path: Path, cut: int | None) -> None:
    """`cut`: None for whole flights, 0 for single bytes, else where each flight is cut in two."""
    words, steps = parse(path)
    client = Client(make_settings(words))
    events: list[str] = []
    for kind, lines in steps:
        if kind == "S":
            data = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")
            if cut is None:
                pieces = [data]
            elif cut == 0:
                pieces = [data[n : n + 1] for n in range(len(data))]
            else:
                pieces = [data[:cut], data[cut:]]
            for piece in pieces:
                events += map(show, client.receive(piece))
        elif kind == ">":
            events += map(show, act(client, lines[0]))
        elif kind == "C":
            wanted = "".join(f"{line}\r\n" for line in lines) if lines != [""] else ""
            assert client.take_output().decode("utf-8", "surrogateescape") == wanted
        else:
            assert events == lines
            events = []
    assert events == []
    assert client.take_output() == b""


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript(path: Path) -> None:
    run(path, None)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript_byte_by_byte(path: Path) -> None:
    run(path, 0)


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_transcript_cut_in_two(path: Path) -> None:
    _, steps = parse(path)
    longest = max(sum(len(line) + 2 for line in lines) for kind, lines in steps if kind == "S")
    for cut in range(1, longest):
        run(path, cut)


def test_there_are_transcripts() -> None:
    assert len(TRANSCRIPTS) > 10
