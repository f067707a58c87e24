"""parent and the mail in offline/: what is looked at, as whom it is submitted, what is left."""

import asyncio
import os
import pwd
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from smtpd.parent import offline
from smtpd.parent.offline import Offline

CONTENT = b"--|a@x\nSubject: s\n\nhi\n"

ENQUEUE = """\
import os, sys
head = sys.stdin.buffer.readline()
with open(os.environ["SMTPD_SOCKET"] + ".said", "a") as said:
    print(*sys.argv[1:], head, file=said)
sys.exit({status})
"""


class Bench:
    """Offline over a spool of its own; a script plays smtpctl.enqueue."""

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder / "spool/offline"
        self.folder.mkdir(parents=True)
        self.script = folder / "packages/smtpctl/enqueue.py"
        self.script.parent.mkdir(parents=True)
        (self.script.parent / "__init__.py").touch()
        self.exit_with(0)
        self.log: list[str] = []
        self.said = folder / "smtpd.sock.said"
        log = SimpleNamespace(warn=self.log.append, info=self.log.append, debug=lambda _text: None)
        places = SimpleNamespace(spool=folder / "spool", socket=folder / "smtpd.sock", separated=False)
        self.process = SimpleNamespace(loop=loop, log=log, places=places)
        self.loop = loop
        self.offline = Offline(self.process)  # type: ignore[arg-type]

    def exit_with(self, status: int) -> None:
        self.script.write_text(ENQUEUE.format(status=status))

    def put(self, name: str = "1.abc", content: bytes = CONTENT, age: float = 60) -> Path:
        file = self.folder / name
        file.write_bytes(content)
        os.utime(file, (time.time() - age,) * 2)
        return file

    def scan(self) -> None:
        """Once through the folder."""
        self.offline._scan()
        until = time.monotonic() + 20
        while self.offline._next is None:
            self.loop.run_until_complete(asyncio.sleep(0.01))
            assert time.monotonic() < until

    def lines(self) -> list[str]:
        return self.said.read_text().splitlines() if self.said.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    loop = asyncio.new_event_loop()
    bench = Bench(tmp_path, loop)
    packages = str(tmp_path / "packages")
    monkeypatch.setattr(offline, "environment", lambda: {"PYTHONPATH": packages, "PATH": "/usr/bin:/bin"})
    yield bench
    bench.offline.close()
    loop.close()
    assert bench.offline._folder == -1


def test_taken_and_removed(bench: Bench) -> None:
    for number in range(5):
        bench.put(f"{number}.abc")
    bench.scan()
    home = pwd.getpwuid(os.geteuid()).pw_dir
    assert bench.lines() == [f"-1 -1 {home} b'--|a@x\\n'"] * 5
    assert list(bench.folder.iterdir()) == []
    assert sorted(bench.log) == [f"offline message {number}.abc: enqueued" for number in range(5)]
    assert bench.offline._next is not None
    assert bench.offline._next.when() - bench.loop.time() > 100


def test_what_was_not_taken_stays(bench: Bench) -> None:
    file = bench.put()
    bench.exit_with(75)
    bench.scan()
    assert file.read_bytes() == CONTENT
    assert bench.log == ["couldn't enqueue offline message 1.abc: smtpctl exited with status 75"]
    bench.exit_with(0)
    bench.offline._next = None
    bench.scan()
    assert not file.exists()


def test_what_is_not_looked_at(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(CONTENT)
    os.utime(tmp_path / "secret", (0, 0))
    (bench.folder / "link").symlink_to(tmp_path / "secret")
    os.link(tmp_path / "secret", bench.folder / "hard")
    (bench.folder / "folder").mkdir()
    os.mkfifo(bench.folder / "fifo")
    bench.put("empty", b"", age=60)
    bench.put("old and empty", b"", age=4000)
    bench.scan()
    assert bench.lines() == []
    assert {file.name for file in bench.folder.iterdir()} == {"link", "hard", "folder", "fifo", "empty"}
    assert sorted(bench.log) == [
        "offline message fifo: no regular file",
        "offline message folder: no regular file",
        "offline message hard: a hard link",
        "offline message link: Too many levels of symbolic links",
    ]


def test_one_that_may_still_be_written_is_tried_soon(bench: Bench) -> None:
    file = bench.put(age=0)
    bench.scan()
    assert file.exists()
    assert bench.lines() == []
    assert bench.offline._next is not None
    assert bench.offline._next.when() - bench.loop.time() <= offline.YOUNG_SECONDS


@pytest.mark.root
def test_other_groups_and_owners(bench: Bench) -> None:
    os.chown(bench.put("group"), -1, 54321)
    os.chown(bench.put("owner"), 54321, -1)
    os.chown(bench.put("nobody"), 65534, -1)
    bench.scan()
    assert sorted(bench.log) == [
        "offline message group: not of the folder's group",
        "offline message nobody: of uid 65534, and we run as ourselves alone",
        "offline message owner: there is no user with uid 54321",
    ]
    bench.process.places.separated = True
    bench.log.clear()
    bench.offline._next = None
    bench.scan()
    assert [line.split()[0] for line in bench.lines()] == ["65534"]
    assert {file.name for file in bench.folder.iterdir()} == {"group", "owner"}


def test_another_file_of_that_name_is_not_removed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    file = bench.put()
    bench.script.write_text("import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\n")
    monkeypatch.chdir(bench.folder.parent)
    bench.offline._scan()
    file.rename(bench.folder.parent / "old")
    bench.put(content=b"another")
    (bench.folder.parent / "go").touch()
    until = time.monotonic() + 20
    while bench.offline._running:
        bench.loop.run_until_complete(asyncio.sleep(0.01))
        assert time.monotonic() < until
    assert file.read_bytes() == b"another"


def test_the_end_and_the_deadline(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.script.write_text("import time\ntime.sleep(60)\n")
    file = bench.put()
    monkeypatch.setattr(offline, "RUN_SECONDS", 0.2)
    bench.scan()
    assert bench.log == ["couldn't enqueue offline message 1.abc: smtpctl was killed by SIGKILL"]
    bench.offline._next = None
    bench.offline._scan()
    (running,) = bench.offline._running.values()
    bench.offline.close()
    assert running.process.returncode == -9
    assert file.exists()


def test_no_folder(bench: Bench) -> None:
    bench.folder.rmdir()
    bench.scan()
    assert bench.log == [f"{bench.folder}: No such file or directory"]


def test_it_begins_a_moment_after_the_start(bench: Bench) -> None:
    bench.offline.start()
    assert bench.offline._next is not None
    assert 0 < bench.offline._next.when() - bench.loop.time() <= offline.START_SECONDS
