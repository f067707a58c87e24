"""smtpctl/commands/flow.py: out of a capture, in each format."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from traffic import MESSAGES_OF_A_MAIL, Traffic

from smtpctl.see.pcapng import CaptureWriter


@pytest.fixture
def read(state: Path) -> str:
    path = state / "a.pcapng"
    traffic = Traffic(handlers=True)
    with open(path, "wb") as file:
        writer = CaptureWriter(file)
        for seen in (*traffic.mail(0xCB4DE24F, 7), *traffic.mail(0x11111111, 8)):
            writer.write(seen)
        writer.finish(3)
    return f"--read={path}"


def test_a_ladder(smtpctl: Any, read: str) -> None:
    status, out, err = smtpctl("show", "flow", "CB4DE24F", read)
    assert (status, err) == (0, "3 sightings are missing in the capture\n")
    lines = out.splitlines()
    assert lines[0] == "mail cb4de24f" and len(lines) == 2 + MESSAGES_OF_A_MAIL
    assert len(smtpctl("show", "flow", "all", read).out.splitlines()) >= 2 + 2 * MESSAGES_OF_A_MAIL
    assert "\x1b[" in smtpctl("show", "flow", "all", read, "--colour=always").out


def test_formats(smtpctl: Any, read: str) -> None:
    def out(form: str) -> str:
        status, text, _ = smtpctl("show", "flow", "cb4de24f", read, form)
        assert status == 0
        return str(text)

    assert out("--mermaid").startswith("---\ntitle: mail cb4de24f\n---\nsequenceDiagram\n")
    assert ElementTree.fromstring(out("--svg")).tag.endswith("svg")
    handlers = [e for e in json.loads(out("--perfetto"))["traceEvents"] if e.get("cat") == "handler"]
    assert handlers[0]["dur"] == 25.0
    assert "lookup;ReverseName;handler 25" in out("--folded").splitlines()
    page = out("--html")
    assert "<title>smtpd: mail cb4de24f</title>" in page and '"pick": "cb4de24f"' in page


def test_as_json(smtpctl: Any, read: str) -> None:
    rows = [json.loads(line) for line in smtpctl("--json", "show", "flow", "cb4de24f", read).out.splitlines()]
    assert len(rows) == MESSAGES_OF_A_MAIL and rows[2]["kind"] == "CreateMessage"


def test_what_is_not_there(smtpctl: Any, read: str, state: Path) -> None:
    status, out, _ = smtpctl("show", "flow", "00000001", read)
    assert status == 1 and "mail 00000001 was not recorded" in out
    (state / "text").write_text("text")
    (state / "packed").write_bytes(b"\x1f\x8btext")
    for words, error in (
        ((read, "--svg", "--html"), "one format at a time, not --svg and --html"),
        ((read, "--colour=red"), "--colour=red"),
        (("--read=/none",), "/none: No such file or directory"),
        ((f"--read={state}/text",), "text: no capture"),
        ((f"--read={state}/packed",), "packed: no crash file"),
    ):
        status, out, err = smtpctl("show", "flow", "cb4de24f", *words)
        assert (status, out) == (64, "") and error in err
