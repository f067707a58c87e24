"""smtpctl/newaliases.py."""

from pathlib import Path
from typing import Any

import pytest

from smtpctl import __main__ as program
from smtpctl import newaliases
from smtpctl.client import NotRunning, Refused
from smtpctl.newaliases import find
from smtpd.config.errors import ConfigErrors
from smtpd.messages.client_configuration import ClientUpdateTable
from smtpd.protocol.berkeley_hash import read


class Daemon:
    """In place of smtpctl.client.Client."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.problem: Exception | None = None

    def __call__(self, path: Path) -> "Daemon":
        return self

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def ask(self, request: Any) -> int:
        if self.problem is not None:
            raise self.problem
        self.asked.append(request)
        return 1


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    daemon = Daemon()
    monkeypatch.setattr(newaliases, "Client", daemon)
    return daemon


ACTION = 'action "a" maildir alias <aliases>\nmatch for local action "a"\n'


def configure(state: Path, table: str) -> None:
    (state / "smtpd.conf").write_text(f"table aliases {table}\n{ACTION}")


def test_a_text_file_is_read_again(smtpctl: Any, state: Path, told: Daemon) -> None:
    (state / "aliases").write_text("root: joe\njane: joe, ann\n")
    configure(state, f"file:{state}/aliases")
    assert smtpctl(main=program.newaliases) == (0, f"{state}/aliases: 2 aliases\n", "")
    assert told.asked == [ClientUpdateTable("aliases")]
    assert not (state / "aliases.db").exists()
    assert smtpctl("-bi", main=program.sendmail).out == f"{state}/aliases: 2 aliases\n"


@pytest.mark.parametrize("there", [True, False])
def test_a_database_is_made_anew(smtpctl: Any, state: Path, told: Daemon, there: bool) -> None:
    (state / "aliases").write_text("root: joe\n")
    if there:
        (state / "aliases.db").write_bytes(b"old")
    configure(state, f"db:{state}/aliases.db")
    assert smtpctl("-f", str(state / "smtpd.conf"), main=program.newaliases).status == 0
    assert dict(read((state / "aliases.db").read_bytes())) == {b"root\0": b"joe\0"}
    assert told.asked == [ClientUpdateTable("aliases")]


def test_without_a_table_the_usual_file(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newaliases, "FILES", (state / "one", state / "two"))
    configuration = state / "smtpd.conf"
    configuration.write_text('action "a" maildir\nmatch for local action "a"\n')
    assert find(str(configuration)) == (str(state / "one"), "")
    (state / "two").touch()
    assert find(str(configuration)) == (str(state / "two"), "")


@pytest.mark.parametrize("running", [True, False])
def test_the_daemon_does_not_or_is_not_there(smtpctl: Any, state: Path, told: Daemon, running: bool) -> None:
    (state / "aliases").write_text("root: joe\n")
    configure(state, f"file:{state}/aliases")
    told.problem = Refused("need root privileges", 0) if running else NotRunning("no")
    status, out, err = smtpctl(main=program.newaliases)
    assert (status, out) == (int(running), f"{state}/aliases: 1 aliases\n")
    assert err == ("newaliases: the daemon has not read it: need root privileges\n" if running else "")


def test_what_is_wrong_is_said(smtpctl: Any, state: Path, told: Daemon) -> None:
    def run(*words: str) -> str:
        status, out, err = smtpctl(*words, main=program.newaliases)
        assert (status, out) == (1, "")
        return str(err)

    assert run("x") == run("-f") == "usage: newaliases [-f file]\n"
    assert run(f"-f{state}/none").startswith("newaliases: ")
    configure(state, "{ root = joe }")
    assert "is not kept in a file" in run()
    (state / "aliases").write_text("root: joe\njane: joe ann\n")
    configure(state, f"file:{state}/aliases")
    assert run() == f"newaliases: {state}/aliases:2: invalid entry: not a recipient: 'joe ann'\n"
    assert told.asked == []


def test_the_systems_configuration(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from smtpctl.places import Places

    system = Places(state / "smtpd.sock", state / "spool", None)
    monkeypatch.setattr(newaliases, "CONFIGURATIONS", (state / "a", state / "b"))
    assert newaliases._configuration(system) == str(state / "a")
    (state / "b").touch()
    assert newaliases._configuration(system) == str(state / "b")
    with pytest.raises(ConfigErrors):
        find(str(state / "nothing"))
