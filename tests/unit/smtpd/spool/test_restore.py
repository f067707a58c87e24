"""Back from corrupt/, and what was put into the queue by hand."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from smtpd.spool.backend import CORRUPT, EXISTS, GONE
from smtpd.spool.null import NullBackend


def place(root: Path, evpid: int) -> Path:
    name = f"{evpid:016x}"
    return root / "queue" / name[:2] / name[:8]


def test_find(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    evpids = spool.commit(texts=(b"1\n", b"2\n"))
    msgid = evpids[0] >> 32
    assert spool.ask("find", msgid) == sorted(evpids)
    assert spool.ask("find", msgid ^ 1) == []
    by_hand = msgid << 32 | 7
    folder = place(root, by_hand)
    (folder / f"{by_hand:016x}").write_bytes(b"3\n")
    for name in ("notes", f"{msgid:08x}", f"{msgid << 32:016x}", f"{(msgid ^ 1) << 32 | 9:016x}"):
        (folder / name).touch()
    assert spool.ask("find", msgid) == sorted([*evpids, by_hand])
    assert spool.text(by_hand) == b"3\n"


def test_a_whole_message(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    msgid = first >> 32
    assert spool.ask("set_aside_message", msgid) is None
    assert spool.ask("find", msgid) == []
    assert spool.ask("restore", msgid) is None
    assert spool.ask("find", msgid) == sorted([first, second])
    assert spool.content(msgid) == b"content\n"
    assert os.listdir(root / "corrupt") == []
    assert spool.ask("delete", first) is None
    assert spool.ask("delete", second) is None
    assert not place(root, first).exists()


def test_one_envelope_of_several(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    assert spool.ask("set_aside", first) is None
    assert spool.ask("find", first >> 32) == [second]
    assert spool.ask("restore", first >> 32) is None
    assert spool.text(first) == b"1\n"
    assert os.listdir(root / "corrupt") == []
    assert (place(root, first) / "message").stat().st_nlink == 1
    # the message stays as long as one of them does
    assert spool.ask("delete", second) is None
    assert spool.content(first >> 32) == b"content\n"
    assert spool.ask("delete", first) is None
    assert not place(root, first).exists()


def test_the_last_envelope(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    (evpid,) = spool.commit()
    assert spool.ask("set_aside", evpid) is None
    assert not place(root, evpid).exists()
    assert spool.ask("restore", evpid >> 32) is None
    assert (spool.text(evpid), spool.content(evpid >> 32)) == (b"envelope\n", b"content\n")


def test_a_message_that_comes_back_under_its_id_and_goes_again(
    root: Path, open_spool: Callable[[], Any]
) -> None:
    """Its folder is kept for reuse under that id: once, not twice."""
    spool = open_spool()
    (evpid,) = spool.commit()
    folder = place(root, evpid)
    shutil.copytree(folder, root / "kept")
    assert spool.ask("delete", evpid) is None
    assert not folder.exists()
    (root / "kept").rename(folder)
    assert spool.ask("find", evpid >> 32) == [evpid]
    assert spool.ask("delete", evpid) is None
    for _ in range(3):
        assert len(spool.commit()) == 1


def test_spares_that_somebody_removed(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    for _ in range(3):
        (evpid,) = spool.commit()
        assert spool.ask("delete", evpid) is None
    shutil.rmtree(root / "purge")
    (root / "purge").mkdir()
    assert len(spool.commit()) == 1


def test_set_aside_more_than_once(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    msgid = first >> 32
    assert spool.ask("set_aside", first) is None
    assert spool.ask("set_aside_message", msgid) is None
    assert len(os.listdir(root / "corrupt")) == 2
    assert spool.ask("restore", msgid) is None
    assert spool.ask("find", msgid) == sorted([first, second])
    assert os.listdir(root / "corrupt") == []


def test_nothing_is_written_over(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    assert spool.ask("set_aside", first) is None
    (place(root, first) / f"{first:016x}").write_bytes(b"new\n")
    result = spool.ask("restore", first >> 32)
    assert result.kind == EXISTS
    assert spool.text(first) == b"new\n"
    assert (root / "corrupt" / f"{first >> 32:08x}" / f"{first:016x}").read_bytes() == b"1\n"
    assert spool.text(second) == b"2\n"


def test_what_else_lies_there_stays(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    first, _second = spool.commit(texts=(b"1\n", b"2\n"))
    aside = root / "corrupt" / f"{first >> 32:08x}"
    assert spool.ask("set_aside", first) is None
    (aside / "notes").write_text("mended by hand\n")
    assert spool.ask("restore", first >> 32) is None
    assert sorted(os.listdir(aside)) == ["message", "notes"]


def test_not_there_or_not_whole(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    assert spool.ask("restore", 0x12345678).kind == GONE
    (evpid,) = spool.commit()
    assert spool.ask("set_aside", evpid) is None
    (root / "corrupt" / f"{evpid >> 32:08x}" / "message").unlink()
    assert spool.ask("restore", evpid >> 32).kind == CORRUPT
    assert not place(root, evpid).exists()
    (root / "corrupt" / "12345678").mkdir()
    (root / "corrupt" / "12345678" / "message").touch()
    assert spool.ask("restore", 0x12345678).kind == CORRUPT


def test_links_are_not_followed(root: Path, open_spool: Callable[[], Any], tmp_path: Path) -> None:
    spool = open_spool()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "message").touch()
    (elsewhere / "1234567800000001").touch()
    (root / "corrupt" / "12345678").symlink_to(elsewhere)
    assert spool.ask("restore", 0x12345678).kind == CORRUPT
    (root / "queue" / "12").mkdir(exist_ok=True)
    (root / "queue" / "12" / "12345678").symlink_to(elsewhere)
    assert spool.ask("find", 0x12345678) == []


def test_a_store_without_files_has_nothing_to_find() -> None:
    found: list[Any] = []
    spool = NullBackend()
    spool.find(1, found.append)
    spool.restore(1, found.append)
    assert found[0] == []
    assert found[1].kind == GONE
