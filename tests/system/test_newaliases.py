"""newaliases, and sendmail -bi, against a live daemon: changed aliases are seen from then on."""

import subprocess
from collections.abc import Callable

import programs
import pytest
from daemon import Daemon

CONF = """\
listen on 127.0.0.1 port ${port}
table aliases ${kind}:${folder}/aliases${suffix}
action "local" maildir alias <aliases>
match from any for local action "local"
"""


def write(daemon: Daemon, text: str) -> None:
    (daemon.folder / "aliases").write_text(text)


def run(daemon: Daemon, name: str, *words: str) -> tuple[int, str, str]:
    done: subprocess.CompletedProcess[bytes] = programs.run(daemon, name, *words)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture(params=["file", "db"])
def aliased(request: pytest.FixtureRequest) -> Daemon:
    """Started, with `team` for ann; the configuration is where the programs look for it."""
    one = Daemon(CONF, kind=request.param, suffix=".db" if request.param == "db" else "")
    request.addfinalizer(one.close)
    one.state.mkdir()
    (one.state / "smtpd.conf").symlink_to(one.conf_file)
    write(one, "team: ann\n")
    if request.param == "db":
        status, _, err = run(one, "makemap", "-t", "aliases", str(one.folder / "aliases"))
        assert (status, err) == (0, "")
    return one.start()


CALLS: list[tuple[str, list[str]]] = [
    ("newaliases", []),
    ("sendmail", ["-bi"]),
    ("newaliases", ["-f", "CONF"]),
]


@pytest.mark.parametrize(("name", "words"), CALLS, ids=["newaliases", "sendmail -bi", "newaliases -f"])
def test_it_is_seen_from_then_on(aliased: Daemon, name: str, words: list[str]) -> None:
    one = aliased
    one.send("a@source.test", "team@localhost")
    one.mails("ann")
    write(one, "team: bob\n")
    one.send("a@source.test", "team@localhost")
    one.mails("ann", 2)  # not yet
    words = [word.replace("CONF", str(one.conf_file)) for word in words]
    status, out, err = run(one, name, *words)
    assert (status, err) == (0, "")
    assert out == f"{one.folder}/aliases: 1 aliases\n"  # as OpenSMTPD says it
    one.send("a@source.test", "team@localhost")
    one.mails("bob")
    assert len(one.mails("ann", 2)) == 2
    assert "update table aliases: done" in one.log()


BROKEN: dict[str, Callable[[Daemon], None]] = {
    "a line that means nothing": lambda one: write(one, "team ann bob: , :\n: x\n"),
    "no file": lambda one: (one.folder / "aliases").unlink(),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_changes_nothing(aliased: Daemon, what: str) -> None:
    one = aliased
    BROKEN[what](one)
    status, _, err = run(one, "sendmail", "-bi")
    assert status != 0 and "aliases" in err and "Traceback" not in err
    one.send("a@source.test", "team@localhost")
    one.mails("ann")


def test_while_no_daemon_runs(aliased: Daemon) -> None:
    one = aliased
    assert one.stop() == 0
    write(one, "team: bob\n")
    assert run(one, "newaliases")[0] == 0
    one.start()
    one.send("a@source.test", "team@localhost")
    one.mails("bob")


def test_a_configuration_that_is_not_there(aliased: Daemon) -> None:
    status, _, err = run(aliased, "newaliases", "-f", "/nonexistent/smtpd.conf")
    assert status != 0 and "/nonexistent/smtpd.conf" in err and "Traceback" not in err
    assert run(aliased, "newaliases", "-Z")[0] != 0
