"""A delivery as a command line asks for it."""

import os
import socket
import threading
from pathlib import Path

import pytest

from smtpd.delivery import as_command
from smtpd.delivery.maildir import DeliveryError
from smtpd.mail.status import PERMFAIL, TEMPFAIL

MAIL = b"X-Spam: yes\nSubject: x\n\nFrom here\n"


def deliver(tmp_path: Path, *words: str, mail: bytes = MAIL, **variables: str) -> tuple[str, str] | None:
    """None, or status and reason."""
    (tmp_path / "mail").write_bytes(mail)
    source = os.open(tmp_path / "mail", os.O_RDONLY)
    try:
        return told(as_command.deliver(list(words), {"HOME": str(tmp_path), **variables}, source))
    finally:
        os.close(source)


def told(failure: DeliveryError | None) -> tuple[str, str] | None:
    return failure and (failure.status, str(failure))


def content(folder: Path) -> bytes:
    (only,) = (folder / "new").iterdir()
    return only.read_bytes()


def test_maildir(tmp_path: Path) -> None:
    assert deliver(tmp_path, "maildir") is None
    assert content(tmp_path / "Maildir") == MAIL
    (tmp_path / "other/.tag").mkdir(parents=True)
    assert deliver(tmp_path, "maildir", str(tmp_path / "other"), EXTENSION="tag") is None
    assert content(tmp_path / "other/.tag") == MAIL


def test_junk(tmp_path: Path) -> None:
    assert deliver(tmp_path, "maildir", "-j", mail=b"X-Spam: Yes\n\nbuy\n") is None
    assert content(tmp_path / "Maildir/.Junk") == b"X-Spam: Yes\n\nbuy\n"


def test_a_file(tmp_path: Path) -> None:
    for _ in range(2):
        assert deliver(tmp_path, "mboxfile", "-f", "a@b.example", str(tmp_path / "box")) is None
    text = (tmp_path / "box").read_bytes()
    assert text.count(b"From a@b.example ") == 2 and text.count(b">From here\n") == 2


@pytest.mark.parametrize(
    ("reply", "status"),
    [(b"250 2.0.0 ok", ""), (b"550 5.1.1 no", PERMFAIL), (b"451 4.2.2 full", TEMPFAIL)],
)
@pytest.mark.parametrize(("option", "recipient"), [("-u", "joe"), ("-r", "joe@d.example")])
def test_lmtp(tmp_path: Path, reply: bytes, status: str, option: str, recipient: str) -> None:
    lines: list[bytes] = []

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb") as file:
            file.write(b"220 x\r\n")
            file.flush()
            for line in file:
                lines.append(line)
                verb = line[:4]
                said = {b"RCPT": reply, b"QUIT": b"221 x", b"DATA": b"354 x"}.get(verb, b"250 x")
                if verb in (b"LHLO", b"MAIL", b"RCPT", b"DATA", b"QUIT", b".\r\n"):
                    file.write(said + b"\r\n")
                    file.flush()
                if verb == b"QUIT":
                    return

    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        variables = {"USER": "joe", "RECIPIENT": "joe@d.example", "SENDER": "a@b.example"}
        failure = (status, f"LMTP server error: {reply.decode()}") if status else None
        assert deliver(tmp_path, "lmtp", "-d", path, option, **variables) == failure
        thread.join(10)
    assert any(line.startswith(b"RCPT TO:<" + recipient.encode()) for line in lines)


def test_what_fails_for_now(tmp_path: Path) -> None:
    (tmp_path / "Maildir").touch()
    for words, reason in {
        ("maildir",): "Not a directory",
        ("lmtp", "-d", str(tmp_path / "nobody"), "-u"): "lmtp: No such file or directory",
        ("mboxfile", "-f", "a@b", str(tmp_path)): "Is a directory",
        ("elsewhere",): as_command._BAD_USAGE,
    }.items():
        assert deliver(tmp_path, *words) == (TEMPFAIL, reason)


def test_no_mail_comes(tmp_path: Path) -> None:
    """As from `nosuchfilter | %{mda}`."""
    assert deliver(tmp_path, "maildir", mail=b"") == (TEMPFAIL, as_command._EMPTY)
    assert not (tmp_path / "Maildir").exists()


def test_a_relative_folder(tmp_path: Path) -> None:
    assert deliver(tmp_path, "maildir", "here") == (PERMFAIL, "maildir: not an absolute path")


def test_a_mail_that_cannot_be_read(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        failure = as_command.deliver(["maildir"], {"HOME": str(tmp_path)}, folder)
    finally:
        os.close(folder)
    assert told(failure) == (TEMPFAIL, "Is a directory")
    assert not (tmp_path / "Maildir").exists()
