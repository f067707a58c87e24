"""smtpctl as a user runs it, with a daemon that answers as the test says."""

import os
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from smtpctl import __main__ as program
from smtpctl.client import NotRunning, Refused


class Result(NamedTuple):
    status: int
    out: str
    err: str


class Daemon:
    """Answers requests: `rows` by kind of request, `number` and `error` of the end. `asked`: what came."""

    def __init__(self) -> None:
        self.running = True
        self.rows: dict[type, Sequence[Any]] = {}
        self.number = 1
        self.error = ""
        self.asked: list[Any] = []
        self.path: Path | None = None

    def client(self, path: Path) -> "Client":
        self.path = path
        if not self.running:
            raise NotRunning("smtpd doesn't seem to be running")
        return Client(self)


class Client:
    """In place of smtpctl.client.Client."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def rows(self, request: Any) -> Generator[Any, None, int]:
        self._daemon.asked.append(request)
        yield from self._daemon.rows.get(type(request), ())
        if self._daemon.error:
            raise Refused(self._daemon.error, 0)
        return self._daemon.number

    def ask(self, request: Any) -> int:
        for _ in self.rows(request):
            pass
        return self._daemon.number

    def close(self) -> None:
        self._daemon.path = None


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon()
    monkeypatch.setattr("smtpctl.client.Client", daemon.client)
    return daemon


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder with an empty spool, found by $SMTPD_SOCKET."""
    for folder in ("queue", "incoming", "corrupt", "offline", "purge", "temporary"):
        (tmp_path / "spool" / folder).mkdir(parents=True)
    monkeypatch.setenv("SMTPD_SOCKET", str(tmp_path / "smtpd.sock"))
    return tmp_path


@pytest.fixture
def smtpctl(
    daemon: Daemon, state: Path, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Run it: smtpctl("show", "queue")."""
    monkeypatch.setattr(program, "_let_bytes_through", lambda: None)

    def run(*words: str, main: Callable[..., int] = program.main) -> Result:
        status = main(words)
        captured = capfdbinary.readouterr()
        return Result(status, *(part.decode("utf-8", "surrogateescape") for part in captured))

    assert os.environ["SMTPD_SOCKET"] == str(state / "smtpd.sock")
    return run
