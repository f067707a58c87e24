"""What the disk backend keeps of finished messages for the next ones."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtpd.spool import fs
from tests.support.spool_files import files, folder


def test_the_folder_of_a_finished_message_is_used_again(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    [evpid] = spool.commit()
    inode = (root / folder(evpid)).stat().st_ino
    content = (root / folder(evpid) / "message").stat().st_ino
    reader = spool.ask("open_message", evpid >> 32)
    spool.ask("delete", evpid)
    assert files(root) == set()
    [between] = spool.commit()
    [later] = spool.commit(b"another\n")
    assert (root / folder(later)).stat().st_ino == inode
    assert (root / folder(later) / "message").stat().st_ino != content  # somebody may still read the old one
    assert os.read(reader, 100) == b"content\n"
    os.close(reader)
    spool.ask("delete", between)
    assert files(root) == {f"{folder(later)}/message", f"{folder(later)}/{later:016x}"}


def test_the_file_of_its_envelope_too_once_the_disk_knows_that_it_is_gone(
    root: Path, open_spool: Callable[[], Any]
) -> None:
    spool = open_spool()
    [evpid] = spool.commit(texts=(b"a long text\n",))
    inode = (root / folder(evpid) / f"{evpid:016x}").stat().st_ino
    spool.ask("delete", evpid)
    [early] = spool.commit(texts=(b"e\n",))  # its rounds sync the folder that the first one has left
    [later], [more] = spool.commit(texts=(b"x\n",)), spool.commit(texts=(b"m\n",))
    inodes = [(root / folder(one) / f"{one:016x}").stat().st_ino for one in (early, later, more)]
    assert [one == inode for one in inodes] == [False, True, False]
    assert [spool.text(one) for one in (early, later, more)] == [b"e\n", b"x\n", b"m\n"]


def test_an_envelope_that_somebody_took_out_of_a_spare_folder(
    root: Path, open_spool: Callable[[], Any]
) -> None:
    spool = open_spool()
    [evpid] = spool.commit()
    spool.ask("delete", evpid)
    [early] = spool.commit()
    for path in root.glob("purge/*/*"):
        path.unlink()
    [later] = spool.commit(texts=(b"x\n",))
    assert spool.text(later) == b"x\n" and spool.text(early) == b"envelope\n"
    assert files(root) == {
        f"{folder(one)}/{name}" for one in (early, later) for name in ("message", f"{one:016x}")
    }


def test_a_folder_with_something_else_in_it_is_not_used_again(
    root: Path, open_spool: Callable[[], Any]
) -> None:
    spool = open_spool()
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    spool.close()
    (root / folder(first) / "note").write_text("of the administrator")
    spool = open_spool()
    spool.ask("delete", first)
    spool.ask("delete", second)
    assert files(root) == set() and os.listdir(root / "purge") == []
    [later] = spool.commit()
    assert sorted(os.listdir(root / folder(later))) == sorted(["message", f"{later:016x}"])


def test_no_more_spares_than_allowed(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fs, "SPARES", 2)
    spool = open_spool()
    evpids = [spool.commit()[0] for _ in range(5)]
    for evpid in evpids:
        assert spool.ask("delete", evpid) is None
    assert len(os.listdir(root / "purge")) == 2
    assert len(list(root.glob("purge/*/*"))) <= 2
