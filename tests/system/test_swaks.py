"""swaks (Debian's package), the tool that people try a mail server with."""

import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(
    shutil.which("swaks") is None, reason="no swaks: tools/system_needs installs it"
)


def swaks(port: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{port}", "--helo", "client.test", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_the_line_of_the_readme(daemon) -> None:
    one = daemon()
    done = swaks(one.port, "--to", "you@localhost")
    assert done.returncode == 0, done.stdout
    (got,) = one.mails("you")
    assert b"X-Mailer: swaks" in got


def test_pipelining_and_several_recipients(daemon) -> None:
    one = daemon()
    done = swaks(one.port, "--pipeline", "--from", "a@source.test", "--to", "you@localhost,me@localhost")
    assert done.returncode == 0, done.stdout
    assert len(one.mails("you")) == len(one.mails("me")) == 1


def test_an_attachment_arrives(daemon, tmp_path) -> None:
    one = daemon()
    attached = tmp_path / "bytes.bin"
    attached.write_bytes(bytes(range(256)) * 400)
    done = swaks(one.port, "--to", "you@localhost", "--attach", f"@{attached}")
    assert done.returncode == 0, done.stdout
    (got,) = one.mails("you")
    import email

    parts = list(email.message_from_bytes(got).walk())
    assert any(
        part.get_payload(decode=True) == attached.read_bytes() for part in parts if not part.is_multipart()
    )


def test_a_refusal_is_seen(daemon) -> None:
    one = daemon()
    done = swaks(one.port, "--to", "somebody@elsewhere.test")
    assert done.returncode == 24  # no recipient was taken
    assert "550" in done.stdout
