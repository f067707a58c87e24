"""smtpctl/commands/queue.py."""

import json
from pathlib import Path
from typing import Any

import pytest

from smtpctl.commands.queue import line, source, values
from smtpctl.commands.rows import Row
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import FLAG_AUTHENTICATED, FLAG_BOUNCE, FLAG_INTERNAL, Envelope
from smtpd.mail.envelope_text import encode
from smtpd.messages.client_queue import ClientShowQueue, QueueRow
from smtpd.messages.control_scheduler import EnvelopeState

EVPID = 0x6C472DE90A0B0C0D
NOW = 1_700_001_000


def envelope(**changes: Any) -> Envelope:
    return Envelope(
        evpid=EVPID,
        type="mta",
        dispatcher="relay",
        smtpname="mail.example.org",
        helo="client.example.org",
        hostname="client.example.org",
        sockaddr="192.0.2.1",
        sender=MailAddress("ann", "example.org"),
        rcpt=MailAddress("bob", "example.net"),
        dest=MailAddress("carol", "example.com"),
        ctime=1_700_000_000,
        ttl=345_600,
        last_try=1_700_000_500,
        retry=2,
        errorline="451 4.3.2 try later",
    )._replace(**changes)


def state(word: str = "pending", time: int = NOW + 300, suspended: bool = False) -> EnvelopeState:
    return EnvelopeState(EVPID, "mta", word, suspended, 2, time)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            Row(envelope(), state()),
            "6c472de90a0b0c0d|inet4|mta||ann@example.org|bob@example.net|carol@example.com|1700000000"
            "|1700345600|1700000500|2|pending|300|451 4.3.2 try later",
        ),
        (
            Row(envelope(sockaddr="[2001:db8::1]", errorline=""), state("inflight", NOW - 7)),
            "6c472de90a0b0c0d|inet6|mta||ann@example.org|bob@example.net|carol@example.com|1700000000"
            "|1700345600|1700000993|2|inflight|7|",
        ),
        (
            Row(
                envelope(sockaddr="local", type="mda", flags=FLAG_AUTHENTICATED), state("held", NOW - 7, True)
            ),
            "6c472de90a0b0c0d|local|mda|auth,suspend,hold|ann@example.org|bob@example.net|carol@example.com"
            "|1700000000|1700345600|1700000500|2|pending|-7|451 4.3.2 try later",
        ),
        (
            Row(
                envelope(
                    type="bounce",
                    sender=EMPTY,
                    flags=FLAG_BOUNCE | FLAG_INTERNAL,
                    retry=0,
                    last_try=0,
                    errorline="back\\slash \xe9",
                ),
                None,
            ),
            "6c472de90a0b0c0d|inet4|bounce|bounce,internal|@|bob@example.net|carol@example.com|1700000000"
            "|1700345600|0|0|offline||back\\\\slash \\M-C\\M-)",
        ),
    ],
)
def test_the_fields_of_opensmtpd(row: Row, expected: str) -> None:
    assert line(row, NOW) == expected
    assert expected.count("|") == 13


def test_json() -> None:
    common = {
        "envelope": "6c472de90a0b0c0d",
        "message": "6c472de9",
        "type": "mta",
        "suspended": False,
        "flags": [],
        "source": "inet4",
        "sender": "ann@example.org",
        "recipient": "bob@example.net",
        "destination": "carol@example.com",
        "created": 1_700_000_000,
        "expires": 1_700_345_600,
        "last_try": 1_700_000_500,
        "tries": 2,
        "error": "451 4.3.2 try later",
    }
    assert values(Row(envelope(), state())) == common | {
        "state": "pending",
        "next_try": NOW + 300,
        "since": None,
    }
    assert values(Row(envelope(), state("inflight", NOW - 7))) == common | {
        "state": "inflight",
        "next_try": None,
        "since": NOW - 7,
    }
    offline = values(Row(envelope(sender=EMPTY), None))
    assert offline == common | {"state": "offline", "next_try": None, "since": None, "sender": ""}


def test_from_the_daemon(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowQueue] = [QueueRow(1, state(), envelope()), QueueRow(1, state("held"), envelope())]
    status, out, err = smtpctl("show", "queue")
    assert (status, err) == (0, "")
    assert [fields.split("|")[0] for fields in out.splitlines()] == [f"{EVPID:016x}"] * 2
    _, out, _ = smtpctl("--json", "show", "queue", "6c472de9", "--runstate=held")
    assert [json.loads(row)["state"] for row in out.splitlines()] == ["held"]
    assert daemon.asked == [ClientShowQueue(0), ClientShowQueue(0x6C472DE9)]


