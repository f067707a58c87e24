"""Relaying under TLS, to hosts with good and bad certificates: what goes out, what waits, what is said."""

import contextlib
import os
import shutil
import socket
import ssl
import subprocess

import pytest
from certificates import Authority
from tls_hosts import TlsHosts, in_the_clear

from smtpd.config.model import Config, RelayAction
from smtpd.mproc.log import Log
from smtpd.pony.mta.contexts import ClientContexts
from smtpd.pony.tls_stream import TlsError, TlsStream

MODE = "privileged" if os.geteuid() == 0 and shutil.which("unshare") else "alone"
"""Where it can be: without rights and in an empty folder, keys and authorities must be there before."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_where_tls_need_not_be_nothing_about_it_holds_mail_up(daemon, tls_sink, authority) -> None:
    hosts = TlsHosts(tls_sink, authority, 10)
    host = "host smtp://{at}"
    offered = hosts.add("offered", host, names=("elsewhere.test",))
    hosts.add("expired", host, days=-3)
    hosts.add("not-now", host, {"STARTTLS": "454 4.7.0 Not now"})
    hosts.add("never", host, {"STARTTLS": "502 5.5.1 What?"})
    failing = hosts.add("failing", host + ' protocols "tlsv1.2"', version=ssl.TLSVersion.TLSv1_3)
    unasked = hosts.add("unasked", "host smtp+notls://{at}")
    unoffered = hosts.add("unoffered", host, tls=False)
    one = daemon(hosts.text)
    hosts.send(one)
    for sink in hosts.sinks.values():
        sink.wait(1)
    one.wait_empty()

    assert {name for name, sink in hosts.sinks.items() if not in_the_clear(sink)} == {"offered", "expired"}
    hello = offered.commands[0]
    assert hello.startswith("EHLO ")
    assert offered.commands[:4] == [hello, "STARTTLS", "TLS", hello]  # begins anew (RFC 3207 4.2)
    for name in ("offered", "expired"):
        lines = hosts.session(one, name)
        assert any(f"connecting address=smtp://{hosts.places[name]}" in line for line in lines)
        assert any("mta tls ciphers=TLSv1.3:TLS_AES_256_GCM_SHA384:256" in line for line in lines)
        assert any('mta cert-check result="unverified" fingerprint="SHA256:' in line for line in lines)
    lines = hosts.session(one, "failing")
    (line,) = [line for line in lines if "downgrading" in line]
    assert line.endswith("opportunistic TLS failed, downgrading to plain: tlsv1 alert protocol version")
    assert any(f"connecting address=smtp+notls://{hosts.places['failing']}" in line for line in lines)
    assert failing.connections == 2 and failing.faults
    assert {sink.connections for sink in hosts.sinks.values() if sink is not failing} == {1}
    assert "STARTTLS" not in unasked.commands + unoffered.commands


def test_where_tls_must_be_nothing_goes_out_without(
    daemon, tls_sink, authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    stranger = Authority(authority.cert.parent / "stranger", "stranger")
    hosts = TlsHosts(tls_sink, authority, 40)
    hosts.text += f'ca "stranger" cert "{stranger.cert}"\n'
    clients = {"clients": authority.cert, "smtps": True}
    evil = {"inject": b"250-evil\r\n250 AUTH PLAIN\r\n"}
    first = {"smtps": True}

    good = {
        "smtps": hosts.add("smtps", 'host smtps://{at} ca "test"', **first),
        "starttls": hosts.add("starttls", 'host smtp+tls://{at} ca "test"'),
        "by-action": hosts.add("by-action", 'host smtp://{at} tls ca "test"'),
        "system": hosts.add("system", "host smtps://{at}", **first),
        "unlooked": hosts.add(
            "unlooked", "host smtps://{at} tls no-verify", days=-3, names=("x.test",), **first
        ),
        "known": hosts.add("known", 'host smtps://{at} ca "test" pki "me"', **clients),
    }
    verify = "certificate verify failed: "
    bad = {
        "name": (
            verify + "IP address mismatch",
            hosts.add("name", "host smtps://{at}", names=("x.test",), **first),
        ),
        "name2": (
            verify + "IP address mismatch",
            hosts.add("name2", "host smtp://{at} tls", names=("x.test",)),
        ),
        "old": (verify + "certificate has expired", hosts.add("old", "host smtps://{at}", days=-3, **first)),
        "old2": (verify + "certificate has expired", hosts.add("old2", "host smtp+tls://{at}", days=-3)),
        "stranger": (
            verify + "unable to get local issuer",
            hosts.add("stranger", 'host smtps://{at} ca "stranger"', **first),
        ),
        "unoffered": (
            "TLS required but not supported by remote",
            hosts.add("unoffered", "host smtp://{at} tls", tls=False),
        ),
        "not-now": (
            "STARTTLS rejected: 454 4.7.0 Not now",
            hosts.add("not-now", "host smtp+tls://{at}", {"STARTTLS": "454 4.7.0 Not now"}),
        ),
        "never": (
            "STARTTLS rejected: 554 5.7.0 Never",
            hosts.add("never", "host smtp+tls://{at}", {"STARTTLS": "554 5.7.0 Never"}),
        ),
        "closing": (
            "STARTTLS rejected: 421 4.3.2 Bye",
            hosts.add("closing", "host smtp+tls://{at}", {"STARTTLS": "421 4.3.2 Bye"}),
        ),
        "unknown": ("alert certificate required", hosts.add("unknown", "host smtps://{at}", **clients)),
        "lines": ("Remote host sent too much data", hosts.add("lines", "host smtp+tls://{at}", **evil)),
        "half": (
            "Remote host sent too much data",
            hosts.add("half", "host smtp+tls://{at}", inject=b"250-e"),
        ),
        "plain": ("wrong version number", hosts.add("plain", "host smtps://{at}", tls=False)),
        "clear": ("TLS required for relaying", hosts.add("clear", "host smtp+notls://{at} tls")),
    }
    hanging = hosts.add("hanging", "host smtps://{at}", hang=True, **first)

    one = daemon(hosts.text, mode=MODE)
    hosts.send(one)
    for name, sink in good.items():
        sink.wait(1, 30)
        assert not in_the_clear(sink), name
        result = "unverified" if name == "unlooked" else "valid"
        line = 'mta cert-check result="' + result + '" fingerprint="SHA256:'
        assert any(line in said for said in hosts.session(one, name)), name
    assert good["known"].secured[0]["subject"] == ((("commonName", "client.test"),),)
    for name, (error, sink) in bad.items():
        line = hosts.result(one, name)
        assert 'result="TempFail"' in line and error in line, name
        if name != "clear":
            assert "Network error on destination MXs: " + hosts.places[name].split(":")[0] in line
            assert any("mta error reason=" in said and error in said for said in hosts.session(one, name)), (
                name
            )
        assert not sink.taken and "MAIL" not in str(sink.commands), name
    assert not hanging.taken and hanging.connections == 1
    waiting = one.envelopes()
    assert len(waiting) == len(bad) + 1
    assert sum(verify in envelope for envelope in waiting) == 5
    assert one.stop() == 0  # whatever hangs


def test_a_host_that_wants_to_begin_anew_is_told_no(authority) -> None:
    """Renegotiation, which TLS 1.2 has still; the host is OpenSSL's s_server, which does it when told "R"."""
    action = RelayAction(name="x")
    context = ClientContexts(Config(actions={"x": action}), Log("test")).find(action, False)
    pair = authority.sign("localhost")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = ["openssl", "s_server", "-tls1_2", "-accept", f"127.0.0.1:{port}", "-naccept", "1"]
    host = subprocess.Popen(
        [*command, "-cert", str(pair.cert), "-key", str(pair.key)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert host.stdin is not None and host.stdout is not None
    try:
        assert any(line.startswith(b"ACCEPT") for line in host.stdout)
        with socket.create_connection(("127.0.0.1", port), 20) as end:
            stream = TlsStream(context, server_name="localhost")
            stream.begin()
            while not stream.started:
                end.sendall(stream.take_output())
                stream.receive(end.recv(65536))
            end.sendall(stream.take_output())
            assert str(stream).startswith("TLSv1.2:")
            host.stdin.write(b"R\n")
            host.stdin.flush()
            with contextlib.suppress(TlsError, OSError):  # the host gives up when it is told no
                while data := end.recv(65536):
                    stream.receive(data)
                    end.sendall(stream.take_output())
        assert any(b"no renegotiation" in line for line in host.stdout)
    finally:
        host.kill()
        host.communicate()
