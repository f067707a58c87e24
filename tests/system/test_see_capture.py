"""Captures of a running daemon in other hands: tshark decodes them with our dissector, from a file and from a
pipe; and one mail's way in every form that there is."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import chrome_trace as checker
import pytest
from browser import Browser, program
from daemon import Daemon
from looking import Looking

from smtpctl.see.dissector import lua
from smtpd.messages.catalogue import CATALOGUE

FIELDS = (
    "frame.number", "smtpd.seen", "smtpd.sender", "smtpd.receiver", "smtpd.kind", "smtpd.session",
    "smtpd.CreateMessage.session", "smtpd.MessageCreated.msgid", "smtpd.msgid", "smtpd.request_in",
    "smtpd.elapsed", "smtpd.descriptor", "smtpd.DeliverMda.envelope.rcpt.user", "smtpd.malformed",
)  # fmt: skip


@pytest.fixture
def dissector(tmp_path: Path) -> Path:
    if shutil.which("tshark") is None:
        pytest.skip("no tshark: tools/system_needs installs it")
    path = tmp_path / "smtpd.lua"
    path.write_text(lua())
    return path


def tshark(dissector: Path, *words: str) -> list[str]:
    """Its argv."""
    return ["tshark", "-X", f"lua_script:{dissector}", *words]


def home(tmp_path: Path) -> dict[str, str]:
    """An environment in which nobody's plugins and settings change anything."""
    return os.environ | {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}


