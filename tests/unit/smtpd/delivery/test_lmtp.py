"""Deliveries over LMTP to a server in a thread, which answers as a test says."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path

import pytest

from smtpd.delivery import lmtp
from smtpd.delivery.lmtp import Job, deliver, parse_destination

CONTENT = b"Subject: hi\n\n.dot\nbody\n"
HEADERS = b"Delivered-To: ann@example.org\n"


class Server:
    """LMTP on a socket's path: `answers` maps a verb ("." for the dot) to replies, one after the other."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.answers: dict[str, list[str]] = {}
        self.commands: list[str] = []
        self.contents: list[bytes] = []
        self.connections = 0
        self._stopped = False
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX) as last:
            self._stopped = True
            last.connect(self.path)
        self._thread.join(20)
        self._socket.close()
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection, connection.makefile("rb") as lines:
                if self._stopped:
                    return
                self.connections += 1
                try:
                    self._session(lines, connection)
                except OSError:
                    continue

    def _reply(self, client: socket.socket, verb: str, usual: str) -> bool:
        said = self.answers.get(verb, [])
        text = said.pop(0) if said else usual
        client.sendall(text.encode() + b"\r\n")
        return bool(text) and text[0] in "23"

    def _session(self, lines: BufferedReader, client: socket.socket) -> None:
        if not self._reply(client, "", "220 lmtp.test LMTP"):
            return
        sender, rcpts = False, 0
        while line := lines.readline():
            command = line.decode().rstrip("\r\n")
            self.commands.append(command)
            verb = command.split(" ")[0].split(":")[0]
            if self.answers.get(verb) == ["hang up"]:
                return
            if verb in ("RCPT", "DATA") and not (sender if verb == "RCPT" else rcpts):
                self._reply(client, "", "503 5.5.1 not now")
                continue
            usual = {"LHLO": "250-lmtp.test\r\n250-PIPELINING\r\n250 SIZE 1000000", "DATA": "354 go on"}
            good = self._reply(client, verb, usual.get(verb, "250 2.0.0 ok"))
            sender = good if verb == "MAIL" else sender
            rcpts += verb == "RCPT" and good
            if verb == "DATA" and good:
                rcpts = 0
                content = b""
                while not content.endswith(b"\r\n.\r\n"):
                    content += lines.readline()
                self.contents.append(content[:-3])
                self._reply(client, ".", "250 2.0.0 saved")
            if verb == "QUIT":
                return


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(str(tmp_path / "lmtp"))
    yield server
    server.close()


@pytest.fixture
def job() -> Iterator[Callable[..., Job]]:
    fds = []

    def make(content: bytes = CONTENT, recipient: str = "ann", sender: str = "a@b") -> Job:
        fds.append(os.memfd_create("message"))
        os.write(fds[-1], content)
        return Job(sender, recipient, HEADERS, fds[-1])

    yield make
    for fd in fds:
        os.close(fd)


def test_mails_over_one_connection(server: Server, job: Callable[..., Job]) -> None:
    assert deliver(server.path, [job(), job(recipient="bob@example.org", sender="")]) == [("ok", "")] * 2
    assert server.contents == [(HEADERS + CONTENT).replace(b"\n.", b"\n..").replace(b"\n", b"\r\n")] * 2
    mails = [command for command in server.commands if not command.startswith("DATA")]
    size = mails[1].partition(" SIZE=")[2]
    assert mails == [
        "LHLO localhost",
        f"MAIL FROM:<a@b> SIZE={size}",
        "RCPT TO:<ann>",
        f"MAIL FROM:<> SIZE={size}",
        "RCPT TO:<bob@example.org>",
        "QUIT",
    ]
    assert server.connections == 1


@pytest.mark.parametrize(
    ("verb", "reply", "outcome"),
    [
        ("RCPT", "550 5.1.1 no such user", ("permfail", "LMTP server error: 550 5.1.1 no such user")),
        ("RCPT", "452 4.2.2 full", ("tempfail", "LMTP server error: 452 4.2.2 full")),
        ("MAIL", "552 5.3.4 too big", ("permfail", "LMTP server error: 552 5.3.4 too big")),
        (".", "552 5.2.2 over quota", ("permfail", "LMTP server error: 552 5.2.2 over quota")),
        (".", "451 4.2.0 later", ("tempfail", "LMTP server error: 451 4.2.0 later")),
    ],
)
def test_refused(
    server: Server, job: Callable[..., Job], verb: str, reply: str, outcome: tuple[str, str]
) -> None:
    """One mail's refusal is not the other's."""
    server.answers[verb] = [reply]
    assert deliver(server.path, [job(), job()]) == [outcome, ("ok", "")]


@pytest.mark.parametrize(
    ("verb", "replies"),
    [
        ("", ["421 busy"]),
        ("", ["nonsense"]),
        ("LHLO", ["hang up"]),
        ("RCPT", ["hang up"]),
        ("DATA", ["hang up"]),
        (".", ["421 4.3.2 going down"]),
    ],
)
def test_broken(server: Server, job: Callable[..., Job], verb: str, replies: list[str]) -> None:
    server.answers[verb] = replies
    results = deliver(server.path, [job(), job()])
    assert [status for status, _ in results] == ["tempfail"] * 2
    assert all(error for _, error in results)


def test_nobody_there(tmp_path: Path, job: Callable[..., Job]) -> None:
    assert deliver(str(tmp_path / "x"), [job()]) == [("tempfail", "lmtp: No such file or directory")]
    assert deliver("[nonsense", [job()]) == [("tempfail", "lmtp: invalid address syntax")]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert deliver(f"127.0.0.1:{port}", [job()]) == [("tempfail", "lmtp: Connection refused")]


def test_a_silent_server(tmp_path: Path, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lmtp, "REPLY_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        ((status, error),) = deliver(str(tmp_path / "s"), [job()])
    assert (status, error) == ("tempfail", "lmtp: the server says nothing")


def test_large_content(server: Server, job: Callable[..., Job]) -> None:
    content = b"Subject: large\n\n" + ("ü" * 40 + "\n").encode() * 10_000
    assert deliver(server.path, [job(content)]) == [("ok", "")]
    assert server.contents == [(HEADERS + content).replace(b"\n", b"\r\n")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("localhost", ("localhost", 25)),
        ("localhost:24", ("localhost", 24)),
        ("[::1]:24", ("::1", 24)),
        ("[IPv6:::1]", ("::1", 25)),
        ("[127.0.0.1]", ("127.0.0.1", 25)),
    ],
)
def test_destinations(text: str, found: tuple[str, int]) -> None:
    assert parse_destination(text) == found


@pytest.mark.parametrize("text", ["", ":24", "[::1", "[::1]24", "h:x", "h:0", "h:65536", "h:24:25", "h:²"])
def test_no_destinations(text: str) -> None:
    with pytest.raises(ValueError):
        parse_destination(text)
