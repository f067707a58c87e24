"""Mail under TLS to real mail exchangers, Debian's Postfix (OpenSSL) and Exim (GnuTLS), byte for byte."""

import time
from collections.abc import Iterator

import pytest
from bench_machine import free_port
from bytewise import CONTENTS, HEADER, own_part
from certificates import Authority, Pair
from daemon import Daemon
from exchangers import Door, Exchanger, Exim, Postfix

pytestmark = [pytest.mark.root, pytest.mark.timeout(120)]

VERIFY = "certificate verify failed: "

GOOD = ("may", "may-old", "must", "named", "first")
BAD = {
    "wrong": VERIFY + "IP address mismatch",
    "old": VERIFY + "certificate has expired",
    "first-wrong": VERIFY + "IP address mismatch",
    "stranger": VERIFY + "unable to get local issuer certificate",
}


class Doors:
    """The ways in, an address each: a host that fails is left alone, whatever it was asked for."""

    def __init__(self, authority: Authority) -> None:
        stranger = Authority(authority.cert.parent / "stranger", "stranger")
        self.all: dict[str, Door] = {}
        self.conf = f'ca "test" cert "{authority.cert}"\nlisten on 127.0.0.1 port ${{port}}\n'
        self.add("may", "smtp://{at}", 101, authority.sign("elsewhere.test"))
        self.add("may-old", "smtp://{at}", 102, authority.sign("127.0.0.102", days=-3))
        self.add("must", "smtp+tls://{at}", 103, authority.sign("127.0.0.103"))
        self.add("named", "smtp+tls://localhost:{port}", 1, authority.sign("localhost"))
        self.add("first", "smtps://{at}", 104, authority.sign("127.0.0.104"), smtps=True)
        self.add("wrong", "smtp+tls://{at}", 105, authority.sign("elsewhere.test"))
        self.add("old", "smtp+tls://{at}", 106, authority.sign("127.0.0.106", days=-3))
        self.add("first-wrong", "smtps://{at}", 107, authority.sign("elsewhere.test"), smtps=True)
        self.add("stranger", "smtp+tls://{at}", 108, stranger.sign("127.0.0.108"))

    def add(self, name: str, url: str, number: int, pair: Pair, *, smtps: bool = False) -> None:
        door = self.all[name] = Door(f"127.0.0.{number}", free_port(), pair, smtps)
        url = url.format(at=f"{door.address}:{door.port}", port=door.port)
        self.conf += f'action "{name}" relay host {url} ca "test"\n'
        self.conf += f'match from any rcpt-to "{name}@peer.test" for any action "{name}"\n'


@pytest.fixture(scope="module", params=[Postfix, Exim], ids=lambda kind: kind.name)
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Exchanger, Daemon]]:
    if missing := request.param.missing():
        pytest.skip(missing)
    doors = Doors(Authority(tmp_path_factory.mktemp("authority")))
    peer = request.param(tuple(doors.all.values()))
    one = Daemon(doors.conf)
    try:
        peer.start()
        yield peer, one.start()
    finally:
        try:
            one.close()
        finally:
            peer.close()


def session(one: Daemon, line: str) -> list[str]:
    """What was logged of the session that a delivery's line names."""
    number = line.split(" mta delivery ")[0].split()[-1]
    return [said for said in one.log().splitlines() if number in said]


@pytest.mark.parametrize("name", GOOD)
def test_what_is_good_enough_goes_under_tls(world: tuple[Exchanger, Daemon], name: str) -> None:
    peer, one = world
    content = HEADER + f"Subject: {name}\r\n\r\n".encode() + CONTENTS["every octet"]
    one.send("a@source.test", f"{name}@peer.test", content)
    line = one.wait_log(f"to=<{name}@peer.test> rcpt=", 30)
    assert 'result="Ok" stat="250 ' in line
    said = session(one, line)
    assert any("mta tls ciphers=TLSv1.3:" in each for each in said)
    result = "unverified" if name.startswith("may") else "valid"
    assert any(f'mta cert-check result="{result}" fingerprint="SHA256:' in each for each in said)
    assert not any("downgrading" in each for each in said)
    (got,) = peer.mails(1)
    head = own_part(got, content)
    # Postfix says so in words of its own, Exim in the protocol's name
    assert b"TLSv1.3" in head or b"with esmtps" in head
    one.wait_empty()
    peer.clear()


def test_a_large_mail(world: tuple[Exchanger, Daemon]) -> None:
    peer, one = world
    one.send("a@source.test", "must@peer.test", CONTENTS["5 MB"])
    (got,) = peer.mails(1)
    own_part(got, CONTENTS["5 MB"])
    peer.clear()


def test_what_is_not_waits_and_says_why(world: tuple[Exchanger, Daemon]) -> None:
    peer, one = world
    for name in BAD:
        one.send("a@source.test", f"{name}@peer.test", HEADER + b"\r\nnot to be seen\r\n")
    evpids = {}
    for name, reason in BAD.items():
        line = one.wait_log(f"to=<{name}@peer.test> rcpt=", 30)
        assert 'result="TempFail" stat="Network error on destination MXs: 127.0.0.' in line
        assert reason in line
        evpids[line.partition("evpid=")[2][:16]] = reason
    until = time.monotonic() + 20
    while not all("|pending|" in line for line in one.envelopes()):
        assert time.monotonic() < until
        time.sleep(0.05)
    waiting = one.envelopes()
    assert len(waiting) == len(BAD) and all(evpids[line[:16]] in line for line in waiting)
    evpid, reason = next(iter(evpids.items()))
    assert reason in one.ctl("explain", evpid)
    assert not list((peer.mail / "new").glob("*"))
