"""Command lines: which parameters for which extensions, and nothing that breaks a line."""

from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.smtp.client_commands import TIMEOUTS, UNSAFE, base64, mail_command, rcpt_command
from smtpd.protocol.smtp.client_events import Mail, Rcpt

ALL = {"SIZE": "", "8BITMIME": "", "DSN": "", "SMTPUTF8": ""}


def test_mail_parameters() -> None:
    mail = Mail("a@b", (Rcpt("c@d"),), 12, True, "HDRS", "QQ1")
    assert mail_command(mail, {}) == "MAIL FROM:<a@b>"
    assert mail_command(mail, ALL) == "MAIL FROM:<a@b> SIZE=12 BODY=8BITMIME RET=HDRS ENVID=QQ1"
    assert mail_command(Mail("", ()), ALL) == "MAIL FROM:<>"
    assert mail_command(Mail("a@b", (), ret="nonsense", envid="a b"), ALL) == "MAIL FROM:<a@b>"
    assert mail_command(Mail("a@b", (Rcpt("ü@d"),)), ALL) == "MAIL FROM:<a@b> SMTPUTF8"


def test_rcpt_parameters() -> None:
    rcpt = Rcpt("c@d", "SUCCESS", "rfc822;x@y")
    assert rcpt_command(rcpt, {}) == "RCPT TO:<c@d>"
    assert rcpt_command(rcpt, ALL) == "RCPT TO:<c@d> NOTIFY=SUCCESS ORCPT=rfc822;x@y"
    assert rcpt_command(Rcpt("c@d", "x y", "a\r\nDATA"), ALL) == "RCPT TO:<c@d>"


def test_base64() -> None:
    assert base64("\0ann\0secret") == "AGFubgBzZWNyZXQ="
    assert base64("\udce9") == "6Q=="


def test_rfc_5321_timeouts() -> None:
    assert (TIMEOUTS["BANNER"], TIMEOUTS["MAIL"], TIMEOUTS["RCPT"], TIMEOUTS["DATA"]) == (300, 300, 300, 120)
    assert TIMEOUTS["."] == 600


@given(st.text(), st.text(), st.text(), st.text())
def test_parameters_never_break_the_line(ret: str, envid: str, notify: str, orcpt: str) -> None:
    lines = (
        mail_command(Mail("a@b", (), 0, False, ret, envid), ALL),
        rcpt_command(Rcpt("c@d", notify, orcpt), ALL),
    )
    assert not any(UNSAFE.search(line) for line in lines)
