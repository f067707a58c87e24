"""Mail to real mail exchangers, Debian's Postfix, Exim and OpenSMTPD: it arrives byte for byte."""

import re
from collections.abc import Iterator

import programs
import pytest
from bytewise import CONTENTS, HEADER, own_part
from daemon import Daemon
from exchangers import ALL, Exchanger

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

CONFIGURATION = """\
listen on 127.0.0.1 port ${port}
smtp max-message-size 20000000
action "relay" relay host smtp://127.0.0.1:${peer}
match from any for domain "peer.test" action "relay"
"""


@pytest.fixture(scope="module", params=ALL, ids=lambda kind: kind.name)
def peer(request: pytest.FixtureRequest) -> Iterator[Exchanger]:
    if missing := request.param.missing():
        pytest.skip(missing)
    one = request.param()
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture(scope="module")
def relaying(peer: Exchanger) -> Iterator[Daemon]:
    one = Daemon(CONFIGURATION, peer=peer.port)
    try:
        yield one.start()
    finally:
        one.close()


@pytest.fixture
def to_peer(peer: Exchanger, relaying: Daemon) -> Iterator[Exchanger]:
    yield peer
    peer.clear()
    peer.told.taken.clear()


def submit(daemon: Daemon, content: bytes, rcpts: list[str], options: str = "", each: str = "") -> None:
    """One message, as it is; CRLF is added where it does not end with one."""
    with daemon.smtp() as client:
        client.ehlo()
        assert client.docmd(f"MAIL FROM:<a@source.test> {options}".strip())[0] == 250
        for rcpt in rcpts:
            assert client.docmd(f"RCPT TO:<{rcpt}> {each}".strip())[0] == 250
        assert client.data(content)[0] == 250


def fields(head: bytes) -> list[str]:
    """The names of its header fields, in order."""
    return [line.partition(b":")[0].decode() for line in re.split(rb"\n(?![ \t])", head) if line]


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_mail_arrives_byte_for_byte(to_peer: Exchanger, relaying: Daemon, content: bytes) -> None:
    submit(relaying, content, ["you@peer.test"])
    (got,) = to_peer.mails(1)
    names = fields(own_part(got, content))
    assert names[-2:] == ["Received", "Received"], names
    assert set(names) <= {"Received", "Return-Path", "Delivered-To", "X-Original-To"}
    relaying.wait_empty()


def test_a_mail_without_a_line_end_at_its_end_gets_one(to_peer: Exchanger, relaying: Daemon) -> None:
    content = HEADER.replace(b"\r\n", b"\n") + b"\nno line end"
    done = programs.run(relaying, "sendmail", "-fa@source.test", "you@peer.test", data=content)
    assert (done.returncode, done.stderr) == (0, b"")
    (got,) = to_peer.mails(1)
    own_part(got, content + b"\n")


def test_recipients_go_together(to_peer: Exchanger, relaying: Daemon) -> None:
    """As many as a server must take (RFC 5321 4.5.3.1.8): a copy for each of them, of one message.

    Of two, where the processes between were held up in the middle.
    """
    rcpts = [f"user{number}@peer.test" for number in range(100)]
    content = HEADER + b"\r\nto all\r\n"
    submit(relaying, content, rcpts)
    copies = to_peer.mails(100)
    relaying.wait_empty()
    for copy in copies:
        own_part(copy, content)
    # both Received fields begin as the peer's own: what it calls a message stands in the first
    ids = {re.search(rb"\sid ([\w-]+)", copy)[1] for copy in copies}  # type: ignore[index]
    assert len(ids) <= 2, ids


def test_many_mails_arrive_once_each_and_with_their_own_content(to_peer: Exchanger, relaying: Daemon) -> None:
    before = len(re.findall("mta connecting", relaying.log()))
    contents = [HEADER + b"\r\nmail %d\r\n" % number * (number % 7 + 1) for number in range(60)]
    with relaying.smtp() as client:
        for number, content in enumerate(contents):
            client.sendmail("a@source.test", [f"user{number}@peer.test"], content)
    got = to_peer.mails(60)
    relaying.wait_empty()
    for content in contents:
        assert sum(one.endswith(content.replace(b"\r\n", b"\n")) for one in got) == 1, content
    assert len(re.findall("mta connecting", relaying.log())) - before < 30


def test_what_the_sender_wants_to_be_told_goes_along(to_peer: Exchanger, relaying: Daemon) -> None:
    """RFC 3461: the peer has RET, ENVID, NOTIFY and ORCPT, for it makes the notification from them.

    OpenSMTPD's says nothing of ENVID and ORCPT, but it comes, and without the body.
    """
    content = HEADER + b"Subject: told\r\n\r\nthe body is not wanted back\r\n"
    each = "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@elsewhere.test"
    submit(relaying, content, ["you@peer.test"], "RET=HDRS ENVID=an-id", each)
    (got,) = to_peer.mails(1)
    own_part(got, content)
    (told,) = to_peer.told.wait(1)
    assert (told.sender, told.rcpts) == ("", ("a@source.test",))
    report = told.content.lower()
    assert b"\naction: delivered\r\n" in report
    if to_peer.tells_ids:
        assert b"\noriginal-envelope-id: an-id\r\n" in report
        assert b"\noriginal-recipient: rfc822;first@elsewhere.test\r\n" in report
    assert b"the body is not wanted back" not in told.content
    assert "DSN" not in relaying.log()
