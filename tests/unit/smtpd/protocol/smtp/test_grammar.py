"""Verbs, paths and parameters of SMTP commands."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import EMPTY, MailAddress
from smtpd.protocol.smtp import grammar
from smtpd.protocol.smtp.grammar import MailParameters, Problem, RcptParameters

SPLIT = [
    (b"EHLO client", b"EHLO", "client"),
    (b"ehlo   client", b"EHLO", "client"),
    (b"EHLO", b"EHLO", None),
    (b"EHLO ", b"EHLO", None),
    (b"EHLO\tclient", b"EHLO\tCLIENT", None),
    (b"DATA \t ", b"DATA", None),
    (b"", b"", None),
    (b"mail from:<a@b>", grammar.MAIL, "<a@b>"),
    (b"MAIL FROM: <a@b> SIZE=1 ", grammar.MAIL, "<a@b> SIZE=1"),
    (b"MAIL FROM:", grammar.MAIL, ""),
    (b"MAIL FROM <a@b>", b"MAIL", "FROM <a@b>"),
    (b"MAIL FROM", b"MAIL", "FROM"),
    (b"Rcpt To:<a@b>", grammar.RCPT, "<a@b>"),
    (b"RCPT TO :<a@b>", b"RCPT", "TO :<a@b>"),
    (b"NOOP \xff", b"NOOP", "\udcff"),
    # letters that would fold to ASCII as text
    ("MA\u0131L FROM:<a@b>".encode(), "MA\u0131L".encode(), "FROM:<a@b>"),
]


@pytest.mark.parametrize(("line", "verb", "argument"), SPLIT)
def test_split_command(line: bytes, verb: bytes, argument: str | None) -> None:
    assert grammar.split_command(line) == (verb, argument)


@given(st.binary(max_size=80))
def test_any_line_splits(line: bytes) -> None:
    verb, argument = grammar.split_command(line)
    if argument is not None:
        assert argument.encode("utf-8", "surrogateescape") in line
    assert verb == verb.upper()


def test_control_characters() -> None:
    assert not grammar.has_control_characters("a\tb j\xf6rg \udcff")
    for character in "\x00\x07\n\r\x1b\x7f":
        assert grammar.has_control_characters(f"a{character}b")


def test_split_path() -> None:
    assert grammar.split_path("<a@b> SIZE=1") == ("a@b", " SIZE=1")
    assert grammar.split_path("<>") == ("", "")
    assert grammar.split_path("<a@b>SIZE=1") == ("a@b", "SIZE=1")
    for wrong in ("", "a@b", "<a@b", " <a@b>", None):
        assert grammar.split_path(wrong) == (None, "")


PATHS = [
    ("a@b", MailAddress("a", "b")),
    ("a", MailAddress("a", "here")),
    ("A.b+c@X.Example", MailAddress("A.b+c", "X.Example")),
    ("@one,@two:a@b", MailAddress("a", "b")),
    ("a@[192.0.2.1]", MailAddress("a", "[192.0.2.1]")),
    ("a@[IPv6:2001:db8::1]", MailAddress("a", "[IPv6:2001:db8::1]")),
    ("@b", None),
    ("a@", MailAddress("a", "here")),
    ("a@b@c", None),
    ("a b@c", None),
    ('"a b"@c', None),
    ("a@b.", None),
    ("a@-b", None),
    ("a..b@c", None),
    ("j\xf6rg@b", None),
    ("a\udcff@b", None),
    ("a" * 256 + "@b", None),
    ("a@" + "b" * 300, None),
    (None, None),
]


@pytest.mark.parametrize(("path", "expected"), PATHS)
def test_parse_path(path: str | None, expected: MailAddress | None) -> None:
    for null_allowed in (True, False):
        assert grammar.parse_path(path, "here", null_allowed=null_allowed) == expected


def test_null_path() -> None:
    assert grammar.parse_path("", "here", null_allowed=True) == EMPTY
    assert grammar.parse_path("", "here", null_allowed=False) is None


MAIL = [
    ("", MailParameters()),
    ("  SIZE=1000  BODY=8BITMIME ", MailParameters(1000)),
    ("size=0 body=7bit", MailParameters(0, False)),
    ("AUTH=<> RET=full ENVID=QQ314159", MailParameters(0, True, "FULL", "QQ314159")),
    ("RET=HDRS", MailParameters(0, True, "HDRS")),
    ("RET=BOTH", MailParameters()),
    ("SIZE=", Problem("size", "SIZE=")),
    ("SIZE=-1", Problem("size", "SIZE=-1")),
    ("SIZE=1e9", Problem("size", "SIZE=1e9")),
    ("SIZE=\u0663", Problem("size", "SIZE=\u0663")),
    ("SIZE=" + "9" * 5000, Problem("size", "SIZE=" + "9" * 5000)),
    ("BODY=BINARYMIME", Problem("unsupported", "BODY=BINARYMIME")),
    ("SMTPUTF8", Problem("unsupported", "SMTPUTF8")),
    ("SIZE=1 X", Problem("unsupported", "X")),
    ("ENVID=" + "x" * 100, MailParameters(dsn_envid="x" * 100)),
    ("ENVID=" + "x" * 101, Problem("envid", "x" * 101)),
]


@pytest.mark.parametrize(("text", "expected"), MAIL)
def test_mail_parameters(text: str, expected: object) -> None:
    assert grammar.parse_mail_parameters(text, dsn=True) == expected


RCPT = [
    ("", RcptParameters()),
    (" NOTIFY=success,FAILURE", RcptParameters(3)),
    ("NOTIFY=DELAY ORCPT=rfc822;a+2Bb@c", RcptParameters(4, "rfc822;a+2Bb@c")),
    ("NOTIFY=NEVER", RcptParameters(8)),
    ("NOTIFY=SOMETIMES", RcptParameters()),
    ("NOTIFY=NEVER,DELAY", Problem("notify", "NOTIFY=NEVER,DELAY")),
    ("ORCPT=a@b", Problem("orcpt", "ORCPT=a@b")),
    ("ORCPT=rfc822;a=b", Problem("orcpt", "ORCPT=rfc822;a=b")),
    ("ORCPT=rfc822;a+2b", Problem("orcpt", "ORCPT=rfc822;a+2b")),
    ("ORCPT=rfc822;" + "a" * 494, Problem("orcpt", "ORCPT=rfc822;" + "a" * 494)),
    ("SIZE=1", Problem("unsupported", "SIZE=1")),
]


@pytest.mark.parametrize(("text", "expected"), RCPT)
def test_rcpt_parameters(text: str, expected: object) -> None:
    assert grammar.parse_rcpt_parameters(text, dsn=True) == expected


@pytest.mark.parametrize("option", ["RET=FULL", "ENVID=x"])
def test_mail_without_dsn(option: str) -> None:
    assert grammar.parse_mail_parameters(option, dsn=False) == Problem("unsupported", option)


@pytest.mark.parametrize("option", ["NOTIFY=NEVER", "ORCPT=rfc822;a@b"])
def test_rcpt_without_dsn(option: str) -> None:
    assert grammar.parse_rcpt_parameters(option, dsn=False) == Problem("unsupported", option)


@given(st.text(max_size=60))
def test_any_parameters(text: str) -> None:
    grammar.parse_mail_parameters(text, dsn=True)
    grammar.parse_rcpt_parameters(text, dsn=True)
    grammar.parse_path(text, "here", null_allowed=True)


@pytest.mark.parametrize(
    ("text", "valid"), [("", True), ("a+00b", True), ("+", False), ("+0", False), ("a b", False)]
)
def test_xtext(text: str, valid: bool) -> None:
    assert grammar.valid_xtext(text) is valid


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"AUTH PLAIN AGEAYg==", b"AUTH PLAIN ********"),
        (b"auth login x y", b"AUTH login ********"),
        (b"AUTH PLAIN", b"AUTH PLAIN"),
        (b"AUTH  secret", b"AUTH ********"),
        (b"AUTH", b"AUTH"),
        (b"AUTH c2VjcmV0", b"AUTH ********"),
        (b"AUTH PLAIN\tAGEAYg==", b"AUTH ********"),
        (b"AUTH\tPLAIN AGEAYg==", b"********"),
        (b" auth plain AGEAYg==", b"********"),
        (b"AUTH=PLAIN AGEAYg==", b"********"),
        (b"AUTHENTICATE PLAIN AGEAYg==", b"********"),
        (b"MAIL FROM:<a@b>", b"MAIL FROM:<a@b>"),
    ],
)
def test_without_secret(line: bytes, shown: bytes) -> None:
    assert grammar.without_secret(line) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"c2VjcmV0", b"********"),
        (b"", b"********"),
        (b"auth login x", b"AUTH login ********"),
        (b"aUthc2VjcmV0", b"********"),  # base64 too
    ],
)
def test_without_secret_after_a_login(line: bytes, shown: bytes) -> None:
    assert grammar.without_secret(line, login=True) == shown


SECRETS = st.binary(min_size=6, max_size=40).map(base64.b64encode)
AUTH = st.sampled_from([b"AUTH", b"auth", b"aUtH"])
MECHANISM = st.sampled_from([b"", b"PLAIN", b"login", b"CRAM-MD5", b"x"])
SEPARATOR = st.binary(max_size=3).filter(lambda separator: b"\n" not in separator)


@given(st.sampled_from([b"", b" ", b"\t"]), AUTH, SEPARATOR, MECHANISM, SEPARATOR, SECRETS)
def test_nothing_is_shown_of_what_is_sent_with_auth(
    before: bytes, auth: bytes, first: bytes, mechanism: bytes, second: bytes, secret: bytes
) -> None:
    line = before + auth + first + mechanism + second + secret
    assert grammar.begins_login(line)
    assert secret not in grammar.without_secret(line)


@given(st.sampled_from([b"", b"AUTH", b"auth", b"Auth"]), SECRETS)
def test_nothing_is_shown_of_what_is_sent_after_auth(beginning: bytes, secret: bytes) -> None:
    """Those that begin with "auth" are base64 as well as all others."""
    assert grammar.without_secret(beginning + secret, login=True) == b"********"
