"""Mail through networks of a test's own: what becomes of it when hosts, families and name servers fail.

One network, one name server and one daemon for all: every test has domains and addresses of its own in it.
"""

import socket
import threading
import time
from collections.abc import Iterator

import network
import pytest
from daemon import body_of
from network import BROKEN, Network, NetworkDaemon

CONF = """\
listen on 127.0.0.1 port ${port}
listen on 198.51.100.1 port 25
mta limit conn-delay-route 0 conn-delay-relay 0 reconn-delay-route 0
mta limit for domain "only4.test" inet4
mta limit for domain "only6.test" inet6
table hosts { "smtp://192.0.2.91", "smtp://192.0.2.92" }
table sources { "198.51.100.1", "198.51.100.2" }
table names { "198.51.100.1" = "one.here.test", "198.51.100.2" = "two.here.test" }
action "local" maildir
action "out" relay
action "backup" relay backup mx "mx.here.test"
action "list" relay host <hosts>
action "sender" relay host "smtp://192.0.2.95"
action "sources" relay src <sources> helo-src <names>
match from any for local action "local"
match from any mail-from "@special.test" for any action "sender"
match from any for domain "backup.test" action "backup"
match from any for domain "list.test" action "list"
match from any for domain "sources.test" action "sources"
match from any for any action "out"
"""

ZONE = """\
mx.here A 198.51.100.1
best MX 10 mx1.best
best MX 20 mx2.best
mx1.best A 192.0.2.1
mx1.best AAAA 2001:db8::1
mx2.best A 192.0.2.2
dead MX 10 mx1.dead
dead MX 20 mx2.dead
mx1.dead A 192.0.2.11
mx2.dead A 192.0.2.12
third MX 10 mx1.third
third MX 20 mx2.third
third MX 30 mx3.third
mx1.third A 192.0.2.21
mx2.third A 192.0.2.22
mx3.third A 192.0.2.23
six MX 10 mx.six
mx.six A 192.0.2.31
mx.six AAAA 2001:db8::31
seven MX 10 mx.seven
mx.seven A 192.0.2.32
mx.seven AAAA 2001:db8::32
only4 A 192.0.2.33
only4 AAAA 2001:db8::33
only6 A 192.0.2.34
only6 AAAA 2001:db8::34
null MX 0 .
text TXT "neither MX nor address"
grey A 192.0.2.41
three A 192.0.2.42
tarpit A 192.0.2.43
brisk A 192.0.2.44
dot A 192.0.2.45
loop MX 10 mx.here
middle MX 10 mx.middle
middle MX 20 mx.here
middle MX 30 mx2.middle
mx.middle A 192.0.2.66
mx2.middle A 192.0.2.67
backup MX 10 mx.backup
backup MX 20 mx.here
mx.backup A 192.0.2.61
sources A 192.0.2.63
died MX 10 mx.died
died MX 20 mx2.died
mx.died A 192.0.2.64
mx2.died A 192.0.2.68
alias CNAME best
mx1.of-a-domain-with-very-many-exchangers A 192.0.2.65
"""
ZONE += "".join(
    f"many MX {number} mx{number}.of-a-domain-with-very-many-exchangers\n" for number in range(1, 81)
)


class World:
    def __init__(self) -> None:
        self.net = Network()
        try:
            self.names = self.net.name_server({"test": ZONE, "lame": BROKEN})
            self.net.add_here("198.51.100.2")
            self.daemon: NetworkDaemon = self.net.daemon(CONF)
        except BaseException:
            self.net.close()
            raise


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    if reason := network.missing():
        pytest.skip(reason)
    made = World()
    yield made
    made.net.close()


def queued(daemon: NetworkDaemon, domain: str) -> list[str]:
    """The envelopes for a domain, as `show queue` has them."""
    return [line for line in daemon.envelopes() if f"@{domain}" in line]


def gone(daemon: NetworkDaemon, domain: str, seconds: float = 20) -> None:
    """No envelope for a domain is left."""
    until = time.monotonic() + seconds
    while left := queued(daemon, domain):
        assert time.monotonic() < until, f"{left}\n{daemon.log()[-4000:]}"
        time.sleep(0.1)


def failed(daemon: NetworkDaemon, domain: str, result: str, reason: str) -> str:
    """The log line of the first delivery to a domain, which must have failed like that."""
    line = daemon.wait_log(f"@{domain}> rcpt=", 30)
    assert f'result="{result}" stat="{reason}"' in line, line
    return line


