"""Relaying under TLS, to hosts with good and bad certificates: what goes out, what waits, what is said."""

import socket
import ssl

import pytest
from certificates import Authority
from daemon import Daemon
from tls_sink import TlsSink

RELAY = """\
ca "test" cert "${ca}"
pki "me" cert "${cert}" key "${key}"
listen on 127.0.0.1 port ${port}
action "relay" relay ${options}
match from any for domain "relay.test" action "relay"
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def relay(authority: Authority, tmp_path_factory: pytest.TempPathFactory):
    """relay(options): the text of a configuration; the test's authority is `ca "test"`, we are `pki "me"`."""
    me = authority.sign("client.test")
    places = {"${ca}": authority.cert, "${cert}": me.cert, "${key}": me.key}

    def text(options: str) -> str:
        made = RELAY.replace("${options}", options)
        for name, place in places.items():
            made = made.replace(name, str(place))
        return made

    return text


def sent_in_the_clear(to: TlsSink) -> bool:
    return "TLS" not in to.commands[: to.commands.index("MAIL FROM:<a@source.test>")]


def waits(one: Daemon, error: str) -> None:
    """The mail is still there, for this reason."""
    line = one.wait_log('result="TempFail"')
    assert error in line
    (envelope,) = one.envelopes()
    assert error in envelope


# TLS where it need not be


