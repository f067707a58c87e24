"""Envelope text, version 3."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtpd.mail.address import EMPTY, MailAddress
from smtpd.mail.envelope import (
    BOUNCE,
    DELAYED,
    DELIVERED,
    FAILED,
    FLAG_AUTHENTICATED,
    FLAG_BOUNCE,
    FLAG_INTERNAL,
    LIMITS,
    MDA,
    MTA,
    Envelope,
)
from smtpd.mail.envelope_text import TEXT_MAX, EnvelopeError, decode, encode

EVPID = 0x0123456789ABCDEF

RELAY = b"""\
version: 3
dispatcher: out
type: mta
smtpname: mx.example.org
helo: client.example.net
hostname: client.example.net
sockaddr: 192.0.2.7
sender: ann@example.net
rcpt: bob@example.com
dest: bob@example.com
ctime: 1700000000
last-try: 0
last-bounce: 0
ttl: 345600
retry: 0
dsn-notify: 0
"""

RELAYED = Envelope(
    EVPID,
    MTA,
    "out",
    smtpname="mx.example.org",
    helo="client.example.net",
    hostname="client.example.net",
    sockaddr="192.0.2.7",
    sender=MailAddress("ann", "example.net"),
    rcpt=MailAddress("bob", "example.com"),
    dest=MailAddress("bob", "example.com"),
    ctime=1700000000,
    ttl=345600,
)

FULL = b"""\
version: 3
dispatcher: local_mail
tag: inside
type: mda
smtpname: mx.example.org
helo: [192.0.2.7]
hostname: client.example.net
username: ann
errorline: 421 try later
sockaddr: [2001:db8::7]
sender: ann@example.net
rcpt: bob+lists@example.com
dest: bob@example.com
ctime: 1700000000
last-try: 1700000100
last-bounce: 1700000050
ttl: 345600
retry: 7
flags: authenticated bounce internal
dsn-notify: 7
dsn-ret: HDRS
dsn-envid: QQ+2B1
dsn-orcpt: rfc822;bob+2Blists@example.com
esc-class: 4
esc-code: 0
mda-exec: /usr/bin/procmail -t
mda-subaddress: lists
mda-user: bob
"""

DELAYED_BOUNCE = RELAY.replace(b"type: mta", b"type: bounce").replace(
    b"dsn-notify: 0\n", b"dsn-notify: 0\nbounce-ttl: 345600\nbounce-delay: 14400\nbounce-type: delayed\n"
)


def test_of_a_relay() -> None:
    assert encode(RELAYED) == RELAY
    assert decode(EVPID, RELAY) == RELAYED


@pytest.mark.parametrize("text", [RELAY, FULL, DELAYED_BOUNCE])
def test_byte_for_byte(text: bytes) -> None:
    assert encode(decode(EVPID, text)) == text


def test_every_field() -> None:
    envelope = decode(EVPID, FULL)
    assert envelope.flags == FLAG_AUTHENTICATED | FLAG_BOUNCE | FLAG_INTERNAL
    assert (envelope.tag, envelope.username, envelope.sockaddr) == ("inside", "ann", "[2001:db8::7]")
    assert (envelope.last_try, envelope.last_bounce, envelope.retry) == (1700000100, 1700000050, 7)
    assert (envelope.dsn_notify, envelope.dsn_ret, envelope.dsn_envid) == (7, "HDRS", "QQ+2B1")
    assert (envelope.esc_class, envelope.esc_code) == (4, 0)
    assert (envelope.mda_exec, envelope.mda_subaddress) == ("/usr/bin/procmail -t", "lists")
    assert (envelope.mda_user, envelope.dsn_orcpt) == ("bob", "rfc822;bob+2Blists@example.com")


def test_a_bounce() -> None:
    envelope = decode(EVPID, DELAYED_BOUNCE)
    assert (envelope.bounce_type, envelope.bounce_delay, envelope.bounce_ttl) == (DELAYED, 14400, 345600)
    failed = encode(envelope._replace(bounce_type=FAILED))
    assert failed.endswith(b"dsn-notify: 0\nbounce-type: failed\n")


def test_the_null_sender() -> None:
    text = RELAY.replace(b"sender: ann@example.net", b"sender: @")
    assert decode(EVPID, text).sender == EMPTY
    assert encode(decode(EVPID, text)) == text


def test_what_other_releases_wrote() -> None:
    old = (
        RELAY.replace(b"sockaddr: 192.0.2.7", b"sockaddr: IPv6:2001:db8::7")
        .replace(b"retry: 0\n", b"retry: 0\nflags: enqueued|authenticated\n")
        .replace(b"dsn-notify: 0\n", b"dsn-notify: 0\ndsn-orcpt: bob@example.com\n")
    )
    envelope = decode(EVPID, old)
    assert envelope.sockaddr == "[2001:db8::7]"
    assert envelope.flags == FLAG_AUTHENTICATED
    assert envelope.dsn_orcpt == "bob@example.com"
    kinds = {b"error": FAILED, b"warn": DELAYED, b"dsn": DELIVERED, b"Delivered": DELIVERED}
    for word, kind in kinds.items():
        text = RELAY.replace(b"type: mta", b"type: bounce") + b"bounce-type: " + word + b"\n"
        assert decode(EVPID, text).bounce_type == kind


def test_spelling_that_openSMTPD_takes_too() -> None:
    text = RELAY.replace(b"type: mta", b"TYPE \t:MTA").replace(b"retry: 0", b"retry:+0")
    assert decode(EVPID, text) == RELAYED
    assert decode(EVPID, RELAY + b"retry: 3\n").retry == 3  # the last one counts
    assert decode(EVPID, RELAY.replace(b"dispatcher: out\n", b"")).dispatcher == ""


def test_bytes_that_are_no_utf8_survive() -> None:
    text = RELAY.replace(b"helo: client", b"helo: \xff\xfe\xc3")
    assert decode(EVPID, text).helo == "\udcff\udcfe\udcc3.example.net"
    assert encode(decode(EVPID, text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "empty"),
        (RELAY[:-1], "no end"),
        (b"\n", "not a field"),
        (RELAY + b"\n", "not a field"),
        (RELAY + b"colour: red\n", "not a field"),
        (RELAY + b"retry\n", "no value"),
        (RELAY + b": 3\n", "not a field"),
        (RELAY[len(b"version: 3\n") :], "no version"),
        (RELAY.replace(b"version: 3", b"version: 2"), "is not 3"),
        (RELAY.replace(b"version: 3", b"version: x"), "bad version"),
        (RELAY.replace(b"type: mta\n", b""), "no type"),
        (RELAY.replace(b"type: mta", b"type: uucp"), "bad type"),
        (RELAY.replace(b"retry: 0", b"retry: 65536"), "bad retry"),
        (RELAY.replace(b"retry: 0", b"retry: -1"), "bad retry"),
        (RELAY.replace(b"retry: 0", b"retry: "), "bad retry"),
        (RELAY.replace(b"retry: 0", b"retry: 1 2"), "bad retry"),
        (RELAY.replace(b"retry: 0", "retry: ٣".encode()), "bad retry"),
        (RELAY.replace(b"ctime: 1700000000", b"ctime: 9223372036854775808"), "bad ctime"),
        (RELAY.replace(b"ctime: 1700000000", b"ctime: " + b"9" * 5000), "bad ctime"),
        (RELAY.replace(b"192.0.2.7", b"192.0.2.777"), "bad sockaddr"),
        (RELAY.replace(b"192.0.2.7", b"[192.0.2.7]"), "bad sockaddr"),
        (RELAY.replace(b"192.0.2.7", b""), "bad sockaddr"),
        (RELAY + b"flags: authenticated,sealed\n", "bad flag"),
        (RELAY + b"dsn-ret: HALF\n", "bad dsn-ret"),
        (RELAY + b"esc-class: 256\n", "bad esc-class"),
        (RELAY + b"bounce-type: silent\n", "bad bounce-type"),
        (RELAY + b"tag: " + b"t" * 33 + b"\n", "tag too long"),
        (RELAY.replace(b"ann@", b"a" * 256 + b"@"), "sender too long"),
        (RELAY.replace(b"out", b"o\0t"), "NUL"),
        (RELAY + b"helo: " + b"h" * TEXT_MAX + b"\n", "too large"),
    ],
)
def test_refused(text: bytes, reason: str) -> None:
    with pytest.raises(EnvelopeError, match=reason):
        decode(EVPID, text)


def test_every_beginning_of_a_text_is_refused_or_lacks_only_whole_lines() -> None:
    for end in range(len(FULL)):
        part = FULL[:end]
        try:
            envelope = decode(EVPID, part)
        except EnvelopeError:
            continue
        assert part.endswith(b"\n") and encode(envelope).startswith(
            part[: part.index(b"ctime")] if b"ctime" in part else b""
        )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"helo": "a\nretry: 9"}, "line feed"),
        ({"errorline": "a\n"}, "line feed"),
        ({"sender": MailAddress("a\nb", "c")}, "line feed"),
        ({"dispatcher": "a\0"}, "NUL"),
        ({"type": "uucp"}, "bad type"),
        ({"type": BOUNCE, "bounce_type": "x"}, "bad bounce-type"),
        ({"dsn_ret": "x"}, "bad dsn-ret"),
        ({"sockaddr": "x"}, "bad sockaddr"),
        ({"ctime": -1}, "before 1970"),
        ({"tag": "t" * 33}, "tag too long"),
        ({"helo": "\ud800"}, "not encodable"),
    ],
)
def test_cannot_be_written(changes: dict[str, object], reason: str) -> None:
    with pytest.raises(EnvelopeError, match=reason):
        encode(RELAYED._replace(**changes))  # type: ignore[arg-type]


# properties

# What a field can hold: no line feed, no NUL, no blanks in front (they are not kept), within the limit.
CHARACTERS = st.characters(codec="utf-8", exclude_characters="\n\0") | st.integers(0xDC80, 0xDCFF).map(chr)


def texts(limit: int) -> st.SearchStrategy[str]:
    def fits(text: str) -> bool:
        data = text.encode("utf-8", "surrogateescape")
        # what was no UTF-8 may have become some by standing together
        return len(data) <= limit and data.decode("utf-8", "surrogateescape") == text

    return st.text(CHARACTERS, max_size=20).map(lambda text: text.lstrip(" \t\v\f\r")).filter(fits)


ADDRESSES = st.builds(MailAddress, texts(255), texts(255).filter(lambda text: "@" not in text))
TIMES = st.integers(0, 2**63 - 1)
BYTES = st.integers(0, 255)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    kind = draw(st.sampled_from((MDA, MTA, BOUNCE)))
    values = {name: draw(texts(limit)) for name, limit in LIMITS.items()}
    if kind != MDA:
        values |= {"mda_exec": "", "mda_subaddress": "", "mda_user": ""}
    bounce_type = draw(st.sampled_from((FAILED, DELAYED, DELIVERED))) if kind == BOUNCE else ""
    esc_class = draw(BYTES)
    return Envelope(
        evpid=draw(st.integers(1, 2**64 - 1)),
        type=kind,
        sockaddr=draw(
            st.sampled_from(("", "local"))
            | st.ip_addresses(v=4).map(str)
            | st.ip_addresses(v=6).map("[{}]".format)
        ),
        sender=draw(ADDRESSES),
        rcpt=draw(ADDRESSES),
        dest=draw(ADDRESSES),
        ctime=draw(TIMES),
        last_try=draw(TIMES),
        last_bounce=draw(TIMES),
        ttl=draw(TIMES),
        retry=draw(st.integers(0, 0xFFFF)),
        flags=draw(st.integers(0, 7)),
        dsn_notify=draw(BYTES),
        dsn_ret=draw(st.sampled_from(("", "HDRS", "FULL"))),
        esc_class=esc_class,
        esc_code=draw(BYTES) if esc_class else 0,
        bounce_type=bounce_type,
        bounce_delay=draw(TIMES) if bounce_type == DELAYED else 0,
        bounce_ttl=draw(TIMES) if bounce_type == DELAYED else 0,
        **values,
    )


@given(envelopes())
def test_text_and_back(envelope: Envelope) -> None:
    text = encode(envelope)
    assert decode(envelope.evpid, text) == envelope
    assert encode(decode(envelope.evpid, text)) == text