def wait_queued(daemon: NetworkDaemon, domain: str, text: str) -> str:
    """The one envelope for a domain, once it waits with this reason."""
    until = time.monotonic() + 20
    while True:
        lines = queued(daemon, domain)
        if len(lines) == 1 and text in lines[0] and "|pending|" in lines[0]:
            return lines[0]
        assert time.monotonic() < until, lines
        time.sleep(0.05)


# hosts


def test_the_best_mx_and_ipv6_first(world: World) -> None:
    first, second = world.net.sink("2001:db8::1"), world.net.sink("192.0.2.2")
    also_first = world.net.sink("192.0.2.1")
    one = world.daemon
    content = one.send("x@source.test", "y@best.test")
    (got,) = first.wait(1)
    assert got.rcpts == ("y@best.test",) and body_of(got.content) == body_of(content)
    one.send("x@source.test", "y@alias.test")
    gone(one, "alias.test")
    # of the same preference, and with fewer connections while the first one is kept open
    assert len(first.taken) + len(also_first.taken) == 2
    gone(one, "best.test")
    assert second.taken == []
    assert "[] <-> [2001:db8::1] (mx1.best.test)" in one.ctl("show", "routes")
    assert "[2001:db8::1] mx1.best.test" in one.ctl("show", "hosts")
    assert "best.test|" in one.ctl("show", "hoststats")


def test_a_dead_mx_costs_seconds(world: World) -> None:
    world.net.blackhole("192.0.2.11")
    second = world.net.sink("192.0.2.12")
    one = world.daemon
    began = time.monotonic()
    one.send("x@source.test", "y@dead.test")
    second.wait(1)
    assert time.monotonic() - began < 30, "a connection's time-out is a minute"
    gone(one, "dead.test")
    assert "192.0.2.11" in one.ctl("show", "routes"), "the first one is still being tried"
    line = one.wait_log("to=<y@dead.test> rcpt=")
    assert 'relay="192.0.2.12 (mx2.dead.test)"' in line and 'result="Ok"' in line


def test_a_third_mx_is_tried_when_two_fail(world: World) -> None:
    world.net.unreachable("192.0.2.21")
    world.net.add("192.0.2.22")  # refuses
    third = world.net.sink("192.0.2.23")
    one = world.daemon
    one.send("x@source.test", "y@third.test")
    third.wait(1)
    gone(one, "third.test")
    log = one.log()
    assert "smtp-out: Disabling route [] <-> 192.0.2.21 (mx1.third.test) for 15s" in log
    assert "smtp-out: Disabling route [] <-> 192.0.2.22 (mx2.third.test) for 15s" in log
    assert "Connection failed: No route to host" in log and "Connection failed: Connection refused" in log
    routes = one.ctl("show", "routes").splitlines()
    (refused,) = [line for line in routes if "192.0.2.22" in line]
    assert " ND" in refused and "penalty=1" in refused


def test_a_host_that_worked_and_died(world: World) -> None:
    """Its route is no new one, and is disabled all the same: or the next host would never be tried."""

    def die(_line: str) -> str:
        raise ConnectionAbortedError

    first, second = world.net.sink("192.0.2.64"), world.net.sink("192.0.2.68")
    one = world.daemon
    one.send("x@source.test", "y1@died.test")
    first.wait(1)
    first.answers["MAIL"] = die
    first.close()
    one.send("x@source.test", "y2@died.test")
    assert second.wait(1)[0].rcpts == ("y2@died.test",)
    gone(one, "died.test")


def test_a_dead_family_costs_seconds_and_only_once(world: World) -> None:
    world.net.blackhole("2001:db8::31", "2001:db8::32")
    six, seven = world.net.sink("192.0.2.31"), world.net.sink("192.0.2.32")
    one = world.daemon
    one.send("x@source.test", "y@six.test")
    six.wait(1)
    one.send("x@source.test", "y@seven.test")
    seven.wait(1)
    log = one.log()
    assert "address=smtp://[2001:db8::31]:25" in log
    assert "[2001:db8::32]" not in log, "the other family comes first for a while"
    gone(one, "seven.test")


@pytest.mark.parametrize(
    ("domain", "used", "unused"),
    [("only4.test", "192.0.2.33", "2001:db8::33"), ("only6.test", "2001:db8::34", "192.0.2.34")],
)
def test_a_limit_to_one_family(world: World, domain: str, used: str, unused: str) -> None:
    yes, no = world.net.sink(used), world.net.sink(unused)
    world.daemon.send("x@source.test", f"y@{domain}")
    yes.wait(1)
    gone(world.daemon, domain)
    assert no.connections == 0


