"""Relaying, from an envelope to the message that tells queue, over real connections to hosts in the test."""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from smtpd.config.model import Config, MtaLimits, RelayAction
from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import DSN_DELAY, DSN_SUCCESS, Envelope
from smtpd.messages.pony_lookup import FindHost, FindInTable, FindMx, FoundInTable, HostsFound, MxHost
from smtpd.messages.pony_queue import (
    DeliveryOk,
    DeliveryPermfail,
    DeliveryTempfail,
    HoldEnvelope,
    MessageOpened,
    OpenMessage,
    RelayMta,
    ReleaseHold,
)
from smtpd.mproc.dispatch import handlers_of
from smtpd.pony.mta import mta as module
from smtpd.pony.mta import session as session_module
from smtpd.pony.mta.mta import Mta
from smtpd.protocol.smtp.client_commands import TIMEOUTS

CONTENT = b"Subject: hi\n\nbody\n.dot\n"
FAST = MtaLimits(conndelay_route=0, conndelay_relay=0, discdelay_route=0)
CONFIG = Config(
    hostname="client.example",
    actions={
        "smart": RelayAction(name="smart", host="<dynamic:0>"),
        "domain": RelayAction(name="domain", host="domains", host_is_domain=True),
        "direct": RelayAction(name="direct"),
        "helo": RelayAction(name="helo", host="<dynamic:0>", helo="other.example", mail_from="@list.example"),
        "tls": RelayAction(name="tls", host="<dynamic:0>", tls=True),
        "src": RelayAction(name="src", host="<dynamic:0>", src="sources", helo_src="names"),
        "backup": RelayAction(name="backup", backup=True, backup_mx="mx2.example"),
    },
    mta_limits={"default": FAST},
    generation=3,
)


class Bench:
    """A part with a whole world around it."""

    def __init__(self, process: Any) -> None:
        self.process = process
        self.queue, self.lookup = process.peer("queue"), process.peer("lookup")
        self.queue.answers[OpenMessage] = self.open_message
        self.lookup.answers[FindInTable] = lambda request: FoundInTable(
            1, "ok", self.tables[request.table].pop(0)
        )
        self.lookup.answers[FindHost] = lambda request: HostsFound(1, "none", "no such host", False, [])
        self.tables: dict[str, list[str]] = {"<dynamic:0>": []}
        self.contents: dict[int, bytes] = {}
        self.msgid = 0
        self.mta = Mta(process)

    def open_message(self, request: OpenMessage) -> tuple[MessageOpened, int]:
        fd = os.memfd_create("message")
        os.write(fd, self.contents.get(request.msgid, CONTENT))
        return MessageOpened(1, ""), fd

    def smart(self, host: Any, times: int = 1000) -> None:
        self.tables["<dynamic:0>"] = [f"smtp://127.0.0.1:{host.port}"] * times

    def relay(self, *rcpts: str, dispatcher: str = "smart", **fields: Any) -> list[int]:
        """One message; its evpids."""
        self.msgid += 1
        evpids = []
        for number, rcpt in enumerate(rcpts or ("b@y.example",), 1):
            user, _, domain = rcpt.partition("@")
            address = MailAddress(user, domain)
            envelope = Envelope(self.msgid << 32 | number, "mta", dispatcher)._replace(
                sender=MailAddress("a", "x.example"), rcpt=address, dest=address
            )
            self.mta.relay_mta(self.queue, RelayMta(envelope._replace(**fields)))
            evpids.append(envelope.evpid)
        return evpids

    def results(self) -> list[Any]:
        return [m for m in self.queue.sent if isinstance(m, DeliveryOk | DeliveryTempfail | DeliveryPermfail)]

    def wait(self, number: int = 1) -> list[Any]:
        """So many results; forgets them."""
        self.process.run_until(lambda: len(self.results()) >= number)
        results = self.results()
        self.queue.sent.clear()
        return results

    @property
    def lines(self) -> list[str]:
        return self.process.log.lines  # type: ignore[no-any-return]

    def close(self) -> None:
        self.process.loop.run_until_complete(self.mta.stop())
        assert self.process.stat.get("mta.session") == 0


@pytest.fixture
def make_bench(make_process: Callable[[Config], Any]) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(config: Config = CONFIG) -> Bench:
        made.append(Bench(make_process(config)))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make_bench: Callable[..., Bench]) -> Bench:
    return make_bench()


