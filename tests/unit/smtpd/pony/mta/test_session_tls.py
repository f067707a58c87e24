"""A session under TLS, over real connections to hosts in the test; whole daemons are in tests/system."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from tls_sink import TlsSink

from smtpd.config.model import Ca, RelayAction
from smtpd.messages.pony_lookup import CredentialsFound, FindCredentials
from smtpd.messages.pony_queue import DeliveryOk, DeliveryTempfail
from smtpd.pony.mta import session as module

from .conftest import CONFIG, FAST, Relaying


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def world(make_process: Callable[..., Any], authority: Authority) -> Iterator[Relaying]:
    """Actions: "smart", "strict" (tls) and "auth"; the test's authority is trusted by all."""
    host: dict[str, Any] = {"host": "<dynamic:0>", "ca": "test"}
    actions = {
        "smart": RelayAction(name="smart", **host),
        "strict": RelayAction(name="strict", tls=True, tls_verify=True, **host),
        "auth": RelayAction(name="auth", auth="secrets", **host),
    }
    ca = Ca(name="test", cert=authority.cert.read_bytes())
    limits = {"default": replace(FAST, maxconn_per_route=1)}
    made = Relaying(make_process(replace(CONFIG, actions=actions, cas={"test": ca}, mta_limits=limits)))
    yield made
    made.close()


@pytest.fixture
def sink(authority: Authority) -> Iterator[Callable[..., TlsSink]]:
    made: list[TlsSink] = []

    def make(**options: Any) -> TlsSink:
        made.append(TlsSink(authority.sign("127.0.0.1").server(), **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def send(world: Relaying, url: str, dispatcher: str = "smart") -> list[Any]:
    """The results of one mail."""
    world.tables["<dynamic:0>"] = [url]
    world.relay(dispatcher=dispatcher)
    return world.wait()


def test_a_handshake_that_takes_too_long_is_none(
    world: Relaying, sink: Callable[..., TlsSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However little by little it goes on; where TLS need not be the mail goes out without."""
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 0.05)
    to = sink(hang=True)
    (result,) = send(world, f"smtp://127.0.0.1:{to.port}")
    assert isinstance(result, DeliveryOk)
    assert to.connections == 2 and to.raw.startswith(b"\x16\x03")
    assert any(line.endswith("downgrading to plain: Connection timeout") for line in world.lines)


def test_where_tls_must_be_it_is_the_end(
    world: Relaying, sink: Callable[..., TlsSink], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_SECONDS", 0.05)
    to = sink(hang=True)
    (result,) = send(world, f"smtp://127.0.0.1:{to.port}", "strict")
    assert isinstance(result, DeliveryTempfail)
    assert result.error == "Network error on destination MXs: 127.0.0.1: IO Error: Connection timeout"
    assert to.connections == 1 and not to.taken


def test_the_end_of_the_daemon_ends_a_handshake(world: Relaying, sink: Callable[..., TlsSink]) -> None:
    to = sink(hang=True)
    world.tables["<dynamic:0>"] = [f"smtp://127.0.0.1:{to.port}"]
    world.relay()
    world.process.run_until(lambda: to.raw)
    world.close()
    assert not any("downgrading" in line for line in world.lines)
    assert world.results() == []


def test_several_mails_in_a_session(world: Relaying, sink: Callable[..., TlsSink]) -> None:
    to = sink(smtps=True)
    world.contents[1] = b"Subject: large\n\n" + b"x" * 70 + b"\n" * 1_000_000
    world.tables["<dynamic:0>"] = [f"smtps://127.0.0.1:{to.port}"] * 3
    for _ in range(3):
        world.relay()
    assert all(isinstance(result, DeliveryOk) for result in world.wait(3))
    assert to.connections == 1 and len(to.taken) == 3
    assert max(len(taken.content) for taken in to.taken) == 2_000_000 + 88
    assert any('cert-check result="valid"' in line for line in world.lines)


@pytest.mark.parametrize("method", ["PLAIN", "LOGIN"])
def test_logging_in(world: Relaying, sink: Callable[..., TlsSink], method: str) -> None:
    asked: list[FindCredentials] = []
    found = CredentialsFound(1, "ok", "joe", "geheim")
    world.lookup.answers[FindCredentials] = lambda request: asked.append(request) or found
    world.process.log.tracing_mta = True
    to = sink(smtps=True, users={"joe": "geheim"}, methods=method)
    (result,) = send(world, f"smtps://me@127.0.0.1:{to.port}", "auth")
    assert isinstance(result, DeliveryOk)
    assert to.logins == [("joe", "geheim")]
    assert asked == [FindCredentials(3, "secrets", "me")]
    text = "\n".join(world.lines)
    assert ">>> AUTH ********" in text
    assert "geheim" not in text and "Z2VoZWlt" not in text and "AGpvZQBnZWhlaW0=" not in text


@pytest.mark.parametrize("status", ["none", "tempfail"])
def test_nothing_to_log_in_with(world: Relaying, status: str) -> None:
    world.lookup.answers[FindCredentials] = lambda request: CredentialsFound(1, status, "", "")
    (result,) = send(world, "smtps://me@127.0.0.1:1", "auth")
    assert result.error == "Could not retrieve credentials"
    assert any(
        line.startswith("Failed to retrieve secret for [relay:127.0.0.1,port=1,smtps,auth=secrets:me")
        for line in world.lines
    )
    assert not any("connecting" in line for line in world.lines)


def test_a_refused_password_ends_the_try(world: Relaying, sink: Callable[..., TlsSink]) -> None:
    found = CredentialsFound(1, "ok", "joe", "falsch")
    world.lookup.answers[FindCredentials] = lambda request: found
    to = sink(smtps=True, users={"joe": "geheim"})
    (result,) = send(world, f"smtps://me@127.0.0.1:{to.port}", "auth")
    assert "AUTH rejected: 535 5.7.8 No: AUTH PLAIN ********" in result.error
    assert "falsch" not in "\n".join([*world.lines, result.error])
    world.process.run_until(lambda: to.commands[-1] == "QUIT")
    assert not to.taken
