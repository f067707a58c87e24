"""The state table: whole, and as it is printed."""

import pytest

from smtpd.protocol.smtp import session_state
from smtpd.protocol.smtp.server import ServerSession
from smtpd.protocol.smtp.session_state import ANSWERS, COMMAND_STATES, COMMANDS, WAITING, State

PRINTED = """\
verb       GREETED             IDENTIFIED          MAIL                RCPT
HELO       do_helo()           ALREADY_IDENTIFIED  ALREADY_IDENTIFIED  ALREADY_IDENTIFIED
EHLO       do_ehlo()           ALREADY_IDENTIFIED  ALREADY_IDENTIFIED  ALREADY_IDENTIFIED
STARTTLS   NOT_NOW             NOT_SUPPORTED       NOT_NOW             NOT_NOW
AUTH       NOT_NOW             NOT_SUPPORTED       NOT_NOW             NOT_NOW
MAIL FROM  NOT_NOW             do_mail_from()      NOT_NOW             NOT_NOW
RCPT TO    NOT_NOW             NOT_NOW             do_rcpt_to()        do_rcpt_to()
DATA       NOT_NOW             NOT_NOW             NO_RECIPIENT        do_data()
RSET       NOT_NOW             do_rset()           do_rset()           do_rset()
QUIT       do_quit()           do_quit()           do_quit()           do_quit()
NOOP       do_noop()           do_noop()           do_noop()           do_noop()
HELP       do_help()           do_help()           do_help()           do_help()
VRFY       do_vrfy()           do_vrfy()           do_vrfy()           do_vrfy()
WIZ        NO_WIZARD           NO_WIZARD           NO_WIZARD           NO_WIZARD
WAIT_CREATE   Created -> on_created()    Failed -> on_refused()
WAIT_EXPAND   Expanded -> on_expanded()  Failed -> on_not_expanded()
WAIT_OPEN     Opened -> on_opened()      Failed -> on_refused()
WAIT_COMMIT   Committed -> on_committed() Failed -> on_refused()
"""


def test_printed() -> None:
    assert session_state.render() == PRINTED


@pytest.mark.parametrize("state", State)
def test_each_state_is_of_one_kind(state: State) -> None:
    kinds = [state in COMMAND_STATES, state in WAITING, state in (State.BODY, State.CLOSED)]
    assert kinds.count(True) == 1
    assert (state in COMMANDS) == (state in COMMAND_STATES)


def test_each_question_can_be_answered() -> None:
    assert set(ANSWERS) == WAITING - {State.CONNECTED}


def test_each_method_is_there_and_in_the_table() -> None:
    named = {cell for row in COMMANDS.values() for cell in row.values() if isinstance(cell, str)}
    named |= {name for row in ANSWERS.values() for name in row.values()}
    assert named == {name for name in vars(ServerSession) if name.startswith(("do_", "on_"))}
