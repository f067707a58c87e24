"""The table at the head of fs.py: the process ends before each system call in turn, and is started again.

Three disks: one that kept everything, one that lost the content of files that were not synced, and one that
lost names that were not synced as well. The second and third are the worst that a power cut may leave.
"""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from smtpd.mproc.loop import new_loop
from smtpd.spool import commit, durable, layout
from smtpd.spool.backend import Failure
from smtpd.spool.fs import FsBackend

CALLS = ("open", "write", "fsync", "rename", "unlink", "mkdir", "rmdir", "link")
CONTENT = b"Subject: x\n\ncontent\n"
CRASHED = 0
FINISHED = 7


class Disk:
    """Ends the process before the n-th call that changes something, and does to the disk what a crash may."""

    def __init__(self, root: Path, last: int, loses: str) -> None:
        self.root = root
        self.left = last
        self.loses = loses
        self.unsynced_files: set[int] = set()
        self.unsynced_names: list[tuple[int, str, Callable[[str], None]]] = []
        self.renamed: set[tuple[int, str, int]] = set()
        """Folder and name that something had, and which rename it was."""
        self.left_for_good: set[tuple[int, str, int]] = set()
        """Those of a folder that was synced since."""
        self.real = {name: getattr(os, name) for name in CALLS}
        for name in CALLS:
            setattr(os, name, self._wrap(name))

    def _wrap(self, name: str) -> Callable[..., Any]:
        real = self.real[name]
        after = getattr(self, f"_{name}", None)

        def call(*arguments: Any, **named: Any) -> Any:
            changes = name != "open" or bool(arguments[1] & os.O_CREAT)
            if changes:
                self.left -= 1
                if self.left < 0:
                    self.crash()
            if name == "rename":
                self._keep_replaced(*arguments, **named)
            if name == "unlink":
                self._keep_deleted(*arguments, **named)
            result = real(*arguments, **named)
            if after is not None:
                after(result, *arguments, **named)
            return result

        return call

    # what is not on disk yet

    def _open(self, fd: int, path: str, flags: int, mode: int = 0, dir_fd: int | None = None) -> None:
        if flags & os.O_CREAT:
            self.unsynced_files.add(os.fstat(fd).st_ino)
            self._named(path, dir_fd, self._remove)

    def _write(self, _count: int, fd: int, _data: bytes) -> None:
        self.unsynced_files.add(os.fstat(fd).st_ino)

    def _fsync(self, _result: None, fd: int) -> None:
        inode = os.fstat(fd).st_ino
        self.unsynced_files.discard(inode)
        self.unsynced_names = [one for one in self.unsynced_names if one[0] != inode]
        self.left_for_good |= {one for one in self.renamed if one[0] == inode}

    def _mkdir(self, _result: None, path: str, mode: int = 0, dir_fd: int | None = None) -> None:
        self._named(path, dir_fd, self._remove)

    def _link(self, _result: None, _old: str, path: str, src_dir_fd: int, dst_dir_fd: int) -> None:
        self._named(path, dst_dir_fd, self._remove)

    def _keep_replaced(self, _old: str, path: str, src_dir_fd: int, dst_dir_fd: int) -> None:
        target = self._path(path, dst_dir_fd)
        if os.path.isfile(target):
            self.real["link"](target, f"{self.root}.{self.left}")

    def _keep_deleted(self, path: str, dir_fd: int | None = None) -> None:
        kept = f"{self.root}.{self.left}"
        folder, name = os.path.split(self._path(path, dir_fd))
        self.real["link"](os.path.join(folder, name), kept)
        self.unsynced_names.append(
            (os.stat(folder).st_ino, name, lambda target: self.real["link"](kept, target))
        )

    def _rename(self, _result: None, old: str, path: str, src_dir_fd: int, dst_dir_fd: int) -> None:
        source, name = os.path.split(self._path(old, src_dir_fd))
        inode = os.stat(source).st_ino
        replaced = f"{self.root}.{self.left}"
        before = (inode, name, self.left)
        self.renamed.add(before)

        def undo(target: str) -> None:
            if before in self.left_for_good:
                self._remove(target)
            else:
                self.real["rename"](target, os.path.join(self._folders()[inode], name))
            if os.path.exists(replaced):
                self.real["rename"](replaced, target)

        self._named(path, dst_dir_fd, undo)

    def _path(self, path: str, dir_fd: int | None) -> str:
        return os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)

    def _folders(self) -> dict[int, str]:
        """Where each folder is now: a name is in a folder, and the folder may have been moved since."""
        return {os.stat(path).st_ino: path for path, _folders, _files in os.walk(self.root)}

    def _named(self, path: str, dir_fd: int | None, undo: Callable[[str], None]) -> None:
        folder, name = os.path.split(self._path(path, dir_fd))
        self.unsynced_names.append((os.stat(folder).st_ino, name, undo))

    def _remove(self, path: str) -> None:
        if not os.path.isdir(path):
            self.real["unlink"](path)
            return
        for entry in os.listdir(path):
            self.real["unlink"](os.path.join(path, entry))
        self.real["rmdir"](path)

    def crash(self, status: int = CRASHED) -> None:
        if self.loses:
            for path, _folders, files in os.walk(self.root):
                for name in files:
                    whole = os.path.join(path, name)
                    if os.stat(whole).st_ino in self.unsynced_files:
                        os.truncate(whole, 0)
        if self.loses == "names":
            for inode, name, undo in reversed(self.unsynced_names):
                try:
                    undo(os.path.join(self._folders()[inode], name))
                except (OSError, KeyError):
                    pass  # what was renamed or deleted later is not there any more
        os._exit(status)


