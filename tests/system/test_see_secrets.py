"""Passwords, keys and what mails say are in nothing that shows the daemon's inside: every output is searched.

Each output is searched for something that is no secret too, and must have it: an empty one proves nothing.
"""

import base64
import gzip
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from daemon import Daemon
from looking import Looking
from sink import Sink

from smtpctl.client import Client
from smtpctl.see.watching import recorders

CONF = """\
srs key "secret-srs-key"
table creds { "user" = "secret-password" }
pki mail.test cert "${cert}"
pki mail.test key "${key}"
listen on 127.0.0.1 port ${port} tls pki mail.test auth-optional <creds>
action "local" maildir
action "relay" relay host smtp://127.0.0.1:${sink} srs
match from any for local action "local"
match from any for domain "relay.test" action "relay"
"""
CONTENT = b"Subject: secret-subject\r\nFrom: ann@client.test\r\n\r\nsecret-body\r\n.secret-dotted\r\n"
KNOWN = b"client.test"
"""No secret, and in everything."""


def key_and_cert(folder: Path) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=mail.test".split()
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    key.chmod(0o600)
    return key, cert


def secrets(key: Path) -> list[bytes]:
    """What must not be seen, in every form that it has on its way."""
    lines = [line for line in key.read_bytes().splitlines() if not line.startswith(b"-")]
    der = base64.b64decode(b"".join(lines))
    login = base64.b64encode(b"\0user\0secret-password")
    alone = base64.b64encode(b"secret-password").rstrip(b"=")
    middle = [der[at : at + 24] for at in range(64, len(der) - 24, 64)]
    return [b"secret-", login, alone, *lines[1:-1], *middle]


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
    daemon: Callable[..., Daemon], sink: Callable[..., Sink], tmp_path: Path
) -> None:
    key, cert = key_and_cert(tmp_path)
    relayed = sink()
    one = daemon(CONF, key=key, cert=cert, sink=relayed.port)
    unwanted = secrets(key)
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
        client.ehlo()
        if client.has_extn("starttls"):
            client.starttls()
            client.ehlo()
            client.login("user", "secret-password")
        client.sendmail("ann@client.test", ["you@localhost", "far@relay.test"], CONTENT)
    (mail,) = one.mails("you")
    assert b"secret-body" in mail and b"secret-body" in relayed.wait(1)[0].content
    one.wait_empty()
    one.ctl("show", "status")
    msgid = re.findall(r"message msgid=([0-9a-f]{8})", one.log())[0]

    for process, memory in memories(one):
        assert_without(f"the recorder of {process}", memory, unwanted, known=process in ("pony", "queue"))
    for text in ("recorder --last=0", "profile", "--json show profile"):
        words = text.split() if text.startswith("--") else ["show", *text.split()]
        assert_without(text, one.ctl(*words).encode(), unwanted, known=False)
    for form in ("", "--mermaid", "--svg", "--perfetto", "--folded"):
        shown = one.ctl("show", "flow", msgid, *form.split())
        assert "DeliverMaildir" in shown
        assert_without(f"show flow {form}", shown.encode(), unwanted, known=form in ("", "--svg"))
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
    assert_without("the log", one.log().encode(), unwanted)
