"""A table kept by a program of its own (smtpd-tables(7)).

Holds `ProcTable`: questions go out as they come and answers come in any order, so that a slow answer keeps
nobody else waiting. A question that has no answer within the deadline is a temporary failure; so is every
question while the program is not there. A program that ends, or says what is no answer, or lets too many
questions lie, is let go and a new one is asked for, after a time that doubles with each failure.

Who starts the program is not said here: `connect` hands over a connected stream socket (the parent process
starts programs), `program` tells what is to be run. Must not look at keys or values.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from typing import cast

from smtpd.mail.address import lower
from smtpd.protocol.table import ERROR, FOUND, NOT_FOUND, Answer, TableDialog, TableProtocolError
from smtpd.tables.service import TemporaryFailure, key_fault

DEADLINE = 10.0
"""Seconds for an answer."""
HANDSHAKE = 20.0
"""Seconds for a program to say what it serves."""
MAX_OPEN = 2000
"""Most questions without an answer; more are temporary failures at once."""
MAX_FORGOTTEN = 500
"""So many questions past their deadline and still no answer: the program is taken for hung."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0
"""Seconds before a new program is asked for."""
LIBEXEC = ("/usr/local/libexec/smtpd", "/usr/libexec/opensmtpd", "/usr/libexec/smtpd")

type Connect = Callable[[], Awaitable[socket.socket]]
"""A connected stream socket to a new program, non-blocking or not; OSError when there is none."""


def program(name: str, config: str, exists: Callable[[str], bool]) -> tuple[str, list[str]]:
    """The path and the arguments of the program of a table: `config` is "NAME" or "NAME:PARAMETER" (a file
    table-NAME in one of LIBEXEC), or the absolute path of the program. FileNotFoundError."""
    if config.startswith("/"):
        return config, [name]
    backend, colon, parameter = config.partition(":")
    for directory in LIBEXEC:
        path = f"{directory}/table-{backend}"
        if exists(path):
            return path, [name, parameter] if colon else [name]
    raise FileNotFoundError(2, f"no program table-{backend} in {', '.join(LIBEXEC)}")