def in_child(root: Path, last: int, loses: str, scenario: Callable[[Any, Any], None]) -> tuple[bool, bytes]:
    """Run a scenario in a process of its own; whether it came to its end, and what it said was done."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            loop = new_loop()
            durable.one_by_one = True
            backend = FsBackend(str(root), loop, lambda _line: None)
            say = os.write
            disk = Disk(root, last, loses)
            scenario(Asker(loop, backend), lambda word: say(writer, word))
            disk.crash(FINISHED)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (CRASHED, FINISHED), f"the child failed: {code}"
    return code == FINISHED, said


class Asker:
    """Plain calls to a backend."""

    def __init__(self, loop: asyncio.AbstractEventLoop, backend: FsBackend) -> None:
        self.loop = loop
        self.backend = backend

    def __call__(self, name: str, *arguments: Any) -> Any:
        answer: asyncio.Future[Any] = self.loop.create_future()
        getattr(self.backend, name)(*arguments, answer.set_result)
        return self.loop.run_until_complete(asyncio.wait_for(answer, 5))


M = 0x42000001
ENVELOPES = {M << 32 | 1: b"first\n", M << 32 | 2: b"second\n"}
BOUNCE = M << 32 | 3


def receive(ask: Any) -> None:
    fd = ask("open_incoming", M)
    os.write(fd, CONTENT)
    os.close(fd)
    assert ask("commit", M, list(ENVELOPES.items())) is None


def reopened(root: Path) -> tuple[dict[int, bytes | Failure], list[str], bytes | Failure]:
    """What the next start finds: envelopes, log, content. It leaves nothing but what is queued."""
    loop = new_loop()
    log: list[str] = []
    ask = Asker(loop, FsBackend(str(root), loop, log.append))
    found: dict[int, bytes | Failure] = {}
    walk = ask.backend.walk()
    while True:
        answer: asyncio.Future[Any] = loop.create_future()
        walk.next(answer.set_result)
        batch = loop.run_until_complete(asyncio.wait_for(answer, 5))
        if batch is None:
            break
        found |= dict(batch)
    content = ask("open_message", M)
    if isinstance(content, int):
        with os.fdopen(content, "rb") as file:
            content = file.read()
    for name in ("incoming", "purge", "temporary"):
        assert os.listdir(root / name) == []
    loop.run_until_complete(ask.backend.close())
    loop.close()
    return found, log, content


def crashes(
    make: Callable[[], Path], loses: str, scenario: Callable[[Any, Any], None]
) -> Iterator[tuple[bytes, dict[int, bytes | Failure], list[str], bytes | Failure, Path]]:
    """The spool after a crash before each call in turn."""
    for last in range(200):
        root = make()
        finished, said = in_child(root, last, loses, scenario)
        yield said, *reopened(root), root
        if finished:
            assert last > 3
            return
    pytest.fail("the scenario has no end")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Makes empty spools."""
    count = [0]

    def make_one() -> Path:
        count[0] += 1
        root = tmp_path / str(count[0])
        assert layout.prepare(str(root)) == []
        return root

    yield make_one


