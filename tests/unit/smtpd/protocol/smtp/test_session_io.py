"""Settings, questions and answers: values, and which answer fits which question."""

import typing

from smtpd.protocol.smtp import session_io
from smtpd.protocol.smtp.session_io import ServerSettings
from smtpd.protocol.smtp.session_state import ANSWERS


def test_defaults_are_opensmtpds() -> None:
    settings = ServerSettings("mx.example")
    assert settings.max_message_size == 36700160
    assert (settings.max_rcpt, settings.max_mails, settings.timeout) == (1000, 100, 300)
    assert settings.dsn
    assert not settings.complete_headers


def test_every_answer_is_taken_somewhere() -> None:
    taken = {answer for row in ANSWERS.values() for answer in row}
    assert taken == set(typing.get_args(session_io.Answer))


def test_every_question_is_an_action() -> None:
    questions = set(typing.get_args(session_io.Question.__value__))
    assert len(questions) == len(ANSWERS)
    assert typing.get_args(session_io.Action.__value__)[0] is session_io.Question
