"""Relaying, from an envelope to the message that tells queue, over real connections to hosts in the test."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from smtpd.mail.address import EMPTY
from smtpd.mail.envelope import DSN_DELAY, DSN_SUCCESS
from smtpd.messages.pony_queue import (
    DeliveryOk,
    DeliveryPermfail,
    DeliveryTempfail,
    HoldEnvelope,
    ReleaseHold,
)
from smtpd.pony.mta import connection as connection_module
from smtpd.pony.mta import mta as module
from smtpd.pony.mta import session as session_module
from smtpd.protocol.smtp.client_commands import TIMEOUTS


def test_one_mail(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryOk(evpid, False)]
    assert host.mails == [("a@x.example", ["b@y.example"], b"Subject: hi\r\n\r\nbody\r\n.dot\r\n")]
    assert host.commands == [
        "EHLO client.example",
        "MAIL FROM:<a@x.example> SIZE=27",
        "RCPT TO:<b@y.example>",
        "DATA",
    ]
    connecting, connected, delivery = bench.lines
    session = connecting.split()[0]
    assert connecting == f"{session} mta connecting address=smtp://127.0.0.1:{host.port} host=127.0.0.1"
    assert connected == f"{session} mta connected"
    assert re.fullmatch(
        rf"{session} mta delivery evpid={evpid:016x} from=<a@x.example> to=<b@y.example> rcpt=<-> "
        r'source="127.0.0.1" relay="127.0.0.1" delay=\S+ result="Ok" stat="250 2.0.0 queued"',
        delivery,
    )


def test_a_connection_is_used_again(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    for _ in range(3):
        bench.relay()
        bench.wait()
    assert len(host.connections) == 1
    for _ in range(20):
        bench.relay()
    bench.wait(20)
    assert len(host.mails) == 23
    assert host.commands.count("QUIT") == 0


def test_recipients_of_a_message_go_together(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    rcpts = [f"u{n}@y.example" for n in range(250)]
    bench.relay(*rcpts)
    bench.wait(250)
    assert [len(mail[1]) for mail in host.mails] == [100, 100, 50]
    assert [rcpt for mail in host.mails for rcpt in mail[1]] == rcpts


def test_some_are_rejected(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.replies["RCPT"] = ["250 ok", "550 5.1.1 no such user", "452 4.2.2 full"]
    bench.smart(host)
    one, two, three = bench.relay("a@y", "b@y", "c@y")
    assert bench.wait(3) == [
        DeliveryPermfail(two, "550 5.1.1 no such user", 5, 11),
        DeliveryTempfail(three, "452 4.2.2 full", 4, 22),
        DeliveryOk(one, False),
    ]


def test_without_dsn(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.extensions = []
    bench.smart(host)
    (evpid,) = bench.relay(dsn_notify=DSN_SUCCESS)
    assert bench.wait() == [DeliveryOk(evpid, True)]


def test_with_dsn(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.relay(
        dsn_notify=DSN_SUCCESS | DSN_DELAY,
        dsn_orcpt="rfc822;o@y",
        dsn_ret="HDRS",
        dsn_envid="id",
        sender=EMPTY,
    )
    bench.wait()
    assert host.commands[1:3] == [
        "MAIL FROM:<> SIZE=27 RET=HDRS ENVID=id",
        "RCPT TO:<b@y.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o@y",
    ]


def test_helo_and_mail_from_of_the_action(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.relay(dispatcher="helo")
    bench.wait()
    assert host.commands[0] == "EHLO other.example"
    assert host.mails[0][0] == "a@list.example"


def test_lmtp(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.tables["<dynamic:0>"] = [f"lmtp://127.0.0.1:{host.port}"]
    bench.relay()
    bench.wait()
    assert host.commands[0] == "LHLO client.example"


def test_large_and_8bit_content(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    line = "0123456789 äöü\n".encode() * 60
    bench.contents[1] = b"Subject: large\n\n" + line * 2000
    bench.contents[2] = "Subject: ü\n\n".encode()
    bench.relay()
    bench.relay()
    bench.wait(2)
    large, small = host.mails
    assert large[2] == bench.contents[1].replace(b"\n", b"\r\n")
    assert small[2] == bench.contents[2].replace(b"\n", b"\r\n")
    mails = [command for command in host.commands if command.startswith("MAIL")]
    assert all(command.endswith(" BODY=8BITMIME") for command in mails)


def test_a_host_that_refuses_connections(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    host.server.close()
    bench.process.turn(0.01)
    evpids = bench.relay("b@y", "c@y")
    error = "Network error on destination MXs"
    assert bench.wait(2) == [DeliveryTempfail(evpid, error, 4, 0) for evpid in evpids]
    assert any("mta error reason=Connection failed: Connection refused" in line for line in bench.lines)
    assert any("smtp-out: Disabling route [] <-> 127.0.0.1 for 15s" in line for line in bench.lines)
    # while the route is disabled nothing is tried
    before = len([line for line in bench.lines if "connecting" in line])
    bench.relay()
    bench.wait()
    assert len([line for line in bench.lines if "connecting" in line]) == before
    assert bench.process.stat.get("mta.relay") == bench.process.stat.get("mta.envelope") == 0


@pytest.mark.parametrize(
    ("greeting", "reason"),
    [
        ("421 4.3.2 busy", "BANNER rejected: 421 4.3.2 busy"),
        ("554 go away", "BANNER rejected: 554 go away"),
        ("hello", "Bad response: Reply code out of range"),
    ],
)
def test_a_host_that_does_not_greet(
    bench: Any, make_host: Callable[..., Any], greeting: str, reason: str
) -> None:
    host = make_host()
    host.greeting = greeting
    bench.smart(host)
    bench.relay()
    (result,) = bench.wait()
    assert isinstance(result, DeliveryTempfail)
    assert any(line.endswith(f"mta error reason={reason}") for line in bench.lines)


def test_421_after_some_mails(bench: Any, make_host: Callable[..., Any]) -> None:
    """Another connection is made at once for those that the host did not look at."""
    host = make_host()
    host.close_after = 3
    bench.smart(host)
    evpids = [bench.relay()[0] for _ in range(10)]
    results = bench.wait(10)
    assert sorted(result.evpid for result in results) == evpids
    assert {type(result) for result in results} == {DeliveryOk}
    assert len(host.mails) == 10
    assert len(host.connections) >= 4


def test_421_at_once(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.replies["MAIL"] = "421 4.7.0 not you"
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "421 4.7.0 not you", 4, 70)]
    assert len(host.connections) == 1


def test_closed_behind_the_dot(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.replies["."] = "421 gone"
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "421 gone", 4, 0)]


def test_a_connection_that_breaks(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.mute.add(".")
    bench.smart(host)
    (evpid,) = bench.relay()
    bench.process.run_until(lambda: host.mails)
    host.connections[0].transport.abort()
    (result,) = bench.wait()
    assert isinstance(result, DeliveryTempfail) and result.evpid == evpid
    assert re.match("IO Error|Connection closed unexpectedly", result.error)


def test_a_mute_host(bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr("smtpd.protocol.smtp.client.TIMEOUTS", dict.fromkeys(TIMEOUTS, 0.1))
    host = make_host()
    host.mute |= {"MAIL", "RCPT", "DATA"}
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "Connection timeout", 4, 0)]
    bench.process.run_until(lambda: host.open == 0)


def test_a_host_that_does_not_answer_the_connection(
    bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await bench.process.loop.create_future()

    monkeypatch.setattr(connection_module, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(connection_module, "_reach", never)
    bench.smart(make_host())
    bench.relay()
    (result,) = bench.wait()
    assert result.error == "Network error on destination MXs"
    assert any(line.endswith("mta error reason=Connection timeout") for line in bench.lines)


def test_the_session_s_mails_are_limited(
    make_bench: Callable[..., Any], make_host: Callable[..., Any]
) -> None:
    bench = make_bench(max_mail_per_session=3)
    host = make_host()
    bench.smart(host)
    for _ in range(10):
        bench.relay()
    bench.wait(10)
    assert len(host.connections) >= 4
    assert max(connection.taken for connection in host.connections) == 3
    assert any(re.search("mta disconnected reason=quit messages=3", line) for line in bench.lines)


def test_the_host_takes_nothing(make_bench: Callable[..., Any], make_host: Callable[..., Any]) -> None:
    bench = make_bench(maxconn_per_route=1)
    host = make_host()
    host.replies["RCPT"] = "550 no"
    bench.smart(host)
    for _ in range(15):
        bench.relay()
    bench.wait(15)
    assert any("mta host-rejects-all-mails" in line for line in bench.lines)


def test_too_many_failures(make_bench: Callable[..., Any], make_host: Callable[..., Any]) -> None:
    bench = make_bench(max_failures_per_session=3, maxconn_per_route=1)
    host = make_host()
    host.replies["RCPT"] = ["550 no"] * 3
    bench.smart(host)
    bench.relay("a@y", "b@y", "c@y")
    bench.relay()
    bench.wait(4)
    assert len(host.connections) == 2


def test_more_connections_for_more_work(
    make_bench: Callable[..., Any], make_host: Callable[..., Any]
) -> None:
    bench = make_bench(maxconn_per_route=4)
    host = make_host()
    host.mute.add(".")
    bench.smart(host)
    for _ in range(40):
        bench.relay()
    bench.process.run_until(lambda: len(host.connections) == 4)
    bench.process.turn(0.05)
    assert len(host.connections) == 4
    host.mute.clear()
    for connection in host.connections:
        connection.transport.abort()
    bench.wait(40)


def test_delays_between_connections(make_bench: Callable[..., Any], make_host: Callable[..., Any]) -> None:
    bench = make_bench(conndelay_route=0.3)
    host = make_host()
    host.mute.add(".")
    bench.smart(host)
    for _ in range(20):
        bench.relay()
    bench.process.turn(0.15)
    assert len(host.connections) == 1
    bench.process.run_until(lambda: len(host.connections) == 2)
    host.close()
    bench.process.run_until(lambda: not bench.process.stat.get("mta.session"))


def test_idle_connections_end(
    make_bench: Callable[..., Any], make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(session_module, "LINGER_SECONDS", 0.05)
    bench = make_bench(sessdelay_keepalive=0.3)
    host = make_host()
    bench.smart(host)
    for _ in range(30):
        bench.relay()
    bench.wait(30)
    assert host.open > 1
    bench.process.run_until(lambda: host.open == 1)
    bench.process.turn(0.1)
    assert host.open == 1
    bench.process.run_until(lambda: host.open == 0)
    assert bench.process.stat.get("mta.session") == 0
    assert bench.process.stat.get("mta.relay") == bench.process.stat.get("mta.connector") == 0
    assert host.commands.count("QUIT") == len(host.connections)


def test_a_delay_between_transactions(make_bench: Callable[..., Any], make_host: Callable[..., Any]) -> None:
    bench = make_bench(sessdelay_transaction=0.1, maxconn_per_route=1)
    host = make_host()
    bench.smart(host)
    start = bench.process.loop.time()
    for _ in range(3):
        bench.relay()
    bench.wait(3)
    assert bench.process.loop.time() - start >= 0.2
    assert len(host.connections) == 1


def test_holding_and_releasing(make_bench: Callable[..., Any], make_host: Callable[..., Any]) -> None:
    bench = make_bench(task_hiwat=4, task_lowat=2, task_release=1)
    host = make_host()
    bench.smart(host)
    evpids = [bench.relay()[0] for _ in range(10)]
    bench.process.run_until(lambda: len(bench.results()) == 4)
    holds, releases = bench.queue.of(HoldEnvelope), bench.queue.of(ReleaseHold)
    assert [hold.evpid for hold in holds] == evpids[4:]
    assert len({hold.holdq for hold in holds} | {release.holdq for release in releases}) == 1
    assert {release.type for release in releases} == {"mta"}
    assert sum(release.number for release in releases) >= 4
