"""smtpctl/commands/spool.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode

EVPID = 0x6C472DE90A0B0C0D
TEXT = encode(
    Envelope(evpid=EVPID, type="mta", dispatcher="relay", sockaddr="local", ctime=1_700_000_000, ttl=345_600)
)
CONTENT = b"Subject: caf\xc3\xa9\n\n\xff\x00\r\n" * 10_000


@pytest.fixture(autouse=True)
def stored(state: Path) -> None:
    folder = state / "spool" / "queue" / "6c" / "6c472de9"
    folder.mkdir(parents=True)
    (folder / "message").write_bytes(CONTENT)
    (folder / f"{EVPID:016x}").write_bytes(TEXT)


def test_show_envelope(smtpctl: Any, daemon: Any) -> None:
    assert smtpctl("show", "envelope", f"{EVPID:016x}") == (0, TEXT.decode(), "")
    assert daemon.asked == []
    values = json.loads(smtpctl("--json", "show", "envelope", f"{EVPID:016x}").out)
    assert values["type"] == "mta"
    assert values["ctime"] == "1700000000"
    assert len(values) == TEXT.count(b"\n")


@pytest.mark.parametrize("identifier", ["6c472de9", f"{EVPID:016x}"])
def test_show_message(smtpctl: Any, identifier: str) -> None:
    status, out, _ = smtpctl("show", "message", identifier)
    assert (status, out.encode("utf-8", "surrogateescape")) == (0, CONTENT)


def test_without_a_daemon(smtpctl: Any, daemon: Any) -> None:
    daemon.running = False
    assert smtpctl("show", "envelope", f"{EVPID:016x}").status == 0


def test_not_there(smtpctl: Any) -> None:
    assert smtpctl("show", "message", "00000001") == (66, "", "smtpctl: message 00000001: not in the queue\n")
    status, out, err = smtpctl("--json", "show", "envelope", "0000000100000001")
    assert (status, json.loads(out)["done"]) == (66, False)
    assert err == "smtpctl: envelope 0000000100000001: not in the queue\n"
