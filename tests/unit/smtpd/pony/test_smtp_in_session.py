"""One client on a real connection: messages to queue and lookup, the file, the log, every way it can end."""

import os
import resource
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

from smtpd.config.model import Config, Listener, SmtpSettings
from smtpd.messages import pony_lookup, pony_queue
from smtpd.pony import smtp_in_session
from smtpd.pony.smtp_in_session import client_address

MAIL = b"MAIL FROM:<a@x.example>\r\n"
RCPT = b"RCPT TO:<b@y.example>\r\n"
CONTENT = b"From: a@x.example\r\n\r\n..body\r\n.\r\n"

STEPS = {
    "greeting": (),
    "helo": (),
    "mail": (MAIL,),
    "rcpt": (MAIL, RCPT),
    "data": (MAIL, RCPT, b"DATA\r\n"),
    "content": (MAIL, RCPT, b"DATA\r\n"),
}


def session_lines(bench: Any) -> list[str]:
    """The log without the session's id."""
    return [line.partition(" ")[2] for line in bench.log.lines if " smtp " in line]


def test_one_mail(bench: Any, tmp_path: Path) -> None:
    client = bench.greeted()
    assert bench.say(client, MAIL) == b"250 2.0.0 Ok\r\n"
    assert bench.say(client, RCPT) == b"250 2.1.5 Destination address valid: Recipient ok\r\n"
    assert bench.say(client, b"DATA\r\n").startswith(b"354 ")
    assert bench.say(client, CONTENT) == b"250 2.0.0 00000001 Message accepted for delivery\r\n"
    assert bench.say(client, b"QUIT\r\n", b"") == b"221 2.0.0 Bye\r\n"
    bench.run()
    received, _, content = (tmp_path / "00000001").read_bytes().partition(b"From: ")
    assert received.startswith(
        b"Received: from c.example (client.example [127.0.0.1])\n\tby mx.example (smtpd) with ESMTP"
    )
    assert content.startswith(b"a@x.example\n")
    assert b"\nMessage-ID: <" in content  # loopback: completed as OpenSMTPD does
    assert content.endswith(b">\n\n.body\n")
    created, opened, committed = bench.queue.heard
    assert created == pony_queue.CreateMessage(int(bench.log.lines[1].split()[0], 16))
    assert opened == pony_queue.OpenIncoming(1)
    assert committed == pony_queue.CommitMessage(1)
    reverse, expand = bench.lookup.heard
    assert reverse == pony_lookup.ReverseName("127.0.0.1", created.session)
    assert (expand.session, expand.listener, expand.tls) == (created.session, 0, False)
    assert expand.envelope.tag == "T"
    assert expand.envelope.sockaddr == "127.0.0.1"
    assert abs(expand.envelope.ctime - (tmp_path / "00000001").stat().st_mtime) < 10
    size = len(received) + len(b"From: ") + len(content)
    assert session_lines(bench) == [
        "smtp connected address=127.0.0.1 host=client.example",
        f"smtp message msgid=00000001 size={size} nrcpt=1 proto=ESMTP",
        "smtp envelope evpid=0000000100000007 from=<a@x.example> to=<b@y.example>",
        "smtp disconnected reason=quit",
    ]
    assert not bench.smtp_in.sessions


def test_pipelined(bench: Any) -> None:
    client = bench.greeted()
    assert bench.say(client, MAIL + RCPT + b"DATA\r\n", b"itself\r\n").count(b"\r\n") == 3
    assert bench.say(client, CONTENT + b"QUIT\r\n", b"Bye\r\n").startswith(b"250 2.0.0 00000001")


def test_a_refused_recipient_is_logged(bench: Any) -> None:
    client = bench.greeted()
    bench.say(client, MAIL)
    assert bench.say(client, b"RCPT TO:<nobody@x>\r\n") == b"550 Invalid recipient: <nobody@x>\r\n"
    assert session_lines(bench)[-1] == (
        'smtp failed-command command="RCPT TO:<nobody@x>" result="550 Invalid recipient: <nobody@x>"'
    )


def test_bad_input_is_logged(bench: Any) -> None:
    client = bench.greeted()
    assert bench.say(client, b"x" * 3000, b"") == b"500 5.0.0 Command line too long\r\n"
    bench.run()
    assert session_lines(bench)[-2:] == [
        'smtp bad-input result="500 5.0.0 Command line too long"',
        "smtp disconnected reason=quit",
    ]


