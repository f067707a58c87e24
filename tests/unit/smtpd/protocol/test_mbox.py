"""smtpd/protocol/mbox.py, and the standard library's mailbox as a reader."""

import mailbox
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.mbox import Quoting, from_line

WHEN = "Mon Nov  2 03:04:05 2026"


def whole(content: bytes) -> bytes:
    quoting = Quoting()
    return quoting.encode(content) + quoting.finish()


@pytest.mark.parametrize(
    ("content", "encoded"),
    [
        (b"", b"\n"),
        (b"a\n", b"a\n\n"),
        (b"a", b"a\n\n"),
        (b"\n", b"\n\n"),
        (b"From x\n", b">From x\n\n"),
        (b"a\nFrom b\nFrom \n", b"a\n>From b\n>From \n\n"),
        (b"From", b"From\n\n"),
        (b"a\nFrom", b"a\nFrom\n\n"),
        (b">From x\nFromage\n from\n", b">From x\nFromage\n from\n\n"),
    ],
)
def test_encoded(content: bytes, encoded: bytes) -> None:
    assert whole(content) == encoded
    quoting = Quoting()
    assert (
        b"".join(quoting.encode(content[n : n + 1]) for n in range(len(content))) + quoting.finish()
        == encoded
    )


@given(st.lists(st.sampled_from([b"From ", b"\n", b"F", b"rom ", b"x", b">", b"\r"]), max_size=20), st.data())
def test_any_chunks(parts: list[bytes], data: st.DataObject) -> None:
    content = b"".join(parts)
    encoded = whole(content)
    quoting = Quoting()
    assert b"".join(quoting.encode(part) for part in parts) + quoting.finish() == encoded
    assert not encoded.startswith(b"From ") and b"\nFrom " not in encoded
    assert encoded.endswith(b"\n")
    assert encoded.replace(b">From ", b"From ").rstrip(b"\n") == content.replace(b">From ", b"From ").rstrip(
        b"\n"
    )


def test_from_line() -> None:
    assert from_line("a@b.example", WHEN) == b"From a@b.example Mon Nov  2 03:04:05 2026\n"
    assert from_line("", WHEN) == b"From MAILER-DAEMON Mon Nov  2 03:04:05 2026\n"
    assert from_line("a b\n@\x7fc\udcff", WHEN) == b"From a?b?@?c\xff Mon Nov  2 03:04:05 2026\n"


def test_another_reader(tmp_path: Path) -> None:
    contents = [b"Subject: %d\n\nFrom here\n\nFrom there" % n for n in range(3)]
    (tmp_path / "mbox").write_bytes(b"".join(from_line("a@b", WHEN) + whole(content) for content in contents))
    box = mailbox.mbox(tmp_path / "mbox", create=False)
    assert [mail["subject"] for mail in box] == ["0", "1", "2"]
    assert [mail.get_payload() for mail in box] == [">From here\n\n>From there\n"] * 3
    box.close()
