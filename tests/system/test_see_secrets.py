"""Passwords, keys and what mails say are in nothing that shows the daemon's inside: every output is searched.

Each output is searched for something that is no secret too, and must have it: an empty one proves nothing.
"""

import base64
import gzip
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from certificates import Authority
from daemon import Daemon
from looking import Looking
from tls_sink import TlsSink

from smtpctl.client import Client
from smtpctl.see.watching import recorders

CONF = """\
srs key "secret-srs-key"
table creds { "user" = "secret-password" }
table hashes file:${hashes}
table logins { "there" = "joe:secret-relaying" }
ca "test" cert "${ca}"
pki mail.test cert "${cert}"
pki mail.test key "${key}"
listen on 127.0.0.1 port ${port} tls pki mail.test auth-optional <creds>
action "local" maildir
action "relay" relay host smtp+tls://there@127.0.0.1:${sink} auth <logins> ca "test" srs
match from any for local action "local"
match from any for domain "relay.test" action "relay"
"""
CONTENT = b"Subject: secret-subject\r\nFrom: ann@client.test\r\n\r\nsecret-body\r\n.secret-dotted\r\n"
KNOWN = b"client.test"
"""No secret, and in everything."""


def secrets(key: Path) -> list[bytes]:
    """What must not be seen, in every form that it has on its way."""
    lines = [line for line in key.read_bytes().splitlines() if not line.startswith(b"-")]
    der = base64.b64decode(b"".join(lines))
    found = [b"secret-", *lines, *(der[at : at + 24] for at in range(0, len(der) - 24, 12))]
    passwords = b"\0user\0secret-password", b"secret-password", b"\0joe\0secret-relaying", b"secret-relaying"
    for text in passwords:
        found.append(base64.b64encode(text).rstrip(b"="))
    return found


def assert_without(name: str, data: bytes, unwanted: list[bytes], *, known: bool = True) -> None:
    assert not known or KNOWN in data, f"{name} shows nothing"
    for secret in unwanted:
        at = data.find(secret)
        assert at < 0, f"{name}: {data[max(0, at - 200) : at + 100]!r}"


def unpacked(page: str) -> bytes:
    """A page with what is packed in it."""
    packed = re.findall(r'<script type="text/plain" id="\w+">([^<]*)</script>', page)
    assert packed
    return page.encode() + b"".join(gzip.decompress(base64.b64decode(text)) for text in packed)


def memories(daemon: Daemon) -> Iterator[tuple[str, bytes]]:
    """The recorders of all processes, byte for byte."""
    with Client(daemon.state / "smtpd.sock") as client:
        for memory in recorders(client):
            yield memory.process, bytes(memory.memory)


def test_no_output_shows_a_secret(
    daemon: Callable[..., Daemon], tls_sink: Callable[..., TlsSink], tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.sign("mail.test")
    relayed = tls_sink(authority.sign("127.0.0.1").server(), users={"joe": "secret-relaying"})
    hashes = tmp_path / "hashes"
    hashes.write_text("joe secret-of-a-file\n")
    hashes.chmod(0o640)
    one = daemon(CONF, hashes=hashes, key=pair.key, cert=pair.cert, ca=authority.cert, sink=relayed.port)
    unwanted = secrets(pair.key)
    one.ctl("log", "verbose")
    one.ctl("trace", "all")
    one.ctl("profile", "all")
    path = tmp_path / "a.pcapng"
    looking = [
        Looking(one, "trace", "imsg", "--watch", "--full", "--count=0"),
        Looking(one, "--json", "trace", "imsg", "--watch", "--count=0"),
        Looking(one, "capture", "-w", str(path), "--handlers"),
    ]
    with one.smtp() as client:
        # some log in where that is not offered
        code, _ = client.docmd("AUTH", "PLAIN " + base64.b64encode(b"\0user\0secret-password").decode())
        assert code == 503
        client.sendmail("ann@client.test", ["you@localhost", "far@relay.test"], CONTENT)
    (mail,) = one.mails("you")
    assert b"secret-body" in mail and b"secret-body" in relayed.wait(1)[0].content
    assert relayed.logins == [("joe", "secret-relaying")]
    one.wait_empty()
    one.ctl("show", "status")
    one.ctl("update", "table", "hashes")
    hashed = one.ctl("encrypt", "secret-to-hash").strip()
    assert hashed.startswith("$") and len(hashed) > 30
    assert_without("encrypt", hashed.encode(), unwanted, known=False)
    msgid = re.findall(r"message msgid=([0-9a-f]{8})", one.log())[0]

    for process, memory in memories(one):
        assert_without(f"the recorder of {process}", memory, unwanted, known=process in ("pony", "queue"))
    for text in (
        "recorder --last=0",
        "--json show recorder --last=0",
        "profile",
        "--json show profile",
        "config",
        "queue",
        "stats",
        "--json show stats",
        "relays",
    ):
        words = text.split() if text.startswith("--") else ["show", *text.split()]
        assert_without(text, one.ctl(*words).encode(), unwanted, known=False)
    for form in ("", "--mermaid", "--svg", "--perfetto", "--folded", "--json"):
        before, after = (["--json"], []) if form == "--json" else ([], form.split())
        shown = one.ctl(*before, "show", "flow", msgid, *after)
        assert "DeliverMaildir" in shown
        assert_without(f"show flow {form}", shown.encode(), unwanted, known=form in ("", "--svg", "--json"))
    assert_without("the page", unpacked(one.ctl("show", "flow", "all", "--html")), unwanted)
    for each in looking:
        out, err = each.interrupt()
        words = each.process.args
        assert_without(str(words), (out + err).encode(), unwanted, known="capture" not in words)
    assert_without("the capture", path.read_bytes(), unwanted)

    # a process dies: its recorder and those of the others, and where it was
    os.kill(one.child("pony"), signal.SIGSEGV)
    assert one.process is not None and one.process.wait(20) == 1
    (crash,) = (one.state / "crash").iterdir()
    assert_without("the crash file", gzip.decompress(crash.read_bytes()), unwanted)
    for before in ([], ["--json"]):
        shown = one.ctl(*before, "show", "crash", str(crash), "--last=0")
        assert_without("show crash", shown.encode(), unwanted, known=False)
        assert "CommitMessage" in shown
    assert_without("the log", one.log().encode(), unwanted)
