"""Relaying: finding the way, content, and stopping."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from smtpd.config.model import ListenAddress, Listener
from smtpd.messages.pony_lookup import (
    FindInTable,
    FindMx,
    FoundInTable,
    HostsFound,
    MxHost,
)
from smtpd.messages.pony_queue import (
    DeliveryOk,
    DeliveryPermfail,
    DeliveryTempfail,
    HastenEnvelopes,
    MessageOpened,
    OpenMessage,
)
from smtpd.mproc.dispatch import handlers_of
from smtpd.pony.mta import connect as connect_module
from smtpd.pony.mta import mta as module
from smtpd.pony.mta.mta import Mta
from smtpd.pony.mta.ourselves import Ourselves

from .conftest import Connection

# finding the way


def test_envelopes_that_come_together_share_a_lookup(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.tables["<dynamic:0>"] = [f"smtp://127.0.0.1:{host.port}"]
    for _ in range(5):
        bench.relay()
    bench.wait(5)


def test_smart_hosts_by_domain(bench: Any, make_host: Callable[..., Any]) -> None:
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
        ("smtp+tls://label@mx.example", "No auth table for relaying"),
    ],
)
def test_bad_smart_hosts(bench: Any, url: str, error: str) -> None:
    bench.tables["<dynamic:0>"] = [url]
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, error, 4, 0)]
    assert bench.process.stat.get("mta.envelope") == 0


def test_tls_is_required(bench: Any) -> None:
    bench.tables["<dynamic:0>"] = ["smtp+notls://mx.example"]
    (evpid,) = bench.relay(dispatcher="tls")
    assert bench.wait() == [DeliveryTempfail(evpid, "TLS required for relaying", 4, 0)]


def test_no_such_action(bench: Any) -> None:
    (evpid,) = bench.relay(dispatcher="gone")
    assert bench.wait() == [DeliveryTempfail(evpid, 'no relay action "gone"', 4, 0)]


def test_mx_order(bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_backup_does_not_relay_to_worse_ones(bench: Any) -> None:
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
def test_domains_that_are_not_found(bench: Any, reply: HostsFound | None, result: Any) -> None:
    bench.relay("a@y.example", "b@Y.example", dispatcher="direct")
    bench.process.run_until(lambda: bench.lookup.asked)
    ((request, then),) = bench.lookup.asked  # one question for both
    assert request == FindMx("y.example")
    then(reply)
    results = bench.wait(2)
    assert [found._replace(evpid=0) for found in results] == [result, result]
    assert bench.process.stat.get("mta.relay") == 0


OURS = MxHost(20, "Us.example", ["127.0.0.1"])


def listening(bench: Any, *addresses: str) -> None:
    found = tuple(ListenAddress("inet4", address, 25, True) for address in addresses)
    bench.mta._ourselves = Ourselves([Listener(on="lo", addresses=found)])


@pytest.mark.parametrize(
    ("others", "left"),
    [
        ([], ["Us.example"]),
        ([MxHost(20, "also.example", ["192.0.2.1"])], ["Us.example", "also.example"]),
        ([MxHost(30, "worse.example", ["192.0.2.1"])], ["Us.example", "worse.example"]),
        # there is a better one: it may have an address again
        ([MxHost(10, "better.example", [])], []),
        ([MxHost(10, "better.example", []), MxHost(30, "worse.example", ["192.0.2.1"])], []),
    ],
)
def test_ourselves_among_the_exchangers(bench: Any, others: list[MxHost], left: list[str]) -> None:
    listening(bench, "127.0.0.1")
    domain = bench.mta.routing.domain("y.example", False)
    said: list[tuple[str, str]] = []
    domain.askers.append(lambda status, error: said.append((status, error)))
    bench.mta._hosts_found(domain, HostsFound(1, "ok", "", False, [OURS, *others]))
    assert [mx.name for mx in domain.mxs] == left
    assert said == [("", "") if left else ("tempfail", "No MX found for domain")]


def test_only_better_exchangers_than_ourselves_are_used(bench: Any) -> None:
    listening(bench, "0.0.0.0")
    hosts = [MxHost(10, "a.example", ["192.0.2.1"]), OURS, MxHost(30, "b.example", ["192.0.2.2"])]
    domain = bench.mta.routing.domain("y.example", False)
    bench.mta._hosts_found(domain, HostsFound(1, "ok", "", True, hosts))
    assert [mx.name for mx in domain.mxs] == ["a.example"]
    assert domain.preferences == {"a.example": 10, "us.example": 20, "b.example": 30}
    assert domain.secure
    smart = bench.mta.routing.domain("us.example", True)
    bench.mta._hosts_found(smart, HostsFound(1, "ok", "", False, [OURS]))
    assert len(smart.mxs) == 1, "what relay host says is not for us to doubt"


def test_the_next_smart_host_is_taken_when_one_cannot_be_reached(
    bench: Any, make_host: Callable[..., Any]
) -> None:
    # routes know no ports
    dead, live = make_host(), make_host("127.0.0.2")
    dead.server.close()
    bench.process.turn(0.01)
    urls = [f"smtp://127.0.0.1:{dead.port}", f"smtp://127.0.0.2:{live.port}"] * 20
    bench.tables["hosts"] = urls
    evpids = bench.relay("a@y.example", "b@y.example", dispatcher="list")
    assert bench.wait(2) == [DeliveryOk(evpid, False) for evpid in evpids]
    live.close()
    bench.process.run_until(lambda: bench.process.stat.get("mta.session") == 0)
    (evpid,) = bench.relay(dispatcher="list")
    assert bench.wait() == [DeliveryTempfail(evpid, "Network error on destination MXs", 4, 0)]
    assert bench.process.stat.get("mta.envelope") == bench.process.stat.get("mta.relay") == 0
    assert evpid in bench.mta.deferred.take_by_address("127.0.0.2"), "it goes when either works again"
    assert evpid in bench.mta.deferred.take_by_address("127.0.0.1")


def test_what_had_no_way_goes_when_there_is_one(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    host.server.close()
    bench.process.turn(0.01)
    evpids = bench.relay("a@y.example", "b@z.example")
    bench.wait(2)
    host.server = bench.process.loop.run_until_complete(
        bench.process.loop.create_server(lambda: Connection(host), "127.0.0.1", host.port)
    )
    for route in list(bench.mta.routing):
        bench.mta.routing.enable(route)
    (last,) = bench.relay()
    bench.process.run_until(lambda: bench.queue.of(DeliveryOk))
    assert bench.queue.of(HastenEnvelopes) == [HastenEnvelopes(evpids)]
    assert bench.queue.of(DeliveryOk) == [DeliveryOk(last, False)]


def test_a_smart_host_that_is_not_found(bench: Any) -> None:
    bench.tables["<dynamic:0>"] = ["smtp://mx.example"]
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "no such host", 4, 0)]


def test_an_impossible_domain(bench: Any) -> None:
    (evpid,) = bench.relay("b@-", dispatcher="direct")
    assert bench.wait() == [DeliveryPermfail(evpid, "Invalid domain name", 5, 0)]


def test_an_address_literal(
    bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    host = make_host()
    monkeypatch.setattr(module, "_DIRECT", module._DIRECT._replace(port=host.port))
    bench.relay("b@[127.0.0.1]", dispatcher="direct")
    bench.wait()
    assert host.mails[0][1] == ["b@[127.0.0.1]"]


def test_source_addresses(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.tables["sources"] = ["127.0.0.5", "127.0.0.5"]
    bench.tables["names"] = ["five.example"]
    bench.relay(dispatcher="src")
    bench.wait()
    assert host.connections[0].transport.get_extra_info("peername")[0] == "127.0.0.5"
    assert host.commands[0] == "EHLO five.example"
    assert 'source="127.0.0.5"' in bench.lines[-1]


def test_a_source_that_is_not_ours_and_another(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.tables["sources"] = ["192.0.2.1", "127.0.0.5", "127.0.0.5"]
    bench.tables["names"] = ["one.example", "five.example"]
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert isinstance(result, DeliveryOk)


def test_no_usable_source(bench: Any, make_host: Callable[..., Any]) -> None:
    bench.smart(make_host())
    bench.tables["sources"] = ["192.0.2.1", "::1"] * 5
    bench.tables["names"] = ["x.example"] * 5
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert isinstance(result, DeliveryTempfail)
    assert result.error in ("Address family mismatch on destination MXs", "No valid route to destination")


def test_no_source_at_all(bench: Any, make_host: Callable[..., Any]) -> None:
    bench.smart(make_host())
    bench.tables["sources"] = ["not an address"]
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert result.error == "Could not retrieve source address"


def test_no_helo_name(bench: Any, make_host: Callable[..., Any]) -> None:
    bench.smart(make_host())
    bench.tables["sources"] = ["127.0.0.5"] * 5
    bench.tables["names"] = [""] * 5
    bench.relay(dispatcher="src")
    (result,) = bench.wait()
    assert result.error == "No valid route to destination"


# content


def test_content_that_cannot_be_had(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    bench.smart(host)
    bench.queue.answers[OpenMessage] = lambda request: (MessageOpened(1, "corrupt"), None)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "Could not get message fd", 4, 0)]
    bench.queue.answers[OpenMessage] = bench.open_message
    bench.relay()
    bench.wait()


def test_content_that_cannot_be_read(
    bench: Any, make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
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


def test_stop_finishes_the_mail_under_way(bench: Any, make_host: Callable[..., Any]) -> None:
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


def test_stop_cuts_off_what_does_not_end(bench: Any, make_host: Callable[..., Any]) -> None:
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


def test_stop_while_connecting(bench: Any, make_host: Callable[..., Any]) -> None:
    host = make_host()
    host.greeting = ""
    bench.smart(host)
    bench.relay()
    bench.process.run_until(lambda: bench.process.stat.get("mta.session"))
    bench.process.loop.run_until_complete(bench.mta.stop())
    assert bench.process.stat.get("mta.session") == 0


def test_messages_handled() -> None:
    assert set(handlers_of(Mta).values()) == {"relay_mta"}


def test_idle_connections_make_room_for_other_destinations(
    make_bench: Callable[..., Any], make_host: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one connection for all, though none would end by itself and nobody looks again."""
    monkeypatch.setattr(connect_module, "DELAY_CHECK_LIMIT", 1000)
    bench = make_bench(maxconn_per_source=1, sessdelay_keepalive=1000)
    hosts = [make_host() for _ in range(3)]
    bench.tables["<dynamic:0>"] = [f"smtp://127.0.0.1:{host.port}" for host in hosts]
    for _ in hosts:
        bench.relay()
        bench.process.turn()  # else they would share a lookup
    assert {type(result) for result in bench.wait(3)} == {DeliveryOk}
    assert [len(host.mails) for host in hosts] == [1, 1, 1]
    assert [host.commands[-1] for host in hosts[:2]] == ["QUIT", "QUIT"]
    assert hosts[2].open == 1, "kept while nobody waits"


