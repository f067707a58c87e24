"""The server core step by step; whole conversations are in tests/dialog."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import MailAddress
from smtpd.protocol.smtp import reply, server
from smtpd.protocol.smtp.server import COMMAND_MAX, INPUT_MAX, OutOfTurn, ServerSession
from smtpd.protocol.smtp.session_io import (
    Accepted,
    Action,
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

SETTINGS = ServerSettings("mx.example")
A = MailAddress("a", "x.example")
B = MailAddress("b", "y.example")
CREATED = Created(0x2A, 1700000000)
OPENED = Opened("now", 1)

HELLO = b"EHLO client.example\r\n"
MAIL = b"MAIL FROM:<a@x.example>\r\n"
RCPT = b"RCPT TO:<b@y.example>\r\n"


def session(
    *steps: bytes | Created | Expanded | Opened | Failed, settings: ServerSettings = SETTINGS
) -> ServerSession:
    """A session after these steps; what it said so far is forgotten."""
    one = ServerSession(settings, "192.0.2.1")
    one.connected("client.example")
    for step in steps:
        if isinstance(step, bytes):
            one.receive(step)
        else:
            one.answer(step)
    one.take_output()
    return one


IDENTIFIED = (HELLO,)
WITH_SENDER = (HELLO, MAIL, CREATED)
WITH_RCPT = (*WITH_SENDER, RCPT, Expanded((7,)))
IN_BODY = (*WITH_RCPT, b"DATA\r\n", OPENED)


def says(one: ServerSession, data: bytes) -> bytes:
    one.receive(data)
    return one.take_output()


# one message, one step after the other


def test_greeting_waits_for_the_name() -> None:
    one = ServerSession(SETTINGS, "192.0.2.1")
    assert one.waiting
    assert one.receive(HELLO) == []
    assert one.take_output() == b""
    assert one.connected("client.example") == []
    lines = one.take_output().splitlines()
    assert lines[0] == b"220 mx.example ESMTP smtpd"
    assert lines[1] == b"250-mx.example Hello client.example [192.0.2.1], pleased to meet you"
    assert lines[-1] == b"250 HELP"
    assert not one.waiting


def test_mail_asks_for_a_message() -> None:
    one = session(*IDENTIFIED)
    assert one.receive(MAIL) == [CreateMessage(A)]
    assert one.state is State.WAIT_CREATE
    assert one.take_output() == b""
    assert one.answer(CREATED) == []
    assert one.take_output() == reply.OK


def test_rcpt_asks_for_its_expansion() -> None:
    one = session(*WITH_SENDER)
    (question,) = one.receive(RCPT)
    assert isinstance(question, ExpandRecipient)
    assert question.envelope.rcpt == B
    assert question.envelope.sender == A
    assert question.envelope.evpid == 0x2A00000000
    assert question.envelope.helo == "client.example"
    assert one.answer(Expanded((7,))) == []
    assert one.take_output() == reply.RECIPIENT_OK


def test_data_asks_for_a_file_then_for_content() -> None:
    one = session(*WITH_RCPT)
    assert one.receive(b"DATA\r\n") == [OpenMessage(0x2A)]
    assert one.answer(OPENED) == []
    assert one.take_output() == reply.ENTER_MAIL


def test_content_is_written_and_committed() -> None:
    one = session(*IN_BODY)
    written, question = one.receive(b"A: b\r\n\r\nc\r\n.\r\nNOOP\r\n")
    assert isinstance(written, WriteContent)
    assert written.data.startswith(b"Received: from client.example")
    assert written.data.endswith(b"A: b\n\nc\n")
    assert question == CommitMessage(0x2A)
    assert one.take_output() == b""
    assert one.answer(Committed()) == [Accepted(0x2A, len(written.data), "ESMTP", A, [(B, (7,))])]
    assert one.take_output() == reply.accepted(0x2A) + reply.OK


def test_quit() -> None:
    one = session(*IDENTIFIED)
    assert one.receive(b"QUIT\r\nNOOP\r\n") == [Close("quit")]
    assert one.take_output() == reply.BYE
    assert one.receive(b"NOOP\r\n") == []
    assert one.take_output() == b""


# what fails


@pytest.mark.parametrize(
    ("steps", "answer", "said", "actions"),
    [
        ((HELLO, MAIL), Failed(), reply.TEMPORARY_ERROR, [Close("quit")]),
        ((HELLO, MAIL), Failed(full=True), reply.FULL, []),
        ((*WITH_SENDER, RCPT), Failed("550 no"), b"550 no: <b@y.example>\r\n", []),
        ((*WITH_SENDER, RCPT), Failed("451 a\r\n250 b"), b"451 a\\r\\n250 b: <b@y.example>\r\n", []),
        ((*WITH_SENDER, RCPT), Failed(), reply.TEMPORARY_FAILURE, [Rollback(0x2A), Close("quit")]),
        ((*WITH_SENDER, RCPT), Failed("250 ok"), reply.TEMPORARY_FAILURE, [Rollback(0x2A), Close("quit")]),
        ((*WITH_RCPT, b"DATA\r\n"), Failed(), reply.TEMPORARY_ERROR, [Rollback(0x2A), Close("quit")]),
        ((*WITH_RCPT, b"DATA\r\n"), Failed(full=True), reply.FULL, [Rollback(0x2A)]),
        ((*IN_BODY, b".\r\n"), Failed(), reply.TEMPORARY_FAILURE, [Rollback(0x2A), Close("quit")]),
        ((*IN_BODY, b".\r\n"), Failed(full=True), reply.FULL, [Rollback(0x2A)]),
    ],
)
def test_failures(
    steps: tuple[bytes | Created | Expanded | Opened, ...], answer: Failed, said: bytes, actions: list[Action]
) -> None:
    one = session(*steps)
    refused, *others = one.answer(answer)
    assert isinstance(refused, Refused)
    assert refused.result.encode() + b"\r\n" == said
    assert others == actions
    assert one.take_output() == said
    if not actions or Close("quit") not in actions:
        assert says(one, b"NOOP\r\n") == reply.OK


def test_a_refused_recipient_does_not_end_the_transaction() -> None:
    one = session(*WITH_SENDER, RCPT, Failed("550 no"))
    assert says(one, b"DATA\r\n") == reply.NO_RECIPIENT
    one = session(*WITH_RCPT, RCPT, Failed("550 no"))
    assert one.receive(b"DATA\r\n") == [OpenMessage(0x2A)]


def test_full_disk_is_told_at_the_dot() -> None:
    one = session(*IN_BODY)
    assert len(one.receive(b"A: b\r\n\r\nc\r\n")) == 1
    one.disk_full()
    assert one.receive(b"d\r\n") == []
    refused, rollback = one.receive(b".\r\n")
    assert refused == Refused(".", reply.FULL[:-2].decode(), False)
    assert rollback == Rollback(0x2A)
    assert one.take_output() == reply.FULL
    assert one.receive(MAIL) == [CreateMessage(A)]


def test_full_disk_outside_of_content_is_nothing() -> None:
    one = session(*IDENTIFIED)
    one.disk_full()
    assert says(one, b"NOOP\r\n") == reply.OK


def test_answers_out_of_turn() -> None:
    with pytest.raises(OutOfTurn):
        session(*IDENTIFIED).answer(CREATED)
    with pytest.raises(OutOfTurn):
        session(HELLO, MAIL).answer(Expanded((1,)))
    with pytest.raises(OutOfTurn):
        session().connected("again")


# input


def test_log_of_a_refusal() -> None:
    one = session(*IDENTIFIED)
    assert one.receive(b"XY\xff\x1bZ\r\n") == [
        Refused("XY\\M^?\\^[Z", reply.UNRECOGNIZED[:-2].decode(), False)
    ]


def test_no_secret_in_the_log() -> None:
    one = session(*IDENTIFIED)
    (refused,) = one.receive(b"AUTH PLAIN AGEAYg==\r\n")
    assert refused == Refused("AUTH PLAIN ********", reply.NOT_SUPPORTED[:-2].decode(), False)


def test_who_logs_in_without_being_asked_is_not_overheard() -> None:
    """RFC 4954 4: the lines after AUTH are for nobody else, and this client did not wait for our no."""
    one = session(*IDENTIFIED)
    said = one.receive(b"AUTH LOGIN\r\nam9l\r\nc2VjcmV0\r\nNOOP x\r\nBDAT 7\r\n")
    assert [each.command for each in said if isinstance(each, Refused)] == [
        "AUTH LOGIN",
        "********",
        "********",
        "BDAT 7",
    ]


@given(
    st.sampled_from([b"AUTH LOGIN", b"auth\tlogin", b" AUTH", b"AUTH:", b"AUTHENTICATE LOGIN"]),
    st.lists(st.binary(min_size=6, max_size=30).map(base64.b64encode), min_size=1, max_size=4),
    st.sampled_from([b"", b"auth", b"AUTH"]),
)
def test_whatever_begins_a_login_what_follows_is_not_overheard(
    auth: bytes, secrets: list[bytes], beginning: bytes
) -> None:
    one = session(*IDENTIFIED)
    lines = [auth, *(beginning + secret for secret in secrets)]
    said = one.receive(b"".join(line + b"\r\n" for line in lines))
    shown = [each.command for each in said if isinstance(each, Refused)]
    assert len(shown) == len(lines)
    assert set(shown[1:]) == {"********"}


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_longest_command(end: bytes) -> None:
    line = b"NOOP " + b"x" * (COMMAND_MAX - 6)
    assert says(session(*IDENTIFIED), line + end) == reply.OK
    one = session(*IDENTIFIED)
    assert one.receive(line + b"x" + end)[-1] == Close("quit")
    assert one.take_output() == reply.COMMAND_TOO_LONG


def test_a_line_without_end() -> None:
    one = session(*IDENTIFIED)
    assert one.receive(b"x" * COMMAND_MAX) == []
    refused, close = one.receive(b"x")
    assert refused == Refused("", reply.COMMAND_TOO_LONG[:-2].decode(), True)
    assert close == Close("quit")


def test_input_waits_for_the_answer() -> None:
    one = session(*IDENTIFIED)
    one.receive(MAIL + RCPT)
    assert one.receive(b"NOOP\r\n") == []
    assert not one.full
    assert one.take_output() == b""
    (question,) = one.answer(CREATED)
    assert isinstance(question, ExpandRecipient)
    one.answer(Expanded((1,)))
    assert one.take_output() == reply.OK + reply.RECIPIENT_OK + reply.OK


def test_full_when_much_waits() -> None:
    one = session(HELLO, MAIL)
    one.receive(b"x" * (INPUT_MAX - 1))
    assert not one.full
    one.receive(b"x")
    assert one.full


def test_data_may_not_be_pipelined_into() -> None:
    one = session(*WITH_RCPT)
    refused, rollback, close = one.receive(b"DATA\r\nA: b\r\n")
    assert (rollback, close) == (Rollback(0x2A), Close("quit"))
    assert one.take_output() == reply.NOT_PIPELINED
    # nor while its answer is awaited
    one = session(*WITH_RCPT, b"DATA\r\n")
    one.receive(b"x")
    assert one.answer(OPENED)[1:] == [Rollback(0x2A), Close("quit")]
    assert one.take_output() == reply.NOT_PIPELINED


# limits


def test_mails_of_a_session() -> None:
    one = session(*IN_BODY, settings=SETTINGS._replace(max_mails=1))
    one.receive(b".\r\n")
    one.answer(Committed())
    one.take_output()
    assert says(one, MAIL) == reply.TOO_MANY_MESSAGES


def test_recipients_of_a_message() -> None:
    one = session(*WITH_RCPT, settings=SETTINGS._replace(max_rcpt=1))
    assert says(one, RCPT) == reply.TOO_MANY_RECIPIENTS


def test_errors_between_messages() -> None:
    one = session(*IDENTIFIED, settings=SETTINGS._replace(max_errors=2))
    assert says(one, b"X\r\nX\r\n") == 2 * reply.UNRECOGNIZED
    assert says(one, b"X\r\nX\r\n") == reply.UNRECOGNIZED + reply.TOO_MANY_ERRORS
    assert one.state is State.CLOSED


def test_commands_between_messages() -> None:
    one = session(*IDENTIFIED, settings=SETTINGS._replace(max_commands=4))
    assert says(one, b"NOOP\r\n" * 3) == 3 * reply.OK
    assert says(one, b"NOOP\r\n") == reply.TOO_MANY_COMMANDS
    one = session(*IN_BODY, settings=SETTINGS._replace(max_commands=4))
    one.receive(b".\r\n")
    one.answer(Committed())
    one.take_output()
    assert says(one, b"NOOP\r\n" * 5) == 4 * reply.OK + reply.TOO_MANY_COMMANDS


def test_declared_size() -> None:
    one = session(*IDENTIFIED, settings=SETTINGS._replace(max_message_size=1000))
    assert says(one, b"MAIL FROM:<a@x.example> SIZE=1001\r\n") == reply.DECLARED_TOO_BIG
    assert one.receive(b"MAIL FROM:<a@x.example> SIZE=1000\r\n") == [CreateMessage(A)]


def test_size_in_data() -> None:
    one = session(*IN_BODY, settings=SETTINGS._replace(max_message_size=100))
    one.receive(b"A: b\r\n\r\n" + b"x\r\n" * 1000)
    assert one.take_output() == b""
    assert one.receive(b".\r\n")[-1] == Rollback(0x2A)
    assert one.take_output() == reply.TOO_BIG


def test_endless_data() -> None:
    one = session(*IN_BODY, settings=SETTINGS._replace(max_message_size=100, max_overrun=1000))
    assert one.receive(b"A: b\r\n\r\n" + b"x\r\n" * 1000)[-2:] == [Rollback(0x2A), Close("quit")]
    assert one.take_output() == reply.ENDLESS


def test_required_starttls_and_auth() -> None:
    assert (
        says(session(*IDENTIFIED, settings=SETTINGS._replace(starttls_required=True)), MAIL)
        == reply.STARTTLS_FIRST
    )
    settings = SETTINGS._replace(auth_required=True)
    assert says(session(*IDENTIFIED, settings=settings), MAIL) == reply.AUTH_FIRST
    one = ServerSession(settings, "local", authenticated=True)
    one.connected("localhost")
    assert one.receive(HELLO + MAIL) == [CreateMessage(A)]


# ends


@pytest.mark.parametrize("steps", [(), IDENTIFIED, WITH_SENDER, WITH_RCPT, IN_BODY])
@pytest.mark.parametrize("how", ["eof", "lost", "timed_out"])
def test_end_while_the_client_is_awaited(steps: tuple[bytes, ...], how: str) -> None:
    one = session(*steps)
    actions = getattr(one, how)()
    reason = Close("timeout" if how == "timed_out" else "disconnect")
    assert actions == ([Rollback(0x2A), reason] if len(steps) > 1 else [reason])
    assert one.take_output() == (reply.TIMEOUT if how == "timed_out" else b"")
    assert getattr(one, how)() == []


@pytest.mark.parametrize(
    ("steps", "answer", "actions"),
    [
        ((HELLO, MAIL), CREATED, [Rollback(0x2A), Close("disconnect")]),
        ((*WITH_SENDER, RCPT), Expanded((1,)), [Rollback(0x2A), Close("disconnect")]),
        ((*WITH_RCPT, b"DATA\r\n"), OPENED, [Rollback(0x2A), Close("disconnect")]),
    ],
)
@pytest.mark.parametrize("how", ["eof", "lost"])
def test_end_while_an_answer_is_awaited(
    steps: tuple[bytes, ...], answer: Created | Expanded | Opened, actions: list[Action], how: str
) -> None:
    one = session(*steps)
    assert getattr(one, how)() == []
    assert one.timed_out() == []
    assert one.answer(answer) == actions


def test_end_while_a_message_is_made_safe() -> None:
    one = session(*IN_BODY, b".\r\n")
    assert one.lost() == []
    accepted, close = one.answer(Committed())
    assert isinstance(accepted, Accepted)
    assert close == Close("disconnect")


def test_end_before_the_greeting() -> None:
    one = ServerSession(SETTINGS, "192.0.2.1")
    one.receive(HELLO)
    assert one.lost() == [Close("disconnect")]
    one = ServerSession(SETTINGS, "192.0.2.1")
    assert one.shut_down() == [Close("quit")]
    assert one.take_output() == reply.SHUTTING_DOWN


def test_what_came_before_the_end_is_done() -> None:
    one = session(*IDENTIFIED)
    one.receive(MAIL + b"QUIT\r\n")
    assert one.eof() == []
    assert one.answer(CREATED) == [Rollback(0x2A), Close("quit")]
    assert one.take_output() == reply.OK + reply.BYE


@pytest.mark.parametrize("steps", [(), IDENTIFIED, WITH_SENDER, WITH_RCPT])
def test_shut_down(steps: tuple[bytes, ...]) -> None:
    one = session(*steps)
    assert one.shut_down()[-1] == Close("quit")
    assert one.take_output() == reply.SHUTTING_DOWN


def test_shut_down_waits_for_the_message() -> None:
    one = session(*IN_BODY)
    assert one.shut_down() == []
    one.receive(b".\r\nNOOP\r\n")
    assert one.answer(Committed())[-1] == Close("quit")
    assert one.take_output() == reply.accepted(0x2A) + reply.SHUTTING_DOWN


def test_progress() -> None:
    one = session(*IN_BODY)
    begun = one.progress
    for _ in range(server.PROGRESS - 1):
        one.receive(b"x")
    assert one.progress == begun
    one.receive(b"x")
    assert one.progress == begun + 1
    one = session(*IDENTIFIED)
    begun = one.progress
    one.receive(b"NOO")
    assert one.progress == begun
    one.receive(b"P\r\n")
    assert one.progress > begun