def test_address_literals(world: World) -> None:
    four, six = world.net.sink("192.0.2.70"), world.net.sink("2001:db8::70")
    world.daemon.send("x@source.test", ["y@[192.0.2.70]", "y@[IPv6:2001:db8::70]"])
    assert four.wait(1)[0].rcpts == ("y@[192.0.2.70]",)
    assert six.wait(1)[0].rcpts[0].lower() == "y@[ipv6:2001:db8::70]"


# names


def test_a_lame_zone_is_a_temporary_failure(world: World) -> None:
    one = world.daemon
    one.send("x@source.test", "y@mail.lame")
    failed(one, "mail.lame", "TempFail", "Temporary failure in MX lookup")
    evpid = wait_queued(one, "mail.lame", "Temporary failure in MX lookup").split("|")[0]
    text = one.ctl("explain", evpid)
    assert "It waits for its next try: in " in text and "Temporary failure in MX lookup" in text
    sink = world.net.sink("192.0.2.51")
    world.names.change("lame", "mail A 192.0.2.51")
    one.ctl("schedule", "all")
    sink.wait(1)
    gone(one, "mail.lame")


@pytest.mark.parametrize(
    ("domain", "reason"),
    [
        ("nowhere.test", "Domain does not exist"),
        ("null.test", "Domain does not accept mail"),
        ("text.test", "No MX found for domain"),
    ],
)
def test_a_domain_that_takes_no_mail(world: World, domain: str, reason: str) -> None:
    one, user = world.daemon, domain.partition(".")[0]
    one.send(f"{user}@localhost", f"y@{domain}")
    failed(one, domain, "PermFail", reason)
    (bounce,) = one.mails(user)
    assert f"y@{domain}: {reason}".encode() in bounce or reason.encode() in bounce
    assert b"Status: 5.0.0" in bounce
    gone(one, domain)


def test_a_long_answer_comes_by_tcp(world: World) -> None:
    sink = world.net.sink("192.0.2.65")
    world.daemon.send("x@source.test", "y@many.test")
    sink.wait(1)


def test_a_loop_ends_in_a_bounce(world: World) -> None:
    """The domain's only MX is this daemon, and its rules send the mail there."""
    one = world.daemon
    one.send("loop@localhost", "y@loop.test")
    (bounce,) = one.mails("loop", seconds=40)
    assert b"5.4.6" in bounce and b"Loop detected" in bounce
    gone(one, "loop.test")


def test_mail_goes_to_no_mx_that_is_worse_than_ourselves(world: World) -> None:
    world.net.add("192.0.2.66")
    worse = world.net.sink("192.0.2.67")
    one = world.daemon
    one.send("x@source.test", "y@middle.test")
    wait_queued(one, "middle.test", "Network error on destination MXs")
    assert worse.connections == 0
    better = world.net.sink("192.0.2.66")
    (route,) = [line for line in one.ctl("show", "routes").splitlines() if "192.0.2.66" in line]
    one.ctl("resume", "route", route.partition(".")[0])
    better.wait(1)
    gone(one, "middle.test")


def test_a_backup_sends_to_better_ones_only_and_at_once_when_they_are_back(world: World) -> None:
    one = world.daemon
    world.net.add("192.0.2.61")
    for _ in range(2):
        one.send("x@source.test", "y@backup.test")
    failed(one, "backup.test", "TempFail", "Network error on destination MXs")
    one.send("x@source.test", "z@backup.test")
    until = time.monotonic() + 20
    while not all("|pending|" in line and "Network error" in line for line in queued(one, "backup.test")):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert len(queued(one, "backup.test")) == 3
    better = world.net.sink("192.0.2.61")
    (route,) = [line for line in one.ctl("show", "routes").splitlines() if "192.0.2.61" in line]
    one.ctl("resume", "route", route.partition(".")[0])
    assert len(better.wait(3)) == 3, "nobody scheduled anything"
    gone(one, "backup.test")


# hosts that behave oddly


