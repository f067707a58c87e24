"""Commands of every kind of manners, as real processes."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.parent.delivery_command import Runner, RunningCommand
from smtpd.pony.mda import command as module
from smtpd.pony.mda.command import MAX_LINE, Command, LastLine, Outcome

HEADERS = b"Delivered-To: a@b\n"


class Run:
    """A command line with the Command around it, and parent's part in short."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, line: str, content: bytes, ours: bool = False
    ) -> None:
        self.loop = loop
        self.process = RunningCommand(line, {"PATH": "/usr/bin:/bin"}, Runner(None, None, "/"))
        message = os.memfd_create("message")
        os.write(message, content)
        self.killed = 0
        self.command = Command(loop, self.process.input, message, HEADERS, self.kill, ours=ours)
        self.command.output(self.process.output)
        self.process.input = self.process.output = -1

    def kill(self) -> None:
        self.killed += 1
        self.process.kill(signal.SIGTERM)

    def outcome(self) -> Outcome:
        async def exited() -> int:
            gone = asyncio.Event()
            self.loop.add_reader(self.process.pidfd, gone.set)
            async with asyncio.timeout(20):
                await gone.wait()
            self.loop.remove_reader(self.process.pidfd)
            return self.process.process.wait()

        status = self.loop.run_until_complete(exited())
        outcome = self.command.ended(status)
        self.process.close()
        os.close(self.process.pidfd)
        return outcome


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    before = len(os.listdir("/proc/self/fd"))
    yield loop
    assert len(os.listdir("/proc/self/fd")) <= before
    loop.close()


def run(loop: asyncio.AbstractEventLoop, line: str, content: bytes = b"Subject: x\n\nbody\n") -> Outcome:
    return Run(loop, line, content).outcome()


OK = ("ok", "", "Delivered")
BIG = b"0123456789abcde\n" * 50000


def test_it_gets_headers_and_content(
    loop: asyncio.AbstractEventLoop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("mail") / "file"
    assert run(loop, f"cat > {path}") == OK
    assert path.read_bytes() == HEADERS + b"Subject: x\n\nbody\n"
    assert run(loop, f"sleep 0.1; cat > {path}", BIG) == OK
    assert path.read_bytes() == HEADERS + BIG
    assert run(loop, f"cat < /dev/stdin > {path}", BIG) == OK
    assert path.read_bytes() == HEADERS + BIG


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ("exit 0", OK),
        ("echo hello", OK),
        ("exit 75", ("tempfail", "exited abnormally", "Error (temporary failure: exited abnormally)")),
        ("exit 71", ("tempfail", "exited abnormally", "Error (system resource problem: exited abnormally)")),
        ("exit 67", ("permfail", "exited abnormally", "Error (user unknown: exited abnormally)")),
        ("exit 1", ("permfail", "exited abnormally", "Error (exited abnormally)")),
        ("echo one; echo two >&2; exit 1", ("permfail", '"two"', 'Error ("two")')),
        ("printf 'x\\n\\n  \\n'; exit 75", ("tempfail", '"x"', 'Error (temporary failure: "x")')),
        ("printf 'a\\033[2J'; exit 1", ("permfail", '"a\\x1b[2J"', 'Error ("a\\x1b[2J")')),
        ("echo tty > /dev/stderr; exit 1", ("permfail", '"tty"', 'Error ("tty")')),
        ("kill -9 $$", ("tempfail", "terminated; signal 9", "Error (terminated; signal 9)")),
        (
            "nosuchcommand 2>/dev/null",
            ("permfail", "exited abnormally", "Error (exited abnormally)"),
        ),
    ],
)
def test_results(loop: asyncio.AbstractEventLoop, line: str, outcome: Outcome) -> None:
    assert run(loop, line) == outcome


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("exit 1", "tempfail"),  # an interpreter that finds no program, or a fault nobody thought of
        ("exit 2", "tempfail"),
        ("nosuchcommand", "tempfail"),
        ("/etc/passwd", "tempfail"),
        ("cat | sh -c 'kill -9 $$'", "tempfail"),  # the shell ends with 137
        ("exit 120", "tempfail"),
        ("exit 75", "tempfail"),
        ("exit 71", "tempfail"),
        ("kill -9 $$", "tempfail"),
        ("exit 69", "permfail"),
        ("exit 67", "permfail"),  # a wrapper's own word
        ("exit 77", "permfail"),
    ],
)
def test_around_our_own_program_only_what_is_meant_is_for_good(
    loop: asyncio.AbstractEventLoop, line: str, status: str
) -> None:
    assert Run(loop, f"exec 2>/dev/null; cat > /dev/null; {line}", b"x\n", ours=True).outcome()[0] == status
    if status == "permfail":
        assert run(loop, line)[0] == status