@pytest.mark.parametrize(
    ("reply", "host"),
    [
        (pony_lookup.ReverseNameFound(1, "none", ""), "<unknown>"),
        (pony_lookup.ReverseNameFound(1, "tempfail", ""), "<unknown>"),
        (pony_lookup.ReverseNameFound(1, "ok", "a b\nReceived: c"), "<unknown>"),
        (pony_lookup.ReverseNameFound(1, "ok", "h.example"), "h.example"),
        (None, "<unknown>"),
    ],
)
def test_names(bench: Any, reply: object, host: str) -> None:
    bench.lookup.answers[pony_lookup.ReverseName] = lambda _: (reply,)
    bench.hear(bench.connect(), b"\r\n")
    assert session_lines(bench) == [f"smtp connected address=127.0.0.1 host={host}"]


def test_a_name_that_does_not_come(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp_in_session, "NAME_TIMEOUT", 0.05)
    bench.lookup.answers[pony_lookup.ReverseName] = lambda _: None
    client = bench.connect()
    assert bench.hear(client, b"\r\n").startswith(b"220 ")
    assert session_lines(bench) == ["smtp connected address=127.0.0.1 host=<unknown>"]
    # it comes in the end, and is too late
    ((_, then),) = bench.lookup.open
    bench.lookup.open.clear()
    then(pony_lookup.ReverseNameFound(1, "ok", "late.example"))
    assert bench.say(client, b"NOOP\r\n") == b"250 2.0.0 Ok\r\n"


def test_what_a_client_says_before_the_greeting_waits(bench: Any) -> None:
    bench.lookup.answers[pony_lookup.ReverseName] = lambda _: None
    client = bench.connect()
    client.send(b"HELO c\r\n")
    bench.run(0.02)
    ((_, then),) = bench.lookup.open
    bench.lookup.open.clear()
    then(pony_lookup.ReverseNameFound(1, "ok", "h.example"))
    assert bench.hear(client, b"you\r\n").startswith(b"220 mx.example ESMTP smtpd\r\n250 mx.example Hello c ")


def test_a_client_that_goes_before_the_greeting_is_logged(bench: Any) -> None:
    bench.lookup.answers[pony_lookup.ReverseName] = lambda _: None
    client = bench.connect()
    bench.run(0.02)
    vanish(client)
    bench.run(0.02)
    connected, disconnected = session_lines(bench)
    assert connected == "smtp connected address=127.0.0.1 host=<unknown>"
    assert disconnected.startswith("smtp disconnected reason=")
    assert not bench.smtp_in.sessions


# every way to end, in every state