def test_a_host_that_greylists(world: World) -> None:
    seen: set[str] = set()

    def grey(line: str) -> str:
        known = line in seen
        seen.add(line)
        return "" if known else "451 4.7.1 Greylisted, come back"

    sink = world.net.sink("192.0.2.41", {"RCPT": grey})
    one = world.daemon
    one.send("x@source.test", "y@grey.test")
    line = wait_queued(one, "grey.test", "451 4.7.1 Greylisted, come back")
    evpid = line.split("|")[0]
    assert "451 4.7.1 Greylisted, come back" in one.ctl("show", "envelope", evpid)
    assert "grey.test|" in one.ctl("show", "hoststats")
    one.ctl("schedule", evpid)
    sink.wait(1)
    gone(one, "grey.test")
    assert len(sink.taken) == 1


def test_a_host_that_ends_sessions_after_three_mails(world: World) -> None:
    taken: dict[int, int] = {}

    def three(_line: str) -> str:
        me = threading.get_ident()
        taken[me] = taken.get(me, 0) + 1
        return "421 4.7.0 Enough of you" if taken[me] > 3 else ""

    sink = world.net.sink("192.0.2.42", {"MAIL": three})
    one = world.daemon
    for number in range(10):
        one.send("x@source.test", f"y{number}@three.test")
    until = time.monotonic() + 30
    while len(sink.taken) < 10 and time.monotonic() < until:
        one.ctl("schedule", "all")
        time.sleep(0.3)
    gone(one, "three.test")
    assert sorted(rcpt for mail in sink.taken for rcpt in mail.rcpts) == [
        f"y{n}@three.test" for n in range(10)
    ]


def test_a_tarpit_holds_up_nobody_else(world: World) -> None:
    ended = threading.Event()

    def drip(connection: socket.socket) -> None:
        for byte in b"220-this host takes its time over everything\r\n" * 10:
            if ended.wait(1):
                return
            connection.sendall(bytes((byte,)))

    tarpit, brisk = world.net.peer("192.0.2.43", drip), world.net.sink("192.0.2.44")
    one = world.daemon
    one.send("x@source.test", "y@tarpit.test")
    one.wait_log("host=tarpit.test")
    for number in range(5):
        one.send("x@source.test", f"y{number}@brisk.test")
    brisk.wait(5)
    (line,) = queued(one, "tarpit.test")
    assert "|inflight|" in line
    assert tarpit.connections == 1
    ended.set()
    wait_queued(one, "tarpit.test", "Network error on destination MXs")
    one.ctl("remove", line.split("|")[0])


def test_a_host_that_closes_after_the_dot(world: World) -> None:
    dots: list[str] = []

    def hang_up(line: str) -> str:
        dots.append(line)
        if len(dots) == 1:
            raise ConnectionAbortedError
        return ""

    sink = world.net.sink("192.0.2.45", {".": hang_up})
    one = world.daemon
    one.send("x@source.test", "y@dot.test")
    # nobody knows what the host did with it: it is not sent again at once
    wait_queued(one, "dot.test", "Connection closed unexpectedly")
    assert len(dots) == 1
    one.ctl("schedule", "all")
    sink.wait(1)
    gone(one, "dot.test")
    assert len(dots) == 2


# ways


def test_a_list_of_smart_hosts_fails_over(world: World) -> None:
    world.net.add("192.0.2.91")
    second = world.net.sink("192.0.2.92")
    for number in range(4):
        world.daemon.send("x@source.test", f"y{number}@list.test")
    second.wait(4)
    gone(world.daemon, "list.test")
    results = [line for line in world.daemon.log().splitlines() if "@list.test> rcpt=" in line]
    assert len(results) == 4 and all('result="Ok"' in line for line in results)


def test_a_relay_for_some_senders(world: World) -> None:
    special = world.net.sink("192.0.2.95")
    world.daemon.send("x@special.test", "y@best.test")
    assert special.wait(1)[0].sender == "x@special.test"


def test_every_source_address_has_its_name(world: World) -> None:
    names: list[str] = []

    def ehlo(line: str) -> str:
        names.append(line)
        return ""

    sink = world.net.sink("192.0.2.63", {"EHLO": ehlo, "MAIL": "421 4.3.0 later"})
    one = world.daemon
    one.send("x@source.test", "y@sources.test")
    until = time.monotonic() + 20
    while set(names) != {"EHLO one.here.test", "EHLO two.here.test"}:
        assert time.monotonic() < until, names
        one.ctl("schedule", "all")
        time.sleep(0.3)
    sink.answers.clear()
    one.ctl("schedule", "all")
    sink.wait(1)
    routes = one.ctl("show", "routes")
    assert "198.51.100.1 <-> 192.0.2.63" in routes and "198.51.100.2 <-> 192.0.2.63" in routes
