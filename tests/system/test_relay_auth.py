"""Logging in at another host, with good and bad passwords; and nothing that shows the daemon's inside has
them. And LMTP, where each recipient has an answer of its own.
"""

import base64
from pathlib import Path

from certificates import Authority
from looking import Looking
from tls_hosts import TlsHosts

from smtpctl.client import Client
from smtpctl.see.watching import recorders

GOOD, BAD = "planted-Pa55word-good", "planted-Pa55word-bad"
TABLE = f'table secrets {{ good = "joe:{GOOD}", bad = "joe:{BAD}", half = "joe:" }}\n'


def forms() -> list[bytes]:
    """What must not be seen: the passwords as they are sent and kept."""
    found = []
    for password in (GOOD, BAD):
        for text in (password, f"\0joe\0{password}", f"joe:{password}"):
            found += [text.encode(), base64.b64encode(text.encode()).rstrip(b"=")]
    return found


def assert_without(name: str, data: bytes) -> None:
    for secret in forms():
        at = data.find(secret)
        assert at < 0, f"{name}: {data[max(0, at - 200) : at + 100]!r}"


def test_logging_in_and_who_sees_with_what(daemon, tls_sink, tmp_path: Path) -> None:
    hosts = TlsHosts(tls_sink, Authority(tmp_path / "authority"), 90)
    hosts.text += TABLE
    users = {"users": {"joe": GOOD}, "smtps": True}
    way = 'host smtps://{label}@{{at}} auth <secrets> ca "test"'
    plain = hosts.add("plain", way.format(label="good"), methods="GSSAPI LOGIN PLAIN", **users)
    login = hosts.add("login", way.format(label="good"), methods="LOGIN", **users)
    later = hosts.add(
        "later", 'host smtp+tls://good@{at} auth <secrets> ca "test"', users={"joe": GOOD}, methods="LOGIN"
    )
    bad = {
        "bad-plain": ("AUTH rejected: 535 5.7.8 No: AUTH PLAIN ********", "bad", {"methods": "PLAIN"}),
        "bad-login": ("AUTH rejected: 535 5.7.8 No: AUTH LOGIN ********", "bad", {"methods": "LOGIN"}),
        "no-method": ("no supported AUTH method", "good", {"methods": "CRAM-MD5"}),
        "no-auth": ("AUTH not advertised", "good", {"users": {}}),
        "no-label": ("Could not retrieve credentials", "nobody", {}),
        "no-password": ("Could not retrieve credentials", "half", {}),
    }
    for name, (_, label, options) in bad.items():
        hosts.add(name, way.format(label=label), **{**users, **options})
    hosts.add("no-table", "host smtps://good@{at}", **users)

    one = daemon(hosts.text)
    one.ctl("log", "verbose")
    one.ctl("trace", "all")
    one.ctl("profile", "all")
    path = tmp_path / "a.pcapng"
    looking = [
        Looking(one, "trace", "imsg", "--watch", "--full", "--count=0"),
        Looking(one, "capture", "-w", str(path), "--handlers"),
    ]
    hosts.send(one)
    for sink in (plain, login, later):
        sink.wait(1, 30)
        assert sink.logins == [("joe", GOOD)]
    for name, (error, _, _) in bad.items():
        line = hosts.result(one, name)
        assert 'result="TempFail"' in line and error in line, name
        assert not hosts.sinks[name].taken
    assert hosts.sinks["bad-plain"].logins == hosts.sinks["bad-login"].logins == [("joe", BAD)]
    assert "No auth table for relaying" in hosts.result(one, "no-table")
    one.wait_log("credentials not found for secrets:nobody")
    one.wait_log("credentials parse error for secrets:half")
    assert len(one.envelopes()) == len(bad) + 1

    log = one.log()
    assert ">>> AUTH ********" in log and '"good" as credentials in table secrets: ********' in log
    assert_without("the log", log.encode("utf-8", "surrogateescape"))
    with Client(one.state / "smtpd.sock") as client:
        for memory in recorders(client):
            assert_without(f"the recorder of {memory.process}", bytes(memory.memory))
    for words in ("show queue", "show config", "show relays", "show recorder --last=0", "show hoststats"):
        shown = one.ctl(*words.split())
        assert shown, words
        assert_without(words, shown.encode())
    for each in looking:
        out, err = each.interrupt()
        assert_without(str(each.process.args), (out + err).encode())
    captured = path.read_bytes()
    assert b"FindCredentials" in captured or len(captured) > 10_000
    assert_without("the capture", captured)
    for file in (one.state / "spool").rglob("*"):
        if file.is_file():
            assert_without(str(file), file.read_bytes())


def test_lmtp_answers_for_each_recipient(daemon, tls_sink, tmp_path: Path) -> None:
    hosts = TlsHosts(tls_sink, Authority(tmp_path / "authority"), 110)
    replies = {"bob@lmtp.test": "452 4.2.2 Full", "eve@lmtp.test": "550 5.7.1 Not you"}
    to = hosts.add("lmtp", "host lmtp://{at}", {".": lambda rcpt: replies.get(rcpt, "")}, tls=False)
    one = daemon(hosts.text)
    with one.smtp() as client:
        rcpts = [f"{name}@lmtp.test" for name in ("ann", "bob", "eve", "joe")]
        client.sendmail("a@source.test", rcpts, b"Subject: x\r\n\r\nHello.\r\n")
    assert sorted(taken.rcpts for taken in to.wait(2)) == [("ann@lmtp.test",), ("joe@lmtp.test",)]
    assert 'result="TempFail" stat="452 4.2.2 Full"' in one.wait_log("to=<bob@lmtp.test> rcpt=")
    assert 'result="PermFail" stat="550 5.7.1 Not you"' in one.wait_log("to=<eve@lmtp.test> rcpt=")
    assert 'result="Ok"' in one.wait_log("to=<ann@lmtp.test> rcpt=")
    assert to.commands[0].startswith("LHLO ") and to.connections == 1
    assert f"connecting address=lmtp://{hosts.places['lmtp']}" in one.log()
    waiting = "\n".join(one.envelopes())
    assert "bob@lmtp.test" in waiting and "ann@" not in waiting and "joe@" not in waiting
