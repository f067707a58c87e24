"""Relay URLs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.protocol.relayhost import NO_TLS, OPPORTUNISTIC, SMTPS, STARTTLS, RelayHost, parse_relay_url


@pytest.mark.parametrize(
    ("text", "relay"),
    [
        ("mx.example.org", RelayHost("mx.example.org", 25, OPPORTUNISTIC, False, "")),
        ("mx.example.org:2525", RelayHost("mx.example.org", 2525, OPPORTUNISTIC, False, "")),
        ("smtp://127.0.0.1:2525", RelayHost("127.0.0.1", 2525, OPPORTUNISTIC, False, "")),
        ("SMTP+TLS://bob@mx_1.example", RelayHost("mx_1.example", 25, STARTTLS, False, "bob")),
        ("smtp+notls://mx", RelayHost("mx", 25, NO_TLS, False, "")),
        ("smtps://label@mx.example.org", RelayHost("mx.example.org", 465, SMTPS, False, "label")),
        ("lmtp://localhost:24", RelayHost("localhost", 24, NO_TLS, True, "")),
        ("smtp://[::1]:2525", RelayHost("[::1]", 2525, OPPORTUNISTIC, False, "")),
        ("[IPv6:2001:db8::1]", RelayHost("[IPv6:2001:db8::1]", 25, OPPORTUNISTIC, False, "")),
        ("@mx", RelayHost("mx", 25, OPPORTUNISTIC, False, "")),
    ],
)
def test_urls(text: str, relay: RelayHost) -> None:
    assert parse_relay_url(text) == relay


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://mx",
        "smtp://",
        "smtp://:25",
        "smtp://mx:",
        "smtp://mx:0",
        "smtp://mx:65536",
        "smtp://mx:x",
        "smtp://mx/path",
        "smtp://[::1",
        "smtp://[nonsense]",
        "smtp://-mx",
        "lmtp://localhost",
        "label@mx",
        "smtp://label@mx",
        "smtp+notls://label@mx",
        "smtp://mx\n",
        "x" * 2000,
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_relay_url(text)


@given(st.text(max_size=40) | st.from_regex(r"(smtps?://)?([a-z]*@)?[a-z\[\]:.]*(:\d*)?", fullmatch=True))
def test_never_another_error(text: str) -> None:
    try:
        relay = parse_relay_url(text)
    except ValueError:
        return
    assert relay.hostname and 0 < relay.port < 65536
