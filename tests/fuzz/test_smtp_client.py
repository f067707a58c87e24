"""Whatever a server says, in whatever pieces: the client core never raises, each recipient has one result."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.smtp.client import Client
from smtpd.protocol.smtp.client_events import (
    Closed,
    Event,
    Mail,
    MailDone,
    Rcpt,
    RcptDone,
    Ready,
    SendContent,
    Settings,
    StartTls,
)

CORPUS = sorted((Path(__file__).parent / "corpus" / "smtp_client").iterdir())

MAILS = (
    Mail("a@x", (Rcpt("b@y"), Rcpt("c@y")), 50, True),
    Mail("", (Rcpt("d@y", "NEVER"),)),
    Mail("e@x", (Rcpt("f\r\n@y"), Rcpt("g@y"))),
    Mail("h@x", (Rcpt("i@y"),)),
)


class Caller:
    """An I/O layer that sends MAILS and checks what it is told."""

    def __init__(self, settings: Settings) -> None:
        self.client = Client(settings)
        self.left = list(MAILS)
        self.results: dict[tuple[str, int], str] = {}
        self.done: list[str] = []
        self.closed = 0

    def feed(self, data: bytes) -> None:
        self.take(self.client.receive(data))

    def take(self, events: list[Event]) -> None:
        for event in events:
            assert not self.closed
            match event:
                case SendContent(mail):
                    assert any((mail.sender, n) not in self.results for n in range(len(mail.rcpts)))
                    self.take(self.client.content(b".some\n", last=False))
                    self.take(self.client.content(b"text", last=True))
                case RcptDone(mail, rcpt, result, status):
                    assert (mail.sender, rcpt) not in self.results
                    assert result in ("ok", "tempfail", "permfail") and status.isprintable()
                    self.results[mail.sender, rcpt] = result
                case MailDone(mail):
                    assert all((mail.sender, n) in self.results for n in range(len(mail.rcpts)))
                    self.done.append(mail.sender)
                case StartTls():
                    self.take(self.client.tls_started())
                case Closed():
                    self.closed += 1
                case Ready():
                    pass
        while self.left and self.client.takes_mail:
            self.take(self.client.send(self.left.pop(0)))
        if not self.left and self.client.idle:
            self.take(self.client.quit())
        assert b"\x00" not in self.client.take_output()
        assert self.client.timeout > 0

    def finish(self) -> None:
        self.take(self.client.receive_eof())
        assert self.closed == 1
        begun = len(MAILS) - len(self.left)
        assert self.done == [mail.sender for mail in MAILS[:begun]]


SETTINGS = st.builds(
    Settings,
    st.just("me"),
    lmtp=st.booleans(),
    tls=st.sampled_from(["no", "opportunistic", "required"]),
    secure=st.booleans(),
    auth_user=st.sampled_from(["", "ann"]),
    pipelining=st.booleans(),
    ahead=st.booleans(),
)

REPLY = st.sampled_from(
    [
        b"220 mx\r\n",
        b"250 ok\r\n",
        b"250-mx\r\n250-PIPELINING\r\n250-SIZE 60\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250 DSN\r\n",
        b"250-mx\r\n250 PIPELINING\r\n",
        b"354 go\r\n",
        b"334 eA==\r\n",
        b"235 welcome\r\n",
        b"421 bye\r\n",
        b"450 4.2.1 later\r\n",
        b"550-5.1.1 no\r\n550 5.1.1 never\r\n",
        b"2",
        b"250-",
        b"\r\n",
        b"\xff\x00",
    ]
)
GOOD = st.sampled_from([b"250 ok\r\n", b"250 ok\r\n250 ok\r\n354 go\r\n", b"354 go\r\n", b"550 no\r\n"])
START = st.sampled_from([b"", b"220 x\r\n", b"220 x\r\n250-x\r\n250 PIPELINING\r\n", b"220 x\r\n250 x\r\n"])


def drive(settings: Settings, pieces: list[bytes]) -> Caller:
    caller = Caller(settings)
    for piece in pieces:
        caller.feed(piece)
        if caller.closed:
            break
    if not caller.closed:
        caller.finish()
    return caller


@given(SETTINGS, START, st.lists(REPLY | GOOD | GOOD, max_size=40))
def test_replies_in_any_order(settings: Settings, start: bytes, replies: list[bytes]) -> None:
    drive(settings, [start, *replies])


@given(SETTINGS, START, st.lists(st.binary(max_size=30) | REPLY, max_size=20))
def test_any_bytes(settings: Settings, start: bytes, pieces: list[bytes]) -> None:
    drive(settings, [start, *pieces])


@given(START, st.lists(GOOD, max_size=30), st.integers(1, 7))
def test_small_pieces(start: bytes, replies: list[bytes], step: int) -> None:
    cut = [reply[n : n + step] for reply in [start, *replies] for n in range(0, len(reply), step)]
    drive(Settings("me"), cut)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data = path.read_bytes()
    for settings in (Settings("me"), Settings("me", lmtp=True), Settings("me", pipelining=False)):
        for step in (1, 3, len(data)):
            drive(settings, [data[n : n + step] for n in range(0, len(data), step)])
