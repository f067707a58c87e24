"""What relay actions make of TLS."""

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority

from smtpd.config.keypair import KeyRefused
from smtpd.config.model import Ca, Config, LocalAction, Pki, RelayAction, SmtpSettings
from smtpd.pony.mta import contexts as module
from smtpd.pony.mta.contexts import ClientContexts, set_versions


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


class Lines:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str) -> None:
        self.lines.append(text)


def made(action: RelayAction, log: Any = None, **config: Any) -> ClientContexts:
    actions = {"local": LocalAction(name="local", method="maildir"), action.name: action}
    return ClientContexts(Config(actions=actions, **config), log or Lines())


def test_verifying_or_not() -> None:
    action = RelayAction(name="x")
    contexts = made(action)
    loose, strict = contexts.find(action, False), contexts.find(action, True)
    assert (loose.verify_mode, loose.check_hostname) == (ssl.CERT_NONE, False)
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert contexts.find(action, True) is strict
    for context in (loose, strict):
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.maximum_version == ssl.TLSVersion.TLSv1_3


def test_actions_that_ask_for_the_same_share_it() -> None:
    one, two = RelayAction(name="one"), RelayAction(name="two", helo="x")
    contexts = ClientContexts(Config(actions={"one": one, "two": two}), Lines())  # type: ignore[arg-type]
    assert contexts.find(one, False) is contexts.find(two, False)


def test_words_of_the_action_and_of_the_server() -> None:
    action = RelayAction(name="x", tls_protocols="tlsv1.3")
    config = SmtpSettings(ciphers="ECDHE-RSA-AES256-GCM-SHA384")
    context = made(action, smtp=config).find(action, False)
    assert context.minimum_version == context.maximum_version == ssl.TLSVersion.TLSv1_3
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old == ["ECDHE-RSA-AES256-GCM-SHA384"]
    action = replace(action, tls_ciphers="ECDHE-RSA-AES128-GCM-SHA256")
    context = made(action, smtp=config).find(action, False)
    old = [cipher["name"] for cipher in context.get_ciphers() if cipher["protocol"] != "TLSv1.3"]
    assert old == ["ECDHE-RSA-AES128-GCM-SHA256"]


def test_versions_with_a_hole() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    set_versions(context, frozenset({"tlsv1.1", "tlsv1.3"}))
    assert (context.minimum_version, context.maximum_version) == (
        ssl.TLSVersion.TLSv1_1,
        ssl.TLSVersion.TLSv1_3,
    )
    assert context.options & ssl.OP_NO_TLSv1_2


def test_our_certificate_and_our_authorities(authority: Authority) -> None:
    me = authority.sign("me.test")
    action = RelayAction(name="x", pki="me", ca="ours")
    pki = Pki(name="me", cert=me.cert.read_bytes(), key=me.key.read_bytes())
    config: dict[str, Any] = {
        "pkis": {"me": pki},
        "cas": {"ours": Ca(name="ours", cert=authority.cert.read_bytes())},
    }
    contexts = made(action, **config)
    assert len(contexts.find(action, True).get_ca_certs()) == 1
    assert contexts.find(action, False).get_ca_certs() == []
    other = authority.sign("other.test")
    with pytest.raises(KeyRefused):
        made(action, **config | {"pkis": {"me": replace(pki, key=other.key.read_bytes())}})


def test_the_system_s_authorities_are_taken_in_at_need(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.cert))
    action, log = RelayAction(name="x"), Lines()
    contexts = made(action, log)
    authority.cert.unlink()  # as after a change of the root directory
    assert len(contexts.find(action, True).get_ca_certs()) == 1
    assert len(contexts.find(action, True).get_ca_certs()) == 1
    assert log.lines == []


@pytest.mark.parametrize("bundle", [None, b"nothing in it"])
def test_a_system_without_authorities_says_so_once(
    bundle: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUNDLES", (str(tmp_path / "bundle"),))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    if bundle is not None:
        (tmp_path / "bundle").write_bytes(bundle)
    action, log = RelayAction(name="x"), Lines()
    contexts = made(action, log)
    assert log.lines == []
    assert contexts.find(action, True) is contexts.find(action, True)
    (line,) = log.lines
    assert line.startswith("the system's certificate authorities: ")
