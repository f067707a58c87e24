"""smtpctl/enqueue.py: from the file as standard input to sendmail's arguments, as the file's owner."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import tree

from smtpctl import enqueue


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], bytes]]:
    """What sendmail was called with, and what it found on standard input."""
    calls: list[tuple[list[str], bytes]] = []

    def main(argv: list[str]) -> int:
        calls.append((argv, sys.stdin.buffer.read()))
        return 42

    monkeypatch.setattr(enqueue.sendmail, "main", main)  # type: ignore[attr-defined]
    monkeypatch.chdir(os.getcwd())
    return calls


def run(monkeypatch: pytest.MonkeyPatch, file: Path, home: str = "/") -> int:
    with open(file) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        return enqueue.main(["-1", "-1", home])


def test_arguments_and_content(
    sent: list[tuple[list[str], bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mask = os.umask(0o022)
    file = tmp_path / "1.abc"
    file.write_bytes(b"-fa@x|--|b@\xff\nSubject: s\n\nhi|\n")
    assert run(monkeypatch, file, str(tmp_path)) == 42
    assert sent == [(["-S", "-fa@x", "--", "b@\udcff"], b"Subject: s\n\nhi|\n")]
    assert Path.cwd() == tmp_path
    assert os.umask(mask) == 0o077
    assert run(monkeypatch, file, str(tmp_path / "gone")) == 42
    assert Path.cwd() == Path("/")


def test_no_such_file(
    sent: list[tuple[list[str], bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "1.abc"
    file.write_bytes(b"x" * 1_000_000 + b"\n")
    assert run(monkeypatch, file) == os.EX_DATAERR
    assert sent == []


@pytest.mark.root
def test_nothing_is_read_with_the_rights_of_root(tmp_path: Path) -> None:
    script = "\n".join(
        (
            "import os, sys",
            "from smtpctl import enqueue",
            "def main(argv):",
            "    print(os.getresuid(), os.getresgid(), os.getgroups(), argv)",
            "    return 3",
            "enqueue.sendmail.main = main",
            "sys.exit(enqueue.main(['60123', '60124', '/nonexistent']))",
        )
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=b"--|a@x\n",
        cwd=tree.ROOT,
        capture_output=True,
        timeout=20,
    )
    assert done.returncode == 3, done.stderr
    assert done.stdout.decode() == (
        "(60123, 60123, 60123) (60124, 60124, 60124) [60124] ['-S', '--', 'a@x']\n"
    )


NOTHING_MORE = """
import io, sys, tempfile
from smtpctl import enqueue, offline_mail, sendmail, submission
from smtpctl.composition import Composition
enqueue.load()
class Refuse:
    def find_spec(self, name, path=None, target=None):
        raise AssertionError(f"{name} is imported too late")
sys.meta_path.insert(0, Refuse())
body = tempfile.TemporaryFile()
composition = Composition(io.BytesIO(b"To: B\\xfc <a@b>\\nSubject: s\\n\\n" + b"x" * 2000 + b"\\n"), body)
assert b"Date: " in b"".join(composition.lines("a@b", "A. Sender"))
offline_mail.keep(sys.argv[1], ["-fa@b", "--", "c@d"], [b"x"])
"""


def test_a_message_is_made_without_an_import_more(tmp_path: Path) -> None:
    (tmp_path / "offline").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_MORE, str(tmp_path)], cwd=tree.ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "offline").iterdir())) == 1
