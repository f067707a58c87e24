"""smtpctl/see/mermaid.py: participants, arrows, dashed replies."""

import re

from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.see.flow import Flow, flow_of, join
from smtpctl.see.joining import Message
from smtpctl.see.mermaid import mermaid
from smtpctl.see.seen import Seen

HEAD = ["---", "title: mail cb4de24f", "---", "sequenceDiagram"]


def test_a_mail() -> None:
    flow = flow_of(join(Traffic().mail(0xCB4DE24F, 7)), "cb4de24f")
    lines = list(mermaid(flow))
    assert lines[:4] == HEAD
    assert lines[4:10] == [f"    participant {name}" for name in flow.processes]
    arrows = lines[10:]
    assert len(arrows) == MESSAGES_OF_A_MAIL
    assert arrows[2] == "    pony->>queue: CreateMessage"
    assert arrows[3] == "    queue-->>pony: MessageCreated (150 µs)"
    assert "    queue-->>pony: IncomingOpened (150 µs) +fd" in arrows
    for message, line in zip(flow.messages, arrows, strict=True):
        matched = re.fullmatch(r"    (\w+)(--?>>)(\w+): \w+.*", line)
        assert matched is not None
        assert matched.group(1, 3) == (message.sender, message.receiver)
        assert (matched[2] == "-->>") == (message.request is not None)


TEXT = r"(?:[\w .()+-]|#\d+;)+"
STATEMENT = re.compile(
    rf"    participant (?P<name>[a-z]+\d*)(?: as {TEXT})?"
    rf"|    (?P<one>[a-z]+\d*)--?>>(?P<other>[a-z]+\d*): {TEXT}"
)
"""What of Mermaid's grammar is used: no statement is ended by ; no comment begun by %, nothing is HTML."""
RESERVED = ("end", "loop", "alt", "opt", "par", "rect", "note", "activate", "box", "participant", "title")


def test_every_line_is_a_statement_whatever_the_names_are() -> None:
    names = [*RESERVED, "End", "pony2", "%%{init}%%", "a as b", "x-->>y", "\u2028", "\x00", "\udcff"]
    messages = [Message(Seen(1, name, "pony", 0, 0xFFF0, 16, 1, 2, b"")) for name in names]
    lines = list(mermaid(Flow("mail cb4de24f", messages)))
    assert lines[:4] == HEAD
    declared: list[str] = []
    for line in lines[4:]:
        found = STATEMENT.fullmatch(line)
        assert found is not None, line
        if found["name"] is not None:
            assert found["name"] not in RESERVED
            declared.append(found["name"])
        else:
            assert {found["one"], found["other"]} <= set(declared)
    assert len(declared) == len(set(declared)) == len(names) + 1


def test_nothing() -> None:
    assert list(mermaid(Flow("mail cb4de24f", []))) == HEAD


def test_names_from_a_hostile_file_end_no_statement() -> None:
    hostile = 'x;participant y\n<script>"#'
    message = Message(Seen(1, hostile, "pony", 0, 0xFFF0, 16, 1, 2, b""))
    lines = list(mermaid(Flow("a\n---\nb", [message])))
    assert lines[1:3] == ["title: a#10;---#10;b", "---"]
    assert lines[4:] == [
        "    participant pony",
        "    participant other1 as x#59;participant y#10;#60;script#62;#34;#35;",
        "    pony->>other1: message 0xfff0",
    ]