def test_starttls_is_used_when_it_is_offered(daemon, tls_sink, relay, authority) -> None:
    to = tls_sink(Authority(authority.cert.parent / "other").sign("elsewhere.test").server())
    one = daemon(relay("host smtp://127.0.0.1:${sink}"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    assert not sent_in_the_clear(to)
    assert to.commands[:3] == ["EHLO " + to.commands[0][5:], "STARTTLS", "TLS"]
    assert to.commands[3] == to.commands[0]  # begins anew (RFC 3207 4.2)
    assert f"connecting address=smtp://127.0.0.1:{to.port}" in one.log()
    assert "mta tls ciphers=TLSv1.3:TLS_AES_256_GCM_SHA384:256" in one.log()
    assert 'mta cert-check result="unverified" fingerprint="SHA256:' in one.log()
    one.wait_empty()


@pytest.mark.parametrize("answer", ["454 4.7.0 Not now", "502 5.5.1 What?"])
def test_a_host_that_takes_back_its_offer(daemon, tls_sink, relay, authority, answer: str) -> None:
    to = tls_sink(authority.sign("127.0.0.1").server(), {"STARTTLS": answer})
    one = daemon(relay("host smtp://127.0.0.1:${sink}"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    assert sent_in_the_clear(to)
    assert to.connections == 1


def test_a_handshake_that_fails_is_followed_by_a_try_without(daemon, tls_sink, relay, authority) -> None:
    server = authority.sign("127.0.0.1").server()
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    to = tls_sink(server)
    one = daemon(relay('host smtp://127.0.0.1:${sink} protocols "tlsv1.2"'), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    assert sent_in_the_clear(to) and to.connections == 2 and to.faults
    one.wait_log("opportunistic TLS failed, downgrading to plain: tlsv1 alert protocol version")
    one.wait_log(f"connecting address=smtp+notls://127.0.0.1:{to.port}")
    one.wait_empty()


def test_nothing_is_asked_with_notls(daemon, tls_sink, relay, authority) -> None:
    to = tls_sink(authority.sign("127.0.0.1").server())
    one = daemon(relay("host smtp+notls://127.0.0.1:${sink}"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    assert "STARTTLS" not in to.commands


# TLS where it must be


@pytest.mark.parametrize("scheme", ["smtps", "smtp+tls"])
def test_a_host_that_proves_its_name(daemon, tls_sink, relay, authority, scheme: str) -> None:
    to = tls_sink(authority.sign("localhost").server(), smtps=scheme == "smtps")
    one = daemon(relay(f'host {scheme}://localhost:${{sink}} ca "test"'), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    assert not sent_in_the_clear(to)
    one.wait_log('mta cert-check result="valid" fingerprint="SHA256:')
    one.wait_log(f"connecting address={scheme}://127.0.0.1:{to.port} host=localhost")
    one.wait_empty()


def test_tls_of_an_action_wants_it_of_every_host(daemon, tls_sink, relay, authority) -> None:
    to = tls_sink(None)
    one = daemon(relay("host smtp://127.0.0.1:${sink} tls"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    waits(one, "TLS required but not supported by remote host")
    assert not to.taken and "MAIL" not in str(to.commands)


@pytest.mark.parametrize("offered", ["454 4.7.0 Not now", "554 5.7.0 Never"])
def test_a_refusal_where_tls_must_be(daemon, tls_sink, relay, authority, offered: str) -> None:
    to = tls_sink(authority.sign("127.0.0.1").server(), {"STARTTLS": offered})
    one = daemon(relay("host smtp+tls://127.0.0.1:${sink}"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    waits(one, f"STARTTLS rejected: {offered}")


BAD = {
    "wrong name": (("other.test",), 30, "Hostname mismatch, certificate is not valid for 'localhost'"),
    "expired": (("localhost",), -3, "certificate has expired"),
}


@pytest.mark.parametrize(
    "options", ["host smtps://localhost:${sink}", "host smtp+tls://localhost:${sink} tls"]
)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_certificate_where_it_is_looked_at(
    daemon, tls_sink, relay, authority, kind: str, options: str
) -> None:
    names, days, error = BAD[kind]
    to = tls_sink(authority.sign(*names, days=days).server(), smtps="smtps" in options)
    one = daemon(relay(options + ' ca "test"'), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    waits(one, f"certificate verify failed: {error}")
    assert not to.taken
    one.wait_log(f"mta error reason=IO Error: certificate verify failed: {error}")


@pytest.mark.parametrize(
    "options", ["host smtps://localhost:${sink} tls no-verify", "host smtp://localhost:${sink}"]
)
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_certificate_where_it_is_not(
    daemon, tls_sink, relay, authority, kind: str, options: str
) -> None:
    names, days, _ = BAD[kind]
    to = tls_sink(authority.sign(*names, days=days).server(), smtps="smtps" in options)
    one = daemon(relay(options + ' ca "test"'), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    assert not sent_in_the_clear(to)
    one.wait_log('cert-check result="unverified"')


def test_the_systems_authorities_are_asked_where_no_other_is_named(
    daemon, tls_sink, relay, authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = tls_sink(authority.sign("localhost").server(), smtps=True)
    one = daemon(relay("host smtps://localhost:${sink}"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    waits(one, "certificate verify failed: unable to get local issuer certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    other = daemon(relay("host smtps://localhost:${sink}"), sink=to.port)
    other.send("a@source.test", "b@relay.test")
    to.wait(1)
    other.wait_log('cert-check result="valid"')


@pytest.mark.parametrize("mode", ["alone", "privileged"])
def test_a_host_that_wants_to_know_who_we_are(
    daemon, tls_sink, relay, authority, mode: str, request: pytest.FixtureRequest
) -> None:
    """Without rights and in an empty folder too: keys are there before."""
    if mode == "privileged":
        request.getfixturevalue("privileged")
    to = tls_sink(authority.sign("localhost").server(clients=authority.cert), smtps=True)
    options = 'host smtps://localhost:${sink} ca "test"'
    one = daemon(relay(options + ' pki "me"'), sink=to.port, mode=mode)
    one.send("a@source.test", "b@relay.test")
    to.wait(1)
    assert to.secured[0]["subject"] == ((("commonName", "client.test"),),)
    one.wait_empty()


def test_a_host_that_wants_to_know_who_we_are_and_is_not_told(daemon, tls_sink, relay, authority) -> None:
    to = tls_sink(authority.sign("localhost").server(clients=authority.cert), smtps=True)
    one = daemon(relay('host smtps://localhost:${sink} ca "test"'), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    waits(one, "tlsv13 alert certificate required")
    assert not to.taken


# hostile hosts


def test_what_is_put_in_behind_the_reply_to_starttls(daemon, tls_sink, relay, authority) -> None:
    """In the clear, by whoever is between: it must not count under TLS (RFC 3207 5)."""
    to = tls_sink(authority.sign("127.0.0.1").server(), inject=b"250-evil\r\n250 AUTH PLAIN\r\n")
    one = daemon(relay("host smtp+tls://127.0.0.1:${sink} tls no-verify"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    waits(one, "Remote host sent too much data")
    assert not to.taken and not to.secured


def test_a_part_of_a_line_behind_the_reply_to_starttls(daemon, tls_sink, relay, authority) -> None:
    to = tls_sink(authority.sign("127.0.0.1").server(), inject=b"250-ev")
    one = daemon(relay("host smtp+tls://127.0.0.1:${sink} tls no-verify"), sink=to.port)
    one.send("a@source.test", "b@relay.test")
    waits(one, "Remote host sent too much data")


def test_a_handshake_that_never_ends_holds_up_nobody_else(daemon, tls_sink, relay, authority) -> None:
    pair = authority.sign("localhost")
    elsewhere = socket.create_server(("127.0.0.2", 0))  # a first connection to a host is waited for
    dead = tls_sink(pair.server(), smtps=True, hang=True)
    alive = tls_sink(pair.server(), smtps=True, listener=elsewhere)
    text = relay(f"host smtps://127.0.0.1:{dead.port}")
    text += f'action "good" relay host smtps://127.0.0.2:{alive.port} tls no-verify\n'
    text += 'match from any for domain "good.test" action "good"\n'
    one = daemon(text)
    one.send("a@source.test", "b@relay.test")
    one.send("a@source.test", "b@good.test")
    alive.wait(1)
    assert dead.connections == 1 and not dead.taken
    assert one.stop() == 0  # nor a stop
