"""smtpctl/commands/checking.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from smtpctl.commands import checking
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode

EVPID = 0x6C472DE90A0B0C0D
ENVELOPE = Envelope(
    evpid=EVPID,
    type="mta",
    dispatcher="relay",
    smtpname="mail.example.org",
    helo="client.example.org",
    hostname="client.example.org",
    sockaddr="192.0.2.1",
    sender=MailAddress("ann", "example.org"),
    rcpt=MailAddress("bob", "example.net"),
    dest=MailAddress("bob", "example.net"),
    ctime=1_700_000_000,
    ttl=345_600,
)


def put(state: Path, evpid: int, data: bytes = b"", *, message: bool = True) -> None:
    folder = state / f"spool/queue/{evpid >> 56:02x}/{evpid >> 32:08x}"
    folder.mkdir(parents=True, exist_ok=True)
    if message:
        (folder / "message").write_text("Subject: x\n\n")
    (folder / f"{evpid:016x}").write_bytes(data or encode(ENVELOPE._replace(evpid=evpid)))


def test_all_is_well(smtpctl: Any, state: Path) -> None:
    assert smtpctl("check", "queue") == (0, "0 messages, 0 envelopes, 0 problems\n", "")
    put(state, EVPID)
    put(state, EVPID + 1)
    put(state, EVPID + 2**32)
    assert smtpctl("check", "queue") == (0, "2 messages, 3 envelopes, 0 problems\n", "")


def test_problems(smtpctl: Any, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "PROGRESS_SECONDS", 0)
    put(state, EVPID)
    put(state, EVPID + 1, b"no envelope\n")
    put(state, EVPID + 2**32, message=False)
    (state / "spool/queue/6c/6c472deb").mkdir()
    (state / "spool/queue/6c/6c472deb/message").touch()
    (state / "spool/corrupt/12345678.3").mkdir()
    (state / "spool/corrupt/notes").touch()
    status, out, err = smtpctl("check", "queue")
    lines = out.splitlines()
    assert (status, err) == (1, "")
    assert lines[0].startswith("message 6c472de9: envelope 6c472de90a0b0c0e: ")
    assert lines[1:] == [
        "message 6c472dea: envelopes without a message",
        "message 6c472deb: a message without envelopes",
        "message 12345678: set aside in corrupt/12345678.3 (smtpctl uncorrupt 12345678 puts it back)",
        "3 messages, 2 envelopes, 4 problems",
    ]
    rows = [json.loads(line) for line in smtpctl("--json", "check", "queue").out.splitlines()]
    assert rows[1] == {"message": "6c472dea", "problem": "envelopes without a message"}
    assert rows[-1] == {"messages": 3, "envelopes": 2, "problems": 4}


def test_no_spool(smtpctl: Any, state: Path) -> None:
    (state / "spool/corrupt").rmdir()
    status, _, err = smtpctl("check", "queue")
    assert (status, "corrupt: No such file" in err) == (66, True)
    (state / "spool/queue").rmdir()
    assert smtpctl("check", "queue").status == 66
