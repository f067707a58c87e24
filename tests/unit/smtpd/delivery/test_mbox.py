"""Mails appended to a file, or nothing."""

import errno
import fcntl
import mailbox
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from smtpd.delivery import mbox
from smtpd.delivery.maildir import DeliveryError
from smtpd.delivery.mbox import opened

LINE = b"From a@b Mon Nov  2 03:04:05 2026\n"
CONTENT = b"Subject: hi\n\nbody\n"
MAIL = LINE + CONTENT + b"\n"


def message(content: bytes = CONTENT) -> int:
    fd = os.memfd_create("message")
    os.write(fd, content)
    return fd


def deliver(path: Path, *contents: bytes, strict: bool = True, seconds: float = 0.2) -> None:
    with opened(str(path), strict=strict, seconds=seconds) as box:
        for content in contents or (CONTENT,):
            fd = message(content)
            try:
                box.append(fd, LINE, b"")
            finally:
                os.close(fd)
        box.sync()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ann"


def test_new_and_again(path: Path) -> None:
    deliver(path)
    assert path.read_bytes() == MAIL
    assert path.stat().st_mode & 0o7777 == 0o600
    deliver(path, b"From here\n", b"x" * 200_000 + b"\nFrom there")
    assert path.read_bytes() == (
        MAIL + LINE + b">From here\n\n" + LINE + b"x" * 200_000 + b"\n>From there\n\n"
    )
    assert os.listdir(path.parent) == ["ann"]
    path.chmod(0o660)
    deliver(path)
    assert path.stat().st_mode & 0o7777 == 0o660


def refused(path: Path, text: str, **options: bool) -> None:
    with pytest.raises(DeliveryError, match=text) as caught:
        deliver(path, **options)  # type: ignore[arg-type]
    assert caught.value.status == "tempfail"