def decoded(dissector: Path, tmp_path: Path, capture: Path, *words: str) -> list[dict[str, str]]:
    """The packets by FIELDS."""
    wanted = [word for field in FIELDS for word in ("-e", field)]
    done = subprocess.run(
        tshark(dissector, "-r", str(capture), "-2", "-T", "fields", *wanted, *words),
        capture_output=True,
        text=True,
        timeout=60,
        env=home(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return [dict(zip(FIELDS, row, strict=True)) for row in rows]


def test_tshark_reads_it_with_names(daemon: Callable[..., Daemon], dissector: Path, tmp_path: Path) -> None:
    one = daemon()
    path = tmp_path / "mail.pcapng"
    capture = Looking(one, "capture", "-w", str(path), "--handlers", "--mail", "NEXT")
    one.send("ann@client.test", "you@localhost")
    capture.end()
    (msgid,) = re.findall(r"message msgid=([0-9a-f]{8})", one.log())
    assert path.stat().st_mode & 0o777 == 0o600
    assert CATALOGUE.digest().encode() in path.read_bytes()[:400]

    packets = decoded(dissector, tmp_path, path)
    assert not [packet for packet in packets if packet["smtpd.malformed"]]
    received = {p["smtpd.kind"]: p for p in packets if p["smtpd.seen"] == "received"}
    created, reply = received["CreateMessage"], received["MessageCreated"]
    assert (created["smtpd.sender"], created["smtpd.receiver"]) == ("pony", "queue")
    assert re.fullmatch(r"[0-9a-f]{16}", created["smtpd.CreateMessage.session"])
    assert created["smtpd.CreateMessage.session"] == created["smtpd.session"]
    assert reply["smtpd.MessageCreated.msgid"] == reply["smtpd.msgid"] == msgid
    assert reply["smtpd.request_in"] == created["frame.number"] and float(reply["smtpd.elapsed"]) > 0
    assert received["DeliverMda"]["smtpd.DeliverMda.envelope.rcpt.user"] == "you"
    assert received["IncomingOpened"]["smtpd.descriptor"] in ("1", "True")
    some = decoded(dissector, tmp_path, path, "-Y", f'smtpd.msgid == "{msgid}" && smtpd.elapsed')
    assert {"MessageCreated"} <= {p["smtpd.kind"] for p in some} < set(received)


def test_tshark_shows_it_live(daemon: Callable[..., Daemon], dissector: Path, tmp_path: Path) -> None:
    one = daemon()
    reading, writing = os.pipe()
    wanted = ("-i", "-", "-l", "-T", "fields", "-e", "smtpd.kind", "-c", "8")
    shark = subprocess.Popen(
        tshark(dissector, *wanted),
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=home(tmp_path),
    )
    os.close(reading)
    capture = Looking(one, "capture", "--kind", "CreateMessage,CommitMessage", stdout=writing)
    os.close(writing)
    one.send("ann@client.test", "you@localhost")
    one.mails("you")
    out, err = shark.communicate(timeout=60)
    assert shark.returncode == 0, err
    kinds = ("CreateMessage", "MessageCreated", "CommitMessage", "MessageCommitted")
    assert out.split() == [kind for kind in kinds for _ in range(2)]
    # the reader is gone: the writer ends by itself, at the latest with the next packets
    one.send("ann@client.test", "you@localhost")
    capture.process.wait(30)
    assert b"Traceback" not in capture.process.communicate(timeout=10)[1]


def test_every_form_of_a_mail(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    one = daemon()
    path = tmp_path / "mails.pcapng"
    capture = Looking(one, "capture", "-w", str(path), "--handlers", "--count=0")
    for name in ("ann", "bob"):
        one.send(f"{name}@client.test", ["you@localhost", "me@localhost"])
    one.mails("you", 2)
    one.mails("me", 2)
    one.wait_empty()
    assert "missed" not in capture.interrupt()[0]  # it has looked once more
    first, second = re.findall(r"message msgid=([0-9a-f]{8})", one.log())

    def flow(wanted: str, *words: str) -> str:
        return one.ctl("show", "flow", wanted, f"--read={path}", *words)

    rows = [
        json.loads(line) for line in one.ctl("--json", "show", "flow", first, f"--read={path}").splitlines()
    ]
    (session,) = {session for row in rows for session in row["sessions"]}
    evpids = sorted({evpid for row in rows for evpid in row["envelopes"]})
    assert {row["kind"] for row in rows} >= {"CreateMessage", "DeliverMaildir", "EnvelopeDone"}
    assert not any(second in row["messages"] for row in rows)
    assert len(evpids) == 2 and all(evpid.startswith(first) for evpid in evpids)
    assert flow(session).splitlines()[1:] == flow(first).splitlines()[1:]
    for evpid in evpids:
        lines = flow(evpid).splitlines()
        assert sum(" DeliverMda " in line for line in lines) == 1
        assert not any(
            other in line for other in set(evpids) - {evpid} for line in lines if "DeliverMda" in line
        )

    diagram = flow(first, "--mermaid").splitlines()
    arrows = [re.fullmatch(r"    (\w+)--?>>(\w+): (\w+).*", line) for line in diagram if ">>" in line]
    assert [match.group(1, 2, 3) for match in arrows if match] == [
        (row["sender"], row["receiver"], row["kind"]) for row in rows
    ]
    drawing = ElementTree.fromstring(flow(first, "--svg"))
    texts = [element.text or "" for element in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert all(any(row["kind"] in text for text in texts) for row in rows)
    found = checker.check(flow("all", "--perfetto").splitlines(keepends=True))
    assert set(found.processes.values()) >= {"parent", "lookup", "pony", "queue", "scheduler"}
    assert found.phases["s"] == found.phases["f"] > 40 and found.phases["b"] == found.phases["e"] > 15
    stacks = dict(line.rsplit(" ", 1) for line in flow("all", "--folded").splitlines())
    assert all(re.fullmatch(r"\w+;\w+;[\w ,]+", stack) for stack in stacks)
    assert int(stacks["queue;CommitMessage;open, others work"]) > 0
    assert any(stack.endswith(";handler") for stack in stacks)

    if program() is None:
        pytest.skip("no Chromium for the page: tools/system_needs installs it")
    page = tmp_path / "mail.html"
    page.write_text(flow(first, "--html"))
    with Browser() as browser:
        browser.open(page)
        browser.until(f"document.documentElement.dataset.complete && count() === {len(rows)}")
        drawn = browser.run("[...state.rows].map((i) => HEAD.kinds[column.kind[i]].name)")
        assert drawn == [row["kind"] for row in rows]
        assert (browser.errors, browser.asked) == ([], [])
