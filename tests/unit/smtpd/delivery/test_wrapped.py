"""smtpd/delivery/wrapped.py: a delivery as a command."""

import os
import socket
import threading
from pathlib import Path

import pytest

from smtpd.delivery import wrapped
from smtpd.delivery.wrapped import EX_TEMPFAIL, EX_UNAVAILABLE, main

MAIL = b"X-Spam: yes\nSubject: x\n\nFrom here\n"


def deliver(tmp_path: Path, *words: str, mail: bytes = MAIL, **variables: str) -> int:
    (tmp_path / "mail").write_bytes(mail)
    source = os.open(tmp_path / "mail", os.O_RDONLY)
    try:
        return main(list(words), {"HOME": str(tmp_path), **variables}, source)
    finally:
        os.close(source)


def content(folder: Path) -> bytes:
    (only,) = (folder / "new").iterdir()
    return only.read_bytes()


def test_maildir(tmp_path: Path) -> None:
    assert deliver(tmp_path, "maildir") == 0
    assert content(tmp_path / "Maildir") == MAIL
    (tmp_path / "other/.tag").mkdir(parents=True)
    assert deliver(tmp_path, "maildir", str(tmp_path / "other"), EXTENSION="tag") == 0
    assert content(tmp_path / "other/.tag") == MAIL


def test_junk(tmp_path: Path) -> None:
    assert deliver(tmp_path, "maildir", "-j", mail=b"X-Spam: Yes\n\nbuy\n") == 0
    assert content(tmp_path / "Maildir/.Junk") == b"X-Spam: Yes\n\nbuy\n"


def test_a_file(tmp_path: Path) -> None:
    for _ in range(2):
        assert deliver(tmp_path, "mboxfile", "-f", "a@b.example", str(tmp_path / "box")) == 0
    text = (tmp_path / "box").read_bytes()
    assert text.count(b"From a@b.example ") == 2 and text.count(b">From here\n") == 2


@pytest.mark.parametrize(
    ("reply", "status"),
    [(b"250 2.0.0 ok", 0), (b"550 5.1.1 no", EX_UNAVAILABLE), (b"451 4.2.2 full", EX_TEMPFAIL)],
)
@pytest.mark.parametrize(("option", "recipient"), [("-u", "joe"), ("-r", "joe@d.example")])
def test_lmtp(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], reply: bytes, status: int, option: str, recipient: str
) -> None:
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
        assert deliver(tmp_path, "lmtp", "-d", path, option, **variables) == status
        thread.join(10)
    assert any(line.startswith(b"RCPT TO:<" + recipient.encode()) for line in lines)
    assert capsys.readouterr().err == ("" if not status else f"LMTP server error: {reply.decode()}\n")


def test_what_fails_for_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Maildir").touch()
    assert deliver(tmp_path, "maildir") in (EX_TEMPFAIL, EX_UNAVAILABLE)
    assert deliver(tmp_path, "lmtp", "-d", str(tmp_path / "nobody"), "-u") == EX_TEMPFAIL
    assert deliver(tmp_path, "elsewhere") == EX_TEMPFAIL
    assert capsys.readouterr().err.splitlines()[-1] == wrapped._BAD_USAGE


def test_a_relative_folder(tmp_path: Path) -> None:
    assert deliver(tmp_path, "maildir", "here") == EX_UNAVAILABLE


def test_a_mail_that_cannot_be_read(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        assert main(["maildir"], {"HOME": str(tmp_path)}, folder) == EX_TEMPFAIL
    finally:
        os.close(folder)
    assert not (tmp_path / "Maildir").exists()
