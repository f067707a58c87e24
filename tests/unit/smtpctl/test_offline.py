"""smtpctl/offline.py on spools made by hand."""

import gzip
import os
from pathlib import Path

import pytest

from smtpctl import offline
from smtpctl.offline import OfflineError
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.mail.envelope_text import encode

EVPID = 0x6C472DE90A0B0C0D


def envelope(evpid: int = EVPID) -> Envelope:
    return Envelope(
        evpid=evpid,
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


def store(
    spool: Path, each: Envelope, text: bytes | None = None, content: bytes = b"Subject: x\n\ny\n"
) -> Path:
    msgid = f"{each.evpid >> 32:08x}"
    folder = spool / "queue" / msgid[:2] / msgid
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "message").write_bytes(content)
    path = folder / f"{each.evpid:016x}"
    path.write_bytes(encode(each) if text is None else text)
    return path


def test_all_envelopes_in_order(tmp_path: Path) -> None:
    evpids = [0xFF000001 << 32 | 5, 0x01000001 << 32 | 9, 0x01000001 << 32 | 2, 0x01000002 << 32 | 1]
    for evpid in evpids:
        store(tmp_path, envelope(evpid))
    found = [found.evpid for found in offline.envelopes(tmp_path) if isinstance(found, Envelope)]
    assert found == sorted(evpids)


def test_what_cannot_be_read_is_named_and_the_rest_is_listed(tmp_path: Path) -> None:
    store(tmp_path, envelope(EVPID))
    store(tmp_path, envelope(EVPID + 1), text=b"version: 3\nnonsense")
    store(tmp_path, envelope(EVPID + 2), text=b"\x01encrypted")
    store(tmp_path, envelope(EVPID + 3), text=b"\x1f\x8bno gzip")
    store(tmp_path, envelope(EVPID + 4), text=gzip.compress(encode(envelope(EVPID + 4))))
    (tmp_path / "queue" / "6c" / "6c472dea").mkdir()
    found = list(offline.envelopes(tmp_path))
    assert [each.evpid for each in found if isinstance(each, Envelope)] == [EVPID, EVPID + 4]
    texts = [each for each in found if isinstance(each, str)]
    assert len(texts) == 4
    assert texts[0].startswith(f"envelope {EVPID + 1:016x}: ")
    assert texts[1] == f"envelope {EVPID + 2:016x}: is encrypted"
    assert "message 6c472dea" in texts[3]


def test_envelope_and_message(tmp_path: Path) -> None:
    store(tmp_path, envelope())
    assert offline.envelope_text(tmp_path, EVPID) == encode(envelope())
    assert b"".join(offline.message_content(tmp_path, EVPID)) == b"Subject: x\n\ny\n"


def test_compressed(tmp_path: Path) -> None:
    content = os.urandom(300_000)
    text = gzip.compress(encode(envelope()))
    store(tmp_path, envelope(), text, gzip.compress(content))
    assert offline.envelope_text(tmp_path, EVPID) == encode(envelope())
    pieces = list(offline.message_content(tmp_path, EVPID))
    assert b"".join(pieces) == content
    assert len(pieces) > 1, "a long message is never in memory as a whole"
    store(tmp_path, envelope(), text, gzip.compress(content)[:-9])
    with pytest.raises(OfflineError, match="message 6c472de9"):
        b"".join(offline.message_content(tmp_path, EVPID))


def test_encrypted(tmp_path: Path) -> None:
    store(tmp_path, envelope(), b"\x01...", b"\x01...")
    with pytest.raises(OfflineError, match="envelope 6c472de90a0b0c0d is encrypted"):
        offline.envelope_text(tmp_path, EVPID)
    with pytest.raises(OfflineError, match="message 6c472de9 is encrypted"):
        b"".join(offline.message_content(tmp_path, EVPID))


def test_not_there(tmp_path: Path) -> None:
    with pytest.raises(OfflineError, match="queue: No such file") as error:
        list(offline.envelopes(tmp_path))
    assert error.value.status == os.EX_NOINPUT
    (tmp_path / "queue").mkdir()
    assert list(offline.envelopes(tmp_path)) == []
    with pytest.raises(OfflineError, match="envelope 6c472de90a0b0c0d: not in the queue"):
        offline.envelope_text(tmp_path, EVPID)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("root's own")
    path = store(tmp_path, envelope())
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(OfflineError, match="symbolic links"):
        offline.envelope_text(tmp_path, EVPID)
    (path.parent / "message").unlink()
    os.mkfifo(path.parent / "message")
    assert b"".join(offline.message_content(tmp_path, EVPID)) == b"", "a pipe without a writer does not hang"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(OfflineError, match="need root privileges") as error:
        offline.envelope_text(tmp_path, EVPID)
    assert error.value.status == os.EX_NOPERM