@pytest.fixture
def make_queued(make: Callable[[], Path]) -> Callable[[], Path]:
    """Makes spools with one message."""

    def make_one() -> Path:
        root = make()
        loop = new_loop()
        ask = Asker(loop, FsBackend(str(root), loop, print))
        receive(ask)
        loop.run_until_complete(ask.backend.close())
        loop.close()
        return root

    return make_one


LOSES = pytest.mark.parametrize("loses", ["", "content", "names"])


@LOSES
@pytest.mark.parametrize("large", [False, True])
def test_commit(make: Callable[[], Path], loses: str, large: bool) -> None:
    def scenario(ask: Any, say: Any) -> None:
        if large:
            commit.LARGE, commit.MANY = 0, 1
        receive(ask)
        say(b"250")

    seen = set()
    for said, found, log, content, root in crashes(make, loses, scenario):
        seen.add((said, bool(found)))
        if found:
            assert found == ENVELOPES and content == CONTENT
        else:
            assert isinstance(content, Failure)
            assert os.listdir(root / "corrupt") == []
        assert found or said != b"250"
        assert log == []
    assert (b"250", True) in seen and (b"", False) in seen


@LOSES
def test_messages_in_the_folders_of_those_that_are_done(make: Callable[[], Path], loses: str) -> None:
    """One text never appears under the name of another message, nor with its content."""
    old, other = (M ^ 8) << 32 | 1, (M ^ 16) << 32 | 1
    texts = {old: b"old, and longer\n", other: b"other\n", **ENVELOPES}

    def commit(ask: Any, evpid: int) -> None:
        fd = ask("open_incoming", evpid >> 32)
        os.write(fd, texts[evpid])
        os.close(fd)
        assert ask("commit", evpid >> 32, [(evpid, texts[evpid])]) is None

    def scenario(ask: Any, say: Any) -> None:
        commit(ask, old)
        assert ask("delete", old) is None
        commit(ask, other)
        assert ask("delete", other) is None
        assert [int(spare.envelope, 16) for spare in ask.backend._spares] == [old]
        receive(ask)
        assert old not in [int(spare.envelope, 16) for spare in ask.backend._spares]
        say(b"250")

    for said, found, _log, content, root in crashes(make, loses, scenario):
        assert all(data == texts[evpid] for evpid, data in found.items()), found
        for evpid in {old, other} & found.keys():
            name = f"{evpid >> 32:08x}"
            assert (root / "queue" / name[:2] / name / "message").read_bytes() == texts[evpid]
        mine = found.keys() & ENVELOPES.keys()
        assert mine in (set(), ENVELOPES.keys())
        if mine:
            assert content == CONTENT
        else:
            assert said != b"250"


@LOSES
def test_rollback(make: Callable[[], Path], loses: str) -> None:
    def scenario(ask: Any, say: Any) -> None:
        os.close(ask("open_incoming", M))
        ask.backend.rollback(M)

    for _said, found, log, _content, _root in crashes(make, loses, scenario):
        assert found == {} and log == []


