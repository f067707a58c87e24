"""Mail handed to a command: what it reads, where it runs, and what its exit status means."""

import os

from daemon import body_of

COMMAND = """\
listen on 127.0.0.1 port ${port}
action "command" mda "${command}"
match from any for local action "command"
"""


def test_a_command_reads_the_mail_on_its_standard_input(daemon) -> None:
    one = daemon(COMMAND, command="cat > got")
    sent = one.send("a@source.test", "you@localhost")
    one.wait_empty()
    (got,) = one.state.glob("home/you/got")
    assert body_of(got.read_bytes()) == body_of(sent)


def test_formats_and_environment_of_the_command(daemon) -> None:
    one = daemon(
        COMMAND, command="env > %{user.username}.env; echo %{sender} %{rcpt} >> %{user.username}.env"
    )
    one.send("a@source.test", "you@localhost")
    one.wait_empty()
    (got,) = one.state.glob("home/you/you.env")
    *variables, last = got.read_text().splitlines()
    environment = dict(line.split("=", 1) for line in variables if "=" in line)
    assert last == "a@source.test you@localhost"
    assert environment["SENDER"] == "a@source.test"
    assert environment["RECIPIENT"] == "you@localhost"
    assert environment["USER"] == environment["LOGNAME"] == "you"
    assert {"HOME", "PATH", "SHELL", "LOCAL", "DOMAIN"} <= set(environment)
    # Nothing of the daemon's own environment goes to a user's command.
    assert not {name for name in environment if name.startswith(("SMTPD", "PYTHON", "IMSG"))}


def test_a_command_gets_no_descriptor_but_the_standard_ones(daemon) -> None:
    one = daemon(COMMAND, command="ls /proc/self/fd > fds")
    one.send("a@source.test", "you@localhost")
    one.wait_empty()
    (got,) = one.state.glob("home/you/fds")
    # 3 is the folder that ls itself reads.
    assert set(got.read_text().split()) <= {"0", "1", "2", "3"}


def test_a_failure_that_passes_keeps_the_mail(daemon) -> None:
    one = daemon(COMMAND, command=f"test -e allowed && cat > got || exit {os.EX_TEMPFAIL}")
    one.send("a@source.test", "you@localhost")
    one.wait_log("TempFail")
    assert len(one.envelopes()) == 1
    (one.state / "home/you/allowed").touch()
    one.ctl("schedule", "all")
    one.wait_empty()
    assert len(list(one.state.glob("home/you/got"))) == 1


def test_a_failure_for_good_makes_a_bounce(daemon) -> None:
    mine = 'action "mail" maildir\nmatch from any for rcpt-to "sender@localhost" action "mail"\n'
    one = daemon(mine + COMMAND, command=f"echo no such luck; exit {os.EX_NOUSER}")
    one.send("sender@localhost", "you@localhost")
    (bounce,) = one.mails("sender")
    assert b"no such luck" in bounce
    one.wait_empty()


def test_a_command_that_leaves_a_long_mail_unread_gets_it_again(daemon) -> None:
    """As in OpenSMTPD: what it did not take is not delivered, whatever its exit status says."""
    one = daemon(COMMAND, command="test -e reading || exit 0; cat > got")
    content = b"Subject: long\r\n\r\n" + b"0123456789abcdef\r\n" * 20_000
    one.send("a@source.test", "you@localhost", content)
    assert "mda exited prematurely" in one.wait_log("TempFail")
    (one.state / "home/you/reading").touch()
    one.ctl("schedule", "all")
    one.wait_empty()
    (got,) = one.state.glob("home/you/got")
    assert body_of(got.read_bytes()) == body_of(content)


def test_commands_run_beside_each_other(daemon) -> None:
    one = daemon(COMMAND, command="sleep 1; cat > $$.mail")
    rcpts = [f"user{number}@localhost" for number in range(5)]
    one.send("a@source.test", rcpts)
    one.wait_empty(5)
    assert len(list(one.state.glob("home/*/*.mail"))) == 5
