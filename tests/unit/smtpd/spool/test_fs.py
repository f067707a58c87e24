"""What is the disk backend's own: files, and what happens when they cannot be made."""

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smtpd.spool import commit, durable, fs, walk
from smtpd.spool.backend import CORRUPT, ERROR, EXISTS, GONE, Failure
from smtpd.spool.syncs import Syncs
from tests.support.spool_files import files, folder


def failing(monkeypatch: pytest.MonkeyPatch, name: str, number: int, count: int = 1) -> None:
    """Let a function of os fail for a while."""
    if name == "fsync":
        monkeypatch.setattr(durable, "one_by_one", True)  # else it is not asked of os
    real = getattr(os, name)
    left = [count]

    def call(*arguments: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(number, os.strerror(number))
        return real(*arguments, **named)

    monkeypatch.setattr(os, name, call)


def test_layout_and_modes(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    place = folder(first)
    assert files(root) == {f"{place}/message", f"{place}/{first:016x}", f"{place}/{second:016x}"}
    assert stat.S_IMODE((root / place).stat().st_mode) == 0o700
    assert stat.S_IMODE((root / place).parent.stat().st_mode) == 0o700
    assert {stat.S_IMODE((root / name).stat().st_mode) for name in files(root)} == {0o600}


def test_nothing_on_disk_before_the_content(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    spool.backend.new_evpid(spool.backend.new_msgid())
    assert files(root) == set() and os.listdir(root / "incoming") == []
    msgid, _ = spool.write(b"content\n")
    assert files(root) == {f"incoming/{msgid:08x}/message"}
    spool.backend.rollback(msgid)
    assert os.listdir(root / "incoming") == []


def test_the_last_envelope_is_known_after_a_start(root: Path, open_spool: Callable[[], Any]) -> None:
    """Not from memory: from the message's folder."""
    spool = open_spool()
    evpids = spool.commit(texts=(b"1\n", b"2\n", b"3\n"))
    spool.close()
    spool = open_spool()
    for evpid in evpids[:2]:
        assert spool.ask("delete", evpid) is None
        assert (root / folder(evpid) / "message").exists()
    assert spool.ask("delete", evpids[2]) is None
    assert files(root) == set()


def test_only_the_youngest_messages_are_counted_in_memory(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fs, "COUNTED", 3)
    spool = open_spool()
    messages = [spool.commit(texts=(b"1\n", b"2\n")) for _ in range(10)]
    for first, _second in messages:
        spool.ask("delete", first)
    for _first, second in messages:
        assert spool.text(second) == b"2\n"
        assert spool.ask("delete", second) is None
    assert files(root) == set()


def test_new_messages_share_a_bucket_for_a_while(open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    tops = [spool.backend.new_msgid() >> 24 for _ in range(fs.SAME_BUCKET * 40)]
    changes = sum(1 for one, other in zip(tops, tops[1:], strict=False) if one != other)
    assert changes <= 40
    assert len(set(tops)) > 20


def test_a_known_msgid_is_not_given_out(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    [queued] = spool.commit()
    incoming, _ = spool.write(b"content\n")
    (root / "purge" / "01000001").mkdir()
    (root / "incoming" / "01000002").mkdir()
    spool.close()
    spool = open_spool()
    other, _ = spool.write(b"content\n")
    taken = [queued >> 32, other, 0x01000001, 0x01000002, incoming, 0, 0x01000003]
    bits = [part for msgid in taken for part in (msgid >> 24, msgid & 0xFFFFFF)]
    monkeypatch.setattr(fs, "SAME_BUCKET", 1)
    spool.backend._top_left = 0
    monkeypatch.setattr(fs.random, "getrandbits", lambda _count: bits.pop(0))
    assert spool.backend.new_msgid() == 0x01000003


def test_commits_of_one_turn_go_together(
    open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    real = Syncs.run

    def run(self: Syncs, fds: Any, then: Any) -> None:
        batches.append(len(fds))
        real(self, fds, then)

    monkeypatch.setattr(Syncs, "run", run)
    spool = open_spool()
    spool.commit()
    batches.clear()
    spool.backend._top_left = 100  # one bucket, that is there
    results: list[Failure | None] = []
    written = [spool.write(b"content\n") for _ in range(50)]
    for msgid, [evpid] in written:
        spool.backend.commit(msgid, [(evpid, b"e\n")], results.append)
    assert batches == []
    spool.close()
    assert results == [None] * 50
    assert batches == [150, 1]


def test_what_is_large_goes_the_same_way(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    content, texts = b"x" * (commit.LARGE + 1), tuple(b"%d\n" % number for number in range(commit.MANY * 2))
    evpids = spool.commit(content, texts)
    assert spool.content(evpids[0] >> 32) == content
    assert tuple(spool.text(evpid) for evpid in evpids) == texts
    assert os.listdir(root / "incoming") == []


def test_delete_waits_for_a_round(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    [old] = spool.commit()
    msgid, [evpid] = spool.write(b"content\n")
    told: list[str] = []
    real = Syncs.run

    def run(self: Syncs, fds: Any, then: Any) -> None:
        def ended(results: Any) -> None:
            told.append("end")
            then(results)

        told.append("begin")
        real(self, fds, ended)
        if len(told) == 1:
            spool.backend.delete(old, lambda result: told.append(f"deleted {result}"))

    monkeypatch.setattr(Syncs, "run", run)
    spool.backend.commit(msgid, [(evpid, b"e\n")], lambda _result: told.append("committed"))
    spool.close()
    assert told == ["begin", "end", "deleted None", "begin", "end", "committed"]
    assert files(root) == {f"{folder(evpid)}/message", f"{folder(evpid)}/{evpid:016x}"}


def test_one_that_fails_does_not_take_the_others_along(
    root: Path, open_spool: Callable[[], Any], loop: asyncio.AbstractEventLoop
) -> None:
    spool = open_spool()
    results: list[Failure | None] = []
    for number in range(10):
        msgid, [evpid] = spool.write(b"content\n")
        if number == 4:  # an administrator's mistake, or a disk that came back without it
            (root / "incoming" / f"{msgid:08x}" / "message").unlink()
            (root / "incoming" / f"{msgid:08x}").rmdir()
        spool.backend.commit(msgid, [(evpid, b"e\n")], results.append)
    spool.close()
    assert sum(1 for result in results if result is None) == 9
    assert len([name for name in files(root) if name.endswith("message")]) == 9


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS, errno.EDQUOT])
@pytest.mark.parametrize("name", ["open", "mkdir", "dup"])
def test_no_content_file(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, name: str, error: int
) -> None:
    spool = open_spool()
    msgid = spool.backend.new_msgid()
    with monkeypatch.context() as patch:
        failing(patch, name, error)
        assert spool.ask("open_incoming", msgid) == Failure(ERROR, f"make message: {os.strerror(error)}")
    assert os.listdir(root / "incoming") == []
    fd = spool.ask("open_incoming", msgid)
    os.close(fd)
    assert spool.ask("commit", msgid, [(msgid << 32 | 1, b"e\n")]) is None


def test_the_name_of_another_message_is_left_alone(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    msgid = spool.backend.new_msgid()
    (root / "incoming" / f"{msgid:08x}").mkdir()
    (root / "incoming" / f"{msgid:08x}" / "message").write_text("of another\n")
    assert spool.ask("open_incoming", msgid).kind == EXISTS
    assert files(root) == {f"incoming/{msgid:08x}/message"}


@pytest.mark.parametrize("name", ["open", "write", "fsync", "rename"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_commit_fails(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, name: str, error: int
) -> None:
    spool = open_spool()
    spool.commit()  # its bucket exists
    before = files(root)
    msgid, [evpid] = spool.write(b"content\n")
    with monkeypatch.context() as patch:
        failing(patch, name, error)
        result = spool.ask("commit", msgid, [(evpid, b"e\n")])
    assert isinstance(result, Failure) and result.kind == ERROR and os.strerror(error) in result.text
    assert files(root) == before and os.listdir(root / "incoming") == []


def test_the_queue_cannot_be_synced(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    spool.commit()
    before = files(root)
    msgid, [evpid] = spool.write(b"content\n")
    monkeypatch.setattr(durable, "one_by_one", True)
    real = os.fsync
    count = [0]

    def fsync(fd: int) -> None:
        count[0] += 1
        if count[0] == 4:  # content, envelope, folder, queue/XX
            raise OSError(errno.EIO, "")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    result = spool.ask("commit", msgid, [(evpid, b"e\n")])
    assert isinstance(result, Failure) and "fsync of the queue" in result.text
    assert files(root) == before and os.listdir(root / "incoming") == []


def test_a_bucket_that_vanished_is_made_again(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    [evpid] = spool.commit()
    spool.ask("delete", evpid)
    (root / folder(evpid)).parent.rmdir()
    spool.backend._top_left = 100
    spool.backend._top = evpid >> 56
    [again] = spool.commit()
    assert again >> 56 == evpid >> 56
    assert spool.text(again) == b"envelope\n"
    spool.close()
    assert set(open_spool().walk()) == {again}


def test_delete_waits_for_an_update(
    root: Path, open_spool: Callable[[], Any], loop: asyncio.AbstractEventLoop
) -> None:
    """Else the update would bring the deleted envelope back."""
    spool = open_spool()
    evpids = [spool.commit()[0] for _ in range(20)]
    order: list[str] = []
    for evpid in evpids:
        spool.backend.update(evpid, b"new\n", lambda result: order.append(f"updated {result}"))
        spool.backend.update(evpid, b"newer\n", lambda result: order.append(f"updated {result}"))
        spool.backend.delete(evpid, lambda result: order.append(f"deleted {result}"))
    assert order == []
    spool.close()
    assert order.count("updated None") == 40 and order.count("deleted None") == 20
    assert files(root) == set()


def test_an_envelope_that_is_being_added_keeps_its_message(
    root: Path, open_spool: Callable[[], Any], loop: asyncio.AbstractEventLoop
) -> None:
    spool = open_spool()
    [evpid] = spool.commit()
    bounce = spool.backend.new_evpid(evpid >> 32)
    added: list[Failure | None] = []
    spool.backend.add(bounce, b"bounce\n", added.append)
    assert spool.ask("delete", evpid) is None
    spool.close()
    assert added == [None]
    assert files(root) == {f"{folder(bounce)}/message", f"{folder(bounce)}/{bounce:016x}"}


def test_an_envelope_that_could_not_be_added_does_not(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    [evpid] = spool.commit()
    with monkeypatch.context() as patch:
        failing(patch, "fsync", errno.ENOSPC)
        added: list[Failure | None] = []
        spool.backend.add(spool.backend.new_evpid(evpid >> 32), b"bounce\n", added.append)
        assert spool.ask("delete", evpid) is None
        spool.close()
    assert added[0] is not None and added[0].kind == ERROR
    assert files(root) == set()


def test_set_aside_keeps_the_content_with_the_envelope(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    bad, worse, good = spool.commit(b"content\n", (b"bad\n", b"worse\n", b"good\n"))
    name = f"{bad:016x}"[:8]
    assert spool.ask("set_aside", bad) is None
    assert spool.ask("set_aside", worse) is None
    assert (root / "corrupt" / name / "message").read_bytes() == b"content\n"
    assert (root / "corrupt" / name / f"{bad:016x}").read_bytes() == b"bad\n"
    assert spool.ask("delete", good) is None
    assert files(root) == {
        f"corrupt/{name}/message",
        f"corrupt/{name}/{bad:016x}",
        f"corrupt/{name}/{worse:016x}",
    }


def test_set_aside_twice_under_one_name(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    [evpid] = spool.commit(b"content\n")
    name = f"{evpid:016x}"[:8]
    (root / "corrupt" / name).mkdir()
    (root / "corrupt" / name / "message").write_text("of an older one\n")
    assert spool.ask("set_aside_message", evpid >> 32) is None
    assert (root / "corrupt" / f"{name}.1" / "message").read_bytes() == b"content\n"


def test_an_envelope_that_is_no_file(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    first, second = spool.commit(texts=(b"1\n", b"2\n"))
    path = root / folder(first) / f"{first:016x}"
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert spool.text(first).kind == CORRUPT
    assert spool.ask("set_aside", first) is None
    assert spool.text(second) == b"2\n"


# start


def test_walk(root: Path, open_spool: Callable[[], Any], log: list[str]) -> None:
    spool = open_spool()
    expected = {}
    for number in range(30):
        texts = tuple(f"{number}.{rcpt}\n".encode() for rcpt in range(number % 4 + 1))
        expected |= dict(zip(spool.commit(texts=texts), texts, strict=True))
    spool.close()
    assert open_spool().walk() == expected
    assert log == []


def test_the_walk_does_not_find_what_came_since(root: Path, open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    old = spool.commit()
    spool.close()
    spool = open_spool()
    new = spool.commit()
    begun, [evpid] = spool.write(b"content\n")
    assert set(spool.walk()) == set(old)
    assert spool.ask("commit", begun, [(evpid, b"e\n")]) is None
    assert spool.text(new[0]) == b"envelope\n"


def test_the_walk_comes_in_slices(
    root: Path, open_spool: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = open_spool()
    many = spool.commit(texts=tuple(b"e\n" for _ in range(50)))
    for _ in range(20):
        spool.commit()
    spool.close()
    monkeypatch.setattr(walk, "SLICE_MOST", 5)
    spool = open_spool()
    walking = spool.backend.walk()
    batches: list[Any] = []

    def ask() -> Any:
        answer: asyncio.Future[Any] = spool.loop.create_future()
        walking.next(answer.set_result)
        return spool.loop.run_until_complete(answer)

    while (batch := ask()) is not None:
        batches.append([evpid for evpid, _data in batch])
    assert ask() is None
    assert sum(map(len, batches)) == 70
    assert len(batches) >= 5
    assert any(set(many) <= set(batch) for batch in batches)


def test_leftovers_are_cleared(root: Path, open_spool: Callable[[], Any], log: list[str]) -> None:
    for name in (
        "incoming/01000001/message",
        "temporary/01000002",
        "purge/123/456/message",
        "incoming/0123456789abcdef",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("left")
    spool = open_spool()
    [evpid] = spool.commit()
    begun, _ = spool.write(b"content\n")
    assert spool.walk() == {}
    assert files(root) == {
        f"{folder(evpid)}/message",
        f"{folder(evpid)}/{evpid:016x}",
        f"incoming/{begun:08x}/message",
    }
    assert os.listdir(root / "purge") == os.listdir(root / "temporary") == []
    assert log == []


def test_damaged_messages(root: Path, open_spool: Callable[[], Any], log: list[str]) -> None:
    for name in ("queue/01/01000001/message", "queue/02/02000001/0200000100000001", "queue/03/03000001"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x")
    spool = open_spool()
    assert spool.walk() == {}
    assert log == [
        "queue-fs: message 01000001 removed: a message without envelopes",
        "queue-fs: message 02000001 moved to corrupt/: envelopes without a message",
        "queue-fs: message 03000001 left alone: open: Not a directory",
    ]
    assert files(root) == {"corrupt/02000001/0200000100000001", "queue/03/03000001"}


def test_a_spool_that_is_not_there(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    with pytest.raises(FileNotFoundError):
        fs.FsBackend(str(tmp_path), loop, print)


def test_after_the_end(open_spool: Callable[[], Any]) -> None:
    spool = open_spool()
    [evpid] = spool.commit()
    spool.close()
    answers: list[Any] = []
    spool.backend.open_message(evpid >> 32, answers.append)
    spool.backend.delete(evpid, answers.append)
    spool.backend.open_incoming(7, answers.append)
    assert [answer.kind for answer in answers] == [ERROR] * 3
    assert GONE not in answers