class _Link(asyncio.Protocol):
    """One connection to one program. `begun` is done when it has said what it serves, `ended` (with the
    reason) when it is no use any more."""

    def __init__(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        self.dialog = TableDialog(name)
        self.waiting: dict[int, asyncio.Future[Answer]] = {}
        self.begun: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[str] = loop.create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the dialog."""
        # Of a loop's own class: uvloop's are no asyncio.Transport.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.dialog.begin())

    def data_received(self, data: bytes) -> None:
        """Hand answers to those who wait for them."""
        try:
            answers = self.dialog.receive(data)
        except TableProtocolError as error:
            self.end(str(error))
            return
        if self.dialog.services is not None and not self.begun.done():
            self.begun.set_result(None)
        for answer in answers:
            future = self.waiting.pop(answer.number, None)
            if future is not None and not future.done():
                future.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """The program ended."""
        self.end(f"connection lost: {error}" if error else "the program ended")

    def end(self, reason: str) -> None:
        """Let the program go; what waits fails."""
        if self.ended.done():
            return
        self.ended.set_result(reason)
        if self.transport is not None:
            self.transport.abort()
        waiting, self.waiting = self.waiting, {}
        for number, future in waiting.items():
            if not future.done():
                future.set_result(Answer(number, ERROR, reason))

    async def ask(self, operation: str, number: int, service: str, key: str, deadline: float) -> Answer:
        """The answer to a question, an error when there is none in time."""
        assert self.transport is not None
        self.transport.write(self.dialog.ask(operation, number, time.time(), service, key))
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.waiting[number] = future
        try:
            async with asyncio.timeout(deadline):
                return await future
        except TimeoutError:
            if self.dialog.waiting - len(self.waiting) >= MAX_FORGOTTEN:
                self.end("the program does not answer any more")
            return Answer(number, ERROR, f"no answer within {deadline:g} s")
        finally:
            if self.waiting.pop(number, None) is not None:
                self.dialog.forget(number)


class ProcTable:
    """The table of a program; `log` is told what goes wrong with the program."""

    def __init__(
        self, name: str, connect: Connect, log: Callable[[str], None], deadline: float = DEADLINE
    ) -> None:
        self.name = name
        self._connect = connect
        self._log = log
        self._deadline = deadline
        self._number = 0
        self._link: _Link | None = None
        self._down = ""
        """Why there is no program, while it is waited until the next one is asked for."""
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def services(self) -> frozenset[str] | None:
        """What the program serves; None while there is none."""
        return self._link.dialog.services if self._link is not None else None

    def start(self) -> None:
        """Ask for the program, without waiting for it; else it is asked for with the first question."""
        if self._keeper is None and not self._closed:
            self._link = _Link(self.name)
            self._keeper = asyncio.get_running_loop().create_task(self._keep(self._link))

    async def check(self, service: str, key: str) -> bool | TemporaryFailure:
        """See service.Table."""
        answer = await self._ask("check", service, key)
        return answer if isinstance(answer, TemporaryFailure) else answer.status == FOUND

    async def lookup(self, service: str, key: str) -> str | None | TemporaryFailure:
        """See service.Table."""
        return _value(await self._ask("lookup", service, key))

    async def fetch(self, service: str) -> str | None | TemporaryFailure:
        """See service.Table."""
        return _value(await self._ask("fetch", service, ""))

    async def update(self) -> str:
        """See service.Table: the program is told to read its source again."""
        answer = await self._ask("update", "", "")
        return answer.reason if isinstance(answer, TemporaryFailure) else ""

    async def close(self) -> None:
        """See service.Table: the program is let go; open questions fail."""
        self._closed = True
        keeper, self._keeper = self._keeper, None
        if self._link is not None:
            self._link.end("the table is closed")
        if keeper is not None:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _ask(self, operation: str, service: str, key: str) -> Answer | TemporaryFailure:
        if (fault := key_fault(key)) is not None:
            return fault
        if "\n" in key or "\r" in key or "\0" in key:
            return self._failure("a key cannot have a line end")
        if self._closed:
            return self._failure("the table is closed")
        self.start()
        link = self._link
        if link is None:
            return self._failure(self._down)
        if not link.begun.done():
            done, _ = await asyncio.wait(
                (link.begun, link.ended), timeout=self._deadline, return_when=asyncio.FIRST_COMPLETED
            )
            if link.ended.done() or not done:
                return self._failure(link.ended.result() if done else "the program does not begin")
        if link.ended.done():
            return self._failure(link.ended.result())
        if service and service not in (link.dialog.services or ()):
            return self._failure(f"the program does not serve {service}")
        if link.dialog.waiting >= MAX_OPEN:
            return self._failure("too many questions without an answer")
        self._number = self._number % 0xFFFFFFFF + 1
        # A password keeps its case. (OpenSMTPD loses it here.)
        asked = key if service == "auth" else lower(key)
        answer = await link.ask(operation, self._number, service, asked, self._deadline)
        return self._failure(answer.text) if answer.status == ERROR else answer

    def _failure(self, reason: str) -> TemporaryFailure:
        return TemporaryFailure(f"table {self.name}: {reason}")

    async def _keep(self, link: _Link) -> None:
        """Keep a program: ask for one, wait until it is lost, pause, again."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            began = loop.time()
            try:
                async with asyncio.timeout(HANDSHAKE):
                    await self._begin(link)
            except TimeoutError:
                link.end("the program does not begin")
            except OSError as error:
                link.end(f"cannot start: {error.strerror or error}")
            self._down = await link.ended
            self._link = None
            self._log(f"table {self.name}: {self._down}")
            if loop.time() - began >= LONGEST_PAUSE:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)
            self._down = ""
            link = self._link = _Link(self.name)

    async def _begin(self, link: _Link) -> None:
        """Connect to a new program and wait until it has said what it serves, or is lost. OSError."""
        connection = await self._connect()
        try:
            connection.setblocking(False)
            await asyncio.get_running_loop().create_connection(lambda: link, sock=connection)
        except BaseException:
            connection.close()
            raise
        await asyncio.wait((link.begun, link.ended), return_when=asyncio.FIRST_COMPLETED)


def _value(answer: Answer | TemporaryFailure) -> str | None | TemporaryFailure:
    if isinstance(answer, TemporaryFailure):
        return answer
    return None if answer.status == NOT_FOUND else answer.text