def test_links_and_special_files(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("precious\n")
    path.symlink_to(other)
    refused(path, "is a link")
    path.unlink()
    path.symlink_to(tmp_path / "missing")
    refused(path, "is a link")
    assert not (tmp_path / "missing").exists()
    path.unlink()
    os.link(other, path)
    refused(path, "linked or special file")
    path.unlink()
    os.mkfifo(path)
    refused(path, "linked or special file")
    path.unlink()
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        deliver(path)
    assert other.read_text() == "precious\n"


def test_a_folder_for_everybody(path: Path) -> None:
    path.parent.chmod(0o777)
    refused(path, "everybody may write")
    path.parent.chmod(0o1777)
    deliver(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another user")
def test_a_mailbox_of_somebody_else(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)
    refused(path, "belongs to somebody else")


def test_a_file_that_the_user_named(path: Path, tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    path.symlink_to(tmp_path / "real")
    deliver(path, strict=False)
    assert (tmp_path / "real").read_bytes() == MAIL
    deliver(Path("/dev/null"), strict=False)
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "not a file", strict=False)
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    refused(tmp_path / "nowhere", "the link leads nowhere", strict=False)
    with pytest.raises(FileNotFoundError):
        deliver(tmp_path / "no" / "folder", strict=False)


def test_a_disk_that_is_full(path: Path) -> None:
    """What could be written of the mail is taken away again, the mail before it stays."""
    deliver(path)
    script = f"""
import os, resource, signal
from smtpd.delivery.mbox import opened
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
big = os.memfd_create("m"); os.set_blocking(big, True)
import ctypes
for n in range(30): os.pwrite(big, b"y" * 8191 + b"\\n", n * 8192) if n < 12 else None
with opened({str(path)!r}) as box:
    box.append(big, b"From x\\n", b"")
    try:
        box.append(big, b"From x\\n", b"")
    except OSError as error:
        print(error.errno)
    box.sync()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG}\n", "")
    content = path.read_bytes()
    assert content.startswith(MAIL + b"From x\nyyy") and content.count(b"From ") == 2
    assert content.endswith(b"y\n\n")


def test_a_sync_that_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(path)

    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(mbox.os, "fsync", fail)
        with pytest.raises(OSError, match="I/O error"):
            deliver(path, CONTENT, CONTENT)
    assert path.read_bytes() == MAIL


def read(path: Path) -> list[mailbox.mboxMessage]:
    box = mailbox.mbox(path, create=False)
    mails = list(box)
    box.close()
    return mails


def in_process(work: Callable[..., None], *arguments: object) -> multiprocessing.process.BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    process.start()
    return process


def deliver_many(path: Path, name: str) -> None:
    for number in range(20):
        deliver(path, f"Subject: {name} {number}\n\nFrom {name}\n".encode(), seconds=60)


def read_and_delete(path: Path, until: Path) -> None:
    """As a mail reader does: lock both ways, take the mails out, cut the file."""
    while True:
        last = until.exists()
        box = mailbox.mbox(path, create=False)
        try:
            box.lock()
        except mailbox.ExternalClashError:
            time.sleep(0.001)
            continue
        data = path.read_bytes()
        with open(path.parent / "read", "ab") as out:
            out.write(data)
        os.truncate(path, 0)
        box.unlock()
        box.close()
        if last:
            return
        time.sleep(0.002)


def test_two_deliveries_and_a_reader(path: Path, tmp_path: Path) -> None:
    deliver(path)
    writers = [in_process(deliver_many, path, name) for name in ("one", "two")]
    reader = in_process(read_and_delete, path, tmp_path / "until")
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    (tmp_path / "until").touch()
    reader.join(60)
    assert reader.exitcode == 0
    (tmp_path / "ann").write_bytes((tmp_path / "read").read_bytes())
    subjects = [mail["subject"] for mail in read(path)]
    assert sorted(subjects) == sorted(["hi", *(f"{name} {n}" for name in ("one", "two") for n in range(20))])


def kill_in_the_middle(path: Path) -> None:
    def stop(*_: object) -> bytes:
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    with opened(str(path)) as box:
        box.append(message(b"half, one\n"), LINE, b"")
        pread, calls = os.pread, iter(range(10))

        def dies(fd: int, size: int, offset: int) -> bytes:
            return pread(fd, size, offset) if next(calls) == 0 else stop()

        mbox.os.pread = dies  # type: ignore[attr-defined]
        box.append(message(b"x" * 70_000), LINE, b"")


def test_killed_while_it_writes(path: Path) -> None:
    """The half mail is taken away by the next delivery, which need not wait for the dead one's lock."""
    deliver(path)
    killed = in_process(kill_in_the_middle, path)
    killed.join(30)
    assert killed.exitcode == -signal.SIGKILL
    assert path.with_name("ann.lock").exists() and path.stat().st_size > len(MAIL) + 60_000
    deliver(path)
    assert path.read_bytes() == MAIL + LINE + b"half, one\n\n" + MAIL
    assert not path.with_name("ann.lock").exists()


def test_killed_at_any_moment(path: Path) -> None:
    """Whole mails only, whenever it ends."""
    for round in range(12):
        process = in_process(deliver_many, path, str(round))
        time.sleep(0.003 * round)
        process.kill()
        process.join(30)
    deliver(path, seconds=20)
    mails = read(path)
    assert all(
        mail["subject"] == "hi" or mail.get_payload() == f">From {mail['subject'].split()[0]}\n"
        for mail in mails
    )
    assert path.read_bytes().endswith(MAIL)
    assert path.read_bytes().count(b"\n\nFrom a@b") == len(mails) - 1


def test_waiting_for_a_reader(path: Path) -> None:
    deliver(path)
    with open(path, "r+b") as reader:
        fcntl.lockf(reader, fcntl.LOCK_UN)
        path.with_name("ann.lock").write_text("")
        refused(path, "is locked")
        timer = threading.Timer(0.2, path.with_name("ann.lock").unlink)
        timer.start()
        deliver(path, seconds=20)
        timer.join()
    assert path.read_bytes() == MAIL * 2


def test_locked_by_fcntl(path: Path) -> None:
    deliver(path)

    def hold(ready: Path) -> None:
        with open(path, "r+b") as reader:
            fcntl.lockf(reader, fcntl.LOCK_EX)
            ready.touch()
            time.sleep(60)

    ready = path.with_name("ready")
    holder = in_process(hold, ready)
    until = time.monotonic() + 20
    while not ready.exists():
        assert time.monotonic() < until
        time.sleep(0.005)
    refused(path, "is locked")
    assert not path.with_name("ann.lock").exists()  # nobody waits with a lock in hand
    holder.kill()
    holder.join()
    deliver(path, seconds=20)


def test_a_mailbox_that_is_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(path)
    real, calls = mbox._open_file, []

    def replaced(*arguments: object) -> int:
        fd = real(*arguments)  # type: ignore[arg-type]
        if not calls:
            path.unlink()
            path.write_bytes(b"")
        calls.append(fd)
        return fd

    monkeypatch.setattr(mbox, "_open_file", replaced)
    deliver(path, seconds=20)
    assert path.read_bytes() == MAIL and len(calls) == 2


def test_no_descriptor_is_left(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    deliver(path)
    path.with_name("ann.lock").write_text("")
    refused(path, "is locked")
    path.with_name("ann.lock").unlink()
    path.chmod(0o600)
    os.link(path, path.with_name("other"))
    refused(path, "linked")
    assert len(os.listdir("/proc/self/fd")) == before
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > before
