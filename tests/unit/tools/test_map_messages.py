"""tools/message_map: what is declared, tested and captured, and what nobody may say."""

import json
from pathlib import Path
from typing import Any

import map_messages
import pytest
from traffic import START, Traffic

from smtpctl.see.pcapng import CaptureWriter
from smtpctl.see.seen import OUT, Seen
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.links import linked

EDGE = ("pony", "queue", "CreateMessage")


@pytest.fixture(autouse=True)
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The file of the last run."""
    path = tmp_path / "kinds.json"
    path.write_text(json.dumps({"catalogue": CATALOGUE.digest(), "edges": [EDGE]}))
    monkeypatch.setattr(map_messages, "TESTED", path)
    return path


def capture(tmp_path: Path, *more: Seen) -> Path:
    path = tmp_path / "a.pcapng"
    with open(path, "wb") as file:
        writer = CaptureWriter(file)
        for seen in (*Traffic(handlers=True).mails(3), *more):
            writer.write(seen)
    return path


def test_everything_declared_is_in_it() -> None:
    found = map_messages.rows(None, None)
    assert {row.kind for row in found} == {kind.name for kind in CATALOGUE.by_number.values()}
    for row in found:
        kind = CATALOGUE.by_name[row.kind]
        assert row.sender in kind.senders and row.receiver in kind.receivers
        assert linked(row.sender, row.receiver) and row.number == kind.number
        assert row.tested is None and row.captured is None
    many = [row for row in found if row.kind == "SetTrace"]
    assert {(row.sender, row.receiver) for row in many} >= {("control", "pony"), ("control", "parent")}


def test_a_message_is_counted_once_though_seen_twice(tmp_path: Path) -> None:
    counts = map_messages.captured(Traffic(handlers=True).mails(3))
    assert counts[EDGE] == counts["queue", "scheduler", "EnvelopeDone"] == 3
    assert counts["pony", "delivery", "DeliverMaildir"] == counts["delivery", "pony", "MaildirDelivered"] == 3
    second = map_messages.captured([Seen(1, "pony2", "queue", OUT, 0x501, 16, 1, 2, b"")])
    assert list(second) == [("pony", "queue", CATALOGUE.by_number[0x501].name)]


def test_as_text(capsys: Any, tmp_path: Path) -> None:
    assert map_messages.main(["--read", str(capture(tmp_path))]) == 0
    out = capsys.readouterr().out
    line = next(line for line in out.splitlines() if " CreateMessage " in line)
    assert line.split()[2:] == ["tested", "3", "captured", "reply", "MessageCreated"]
    line = next(line for line in out.splitlines() if " OpenIncoming " in line)
    assert "NEVER SENT" in line
    (row,) = [line for line in out.splitlines() if line.startswith("     queue ")]
    assert row.split()[0] == "queue" and row.count("·") >= 2
    kinds = [row for row in map_messages.rows({EDGE}, {}) if row[:2] == ("pony", "queue")]
    assert f" {len(kinds)}/1/" in out


def test_as_json(capsys: Any) -> None:
    assert map_messages.main(["--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["kind"] for row in rows if row["tested"]] == ["CreateMessage"]
    assert all(row["captured"] is None for row in rows)


def test_what_nobody_may_say_is_said(capsys: Any, tmp_path: Path) -> None:
    header = (CATALOGUE.by_name["CreateMessage"].number, 30, 1, 100)
    wrong = Seen(START, "scheduler", "pony", OUT, *header, b"")
    assert map_messages.main(["--read", str(capture(tmp_path, wrong))]) == 1
    assert capsys.readouterr().err == "NOT DECLARED: scheduler -> pony CreateMessage\n"


def test_tests_of_other_kinds_say_nothing(capsys: Any, ran: Path) -> None:
    ran.write_text(json.dumps({"catalogue": "another", "edges": [EDGE]}))
    assert map_messages.main([]) == 0
    assert "no tests have run with these kinds" in capsys.readouterr().out
    ran.unlink()
    assert map_messages.tested(ran) is None


def test_what_is_no_capture(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SystemExit):
            map_messages.main(["--read", str(path)])
    (tmp_path / "x").write_bytes(b"no capture")
    with pytest.raises(SystemExit):
        map_messages.main(["--read", str(tmp_path / "x")])
