"""smtpd/parent/crash.py: a file has what it says, and belongs to its owner alone."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from imsg import Recorder
from smtpd import __version__
from smtpd.messages.catalogue import CATALOGUE
from smtpd.parent.crash import KEPT, write_crash_file


def memories() -> dict[str, tuple[int, Any]]:
    """Of a pony that said something before it died, and of queue."""
    pony, queue = Recorder(entries=4), Recorder(entries=2)
    pony.note("it hurts")
    queue.note("and to me?")
    return {"pony": (77, pony.memory), "queue": (78, queue.memory)}


def test_what_it_holds(tmp_path: Path) -> None:
    given = memories()
    path = write_crash_file(tmp_path / "deep" / "crash", "pony", 77, "signal 11", given)
    head, rest = gzip.decompress(path.read_bytes()).split(b"\n", 1)
    said = json.loads(head)
    assert {key: said[key] for key in ("smtpd", "catalogue", "process", "pid", "ending", "last words")} == {
        "smtpd": __version__,
        "catalogue": CATALOGUE.digest(),
        "process": "pony",
        "pid": 77,
        "ending": "signal 11",
        "last words": "it hurts",
    }
    sizes = [[name, pid, len(memory)] for name, (pid, memory) in given.items()]
    assert said["memories"] == sizes
    assert rest == b"".join(bytes(memory) for _, memory in given.values())


def test_nobody_else_reads_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        path = write_crash_file(tmp_path / "crash", "pony", 77, "", memories())
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("memory", [b"", b"\xff" * 200_000], ids=["none", "no recorder"])
def test_a_memory_that_is_none(tmp_path: Path, memory: bytes) -> None:
    path = write_crash_file(tmp_path, "pony", 77, "", {"pony": (77, memory)})
    head, rest = gzip.decompress(path.read_bytes()).split(b"\n", 1)
    assert json.loads(head)["last words"] == "" and rest == memory


def test_the_oldest_go(tmp_path: Path) -> None:
    old = [tmp_path / f"crash-2001010{day}T000000-pony-{pid}.gz" for day in (1, 2) for pid in range(10, 20)]
    for path in old:
        path.write_bytes(b"")
    other = tmp_path / "notes"
    other.write_text("stays")
    link = tmp_path / "crash-20000101T000000-pony-1.gz"
    link.symlink_to(other)
    new = write_crash_file(tmp_path, "queue", 78, "", {})
    left = sorted(path for path in tmp_path.iterdir() if path not in (other, link))
    assert left == [*old[-KEPT + 1 :], new]
    assert link.is_symlink() and other.read_text() == "stays"


def test_no_link_is_followed_and_nothing_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.strftime", lambda *_: "20260101T000000")
    path = write_crash_file(tmp_path, "pony", 77, "", memories())
    content = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_crash_file(tmp_path, "pony", 77, "again", memories())
    assert path.read_bytes() == content
    (tmp_path / "crash-20260101T000000-pony-78.gz").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        write_crash_file(tmp_path, "pony", 78, "", memories())
    assert not (tmp_path / "target").exists()