def test_one_mail(bench: Bench, make_host: Callable[..., Any]) -> None:
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


def test_a_connection_is_used_again(bench: Bench, make_host: Callable[..., Any]) -> None:
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


def test_recipients_of_a_message_go_together(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    rcpts = [f"u{n}@y.example" for n in range(250)]
    bench.relay(*rcpts)
    bench.wait(250)
    assert [len(mail[1]) for mail in host.mails] == [100, 100, 50]
    assert [rcpt for mail in host.mails for rcpt in mail[1]] == rcpts


def test_some_are_rejected(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.replies["RCPT"] = ["250 ok", "550 5.1.1 no such user", "452 4.2.2 full"]
    bench.smart(host)
    one, two, three = bench.relay("a@y", "b@y", "c@y")
    assert bench.wait(3) == [
        DeliveryPermfail(two, "550 5.1.1 no such user", 5, 11),
        DeliveryTempfail(three, "452 4.2.2 full", 4, 22),
        DeliveryOk(one, False),
    ]


def test_without_dsn(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.extensions = []
    bench.smart(host)
    (evpid,) = bench.relay(dsn_notify=DSN_SUCCESS)
    assert bench.wait() == [DeliveryOk(evpid, True)]


def test_with_dsn(bench: Bench, make_host: Callable[..., Any]) -> None:
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


def test_helo_and_mail_from_of_the_action(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.relay(dispatcher="helo")
    bench.wait()
    assert host.commands[0] == "EHLO other.example"
    assert host.mails[0][0] == "a@list.example"


def test_lmtp(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.tables["<dynamic:0>"] = [f"lmtp://127.0.0.1:{host.port}"]
    bench.relay()
    bench.wait()
    assert host.commands[0] == "LHLO client.example"


def test_large_and_8bit_content(bench: Bench, make_host: Callable[..., Any]) -> None:
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


def test_a_host_that_refuses_connections(bench: Bench, make_host: Callable[..., Any]) -> None:
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
    bench: Bench, make_host: Callable[..., Any], greeting: str, reason: str
) -> None:
    host = make_host()
    host.greeting = greeting
    bench.smart(host)
    bench.relay()
    (result,) = bench.wait()
    assert isinstance(result, DeliveryTempfail)
    assert any(line.endswith(f"mta error reason={reason}") for line in bench.lines)


def test_421_after_some_mails(bench: Bench, make_host: Callable[..., Any]) -> None:
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


def test_421_at_once(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.replies["MAIL"] = "421 4.7.0 not you"
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "421 4.7.0 not you", 4, 70)]
    assert len(host.connections) == 1


def test_closed_behind_the_dot(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.replies["."] = "421 gone"
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "421 gone", 4, 0)]


def test_a_connection_that_breaks(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.mute.add(".")
    bench.smart(host)
    (evpid,) = bench.relay()
    bench.process.run_until(lambda: host.mails)
    host.connections[0].transport.abort()
    (result,) = bench.wait()
    assert isinstance(result, DeliveryTempfail) and result.evpid == evpid
    assert re.match("IO Error|Connection closed unexpectedly", result.error)


def test_a_mute_host(bench: Bench, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr("smtpd.protocol.smtp.client.TIMEOUTS", dict.fromkeys(TIMEOUTS, 0.1))
    host = make_host()
    host.mute |= {"MAIL", "RCPT", "DATA"}
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "Connection timeout", 4, 0)]
    bench.process.run_until(lambda: host.open == 0)


def test_a_host_that_does_not_answer_the_connection(
    bench: Bench, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        await bench.process.loop.create_future()

    monkeypatch.setattr(session_module, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(bench.process, "loop", Slow(bench.process.loop, never))
    bench.mta.loop = bench.process.loop
    bench.smart(make_host())
    bench.relay()
    (result,) = bench.wait()
    assert result.error == "Network error on destination MXs"
    assert any(line.endswith("mta error reason=Connection timeout") for line in bench.lines)


class Slow:
    """A loop whose connections never come about."""

    def __init__(self, loop: Any, never: Callable[..., Any]) -> None:
        self._loop = loop
        self.sock_connect = never

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


def test_the_session_s_mails_are_limited(
    make_bench: Callable[..., Bench], make_host: Callable[..., Any]
) -> None:
    limits = replace(FAST, max_mail_per_session=3)
    bench = make_bench(replace(CONFIG, mta_limits={"default": limits}))
    host = make_host()
    bench.smart(host)
    for _ in range(10):
        bench.relay()
    bench.wait(10)
    assert len(host.connections) >= 4
    assert max(connection.taken for connection in host.connections) == 3
    assert any(re.search("mta disconnected reason=quit messages=3", line) for line in bench.lines)


def test_the_host_takes_nothing(make_bench: Callable[..., Bench], make_host: Callable[..., Any]) -> None:
    bench = make_bench(replace(CONFIG, mta_limits={"default": replace(FAST, maxconn_per_route=1)}))
    host = make_host()
    host.replies["RCPT"] = "550 no"
    bench.smart(host)
    for _ in range(15):
        bench.relay()
    bench.wait(15)
    assert any("mta host-rejects-all-mails" in line for line in bench.lines)


def test_too_many_failures(make_bench: Callable[..., Bench], make_host: Callable[..., Any]) -> None:
    limits = replace(FAST, max_failures_per_session=3, maxconn_per_route=1)
    bench = make_bench(replace(CONFIG, mta_limits={"default": limits}))
    host = make_host()
    host.replies["RCPT"] = ["550 no"] * 3
    bench.smart(host)
    bench.relay("a@y", "b@y", "c@y")
    bench.relay()
    bench.wait(4)
    assert len(host.connections) == 2


def test_more_connections_for_more_work(
    make_bench: Callable[..., Bench], make_host: Callable[..., Any]
) -> None:
    limits = replace(FAST, maxconn_per_route=4)
    bench = make_bench(replace(CONFIG, mta_limits={"default": limits}))
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


def test_delays_between_connections(make_bench: Callable[..., Bench], make_host: Callable[..., Any]) -> None:
    limits = replace(FAST, conndelay_route=0.3)  # type: ignore[arg-type]
    bench = make_bench(replace(CONFIG, mta_limits={"default": limits}))
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
    make_bench: Callable[..., Bench], make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SWEEP_SECONDS", 0.02)
    monkeypatch.setattr(session_module, "LINGER_SECONDS", 0.05)
    limits = replace(FAST, sessdelay_keepalive=0.3)  # type: ignore[arg-type]
    bench = make_bench(replace(CONFIG, mta_limits={"default": limits}))
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


def test_a_delay_between_transactions(
    make_bench: Callable[..., Bench], make_host: Callable[..., Any]
) -> None:
    limits = replace(FAST, sessdelay_transaction=0.1, maxconn_per_route=1)  # type: ignore[arg-type]
    bench = make_bench(replace(CONFIG, mta_limits={"default": limits}))
    host = make_host()
    bench.smart(host)
    start = bench.process.loop.time()
    for _ in range(3):
        bench.relay()
    bench.wait(3)
    assert bench.process.loop.time() - start >= 0.2
    assert len(host.connections) == 1


def test_holding_and_releasing(make_bench: Callable[..., Bench], make_host: Callable[..., Any]) -> None:
    limits = replace(FAST, task_hiwat=4, task_lowat=2, task_release=1)
    bench = make_bench(replace(CONFIG, mta_limits={"default": limits}))
    host = make_host()
    bench.smart(host)
    evpids = [bench.relay()[0] for _ in range(10)]
    bench.process.run_until(lambda: len(bench.results()) == 4)
    holds, releases = bench.queue.of(HoldEnvelope), bench.queue.of(ReleaseHold)
    assert [hold.evpid for hold in holds] == evpids[4:]
    assert len({hold.holdq for hold in holds} | {release.holdq for release in releases}) == 1
    assert {release.type for release in releases} == {"mta"}
    assert sum(release.number for release in releases) >= 4


# finding the way


def test_envelopes_that_come_together_share_a_lookup(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.tables["<dynamic:0>"] = [f"smtp://127.0.0.1:{host.port}"]
    for _ in range(5):
        bench.relay()
    bench.wait(5)


def test_smart_hosts_by_domain(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    asked: list[FindInTable] = []
    url = f"smtp://127.0.0.1:{host.port}"
    bench.lookup.answers[FindInTable] = lambda request: asked.append(request) or FoundInTable(1, "ok", url)
    bench.relay("b@One.example", dispatcher="domain")
    bench.relay("b@two.example", dispatcher="domain")
    bench.wait(2)
    assert asked == [
        FindInTable(3, "domains", "relayhost", "one.example"),
        FindInTable(3, "domains", "relayhost", "two.example"),
    ]
    assert len(host.connections) == 1


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", "Cannot retrieve smarthost"),
        ("http://x", "Cannot parse smarthost"),
        ("smtps://mx.example", "TLS is not available for relaying"),
        ("smtp+tls://label@mx.example", "No auth table for relaying"),
    ],
)
def test_bad_smart_hosts(bench: Bench, url: str, error: str) -> None:
    bench.tables["<dynamic:0>"] = [url]
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, error, 4, 0)]
    assert bench.process.stat.get("mta.envelope") == 0


def test_tls_is_required(bench: Bench) -> None:
    bench.tables["<dynamic:0>"] = ["smtp+notls://mx.example", "smtp://mx.example"]
    (evpid,) = bench.relay(dispatcher="tls")
    assert bench.wait() == [DeliveryTempfail(evpid, "TLS required for relaying", 4, 0)]
    (evpid,) = bench.relay(dispatcher="tls")
    assert bench.wait() == [DeliveryTempfail(evpid, "TLS is not available for relaying", 4, 0)]


def test_no_such_action(bench: Bench) -> None:
    (evpid,) = bench.relay(dispatcher="gone")
    assert bench.wait() == [DeliveryTempfail(evpid, 'no relay action "gone"', 4, 0)]


def test_mx_order(bench: Bench, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The third is tried when two fail."""
    good = make_host("127.0.0.3")
    monkeypatch.setattr(module, "_DIRECT", module._DIRECT._replace(port=good.port))
    mxs = [MxHost(10 * n, f"mx{n}.example", [f"127.0.0.{n}"]) for n in (3, 1, 2)]
    bench.lookup.answers[FindMx] = lambda request: HostsFound(1, "ok", "", False, mxs)
    (evpid,) = bench.relay(dispatcher="direct")
    assert bench.wait() == [DeliveryOk(evpid, False)]
    tried = [line.rpartition("host=")[2] for line in bench.lines if "connecting" in line]
    assert tried == ["mx1.example", "mx2.example", "mx3.example"]
    assert 'relay="127.0.0.3 (mx3.example)"' in bench.lines[-1]


def test_a_backup_does_not_relay_to_worse_ones(bench: Bench) -> None:
    mxs = [MxHost(n, f"mx{n}.example", [f"127.0.0.{n}"] if n == 3 else []) for n in (1, 2, 3)]
    bench.lookup.answers[FindMx] = lambda request: HostsFound(1, "ok", "", False, mxs)
    bench.relay(dispatcher="backup")
    (result,) = bench.wait()
    assert result.error == "No MX found for destination"
    assert not any("connecting" in line for line in bench.lines)


@pytest.mark.parametrize(
    ("reply", "result"),
    [
        (HostsFound(1, "tempfail", "SERVFAIL", False, []), DeliveryTempfail(0, "SERVFAIL", 4, 0)),
        (
            HostsFound(1, "tempfail", "", False, []),
            DeliveryTempfail(0, "Temporary failure in MX lookup", 4, 0),
        ),
        (
            HostsFound(1, "none", "Domain does not exist", False, []),
            DeliveryPermfail(0, "Domain does not exist", 5, 0),
        ),
        (HostsFound(1, "permfail", "", False, []), DeliveryPermfail(0, "Domain does not accept mail", 5, 0)),
        (HostsFound(1, "ok", "", False, []), DeliveryTempfail(0, "No MX found for domain", 4, 0)),
        (None, DeliveryTempfail(0, "Temporary failure in MX lookup", 4, 0)),
    ],
)
def test_domains_that_are_not_found(bench: Bench, reply: HostsFound | None, result: Any) -> None:
    bench.relay("a@y.example", "b@Y.example", dispatcher="direct")
    bench.process.run_until(lambda: bench.lookup.asked)
    ((request, then),) = bench.lookup.asked  # one question for both
    assert request == FindMx("y.example")
    then(reply)
    results = bench.wait(2)
    assert [found._replace(evpid=0) for found in results] == [result, result]
    assert bench.process.stat.get("mta.relay") == 0


def test_a_smart_host_that_is_not_found(bench: Bench) -> None:
    bench.tables["<dynamic:0>"] = ["smtp://mx.example"]
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "no such host", 4, 0)]


def test_an_impossible_domain(bench: Bench) -> None:
    (evpid,) = bench.relay("b@-", dispatcher="direct")
    assert bench.wait() == [DeliveryPermfail(evpid, "Invalid domain name", 5, 0)]


def test_an_address_literal(
    bench: Bench, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host()
    monkeypatch.setattr(module, "_DIRECT", module._DIRECT._replace(port=host.port))
    bench.relay("b@[127.0.0.1]", dispatcher="direct")
    bench.wait()
    assert host.mails[0][1] == ["b@[127.0.0.1]"]


def test_source_addresses(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.tables["sources"] = ["127.0.0.5", "127.0.0.5"]
    bench.tables["names"] = ["five.example"]
    bench.relay(dispatcher="src")
    bench.wait()
    assert host.connections[0].transport.get_extra_info("peername")[0] == "127.0.0.5"
    assert host.commands[0] == "EHLO five.example"
    assert 'source="127.0.0.5"' in bench.lines[-1]


def test_a_source_that_is_not_ours_and_another(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.tables["sources"] = ["192.0.2.1", "127.0.0.5", "127.0.0.5"]
    bench.tables["names"] = ["one.example", "five.example"]
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert isinstance(result, DeliveryOk)


def test_no_usable_source(bench: Bench, make_host: Callable[..., Any]) -> None:
    bench.smart(make_host())
    bench.tables["sources"] = ["192.0.2.1", "::1"] * 5
    bench.tables["names"] = ["x.example"] * 5
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert isinstance(result, DeliveryTempfail)
    assert result.error in ("Address family mismatch on destination MXs", "No valid route to destination")


def test_no_source_at_all(bench: Bench, make_host: Callable[..., Any]) -> None:
    bench.smart(make_host())
    bench.tables["sources"] = ["not an address"]
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert result.error == "Could not retrieve source address"


def test_no_helo_name(bench: Bench, make_host: Callable[..., Any]) -> None:
    bench.smart(make_host())
    bench.tables["sources"] = ["127.0.0.5"] * 5
    bench.tables["names"] = [""] * 5
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert result.error == "No valid route to destination"


# content


def test_content_that_cannot_be_had(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.queue.answers[OpenMessage] = lambda request: (MessageOpened(1, "corrupt"), None)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "Could not get message fd", 4, 0)]
    bench.queue.answers[OpenMessage] = bench.open_message
    bench.relay()
    bench.wait()


def test_content_that_cannot_be_read(
    bench: Bench, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host()
    bench.smart(host)
    bench.contents[1] = b"x" * 200000
    real = os.pread

    def broken(fd: int, size: int, offset: int) -> bytes:
        if offset:
            raise OSError(5, "Input/output error")
        return real(fd, size, offset)

    monkeypatch.setattr(os, "pread", broken)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "Error reading content file", 4, 0)]
    assert host.mails == []


# stopping


def test_stop_finishes_the_mail_under_way(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.mute.add(".")
    bench.smart(host)
    bench.relay()
    bench.relay()
    bench.process.run_until(lambda: host.mails)
    task = bench.process.loop.create_task(bench.mta.stop())
    bench.process.turn(0.02)
    assert not task.done()
    host.connections[0].say("250 queued")
    bench.process.loop.run_until_complete(task)
    assert bench.results() == [DeliveryOk(1 << 32 | 1, False)]
    assert len(host.mails) == 1
    assert "QUIT" in host.commands


def test_stop_cuts_off_what_does_not_end(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.mute.add(".")
    bench.smart(host)
    bench.relay()
    bench.process.run_until(lambda: host.mails)
    task = bench.process.loop.create_task(bench.mta.stop())
    bench.process.turn(0.02)
    task.cancel()
    bench.process.run_until(lambda: not bench.process.stat.get("mta.session"))
    (result,) = bench.results()
    assert result.error == "Connection given up"


def test_stop_while_connecting(bench: Bench, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.greeting = ""
    bench.smart(host)
    bench.relay()
    bench.process.run_until(lambda: bench.process.stat.get("mta.session"))
    bench.process.loop.run_until_complete(bench.mta.stop())
    assert bench.process.stat.get("mta.session") == 0


def test_messages_handled() -> None:
    assert set(handlers_of(Mta).values()) == {"relay_mta"}
