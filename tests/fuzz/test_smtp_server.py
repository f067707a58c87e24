"""Whatever a client says, in whatever pieces: the server replies, never raises, and pieces change nothing."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtpd.protocol.smtp.server import ServerSession
from smtpd.protocol.smtp.session_io import (
    Accepted,
    Action,
    Answer,
    Close,
    CommitMessage,
    Committed,
    Created,
    CreateMessage,
    Expanded,
    ExpandRecipient,
    Failed,
    Opened,
    OpenMessage,
    Refused,
    Rollback,
    ServerSettings,
    WriteContent,
)
from smtpd.protocol.smtp.session_state import State

CORPUS = sorted((Path(__file__).parent / "corpus" / "smtp_server").iterdir())

SETTINGS = ServerSettings(
    "mx.example",
    max_message_size=200,
    max_rcpt=3,
    max_mails=3,
    max_commands=30,
    max_errors=8,
    max_overrun=300,
)
REPLY = re.compile(rb"(?:[2-5][0-9]{2}-[ -~\x80-\xff]*\r\n)*[2-5][0-9]{2} [ -~\x80-\xff]*\r\n")


class Caller:
    """Surroundings that answer when told to, and check that what they are told makes sense."""

    def __init__(self, refusals: list[bool], settings: ServerSettings = SETTINGS) -> None:
        self.core = ServerSession(settings, "192.0.2.1")
        self.refusals = list(refusals)
        self.question: Action | None = None
        self.messages = 0
        self.open = 0
        self.said = b""
        self.story: list[str] = []
        self.files: list[bytes] = []
        self.file: bytes | None = None
        self.closed = False
        self.take(self.core.connected("client.example"))

    def take(self, actions: list[Action]) -> None:
        for action in actions:
            assert not self.closed
            assert self.question is None
            match action:
                case WriteContent(data):
                    assert data
                    assert self.file is not None
                    self.file += data
                case Rollback(msgid):
                    assert msgid == self.open
                    self.open = 0
                    self.file = None
                    self.story.append(f"rollback {msgid}")
                case Accepted(msgid, size, protocol, sender, recipients):
                    assert msgid == self.open
                    assert self.file is not None
                    assert size == len(self.file)
                    assert 0 < len(recipients) <= SETTINGS.max_rcpt
                    assert self.file.endswith(b"\n")
                    self.files.append(self.file)
                    self.open = 0
                    self.file = None
                    self.story.append(f"accepted {msgid} {protocol} {sender} {recipients}")
                case Refused(command, result):
                    assert command.isprintable()
                    assert result.isprintable()
                    self.story.append(f"refused {command}: {result}")
                case Close(reason):
                    assert not self.open
                    self.closed = True
                    self.story.append(f"close {reason}")
                case _:
                    self.question = action
        assert self.closed == (self.core.state is State.CLOSED)
        assert self.core.waiting == (self.question is not None)
        self.said += self.core.take_output()

    def receive(self, data: bytes) -> None:
        self.take(self.core.receive(data))

    def settle(self) -> None:
        while (question := self.question) is not None:
            self.question = None
            refused = bool(self.refusals) and self.refusals.pop(0)
            self.take(self.core.answer(self.no(question) if refused else self.yes(question)))

    def yes(self, question: Action) -> Answer:
        match question:
            case CreateMessage():
                assert not self.open
                self.messages += 1
                self.open = self.messages
                return Created(self.messages, 1700000000)
            case ExpandRecipient(envelope):
                assert envelope.evpid == self.open << 32
                return Expanded((envelope.evpid + 1,))
            case OpenMessage(msgid):
                assert msgid == self.open
                self.file = b""
                return Opened("now", 1)
            case CommitMessage(msgid):
                assert msgid == self.open
                return Committed()
        raise AssertionError(question)

    def no(self, question: Action) -> Answer:
        return Failed("550 no\xff") if isinstance(question, ExpandRecipient) else Failed(full=True)

    def finish(self) -> None:
        self.settle()
        self.take(self.core.eof())
        self.settle()
        assert self.closed
        assert not self.open
        assert re.fullmatch(rb"(?:%s)*" % REPLY.pattern, self.said)


def drive(
    groups: list[bytes], step: int, refusals: list[bool], settings: ServerSettings = SETTINGS
) -> Caller:
    """Each group in pieces of `step` octets; questions are answered when all of a group was received."""
    caller = Caller(refusals, settings)
    for group in groups:
        for n in range(0, len(group), step):
            caller.receive(group[n : n + step])
        caller.settle()
    caller.finish()
    return caller


COMMAND = st.sampled_from(
    [
        b"EHLO client.example\r\n",
        b"HELO [192.0.2.1]\r\n",
        b"MAIL FROM:<a@x.example>\r\n",
        b"MAIL FROM:<> SIZE=100 BODY=8BITMIME RET=FULL ENVID=x\r\n",
        b"MAIL FROM:<a@x.example> SIZE=1000\r\n",
        b"RCPT TO:<b@y.example>\r\n",
        b"RCPT TO:<b> NOTIFY=NEVER ORCPT=rfc822;b\r\n",
        b"RCPT TO:<b@y.example> NOTIFY=NEVER,DELAY\r\n",
        b"DATA\r\n",
        b"RSET\r\n",
        b"NOOP \xff\x00\r\n",
        b"VRFY a\n",
        b"STARTTLS\r\n",
        b"AUTH PLAIN =\r\n",
        b"QUIT\r\n",
        b"HELP\r\n",
        b"\r\n",
        b"x" * 2047 + b"\r\n",
        b"x" * 2048 + b"\r\n",
    ]
)
CONTENT = st.sampled_from(
    [
        b"From: a\r\n",
        b"To: b,\r\n c\r\n",
        b"Bcc: d\r\n",
        b"Received: e\r\n" * 5,
        b"\r\n",
        b"..\r\n",
        b".\n",
        b"\n.\r\n",
        b"\r.\r",
        b"text\x00\xff",
        b"text" * 60,
        b".\r\n",
    ]
)
START = b"EHLO c\r\nMAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
GROUP = st.one_of(
    COMMAND,
    st.lists(COMMAND, max_size=5).map(b"".join),
    st.lists(CONTENT, max_size=8).map(b"".join),
    st.lists(CONTENT, max_size=8).map(lambda lines: b"".join(lines) + b"\r\n.\r\n"),
    st.binary(max_size=40),
    st.just(START),
    st.just(b"DATA\r\n"),
)
GROUPS = st.lists(GROUP, max_size=12) | st.lists(GROUP, max_size=12).map(
    lambda rest: [START, b"DATA\r\n", *rest]
)
REFUSALS = st.lists(st.integers(0, 5).map(lambda n: n == 0), max_size=12)


@given(GROUPS, st.integers(1, 9), REFUSALS)
@settings(max_examples=400)
def test_any_groups_in_any_pieces(groups: list[bytes], step: int, refusals: list[bool]) -> None:
    whole = drive(groups, 1 << 20, refusals)
    pieces = drive(groups, step, refusals)
    assert pieces.said == whole.said
    assert pieces.story == whole.story
    assert pieces.files == whole.files


@given(
    st.lists(st.binary(max_size=60) | COMMAND, max_size=20),
    st.sampled_from(["eof", "lost", "timed_out", "shut_down"]),
)
def test_an_end_at_any_time(pieces: list[bytes], how: str) -> None:
    caller = Caller([])
    for n, piece in enumerate(pieces):
        caller.receive(piece)
        if n % 3 == 0:
            caller.settle()
    caller.take(getattr(caller.core, how)())
    caller.finish()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    """A file is groups, with a line of `%` between two."""
    groups = path.read_bytes().split(b"%\r\n")
    for limits in (SETTINGS._replace(max_overrun=1 << 20), ServerSettings("mx.example")):
        whole = drive(groups, 1 << 20, [], limits)
        for step in (1, 2, 7):
            pieces = drive(groups, step, [], limits)
            assert (pieces.said, pieces.story, pieces.files) == (whole.said, whole.story, whole.files)
