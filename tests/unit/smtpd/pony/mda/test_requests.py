"""Which agent delivers an envelope, and what it is asked for."""

import pytest

from smtpd.config.model import LocalAction
from smtpd.mail.address import MailAddress
from smtpd.mail.envelope import Envelope
from smtpd.messages.delivery import DeliverLmtp, DeliverMaildir, DeliverMbox
from smtpd.pony.mda.requests import method_of, named_file, request_for
from smtpd.pony.mda.user import UserInfo
from smtpd.protocol.mda_variables import FormatError

ANN = UserInfo("ann", 1000, 1000, "/home/ann")
POST = UserInfo("post", 99, 99, "/srv/post")
ENVELOPE = Envelope(7 << 32 | 1, "mda", "x")._replace(
    sender=MailAddress("some", "sender.example"),
    rcpt=MailAddress("info", "example.org"),
    dest=MailAddress("ann", "example.org"),
    mda_subaddress="tag",
)
HEADERS = b"Return-Path: <some@sender.example>\nDelivered-To: info@example.org\n"
REST = (HEADERS, "ann@example.org", ENVELOPE.evpid)
FILE = "/usr/lib/x86_64-linux-gnu/opensmtpd/mail.mboxfile -f %{mbox.from} "


def action(method: str, argument: str = "", **fields: object) -> LocalAction:
    return LocalAction(name="x", method=method, argument=argument, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "mda_exec", "wrapper", "kind"),
    [
        ("maildir", "", "", "maildir"),
        ("mbox", "", "", "mbox"),
        ("lmtp", "", "", "lmtp"),
        ("mda", "", "", ""),
        ("mbox", "/bin/cat", "", ""),
        ("mbox", FILE + "/home/ann/saved", "", "maildir"),
        ("expand-only", FILE + "/home/ann/saved", "", "maildir"),
        ("mbox", FILE + "/home/ann/saved", "w", ""),
        ("maildir", "", "w", ""),
    ],
)
def test_method(method: str, mda_exec: str, wrapper: str, kind: str) -> None:
    assert method_of(action(method, wrapper=wrapper), ENVELOPE._replace(mda_exec=mda_exec)) == kind
    assert method_of(None, ENVELOPE) == ""


def test_named_file() -> None:
    assert named_file(FILE + "/a b/c\n") == "/a b/c\n"
    for text in (
        "",
        "/bin/cat",
        FILE,
        FILE + "relative",
        FILE[1:] + "/x",
        "sh " + FILE + "/x",
        FILE[:-12] + "/x",
    ):
        assert named_file(text) == ""


@pytest.mark.parametrize(
    ("chosen", "request_"),
    [
        (action("maildir"), DeliverMaildir("/srv/post/Maildir", "tag", False, *REST)),
        (action("maildir", "~/m", junk=True), DeliverMaildir("/home/ann/m", "tag", True, *REST)),
        (action("maildir", "/m/%{rcpt.user}"), DeliverMaildir("/m/info", "tag", False, *REST)),
        (action("mbox"), DeliverMbox("", "some@sender.example", *REST)),
        (
            action("lmtp", "/run/%{user.username}"),
            DeliverLmtp("/run/ann", "some@sender.example", "ann", *REST),
        ),
        (
            action("lmtp", "host:24", rcpt_to=True),
            DeliverLmtp("host:24", "some@sender.example", "ann@example.org", *REST),
        ),
    ],
)
def test_request(chosen: LocalAction, request_: object) -> None:
    assert request_for(chosen, chosen.method, ANN, POST, ENVELOPE, "+") == request_


def test_request_for_a_named_file() -> None:
    envelope = ENVELOPE._replace(mda_exec=FILE + "/saved", sender=MailAddress("", ""))
    assert request_for(action("mda"), "maildir", ANN, POST, envelope, "+") == DeliverMbox(
        "/saved", "", b"Delivered-To: info@example.org\n", *REST[1:]
    )


def test_bad_format() -> None:
    with pytest.raises(FormatError):
        request_for(action("lmtp", "%{nonsense}"), "lmtp", ANN, POST, ENVELOPE, "+")
