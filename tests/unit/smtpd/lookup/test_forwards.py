"""smtpd/lookup/forwards.py: .forward files through a real link to a parent, and included files."""

import asyncio
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsg import Channel
from smtpd.lookup.expansion import ForwardRefused, UserInfo
from smtpd.lookup.forwards import (
    FORWARD_MAX,
    FORWARD_RECIPIENTS_MAX,
    INCLUDE_MAX,
    ForwardFiles,
    IncludeFiles,
    parse_recipients,
)
from smtpd.lookup.rules import TableTempfail
from smtpd.messages.catalogue import CATALOGUE
from smtpd.messages.parent_lookup import ForwardOpened, OpenForward
from smtpd.mproc.log import Log
from smtpd.mproc.peer import Peer
from smtpd.protocol.aliases import AliasError, Recipient, parse_line

Run = Callable[[Any], Any]

ALICE = UserInfo("alice", 1000, 100, "/home/alice")


class LogOf(Log):
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        super().__init__("lookup")

    def _write(self, priority: str, text: str) -> None:
        self.lines.append(text)


class Bench:
    """A ForwardFiles, and parent's end of its link."""

    def __init__(self, loop: asyncio.AbstractEventLoop, run: Run) -> None:
        ours, theirs = socket.socketpair()
        self.loop = loop
        self._run = run
        self.log = LogOf()
        self.parent = Channel(theirs, CATALOGUE)
        self.link = Peer(self, "parent", 0, Channel(ours, CATALOGUE))  # type: ignore[arg-type]
        self.files = ForwardFiles(self)  # type: ignore[arg-type]

    def peer(self, name: str) -> Peer:
        assert name == "parent"
        return self.link

    def peer_lost(self, peer: Peer) -> None: ...

    def read(self, status: str, content: bytes | int | None = None) -> Any:
        """What is read when parent answers so."""

        async def both() -> Any:
            reading = asyncio.ensure_future(self.files.read(ALICE))
            while not (received := self.parent.receive()):
                await asyncio.sleep(0.001)
            ((_number, question, reqid, _fd),) = received
            assert question == OpenForward("alice", 1000, "/home/alice")
            fd = self._memory(content) if isinstance(content, bytes) else content
            self.parent.put(ForwardOpened(reqid, status), fd)
            self.parent.flush()
            return await reading

        return self._run(both())

    @staticmethod
    def _memory(content: bytes) -> int:
        fd = os.memfd_create("forward")
        os.pwrite(fd, content, 0)
        return fd

    def close(self) -> None:
        self.link.close()
        self.parent.close()


@pytest.fixture
def bench(loop: asyncio.AbstractEventLoop, run: Run) -> Any:
    bench = Bench(loop, run)
    before = len(os.listdir("/proc/self/fd"))
    yield bench
    after = len(os.listdir("/proc/self/fd"))
    bench.close()
    assert after <= before


def users(*names: str) -> list[Recipient]:
    return [Recipient("username", name) for name in names]


# .forward


def test_the_recipients(bench: Bench) -> None:
    content = b"\\alice, bob # and\n# nobody\n\ncarol\\\n, dave@example.org\n|prog\n"
    assert bench.read("ok", content) == [
        *users("alice", "bob", "carol"), *parse_line("dave@example.org, |prog"),
    ]  # fmt: skip
    assert bench.log.lines == []


@pytest.mark.parametrize("content", [b"", b"\n\n", b"# nothing\n", b" \t\n"])
def test_an_empty_file(bench: Bench, content: bytes) -> None:
    assert bench.read("ok", content) == []


def test_no_file(bench: Bench) -> None:
    assert bench.read("none") is None


def test_a_file_that_is_not_to_be_used(bench: Bench) -> None:
    with pytest.raises(ForwardRefused):
        bench.read("permfail")


@pytest.mark.parametrize("status", ["tempfail", "ok", "something new"])
def test_no_file_for_now(bench: Bench, status: str) -> None:
    """Whatever parent says without a descriptor."""
    with pytest.raises(TableTempfail):
        bench.read(status)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a" * FORWARD_MAX, "larger than 4096 bytes"),
        (b"#" * 100_000, "larger than 4096 bytes"),
        (b"no such thing\n", "not a recipient"),
        (b"alice, 'bob\n", "a quote or backslash without its end"),
        (b"\xff\xfe\n", "not a recipient"),
        (b"a,b\x00c\n", "not a recipient"),
        (b"a," * (FORWARD_RECIPIENTS_MAX + 1), "names too many recipients"),
    ],
)
def test_files_that_cannot_be_used(bench: Bench, content: bytes, said: str) -> None:
    """Temporarily: the user may be writing it at this moment."""
    with pytest.raises(TableTempfail):
        bench.read("ok", content)
    (line,) = bench.log.lines
    assert "alice" in line and said in line


def test_just_within_the_bounds(bench: Bench) -> None:
    assert len(bench.read("ok", b"a," * FORWARD_RECIPIENTS_MAX)) == FORWARD_RECIPIENTS_MAX
    assert bench.read("ok", b"#" * (FORWARD_MAX - 1)) == []


def test_a_file_that_cannot_be_read(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(TableTempfail, match="Is a directory"):
        bench.read("ok", os.open(tmp_path, os.O_RDONLY))


def test_parent_is_gone(bench: Bench, run: Run) -> None:
    bench.parent.close()
    with pytest.raises(TableTempfail):
        run(bench.files.read(ALICE))


# included files


def include(path: Path | str) -> tuple[list[Recipient], list[str]]:
    log = LogOf()
    return IncludeFiles(log).read(str(path)), log.lines


def test_include(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("alice\nbob, carol\n# nobody\n")
    assert include(path) == (users("alice", "bob", "carol"), [])


def test_a_bad_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"alice\nno such thing\n\xff\nbob\n" + b"x" * 3000 + b"\ncarol\n")
    found, lines = include(path)
    assert found == users("alice", "bob", "carol")
    assert len(lines) == 3 and all(str(path) in line for line in lines)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "No such file"),
        ("folder", "Is a directory"),
        ("fifo", "no regular file"),
        ("/dev/zero", "no regular file"),
        ("a\0b", "null byte"),
        ("huge", "larger than"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_included(tmp_path: Path, name: str, said: str) -> None:
    """Logged, and nothing waits for it: not for a pipe without a writer either."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with open(tmp_path / "huge", "wb") as huge:
        huge.truncate(INCLUDE_MAX + 1)
    path = name if name.startswith("/") else f"{tmp_path}/{name}"
    done: list[Any] = []
    thread = threading.Thread(target=lambda: done.append(include(path)), daemon=True)
    thread.start()
    thread.join(5)
    assert done, "still waiting"
    ((found, lines),) = done
    assert found == [] and len(lines) == 1 and said in lines[0]


# the text of both


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a # b\n#c\nd#e", ["a", "d"]),
        (b"a,\\\nb\n", ["a", "b"]),
        (b"al\\\nice\n", ["alice"]),
        (b"  a  ,  b  \n", ["a", "b"]),
    ],
)
def test_lines(data: bytes, expected: list[str]) -> None:
    assert parse_recipients(data) == users(*expected)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        parse_recipients(data)
    except AliasError as error:
        assert str(error).isprintable()
