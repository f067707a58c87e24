"""smtpctl trace: each subsystem says what is of use about a mail, with its ids, and no secret."""

import re

import pytest
from daemon import Daemon, mail

from smtpd.mproc.log import SUBSYSTEMS

CONF = """\
listen on 127.0.0.1 port ${port}
table names file:${folder}/names
table passwords file:${folder}/passwords
action "local" maildir alias <names>
action "relay" relay host smtp://127.0.0.1:${sink}
action "login" relay host smtp+tls://label@127.0.0.1:${sink} auth <passwords>
match from any for local action "local"
match from any for domain "relay.test" action "relay"
match from any for domain "login.test" action "login"
"""

SECRET = "correct-horse-battery"
BODY = "what nobody else shall read"


@pytest.fixture
def traced(daemon, sink, tmp_path, monkeypatch):
    """A daemon that traces nothing yet, and its sink; one of the sink's recipients does not exist."""
    to = sink({"RCPT": lambda line: "550 5.1.1 no such user" if "nobody" in line else ""})
    prepare = Daemon._prepare

    def with_tables(self: Daemon) -> None:
        prepare(self)
        (self.folder / "names").write_text("team: you\n")
        (self.folder / "passwords").write_text(f"label user:{SECRET}\n")

    monkeypatch.setattr(Daemon, "_prepare", with_tables)
    return daemon(CONF, sink=to.port), to


def ids(one: Daemon, rcpt: str) -> tuple[str, str]:
    """The session and the envelope of the mail that went to `rcpt`."""
    line = one.wait_log(f"to=<{rcpt}>")
    found = re.search(r"([0-9a-f]{16}) smtp envelope evpid=([0-9a-f]{16})", line)
    assert found is not None
    return found[1], found[2]


def test_every_subsystem_tells_of_a_mail_what_it_does_with_it(traced) -> None:
    one, to = traced
    one.ctl("trace", "all")
    one.send("you@localhost", "team@localhost", mail(body=BODY))
    one.send("you@localhost", ["x@relay.test", "nobody@relay.test"], mail(body=BODY))
    one.send("you@localhost", "x@login.test", mail(body=BODY))
    one.ctl("update", "table", "names")
    to.wait(1)
    one.mails("you", 2)  # the mail, and the bounce for nobody@relay.test
    session, local = ids(one, "team@localhost")
    relaying, relayed = ids(one, "x@relay.test")
    _, failed = ids(one, "nobody@relay.test")
    one.wait_log(f"scheduler: evp:{failed} done")
    one.wait_log("credentials in table")
    log = one.log_since_start()
    expected = {
        "imsg": rf"pony -> lookup: ExpandRecipient#\d+ \(len=\d+\).*{session}.*",
        "io": rf"{session} read \d+ bytes",
        "smtp": rf"{session} >>> 250 2\.0\.0 {local[:8]} Message accepted for delivery",
        "filters": rf"{session} rcpt-to: proceeds, no filter is in service",
        "mta": r"[0-9a-f]{16} >>> RCPT TO:<x@relay\.test>",
        "bounce": rf"msg:[0-9a-f]{{8}} \w+ on {failed[:8]}: ",
        "scheduler": rf"evp:{local} inserted \(mda\)",
        "expand": rf"{session} msg:{local[:8]} username you \[depth=2\]",
        "lookup": r'"team" as alias in table names: "you"',
        "stat": r"scheduler\.envelope: \d+ -> \d+",
        "rules": rf'{relaying} msg:{relayed[:8]} rule 2 \(\S+\): matched, action "relay"',
        "mproc": r"MessageCommitted#\d+ from queue took [\d.]+ ms, [\d.]+ ms after it was asked for",
        "tables": r"names: updated",
        "queue": rf"commit msg:{relayed[:8]}: ok",
    }
    assert set(expected) == set(SUBSYSTEMS)
    for subsystem, line in expected.items():
        assert re.search(rf"^\S+ \w+: {subsystem}: {line}", log, re.M), subsystem
    assert '"label" as credentials in table passwords: ********' in log
    assert SECRET not in log
    assert BODY not in log


def test_untrace_ends_one_or_all(traced) -> None:
    one, _ = traced

    def told(of: str) -> set[str]:
        """The subsystems that say something while a mail is delivered."""
        mark = len(one.log())
        one.send("a@source.test", "you@localhost", mail())
        session, evpid = re.findall(r"(\w{16}) smtp envelope evpid=(\w{16})", one.log()[mark:])[-1]
        one.wait_log(f"evpid={evpid} from=<a@source.test> to=<you@localhost> rcpt=<you@localhost> user=you")
        return set(re.findall(r"^\S+ \w+: ([a-z]+): ", one.log()[mark:], re.M)) & set(SUBSYSTEMS)

    assert told("nothing") == set()
    for subsystem in ("smtp", "transfer", "queue", "scheduler"):
        one.ctl("trace", subsystem)
    assert told("some") == {"smtp", "queue", "scheduler"}
    one.ctl("untrace", "queue")
    assert told("fewer") == {"smtp", "scheduler"}
    one.ctl("untrace", "all")
    assert told("nothing") == set()
    assert "no such subsystem" in one.ctl("trace", "everything", status=1)
