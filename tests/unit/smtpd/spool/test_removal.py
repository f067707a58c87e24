"""Deleting envelopes, and messages with their last one."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.spool.backend import ERROR, GONE, Failure
from smtpd.spool.removal import Removed, Reuse, Spare, count, purge, remove

MESSAGE = "ab000001"
ENVELOPES = ("ab00000100000001", "ab00000100000002")


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[Any]:
    """A message with two envelopes; descriptors of queue/ and purge/."""
    (tmp_path / "queue" / "ab" / MESSAGE).mkdir(parents=True)
    (tmp_path / "purge").mkdir()
    for name in ("message", *ENVELOPES):
        (tmp_path / "queue" / "ab" / MESSAGE / name).write_text(name)
    fds = [os.open(tmp_path / name, os.O_RDONLY) for name in ("queue", "purge")]
    yield tmp_path, *fds
    for fd in fds:
        os.close(fd)


def names(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*"))


@pytest.mark.parametrize("left", [1, None])
def test_one_of_two(folders: Any, left: int | None) -> None:
    path, queue, purge_folder = folders
    assert remove(ENVELOPES[0], left, queue, purge_folder, Reuse.ENVELOPE) == Removed(None, 1)
    assert sorted(os.listdir(path / "queue" / "ab" / MESSAGE)) == [ENVELOPES[1], "message"]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("reuse", list(Reuse))
def test_the_last(folders: Any, known: bool, reuse: Reuse) -> None:
    path, queue, purge_folder = folders
    remove(ENVELOPES[0], 1, queue, purge_folder, reuse)
    removed = remove(ENVELOPES[1], 0 if known else None, queue, purge_folder, reuse)
    envelope = ENVELOPES[1] if known and reuse is Reuse.ENVELOPE else ""
    kept = [] if reuse is Reuse.NOTHING else [f"purge/{MESSAGE}"]
    assert removed == Removed(None, 0, Spare(MESSAGE, envelope) if kept else None)
    if envelope:
        kept.append(f"purge/{MESSAGE}/{envelope}")
    assert names(path) == ["purge", *kept, "queue", "queue/ab"]


def test_content_that_cannot_be_deleted_is_a_complaint(folders: Any) -> None:
    path, queue, purge_folder = folders
    (path / "queue" / "ab" / MESSAGE / ENVELOPES[0]).unlink()
    (path / "queue" / "ab" / MESSAGE / "message").unlink()
    removed = remove(ENVELOPES[1], 0, queue, purge_folder, Reuse.ENVELOPE)
    assert removed == Removed(None, 0, None, f"purge message {MESSAGE}: No such file or directory")
    assert names(path) == [
        "purge",
        f"purge/{MESSAGE}",
        f"purge/{MESSAGE}/{ENVELOPES[1]}",
        "queue",
        "queue/ab",
    ]


def test_what_else_is_in_the_folder_goes_too_and_the_folder_is_not_used_again(folders: Any) -> None:
    path, queue, purge_folder = folders
    (path / "queue" / "ab" / MESSAGE / "note").write_text("x")
    assert remove(ENVELOPES[0], None, queue, purge_folder, Reuse.ENVELOPE) == Removed(None, None)
    assert remove(ENVELOPES[1], None, queue, purge_folder, Reuse.ENVELOPE) == Removed(None, 0)
    assert names(path) == ["purge", "queue", "queue/ab"]


def test_gone(folders: Any) -> None:
    path, queue, purge_folder = folders
    removed = remove("ab00000100000003", 0, queue, purge_folder, Reuse.ENVELOPE)
    assert removed.result is not None and removed.result.kind == GONE
    assert len(os.listdir(path / "queue" / "ab" / MESSAGE)) == 3


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ENOSPC])
def test_a_fault_leaves_the_message(folders: Any, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path, queue, purge_folder = folders

    def unlink(*_arguments: Any, **_named: Any) -> None:
        raise OSError(number, "")

    monkeypatch.setattr(os, "unlink", unlink)
    removed = remove(ENVELOPES[0], 0, queue, purge_folder, Reuse.FOLDER)
    assert removed == Removed(Failure(ERROR, f"delete envelope: {os.strerror(number)}"))
    assert len(os.listdir(path / "queue" / "ab" / MESSAGE)) == 3


def test_a_message_that_cannot_be_purged_is_a_complaint(folders: Any) -> None:
    path, queue, purge_folder = folders
    (path / "purge" / MESSAGE).mkdir()
    (path / "purge" / MESSAGE / "file").write_text("")
    remove(ENVELOPES[0], 1, queue, purge_folder, Reuse.ENVELOPE)
    removed = remove(ENVELOPES[1], 0, queue, purge_folder, Reuse.ENVELOPE)
    assert removed.result is None and removed.spare is None
    assert removed.complaint == "purge message ab000001: Directory not empty"
    assert os.listdir(path / "queue" / "ab" / MESSAGE) == ["message"]  # the next start purges it


def test_count(folders: Any) -> None:
    path, queue, _purge = folders
    assert count(MESSAGE, queue) == (2, True)
    (path / "queue" / "ab" / MESSAGE / "note").write_text("x")
    assert count(MESSAGE, queue) == (2, False)
    assert count("ab000009", queue) == (1, False)  # for all we know


def test_purge_without_content(folders: Any) -> None:
    path, queue, purge_folder = folders
    (path / "queue" / "ab" / MESSAGE / "message").unlink()
    assert purge(MESSAGE, queue, purge_folder, reuse=False) == ""
    assert names(path) == ["purge", "queue", "queue/ab"]
    assert (
        purge(MESSAGE, queue, purge_folder, reuse=False)
        == f"purge message {MESSAGE}: No such file or directory"
    )