def vanish(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("state", STEPS)
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_goes(bench: Any, state: str, how: str) -> None:
    client = bench.connect() if state == "greeting" else bench.greeted()
    for step in STEPS[state]:
        bench.say(client, step)
    if state == "content":
        client.send(b"A: b\r\n" * 20000)
    bench.run(0.02)
    (client.close if how == "close" else lambda: vanish(client))()
    bench.run(0.02)
    assert not bench.smtp_in.sessions
    if len(STEPS[state]) > 0:
        assert bench.queue.heard[-1] == pony_queue.RollbackMessage(1)
    assert session_lines(bench)[-1].startswith("smtp disconnected reason=")
    if how == "reset" and state != "greeting":
        assert session_lines(bench)[-1] in (
            'smtp disconnected reason="io-error: Connection reset by peer"',
            "smtp disconnected reason=disconnect",
        )


@pytest.mark.parametrize(
    ("kind", "steps", "last"),
    [
        (pony_queue.CreateMessage, (), MAIL),
        (pony_lookup.ExpandRecipient, (MAIL,), RCPT),
        (pony_queue.OpenIncoming, (MAIL, RCPT), b"DATA\r\n"),
        (pony_queue.CommitMessage, (MAIL, RCPT, b"DATA\r\n"), CONTENT),
    ],
)
def test_a_client_that_goes_while_an_answer_is_awaited(
    bench: Any, kind: type, steps: tuple[bytes, ...], last: bytes
) -> None:
    peer = bench.lookup if kind is pony_lookup.ExpandRecipient else bench.queue
    client = bench.greeted()
    for step in steps:
        bench.say(client, step)
    answer = peer.answers[kind]
    peer.answers[kind] = lambda _: None
    client.send(last)
    bench.run(0.02)
    vanish(client)
    bench.run(0.02)
    assert len(bench.smtp_in.sessions) == 1
    ((message, then),) = peer.open
    peer.open.clear()
    then(*answer(message))
    bench.run()
    assert not bench.smtp_in.sessions
    if kind is pony_queue.CommitMessage:
        assert "smtp message msgid=00000001" in session_lines(bench)[-3]
    else:
        assert bench.queue.heard[-1] == pony_queue.RollbackMessage(1)


@pytest.mark.parametrize(
    ("kind", "steps", "last", "said"),
    [
        (pony_queue.CreateMessage, (), MAIL, b"421 4.3.0 Temporary Error\r\n"),
        (pony_lookup.ExpandRecipient, (MAIL,), RCPT, b"421 4.3.0 Temporary failure\r\n"),
        (pony_queue.OpenIncoming, (MAIL, RCPT), b"DATA\r\n", b"421 4.3.0 Temporary Error\r\n"),
        (pony_queue.CommitMessage, (MAIL, RCPT, b"DATA\r\n"), CONTENT, b"421 4.3.0 Temporary failure\r\n"),
    ],
)
def test_a_peer_that_is_gone(
    bench: Any, kind: type, steps: tuple[bytes, ...], last: bytes, said: bytes
) -> None:
    client = bench.greeted()
    for step in steps:
        bench.say(client, step)
    peer = bench.lookup if kind is pony_lookup.ExpandRecipient else bench.queue
    peer.answers[kind] = lambda _: (None, None) if kind is pony_queue.OpenIncoming else (None,)
    assert bench.say(client, last, b"") == said


def test_no_msgid(bench: Any) -> None:
    bench.queue.answers[pony_queue.CreateMessage] = lambda _: (pony_queue.MessageCreated(1, 0),)
    assert bench.say(bench.greeted(), MAIL, b"") == b"421 4.3.0 Temporary Error\r\n"
    assert bench.kinds() == ["CreateMessage"]


# storage


def test_queue_has_no_space(bench: Any) -> None:
    full = "message 00000001: No space left on device"
    client = bench.greeted()
    bench.say(client, MAIL)
    bench.say(client, RCPT)
    opens = bench.queue.answers[pony_queue.OpenIncoming]
    bench.queue.answers[pony_queue.OpenIncoming] = lambda _: (pony_queue.IncomingOpened(1, full), None)
    assert bench.say(client, b"DATA\r\n").startswith(b"452 4.3.1 ")
    bench.queue.answers[pony_queue.OpenIncoming] = opens
    bench.queue.answers[pony_queue.CommitMessage] = lambda _: (pony_queue.MessageCommitted(1, full),)
    for step in (MAIL, RCPT, b"DATA\r\n"):
        bench.say(client, step)
    assert bench.say(client, CONTENT).startswith(b"452 4.3.1 ")
    assert bench.say(client, b"NOOP\r\n") == b"250 2.0.0 Ok\r\n"
    assert bench.kinds().count("RollbackMessage") == 2


@pytest.mark.parametrize("size", [10, 1000, 300000])
def test_the_disk_is_full(bench: Any, size: int) -> None:
    bench.queue.answers[pony_queue.OpenIncoming] = lambda _: (
        pony_queue.IncomingOpened(1, ""),
        os.open("/dev/full", os.O_WRONLY),
    )
    client = bench.greeted()
    for step in (MAIL, RCPT, b"DATA\r\n"):
        bench.say(client, step)
    said = bench.say(client, b"A: b\r\n\r\n" + b"x\r\n" * (size // 3) + b".\r\n")
    assert said == b"452 4.3.1 Mail system full: Insufficient system storage\r\n"
    assert bench.kinds() == ["CreateMessage", "OpenIncoming", "RollbackMessage"]
    assert any("cannot write message: No space left on device" in line for line in bench.log.lines)
    assert bench.say(client, MAIL) == b"250 2.0.0 Ok\r\n"


def test_a_large_message_is_whole(bench: Any, tmp_path: Path) -> None:
    client = bench.greeted()
    for step in (MAIL, RCPT, b"DATA\r\n"):
        bench.say(client, step)
    body = b"".join(b"%d " % n + b"x" * (n % 90) + b"\r\n" for n in range(20000))
    assert bench.say(client, b"A: b\r\n\r\n" + body + b".\r\n").startswith(b"250 ")
    assert (tmp_path / "00000001").read_bytes().endswith(b"\n\n" + body.replace(b"\r\n", b"\n"))


# slow and greedy clients


def test_a_silent_client(bench: Any) -> None:
    client = bench.greeted()
    (session,) = bench.smtp_in.sessions
    now = bench.loop.time()
    session.check(now)
    session.check(now + 299)
    assert bench.say(client, b"NOOP\r\n") == b"250 2.0.0 Ok\r\n"
    session.check(now + 301)
    session.check(now + 600)
    assert bench.smtp_in.sessions
    session.check(now + 602)
    assert bench.hear(client, b"") == b"421 4.4.2 Timeout\r\n"
    bench.run()
    assert session_lines(bench)[-1] == "smtp disconnected reason=timeout"


def test_a_client_is_not_timed_out_while_we_think(bench: Any) -> None:
    bench.queue.answers[pony_queue.CreateMessage] = lambda _: None
    client = bench.greeted()
    client.send(MAIL)
    bench.run(0.02)
    (session,) = bench.smtp_in.sessions
    now = bench.loop.time()
    session.check(now)
    session.check(now + 1000)
    ((message, then),) = bench.queue.open
    bench.queue.open.clear()
    then(*bench.create(message))
    assert bench.hear(client, b"\r\n") == b"250 2.0.0 Ok\r\n"


def test_input_is_not_read_without_bound(bench: Any) -> None:
    bench.queue.answers[pony_queue.CreateMessage] = lambda _: None
    client = bench.greeted()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    client.send(MAIL)
    bench.run(0.02)
    sent = 0
    for _ in range(2000):
        try:
            sent += client.send(b"NOOP\r\n" * 5000)
        except BlockingIOError:
            bench.run()
    (session,) = bench.smtp_in.sessions
    assert sent < 16 << 20  # what the kernel buffers, and not much more
    assert not session._reading
    assert len(session._core._buffer) < 1 << 20


def test_a_client_that_does_not_read(make_bench: Any) -> None:
    # without the limit of commands, so that only what waits to be sent can stop it
    listeners = (Listener(on="127.0.0.1"),)
    bench = make_bench(Config(hostname="mx.example", listeners=listeners, smtp=SmtpSettings(max_rcpt=10**7)))
    client = bench.connect()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert bench.hear(client, b"\r\n").startswith(b"220 ")
    (session,) = bench.smtp_in.sessions
    sent = 0
    for _ in range(200):
        try:
            sent += client.send(b"NOOP\r\n" * 5000)
        except BlockingIOError:
            bench.run()
    assert sent < 16 << 20
    assert not session._reading
    assert session._transport.get_write_buffer_size() < 4 << 20
    # the deadline: it is told, which it does not read either, and cut off
    now = bench.loop.time()
    session.check(now)
    session.check(now + 300)
    assert session_lines(bench)[-1] == "smtp disconnected reason=timeout"
    assert bench.smtp_in.sessions
    session.check(now + 400)
    bench.run(0.02)
    assert not bench.smtp_in.sessions


def test_a_client_that_reads_again(make_bench: Any) -> None:
    listeners = (Listener(on="127.0.0.1"),)
    bench = make_bench(Config(hostname="mx.example", listeners=listeners, smtp=SmtpSettings(max_rcpt=10**7)))
    client = bench.connect()
    bench.hear(client, b"\r\n")
    (session,) = bench.smtp_in.sessions
    sent = 0
    while session._reading:
        try:
            sent += client.send(b"NOOP\r\n" * 5000)
        except BlockingIOError:
            pass
        bench.run()
    half = sent % 6
    heard = bench.say(client, b"NOOP\r\n"[half:] * bool(half) + b"QUIT\r\n", b"Bye\r\n")
    assert heard.count(b"250 2.0.0 Ok\r\n") == -(-sent // 6)


def test_stopping(bench: Any) -> None:
    idle, busy = bench.greeted(), bench.greeted()
    for step in (MAIL, RCPT, b"DATA\r\n"):
        bench.say(busy, step)
    stopping = bench.loop.create_task(bench.smtp_in.stop())
    assert bench.hear(idle, b"") == b"421 4.3.0 Service shutting down\r\n"
    assert bench.say(busy, CONTENT, b"") == (
        b"250 2.0.0 00000001 Message accepted for delivery\r\n421 4.3.0 Service shutting down\r\n"
    )
    bench.loop.run_until_complete(stopping)


def test_trace(bench: Any) -> None:
    bench.log.tracing_smtp = True
    client = bench.greeted()
    for step in (MAIL, RCPT, b"DATA\r\n", CONTENT):
        bench.say(client, step)
    traced = [line.split(" ", 2)[2] for line in bench.log.lines if line.startswith("smtp: ")]
    assert "<<< MAIL FROM:<a@x.example>" in traced
    assert ">>> 250 2.0.0 Ok" in traced
    assert f"<<< [MSG] {len(CONTENT)} octets" in traced
    assert not any("body" in line for line in traced)


def test_trace_of_the_phases_that_filters_have_a_say_in(bench: Any) -> None:
    bench.log.tracing_filters = True
    client = bench.greeted()
    for step in (MAIL, RCPT, b"DATA\r\n", CONTENT):
        bench.say(client, step)
    phases = [line.split()[2] for line in bench.log.lines if line.startswith("filters: ")]
    assert phases == ["connect:", "mail-from:", "rcpt-to:", "data:", "commit:"]


def test_no_secret_in_the_trace(bench: Any) -> None:
    bench.log.tracing_smtp = True
    client = bench.greeted()
    bench.say(client, b"AUTH PLAIN c2VjcmV0\r\n")
    client.send(b"AUTH PLAIN c2Vj")
    bench.run(0.02)
    bench.say(client, b"cmV0\r\n")
    assert "<<< AUTH PLAIN ********" in [
        line.split(" ", 2)[2] for line in bench.log.lines if "smtp: " in line
    ]
    assert not any(secret in line for line in bench.log.lines for secret in ("c2Vj", "cmV0"))


@pytest.mark.parametrize(
    "pieces", [(b"AUTH LOGIN\r\n",), (b"AUTH L", b"OGIN\r\n"), (b"AUTH\tLOGIN\r\n",), (b" auth\r\n",)]
)
def test_no_secret_of_a_client_that_minds_no_reply(bench: Any, pieces: tuple[bytes, ...]) -> None:
    bench.log.tracing_smtp = True
    client = bench.greeted()
    for piece in pieces[:-1]:
        client.send(piece)
        bench.run(0.02)
    bench.say(client, pieces[-1])
    bench.say(client, b"am9l\r\n")
    bench.say(client, b"c2VjcmV0\r\n")
    bench.say(client, b"NOOP\r\n")
    shown = [line for line in bench.log.lines if "smtp" in line]
    assert not any(secret in line for line in shown for secret in ("am9l", "c2VjcmV0"))
    failed = sum('failed-command command="********"' in line for line in shown)
    assert failed == 2 + (pieces[0][:5] != b"AUTH ")
    assert any(line.endswith("<<< NOOP") for line in shown)


def test_replies_are_not_delayed(bench: Any) -> None:
    bench.greeted()
    (session,) = bench.smtp_in.sessions
    connection = session._transport.get_extra_info("socket")
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize(
    ("peername", "shown"),
    [
        (("192.0.2.1", 25), ("192.0.2.1", "inet4")),
        (("2001:db8::1", 25, 0, 0), ("2001:db8::1", "inet6")),
        (("fe80::1%eth0", 25, 0, 2), ("fe80::1%eth0", "inet6")),
        (("::ffff:192.0.2.1", 25, 0, 0), ("192.0.2.1", "inet4")),
        ("", ("local", "local")),
        (None, ("", "inet4")),
    ],
)
def test_client_address(peername: object, shown: tuple[str, str]) -> None:
    assert client_address(peername) == shown


def test_a_file_that_is_limited(bench: Any, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    client = bench.greeted()
    for step in (MAIL, RCPT, b"DATA\r\n"):
        bench.say(client, step)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        said = bench.say(client, b"A: b\r\n\r\n" + b"x\r\n" * 100000 + b".\r\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said.startswith(b"452 4.3.1 ")
