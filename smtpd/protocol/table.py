"""The text protocol between the daemon and a table's program (smtpd-tables(7)), our side of it.

Holds `TableDialog`: bytes in, answers out; questions in, bytes out. Lines end with a newline; fields are
apart by "|", and only the last of a line may hold one.

    config|smtpd-version|V ... config|ready         we begin
    register|SERVICE ... register|ready             the program says what it serves
    table|0.1|TIME|NAME|update|ID                   update-result|ID|ok, update-result|ID|error|WHY
    table|0.1|TIME|NAME|check|SERVICE|ID|KEY        check-result|ID|found, not-found, error|WHY
    table|0.1|TIME|NAME|lookup|SERVICE|ID|KEY       lookup-result|ID|found|VALUE, not-found, error|WHY
    table|0.1|TIME|NAME|fetch|SERVICE|ID            fetch-result|ID|found|VALUE, not-found, error|WHY

Many questions may be open; answers come in any order. (A fetch is answered with "lookup-result" by programs
that follow the manual's example to the letter; both are taken.) Must not know sockets, clocks or how long to
wait.
"""

from typing import NamedTuple

PROTOCOL = "0.1"
VERSION = "7.8.0"
"""The version of OpenSMTPD whose protocol this is."""

MAX_LINE = 64 * 1024
"""Longest line of a program in bytes."""

SERVICES = frozenset(
    """
    alias auth domain credentials netaddr userinfo source mailaddr addrname mailaddrmap relayhost string regex
    """.split()
)

OPERATIONS = ("update", "check", "lookup", "fetch")

OK, FOUND, NOT_FOUND, ERROR = "ok", "found", "not-found", "error"


class TableProtocolError(Exception):
    """The program said something that is no answer: what. It cannot be talked to any further."""


class Answer(NamedTuple):
    """The answer to the question of that number: one of the four words above, and the value found or the
    reason of an error."""

    number: int
    status: str
    text: str = ""


class TableDialog:
    """One connection to one program."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._buffer = b""
        self._open: dict[int, str] = {}
        self._registered: frozenset[str] = frozenset()
        self.services: frozenset[str] | None = None
        """What the program serves; None until it has said so."""

    def begin(self) -> bytes:
        """What we say first."""
        lines = (f"smtpd-version|{VERSION}", f"protocol|{PROTOCOL}", f"tablename|{self._name}", "ready")
        return _encoded("".join(f"config|{line}\n" for line in lines))

    def ask(self, operation: str, number: int, time: float, service: str = "", key: str = "") -> bytes:
        """The bytes of a question; ValueError when the key has a line end, or the number is in use."""
        if "\n" in key or "\r" in key or "\0" in key:
            raise ValueError("a key cannot have a line end")
        if number in self._open:
            raise ValueError("the number is in use")
        self._open[number] = operation
        line = f"table|{PROTOCOL}|{time:.6f}|{self._name}|{operation}"
        if operation != "update":
            line += f"|{service}"
        line += f"|{number:08x}"
        if operation in ("check", "lookup"):
            line += f"|{key}"
        return _encoded(line + "\n")

    def forget(self, number: int) -> None:
        """Nobody waits for the answer to this question any more; it is passed over when it comes."""
        if number in self._open:
            self._open[number] = ""

    @property
    def waiting(self) -> int:
        """How many questions have no answer yet, forgotten ones among them."""
        return len(self._open)

    def receive(self, data: bytes) -> list[Answer]:
        """The answers in what the program sent; TableProtocolError."""
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        if len(self._buffer) > MAX_LINE or any(len(line) > MAX_LINE for line in lines):
            raise TableProtocolError("line too long")
        answers = []
        for raw in lines:
            line = raw.decode("utf-8", "surrogateescape")
            if self.services is None or line.startswith("register|"):
                self._register(line)
            elif (answer := self._answer(line)) is not None:
                answers.append(answer)
        return answers

    def _register(self, line: str) -> None:
        word, bar, service = line.partition("|")
        if word != "register" or not bar or self.services is not None:
            raise TableProtocolError(f"invalid handshake: {_shown(line)}")
        if service == "ready":
            if not self._registered:
                raise TableProtocolError("no service registered")
            self.services = self._registered
        elif service in SERVICES:
            self._registered |= {service}
        else:
            raise TableProtocolError(f"unknown service: {_shown(service)}")

    def _answer(self, line: str) -> Answer | None:
        word, _, rest = line.partition("|")
        text, _, result = rest.partition("|")
        operation = word.removesuffix("-result")
        if operation == word or operation not in OPERATIONS:
            raise TableProtocolError(f"not an answer: {_shown(line)}")
        number = int(text, 16) if text and len(text) <= 8 and set(text) <= _HEX else -1
        asked = self._open.pop(number, None)
        if asked is None:
            raise TableProtocolError(f"an answer to no question: {_shown(line)}")
        if asked == "":
            return None
        if operation != asked and (operation, asked) != ("lookup", "fetch"):
            raise TableProtocolError(f"an answer to another question: {_shown(line)}")
        status, bar, value = result.partition("|")
        if status == ERROR:
            return Answer(number, ERROR, value or "no reason given")
        if asked == "update":
            if result == OK:
                return Answer(number, OK)
        elif result == NOT_FOUND:
            return Answer(number, NOT_FOUND)
        elif asked == "check":
            if status == FOUND:
                return Answer(number, FOUND)
        elif status == FOUND and bar and value:
            return Answer(number, FOUND, value)
        raise TableProtocolError(f"not an answer to {asked}: {_shown(line)}")


_HEX = frozenset("0123456789abcdefABCDEF")


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")