def test_out_of_the_spool_without_a_daemon(smtpctl: Any, daemon: Any, state: Path) -> None:
    daemon.running = False
    folder = state / "spool" / "queue" / "6c" / "6c472de9"
    folder.mkdir(parents=True)
    (folder / "message").write_bytes(b"\n")
    (folder / f"{EVPID:016x}").write_bytes(encode(envelope()))
    (folder / f"{EVPID + 1:016x}").write_bytes(b"nonsense")
    status, out, err = smtpctl("show", "queue")
    assert (status, out) == (0, f"{line(Row(envelope(), None), 0)}\n")
    assert err.startswith(f"smtpctl: envelope {EVPID + 1:016x}: ")
    assert smtpctl("show", "queue", "6c472de9").out == out
    assert smtpctl("show", "queue", "6c472dea").out == ""


def test_neither_daemon_nor_spool(smtpctl: Any, daemon: Any, state: Path) -> None:
    daemon.running = False
    (state / "spool" / "queue").rmdir()
    assert smtpctl("show", "queue") == (69, "", "smtpctl: smtpd doesn't seem to be running\n")


def test_a_list_that_broke_off_is_a_failure(smtpctl: Any, daemon: Any) -> None:
    daemon.rows[ClientShowQueue] = [QueueRow(1, state(), envelope())]
    daemon.error = "queue does not answer"
    status, out, _ = smtpctl("show", "queue")
    assert status == 1
    assert out.splitlines()[1] == "command failed: queue does not answer"


def test_a_filter_that_means_nothing(smtpctl: Any) -> None:
    status, out, err = smtpctl("show", "queue", "--older=yesterday")
    assert (status, out) == (64, "")
    assert "'yesterday' is no age" in err


def test_sources() -> None:
    assert [source(text) for text in ("local", "192.0.2.1", "[::1]", "")] == ["local", "inet4", "inet6", "?"]


def listed(smtpctl: Any, daemon: Any, *words: str) -> list[str]:
    """The last digits of the ids, in the order shown."""
    result = smtpctl("show", "queue", *words)
    assert result.status == 0, result.err
    return [text.split("|")[0][-1] for text in result.out.splitlines()]


@pytest.fixture
def five(daemon: Any) -> None:
    """Envelopes 1 to 5, each kind of field in another order."""
    rows = []
    for number, created, sender, next_try, runstate in (
        (1, 30, "e", 500, "pending"),
        (2, 10, "d", 100, "pending"),
        (3, 50, "c", 300, "inflight"),
        (4, 20, "b", 200, "pending"),
        (5, 40, "a", 400, "held"),
    ):
        one = envelope(
            evpid=number, ctime=created, sender=MailAddress(sender, "example.org"), retry=number % 2
        )
        rows.append(QueueRow(1, state(runstate, next_try), one))
    daemon.rows[ClientShowQueue] = rows


@pytest.mark.parametrize(
    ("words", "order"),
    [
        ([], "12345"),
        (["--sort=created"], "24153"),
        (["--sort=-created"], "35142"),
        (["--sort=sender"], "54321"),
        (["--sort=tries"], "24135"),
        (["--sort=-tries"], "13524"),
        (["--sort=next"], "35241"),
        (["--sort=state"], "53124"),
        (["--sort=created", "--limit=2"], "24"),
        (["--sort=-envelope"], "54321"),
        (["--limit=3"], "123"),
        (["--limit=0"], "12345"),
        (["--type=mda", "--sort=created"], ""),
    ],
)
@pytest.mark.usefixtures("five")
def test_order_and_number(smtpctl: Any, daemon: Any, words: list[str], order: str) -> None:
    assert "".join(listed(smtpctl, daemon, *words)) == order


@pytest.mark.usefixtures("five")
def test_the_next_page(smtpctl: Any, daemon: Any) -> None:
    listed(smtpctl, daemon, "--limit=2", "--after=6c472de90a0b0c0d")
    listed(smtpctl, daemon, "6c472de9", "--after=6c472de90a0b0c0d")
    assert daemon.asked == [ClientShowQueue(0, EVPID + 1), ClientShowQueue(0x6C472DE9, EVPID + 1)]


def test_the_next_page_of_a_spool(smtpctl: Any, daemon: Any, state: Path) -> None:
    daemon.running = False
    for number in range(1, 4):
        evpid = EVPID + number
        folder = state / "spool/queue/6c/6c472de9"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "message").touch()
        (folder / f"{evpid:016x}").write_bytes(encode(envelope(evpid=evpid)))
    assert len(listed(smtpctl, daemon)) == 3
    assert listed(smtpctl, daemon, f"--after={EVPID + 2:016x}") == [f"{EVPID + 3:x}"[-1]]


@pytest.mark.parametrize("word", ["--sort=colour", "--limit=x", "--limit=-1", "--after=12"])
def test_what_means_nothing(smtpctl: Any, daemon: Any, word: str) -> None:
    status, out, err = smtpctl("show", "queue", word)
    assert (status, out) == (64, "")
    assert word.partition("=")[2] in err
