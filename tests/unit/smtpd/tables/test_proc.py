import asyncio
import socket
import sys
import time
from collections.abc import Awaitable, Callable

import pytest

from smtpd.tables import proc
from smtpd.tables.proc import ProcTable, program
from smtpd.tables.service import TemporaryFailure

type Answers = Callable[[list[str]], str | None]

REGISTER = "register|alias\nregister|auth\nregister|source\nregister|ready\n"


class Programs:
    """Programs that answer each question as told, in this process."""

    def __init__(self, answers: Answers, hello: str = REGISTER) -> None:
        self.answers = answers
        self.hello = hello
        self.started = 0
        self.refuse = 0
        self.asked: list[list[str]] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def connect(self) -> socket.socket:
        self.started += 1
        if self.refuse:
            self.refuse -= 1
            raise FileNotFoundError(2, "No such file or directory")
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=theirs)
        self.writers.append(writer)
        self.task = asyncio.create_task(self._run(reader, writer))
        return ours

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() != b"config|ready\n":
            pass
        writer.write(self.hello.encode())
        while line := await reader.readline():
            fields = line.decode().rstrip("\n").split("|")[4:]
            self.asked.append(fields)
            number = fields[1] if fields[0] == "update" else fields[2]
            result = self.answers(fields)
            if result == "END":
                writer.close()
                return
            if result is not None:
                writer.write(f"{fields[0]}-result|{number}|{result}\n".encode())


def run(programs: Programs, use: Callable[[ProcTable], Awaitable[None]], deadline: float = 2.0) -> list[str]:
    """Use a table of these programs; what it logged."""
    logged: list[str] = []

    async def main() -> None:
        table = ProcTable("t", programs.connect, logged.append, deadline)
        try:
            async with asyncio.timeout(10):
                await use(table)
        finally:
            await table.close()
            for writer in programs.writers:
                writer.close()

    asyncio.run(main())
    return logged


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(proc, "LONGEST_PAUSE", 0.2)


def failure(answer: object) -> str:
    assert isinstance(answer, TemporaryFailure)
    return answer.reason


def test_questions() -> None:
    known = {"joe": "found|jim, |x", "ann": "not-found", "bob": "error|down"}

    def answers(fields: list[str]) -> str:
        if fields[0] == "update":
            return "ok"
        if fields[0] == "fetch":
            return "found|192.0.2.1"
        return known[fields[3]] if fields[0] == "lookup" else known[fields[3]].split("|")[0]

    programs = Programs(answers)

    async def use(table: ProcTable) -> None:
        assert table.services is None
        assert await table.lookup("alias", "JOE") == "jim, |x"
        assert table.services == {"alias", "auth", "source"}
        assert await table.lookup("alias", "ann") is None
        assert failure(await table.lookup("alias", "bob")) == "table t: down"
        assert await table.check("alias", "joe") is True
        assert await table.check("alias", "ann") is False
        assert await table.fetch("source") == "192.0.2.1"
        assert await table.update() == ""
        assert "does not serve domain" in failure(await table.check("domain", "x"))
        assert "line end" in failure(await table.lookup("alias", "a\nb"))
        assert "too long" in failure(await table.lookup("alias", "a" * 2000))

    assert run(programs, use) == []
    assert programs.started == 1


def test_passwords_keep_their_case() -> None:
    programs = Programs(lambda fields: "found" if fields[3] == "Joe:SeCret" else "not-found")

    async def use(table: ProcTable) -> None:
        assert await table.check("auth", "Joe:SeCret") is True

    run(programs, use)


def test_one_slow_answer_keeps_nobody_waiting() -> None:
    programs = Programs(lambda fields: None if fields[3] == "slow" else "found|fast")

    async def use(table: ProcTable) -> None:
        slow = asyncio.create_task(table.lookup("alias", "slow"))
        began = time.monotonic()
        for _ in range(50):
            assert await table.lookup("alias", "quick") == "fast"
        assert time.monotonic() - began < 0.5
        assert not slow.done()
        assert "no answer within 0.8 s" in failure(await slow)

    run(programs, use, deadline=0.8)
    assert "slow" in [fields[3] for fields in programs.asked[:2]]


def test_many_questions_at_once() -> None:
    programs = Programs(lambda fields: f"found|{fields[3]}")

    async def use(table: ProcTable) -> None:
        keys = [f"k{number}" for number in range(500)]
        assert await asyncio.gather(*(table.lookup("alias", key) for key in keys)) == keys

    run(programs, use)


def test_a_program_that_ends_is_started_again() -> None:
    programs = Programs(lambda fields: "END" if fields[3] == "die" else "found|x")

    async def use(table: ProcTable) -> None:
        assert await table.lookup("alias", "a") == "x"
        assert "the program ended" in failure(await table.lookup("alias", "die"))
        assert "the program ended" in failure(await table.lookup("alias", "a")), (
            "at once, while there is none"
        )
        await asyncio.sleep(0.15)
        assert await table.lookup("alias", "a") == "x"

    assert run(programs, use) == ["table t: the program ended"]
    assert programs.started == 2