PREMATURE = ("tempfail", "mda exited prematurely", "Error (mda exited prematurely)")


@pytest.mark.parametrize("line", ["exit 0", "head -c 100000 > /dev/null", "exec <&-; sleep 0.1"])
def test_too_little_was_read(loop: asyncio.AbstractEventLoop, line: str) -> None:
    assert run(loop, line, BIG) == PREMATURE


def test_what_fits_in_the_pipe_counts_as_read(loop: asyncio.AbstractEventLoop) -> None:
    assert run(loop, "exit 0", b"x" * 60000) == OK


def test_it_leaves_a_process_behind(loop: asyncio.AbstractEventLoop) -> None:
    command = Run(loop, "sleep 60 & cat > /dev/null; echo done; exit 1", b"x\n")
    group = command.process.process.pid
    assert command.outcome() == ("permfail", '"done"', 'Error ("done")')
    os.killpg(group, signal.SIGKILL)


def test_it_says_too_much(loop: asyncio.AbstractEventLoop) -> None:
    assert run(loop, "yes | head -c 700000; echo end; exit 1") == ("permfail", '"end"', 'Error ("end")')


def test_a_flood_is_read_at_leisure(loop: asyncio.AbstractEventLoop) -> None:
    command = Run(loop, "exec yes", b"x\n")
    loop.run_until_complete(asyncio.sleep(0.5))
    assert command.command._seen < module.FREE_OUTPUT + 20 * module.CHUNK
    command.kill()
    status, error, _ = command.outcome()
    assert (status, error) == ("tempfail", '"y"')


def test_time_is_up(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.1)
    command = Run(loop, "sleep 60", BIG)
    outcome = command.outcome()
    assert command.killed == 1
    assert outcome == ("tempfail", "terminated; timeout", "Error (terminated; timeout)")


def test_the_content_cannot_be_read(loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, size: int, offset: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    command = Run(loop, "cat >/dev/null", b"x\n")
    outcome = command.outcome()
    assert command.killed == 1
    assert outcome == ("tempfail", "Error reading body", "Error (Error reading body)")


def oracle(data: bytes) -> bytes:
    lines = [line for line in data.split(b"\n") if line.strip()]
    return lines[-1].strip() if lines else b""


@given(st.lists(st.binary(max_size=20) | st.just(b"\n"), max_size=10))
def test_last_line(pieces: list[bytes]) -> None:
    last = LastLine()
    for piece in pieces:
        last.feed(piece)
    wanted = oracle(b"".join(pieces))
    found = last.text()
    assert bool(found) is bool(wanted)
    if wanted.isalnum():
        assert found == f'"{wanted.decode()}"'
    assert found.isprintable()


def test_last_line_is_bounded() -> None:
    last = LastLine()
    for _ in range(100):
        last.feed(b"x" * 1000)
    assert len(last.text()) == MAX_LINE + 2
    last.feed(b"\n" + b"a line\n" * 100000 + b"the end\n\n")
    assert last.text() == '"the end"'
