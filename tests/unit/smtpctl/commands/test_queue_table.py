"""smtpctl/commands/queue_table.py."""

import io
from typing import Any

import pytest

from smtpctl.commands.queue_table import brief, entry, head
from smtpctl.commands.rows import Row
from smtpctl.output import Output
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.control_scheduler import EnvelopeState

NOW = 1_700_001_000
ENVELOPE = Envelope(
    evpid=0x6C472DE90A0B0C0D,
    type="mta",
    sender=MailAddress("ann", "example.org"),
    rcpt=MailAddress("bob", "example.net"),
    dest=MailAddress("bob", "example.net"),
    ctime=NOW - 93784,
    retry=2,
)


def state(word: str, time: int, suspended: bool = False) -> EnvelopeState:
    return EnvelopeState(ENVELOPE.evpid, "mta", word, suspended, 2, time)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Output:
    return Output(out=io.TextIOWrapper(io.BytesIO()))


@pytest.mark.parametrize(
    ("row", "lines"),
    [
        (
            Row(ENVELOPE, state("pending", NOW + 125)),
            "6c472de90a0b0c0d mta    pending   in 2m5s   2     1d2h      bob@example.net\n"
            "                 from ann@example.org\n",
        ),
        (
            Row(ENVELOPE._replace(errorline="451 later\x1b[2J", sender=EMPTY), state("pending", NOW)),
            "6c472de90a0b0c0d mta    pending   now       2     1d2h      bob@example.net\n"
            "                 from <>\n"
            "                 451 later\\x1b[2J\n",
        ),
        (
            Row(ENVELOPE._replace(rcpt=MailAddress("all", "example.org")), state("inflight", NOW - 3)),
            "6c472de90a0b0c0d mta    inflight  for 3s    2     1d2h      bob@example.net\n"
            "                 from ann@example.org to all@example.org\n",
        ),
        (
            Row(ENVELOPE, state("held", NOW, True)),
            "6c472de90a0b0c0d mta    paused    for 0s    2     1d2h      bob@example.net\n"
            "                 from ann@example.org\n",
        ),
        (
            Row(ENVELOPE, None),
            "6c472de90a0b0c0d mta    offline             2     1d2h      bob@example.net\n"
            "                 from ann@example.org\n",
        ),
    ],
)
def test_an_entry(plain: Output, row: Row, lines: str) -> None:
    assert entry(plain, row, NOW) == lines
    assert all(len(line) <= 80 for line in lines.splitlines())


def test_the_head_stands_above_its_columns(plain: Output) -> None:
    first = entry(plain, Row(ENVELOPE, state("pending", NOW)), NOW)
    line = head(plain)
    assert line.split() == ["ENVELOPE", "TYPE", "STATE", "NEXT", "TRIES", "AGE", "TO"]
    for word, column in (("TYPE", "mta"), ("STATE", "pending"), ("NEXT", "now"), ("TO", "bob")):
        assert line.index(word) == first.index(column)


def test_colours_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    output = Output(out=Terminal(io.BytesIO()))
    shown = entry(output, Row(ENVELOPE._replace(errorline="451 later"), state("inflight", NOW)), NOW)
    assert "\x1b[32m6c472de90a0b0c0d" in shown
    assert "\x1b[31m451 later\x1b[m" in shown


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (3605, "1h5s"), (93784, "1d2h"), (400_000, "4d15h")],
)
def test_brief(seconds: int, text: str) -> None:
    assert brief(seconds) == text


def test_at_a_terminal_show_queue_is_a_table(
    smtpctl: Any, daemon: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from smtpd.messages.client_queue import ClientShowQueue, QueueRow

    daemon.rows[ClientShowQueue] = [QueueRow(1, state("pending", NOW), ENVELOPE)] * 2
    assert smtpctl("show", "queue").out.count("|") == 26
    monkeypatch.setattr(Output, "__init__", _at_terminal(Output.__init__))
    out = smtpctl("show", "queue").out
    assert out.startswith("ENVELOPE ")
    assert len(out.splitlines()) == 5
    assert smtpctl("show", "queue", "--sort=created").out == out
    assert smtpctl("--json", "show", "queue").out.startswith("{")


def _at_terminal(real: Any) -> Any:
    def init(self: Output, **options: Any) -> None:
        real(self, **options)
        self.width = 80

    return init