def test_a_program_that_cannot_start() -> None:
    programs = Programs(lambda fields: "found|x")
    programs.refuse = 2

    async def use(table: ProcTable) -> None:
        table.start()
        assert "cannot start: No such file" in failure(await table.lookup("alias", "a"))
        began = time.monotonic()
        while isinstance(await table.lookup("alias", "a"), TemporaryFailure):
            await asyncio.sleep(0.01)
        assert time.monotonic() - began > 0.1, "the pause doubles"

    assert len(run(programs, use)) == 2
    assert programs.started == 3


@pytest.mark.parametrize("hello", ["hello\n", "register|nope\n", "register|ready\n"])
def test_a_program_that_says_nonsense(hello: str) -> None:
    programs = Programs(lambda fields: "found|x", hello)

    async def use(table: ProcTable) -> None:
        assert isinstance(await table.lookup("alias", "a"), TemporaryFailure)
        await asyncio.sleep(0.02)

    assert run(programs, use)


def test_an_answer_that_is_none_ends_the_program() -> None:
    programs = Programs(lambda fields: "perhaps")

    async def use(table: ProcTable) -> None:
        assert "not an answer" in failure(await table.lookup("alias", "a"))

    assert len(run(programs, use)) == 1


def test_a_program_that_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "HANDSHAKE", 0.1)
    programs = Programs(lambda fields: "found|x", "")

    async def use(table: ProcTable) -> None:
        assert "does not begin" in failure(await table.lookup("alias", "a"))

    assert run(programs, use)


def test_a_program_that_hangs_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "MAX_FORGOTTEN", 3)
    programs = Programs(lambda fields: None)

    async def use(table: ProcTable) -> None:
        for _ in range(4):
            await table.lookup("alias", "a")
        await asyncio.sleep(0.02)

    assert run(programs, use, deadline=0.05)[0] == "table t: the program does not answer any more"


def test_questions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proc, "MAX_OPEN", 2)
    programs = Programs(lambda fields: None)

    async def use(table: ProcTable) -> None:
        table.start()
        answers = await asyncio.gather(*(table.lookup("alias", "a") for _ in range(3)))
        assert sum("too many questions" in failure(answer) for answer in answers) == 1

    run(programs, use, deadline=0.2)


def test_a_late_answer_is_passed_over() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()

        async def connect() -> socket.socket:
            return ours

        table = ProcTable("t", connect, lambda line: None, 0.1)
        table.start()
        await loop.sock_sendall(theirs, REGISTER.encode())
        assert isinstance(await table.lookup("alias", "a"), TemporaryFailure)
        second = asyncio.create_task(table.lookup("alias", "b"))
        read = b""
        while b"|b\n" not in read:
            read += await loop.sock_recv(theirs, 1000)
        await loop.sock_sendall(theirs, b"lookup-result|1|found|late\nlookup-result|2|found|in time\n")
        assert await second == "in time"
        await table.close()
        theirs.close()

    asyncio.run(main())


def test_closing_fails_what_is_open() -> None:
    programs = Programs(lambda fields: None)

    async def use(table: ProcTable) -> None:
        waiting = asyncio.create_task(table.lookup("alias", "a"))
        while not programs.asked:
            await asyncio.sleep(0.01)
        await table.close()
        assert "closed" in failure(await waiting)
        assert "closed" in failure(await table.lookup("alias", "a"))
        assert "closed" in await table.update()

    assert run(programs, use) == []


def test_a_cancelled_question_is_forgotten() -> None:
    programs = Programs(lambda fields: None if fields[3] == "slow" else "found|x")

    async def use(table: ProcTable) -> None:
        waiting = asyncio.create_task(table.lookup("alias", "slow"))
        assert await table.lookup("alias", "a") == "x"
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await table.lookup("alias", "b") == "x"

    run(programs, use)


PROGRAM = """
import sys
for line in sys.stdin:
    if line == "config|ready\\n":
        break
print("register|alias\\nregister|ready", flush=True)
for line in sys.stdin:
    operation, service, number, key = line.rstrip("\\n").split("|", 7)[4:]
    print(f"{operation}-result|{number}|found|{key} is known", flush=True)
"""


def test_a_real_program() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", PROGRAM, stdin=theirs.fileno(), stdout=theirs.fileno()
            )

        async def connect() -> socket.socket:
            return ours

        table = ProcTable("t", connect, lambda line: None)
        assert await table.lookup("alias", "joe") == "joe is known"
        await table.close()
        assert await child.wait() == 0

    asyncio.run(main())


def test_program() -> None:
    here = {"/usr/libexec/opensmtpd/table-ldap"}
    assert program("t", "ldap", here.__contains__) == ("/usr/libexec/opensmtpd/table-ldap", ["t"])
    assert program("t", "ldap:/etc/l", here.__contains__)[1] == ["t", "/etc/l"]
    assert program("t", "/opt/mine", here.__contains__) == ("/opt/mine", ["t"])
    with pytest.raises(FileNotFoundError, match="table-sql"):
        program("t", "sql", here.__contains__)
