"""Maildirs: what lies in new is whole, what fails leaves nothing."""

import errno
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.delivery import maildir as module
from smtpd.delivery.maildir import CHUNK, DeliveryError, Maildir, make_maildir, sync_folder, unique_name

HEADERS = b"Return-Path: <a@x>\nDelivered-To: b@y\n"
CONTENT = b"Subject: hi\n\nbody\n"


def content_fd(tmp_path: Path, content: bytes) -> int:
    path = tmp_path / "message"
    path.write_bytes(content)
    return os.open(path, os.O_RDONLY)


def deliver(tmp_path: Path, content: bytes, **arguments: object) -> Path:
    """Deliver to tmp_path/Maildir; the only file that is there then."""
    fd = content_fd(tmp_path, content)
    try:
        delivery = Maildir(str(tmp_path / "Maildir")).write(fd, HEADERS, **arguments)  # type: ignore[arg-type]
        assert not list(tmp_path.rglob("new/*"))
        delivery.finish()
        sync_folder(delivery.folder)
    finally:
        os.close(fd)
    (found,) = (p for p in (tmp_path / "Maildir").rglob("*") if p.is_file())
    assert str(found.parent) == delivery.folder
    return found


def test_a_mail_in_a_new_maildir(tmp_path: Path) -> None:
    os.umask(0o077)
    found = deliver(tmp_path, CONTENT)
    assert found.read_bytes() == HEADERS + CONTENT
    assert found.stat().st_mode & 0o777 == 0o600
    for name in ("", "cur", "new", "tmp"):
        folder = tmp_path / "Maildir" / name
        assert folder.stat().st_mode & 0o777 == 0o700


def test_missing_line_end_is_added(tmp_path: Path) -> None:
    assert deliver(tmp_path, b"x").read_bytes() == HEADERS + b"x\n"


def test_empty_content(tmp_path: Path) -> None:
    assert deliver(tmp_path, b"").read_bytes() == HEADERS


@pytest.mark.parametrize("size", [CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 17])
@pytest.mark.parametrize("end", [b"\n", b"x"])
def test_large_content(tmp_path: Path, size: int, end: bytes) -> None:
    content = (b"0123456789abcde\n" * (size // 16 + 1))[: size - 1] + end
    wanted = HEADERS + content + (b"" if end == b"\n" else b"\n")
    assert deliver(tmp_path, content).read_bytes() == wanted


@given(st.binary(max_size=200))
def test_any_content_arrives(content: bytes) -> None:
    source = os.memfd_create("content")
    target = os.memfd_create("file")
    try:
        os.write(source, content)
        module._copy(source, target, HEADERS, os.pread(source, CHUNK, 0))
        wanted = HEADERS + content + (b"\n" if content and not content.endswith(b"\n") else b"")
        assert os.pread(target, 1000, 0) == wanted
    finally:
        os.close(source)
        os.close(target)


def test_the_descriptor_s_offset_does_not_matter(tmp_path: Path) -> None:
    fd = content_fd(tmp_path, CONTENT)
    os.read(fd, 5)
    delivery = Maildir(str(tmp_path / "Maildir")).write(fd, b"")
    os.close(fd)
    delivery.finish()
    assert next((tmp_path / "Maildir" / "new").iterdir()).read_bytes() == CONTENT


def test_subaddress_with_and_without_a_folder(tmp_path: Path) -> None:
    assert deliver(tmp_path, CONTENT, extension="lists").parent.name == "new"
    (tmp_path / "Maildir" / ".lists").mkdir()
    fd = content_fd(tmp_path, CONTENT)
    delivery = Maildir(str(tmp_path / "Maildir")).write(fd, b"", extension="lists")
    os.close(fd)
    assert delivery.folder == str(tmp_path / "Maildir" / ".lists" / "new")
    delivery.finish()


@pytest.mark.parametrize("extension", ["", ".", "..", "../..", "a/../../b", "x\0y", ".hidden"])
def test_subaddress_does_not_lead_out(tmp_path: Path, extension: str) -> None:
    (tmp_path / "b").mkdir()
    assert deliver(tmp_path, CONTENT, extension=extension).parent == tmp_path / "Maildir" / "new"


def test_escaped_subaddress(tmp_path: Path) -> None:
    (tmp_path / "Maildir" / ".a:b").mkdir(parents=True)
    assert deliver(tmp_path, CONTENT, extension="a/b").parent == tmp_path / "Maildir" / ".a:b" / "new"


def test_junk(tmp_path: Path) -> None:
    spam = b"Subject: hi\nX-Spam: yes\n\nbody\n"
    assert deliver(tmp_path, spam, junk=True).parent == tmp_path / "Maildir" / ".Junk" / "new"


def test_junk_only_when_marked_in_the_header(tmp_path: Path) -> None:
    assert deliver(tmp_path, b"Subject: hi\n\nX-Spam: yes\n", junk=True).parent.parent.name == "Maildir"


def test_marked_but_nobody_asked(tmp_path: Path) -> None:
    assert deliver(tmp_path, b"X-Spam: yes\n\n").parent.parent.name == "Maildir"


def test_mark_behind_the_first_chunk(tmp_path: Path) -> None:
    spam = b"X-Long: " + b"x" * (2 * CHUNK) + b"\nX-Spam-Flag: YES\n\nbody\n"
    assert deliver(tmp_path, spam, junk=True).parent.parent.name == ".Junk"


def test_loop(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError) as caught:
        deliver(tmp_path, b"Delivered-To: B@Y\n\n", loop="b@y")
    assert caught.value.status == "loop"
    assert not (tmp_path / "Maildir").exists()


def test_relative_path() -> None:
    with pytest.raises(DeliveryError) as caught:
        Maildir("Maildir").write(0, b"")
    assert caught.value.status == "permfail"


def test_name_too_long(tmp_path: Path) -> None:
    fd = content_fd(tmp_path, CONTENT)
    with pytest.raises(DeliveryError) as caught:
        Maildir(str(tmp_path / ("x" * 300))).write(fd, b"")
    os.close(fd)
    assert caught.value.status == "permfail"


def test_a_file_where_the_maildir_should_be(tmp_path: Path) -> None:
    (tmp_path / "Maildir").write_text("an mbox")
    with pytest.raises(OSError):
        deliver(tmp_path, CONTENT)


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        deliver(tmp_path, CONTENT)
    monkeypatch.undo()
    assert not [p for p in (tmp_path / "Maildir").rglob("*") if p.is_file()]


def test_failed_fsync_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = content_fd(tmp_path, CONTENT)
    delivery = Maildir(str(tmp_path / "Maildir")).write(fd, b"")
    os.close(fd)

    def broken(fd: int) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="quota"):
        delivery.finish()
    assert not [p for p in (tmp_path / "Maildir").rglob("*") if p.is_file()]


def test_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:7]))
    assert deliver(tmp_path, CONTENT).read_bytes() == HEADERS + CONTENT


def test_names() -> None:
    names = {unique_name() for _ in range(1000)}
    assert len(names) == 1000
    for name in names:
        assert re.fullmatch(r"\d+\.M\d+P\d+Q\d+\.[^/:]+", name)


def test_host_name_with_odd_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a/b:c")
    assert unique_name().endswith(".a\\057b\\072c")


def test_make_maildir_twice(tmp_path: Path) -> None:
    make_maildir(str(tmp_path / "a" / "b"))
    make_maildir(str(tmp_path / "a" / "b"))
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == ["cur", "new", "tmp"]