@pytest.mark.parametrize(
    ("verb", "reply", "kind", "code"),
    [
        # what is said of a sender, a recipient or a mail is its status (RFC 3463)
        ("MAIL", "550 5.1.8 No such domain", DeliveryPermfail, 18),
        ("MAIL", "553 5.1.7 Syntax", DeliveryPermfail, 17),
        ("MAIL", "552 5.3.4 Too big", DeliveryPermfail, 34),
        ("MAIL", "451 4.4.5 Busy", DeliveryTempfail, 45),
        ("MAIL", "452 4.3.1 Full", DeliveryTempfail, 31),
        ("RCPT", "550 5.1.1 Unknown", DeliveryPermfail, 11),
        ("RCPT", "551 5.1.6 Moved", DeliveryPermfail, 16),
        ("RCPT", "552 5.2.2 Quota", DeliveryPermfail, 22),
        ("RCPT", "550 5.7.1 No", DeliveryPermfail, 71),
        ("RCPT", "452 4.2.2 Quota", DeliveryTempfail, 22),
        ("RCPT", "450 4.7.1 Greylisted", DeliveryTempfail, 71),
        ("DATA", "554 5.5.1 No", DeliveryPermfail, 51),
        ("DATA", "451 4.3.0 Later", DeliveryTempfail, 30),
        (".", "554 5.6.0 Content", DeliveryPermfail, 60),
        (".", "552 5.2.3 Too long", DeliveryPermfail, 23),
        (".", "451 4.7.1 Look again", DeliveryTempfail, 71),
        # details that an envelope has no room for (RFC 7372) are the subject's other status
        ("RCPT", "550 5.7.26 Unauthenticated", DeliveryPermfail, 70),
        ("RCPT", "556 5.1.10 Null MX", DeliveryPermfail, 10),
        # none, or one of another class than the reply's: nothing is known but the class (RFC 5248 2.1)
        ("RCPT", "550 no status", DeliveryPermfail, 0),
        ("RCPT", "450 no status", DeliveryTempfail, 0),
        ("RCPT", "550 4.1.1 Which?", DeliveryPermfail, 0),
        ("RCPT", "450 5.1.1 Which?", DeliveryTempfail, 0),
        ("RCPT", "550 5.9.1 No such subject", DeliveryPermfail, 0),
    ],
)
def test_the_host_s_status(
    bench: Any, make_host: Callable[..., Any], verb: str, reply: str, kind: Any, code: int
) -> None:
    host = make_host()
    host.replies[verb] = reply
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [kind(evpid, reply, int(reply[0]), code)]
    word = "PermFail" if kind is DeliveryPermfail else "TempFail"
    assert f'result="{word}" stat="{reply}"' in next(line for line in bench.lines if "mta delivery" in line)


@pytest.mark.parametrize(
    ("verb", "reply"),
    [("", "554 5.7.1 Go away"), ("", "421 4.3.2 Not now"), ("EHLO", "421 4.3.2 Not now")],
)
def test_what_a_host_says_of_us_is_no_status_of_a_mail(
    bench: Any, make_host: Callable[..., Any], verb: str, reply: str
) -> None:
    host = make_host()
    if verb:
        host.replies[verb] = reply
    else:
        host.greeting = reply
    bench.smart(host)
    (evpid,) = bench.relay()
    assert bench.wait() == [DeliveryTempfail(evpid, "Network error on destination MXs", 4, 0)]