@LOSES
def test_update(make_queued: Callable[[], Path], loses: str) -> None:
    first, second = ENVELOPES

    def scenario(ask: Any, say: Any) -> None:
        assert ask("update", first, b"changed\n") is None
        say(b"updated")
        assert ask("update", first, b"changed again\n") is None

    seen = set()
    for said, found, _log, content, _root in crashes(make_queued, loses, scenario):
        assert found.keys() == ENVELOPES.keys() and found[second] == b"second\n" and content == CONTENT
        allowed = {b"first\n", b"changed\n", b"changed again\n"}
        if said and loses != "names":
            allowed.discard(b"first\n")
        assert found[first] in allowed
        seen.add(found[first])
    # An update is not worth a second wait: its name may be lost, never its content alone.
    assert seen == {b"first\n"} if loses == "names" else len(seen) == 3


@LOSES
def test_delete(make_queued: Callable[[], Path], loses: str) -> None:
    first, second = ENVELOPES

    def scenario(ask: Any, say: Any) -> None:
        assert ask("delete", first) is None
        say(b"1")
        assert ask("delete", second) is None
        say(b"2")

    seen = set()
    for said, found, log, content, root in crashes(make_queued, loses, scenario):
        for evpid, data in found.items():
            assert data == ENVELOPES[evpid]
        if found:
            assert content == CONTENT
        assert second in found or said or not found
        if not said:
            assert second in found or loses
        assert log in ([], ["queue-fs: message 42000001 removed: a message without envelopes"])
        assert os.listdir(root / "corrupt") == []
        seen.add(tuple(sorted(found)))
    # A deletion is not worth a wait: whoever was delivered to may be so once more.
    assert seen == {(first, second)} if loses == "names" else () in seen and len(seen) == 3


@LOSES
def test_bounce(make_queued: Callable[[], Path], loses: str) -> None:
    """A failed envelope is deleted when its bounce is on disk: at no moment is neither there."""
    first, second = ENVELOPES

    def scenario(ask: Any, say: Any) -> None:
        assert ask("add", BOUNCE, b"bounce\n") is None
        say(b"b")
        assert ask("delete", first) is None
        assert ask("delete", second) is None

    seen = set()
    for said, found, log, content, _root in crashes(make_queued, loses, scenario):
        assert (found.keys() & {first, BOUNCE}) and content == CONTENT
        assert found.get(BOUNCE, b"bounce\n") == b"bounce\n"
        assert said == b"" or BOUNCE in found
        assert log == []
        seen.add(tuple(sorted(found)))
    last = (first, second, BOUNCE) if loses == "names" else (BOUNCE,)
    assert (first, second) in seen and last in seen


@LOSES
def test_set_aside(make_queued: Callable[[], Path], loses: str) -> None:
    first, second = ENVELOPES

    def scenario(ask: Any, say: Any) -> None:
        assert ask("set_aside", first) is None
        assert ask("set_aside", second) is None

    for _said, found, _log, content, root in crashes(make_queued, loses, scenario):
        aside = {int(path.name, 16): path.read_bytes() for path in root.glob("corrupt/42000001/42*")}
        assert found | aside == ENVELOPES
        assert (content == CONTENT) == bool(found)
        if not found:
            assert (root / "corrupt" / "42000001" / "message").read_bytes() == CONTENT
            assert stat.S_IMODE((root / "corrupt" / "42000001").stat().st_mode) == 0o700


@LOSES
def test_a_crash_while_the_leftovers_of_one_are_cleared(make: Callable[[], Path], loses: str) -> None:
    def make_left() -> Path:
        root = make()
        for name in ("incoming/01000001/message", "purge/9/8/7", "queue/05/05000001/message"):
            (root / name).parent.mkdir(parents=True)
            (root / name).write_text("left")
        return root

    def scenario(ask: Any, say: Any) -> None:
        walk = ask.backend.walk()
        answer: asyncio.Future[Any] = ask.loop.create_future()
        walk.next(answer.set_result)
        assert ask.loop.run_until_complete(answer) is None

    for _said, found, _log, _content, root in crashes(make_left, loses, scenario):
        assert found == {}
        assert [path for path in root.rglob("*") if path.is_file()] == []
